//! A file in the hands of somebody who can write it, and knows how its rows' digests are made: what the chain of its history
//! shows of that, and where. The same for a journal and a ledger.

#![allow(clippy::unwrap_used)]

mod support;

use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::ledger::command::{Caller, LedgerCommand, VmCommand, VmOrder};
use muster_core::time::Timestamp;
use muster_core::token::Token;
use muster_store::chain::{ChainCheck, ChainFault, Head, Linked};
use muster_store::sqlite::{JournalFile, LedgerFile, SqliteJournal, SqliteLedger};
use muster_store::{Journal, JournalQuery, Ledger, ReadLedger, StoreError, StoredEvent, StoredRecord};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use support::{evacuation, vm};
use tempfile::TempDir;

/// Lines in a file of [`written`], the fixture's among them.
const LINES: u64 = 40;

/// A kind of file with a chained history.
trait History: Linked + Sized {
    /// The table of the history.
    const TABLE: &'static str;
    /// All its columns but the digest, as the digest has them.
    const DIGESTED: &'static str;
    /// Its columns as a link has them, after the link before.
    const CHAINED: &'static str;
    /// A file of the first version, with so many lines.
    const FIRST: (&'static str, u64);
    /// The step to the second version.
    const SECOND: &'static str;
    /// The head of the first version's file, brought forward.
    const HEAD: &'static str;

    /// Opens a file as who goes on with it does, and writes up to this line.
    async fn write_up_to(path: &Path, newest: u64) -> Result<Head, StoreError>;

    /// A page of the file as it lies there.
    fn page(path: &Path, after_sequence: u64) -> Vec<Self>;
}

impl History for StoredRecord {
    const TABLE: &'static str = "record";
    const DIGESTED: &'static str = "sequence, at, by, request, evacuation, vm, kind, origin, call, chain";
    const CHAINED: &'static str = "sequence, at, by, origin, request, call, evacuation, vm, kind";
    const FIRST: (&'static str, u64) = (include_str!("fixtures/journal_1.sql"), 15);
    const SECOND: &'static str = include_str!("../src/sqlite/journal_2.sql");
    // Made by another program, of the form that the documentation gives; so is the ledger's.
    const HEAD: &'static str = "15:cfd4457195d9a5703c66bbae52bde585828885e26d00e38cd599d38bbc43fe3e";

    async fn write_up_to(path: &Path, newest: u64) -> Result<Head, StoreError> {
        let journal = SqliteJournal::open(path)?;
        while journal.newest() < newest {
            let number = journal.newest() + 1;
            let resumed = JournalRecord {
                at: Timestamp(1_800_000_000_000 + number),
                by: "ada".to_owned(),
                origin: Some("127.0.0.1:40312".to_owned()),
                request: None,
                call: None,
                evacuation: evacuation(1),
                vm: None,
                kind: JournalKind::Resumed,
            };
            journal.append(vec![resumed]).await.unwrap();
        }
        journal.head().await
    }

    fn page(path: &Path, after_sequence: u64) -> Vec<Self> {
        let file = JournalFile::open(path).unwrap();
        file.stored(JournalQuery { after_sequence, limit: 7, ..JournalQuery::all() }).unwrap()
    }
}

impl History for StoredEvent {
    const TABLE: &'static str = "event";
    const DIGESTED: &'static str = "sequence, at, evacuation, vm, token_epoch, token_sequence, kind, by, origin, chain";
    const CHAINED: &'static str = "sequence, at, evacuation, vm, token_epoch, token_sequence, by, origin, kind";
    const FIRST: (&'static str, u64) = (include_str!("fixtures/ledger_1.sql"), 21);
    const SECOND: &'static str = include_str!("../src/sqlite/ledger_2.sql");
    const HEAD: &'static str = "21:5615b85800d6a1841984d3a1018e9a46f1525fd6136564afc10e86349ebfbf57";

    async fn write_up_to(path: &Path, newest: u64) -> Result<Head, StoreError> {
        let ledger = SqliteLedger::open(path)?;
        while ledger.newest() < newest {
            let number = ledger.newest() + 1;
            let raise = VmCommand {
                evacuation: evacuation(1),
                vm: vm(7),
                token: Token::new(1_000, number),
                caller: Caller { by: Some("ada".to_owned()), origin: Some("127.0.0.1:40312".to_owned()) },
                at: Timestamp(1_800_000_000_000 + number),
                order: VmOrder::RaiseFloor,
            };
            ledger.execute(vec![LedgerCommand::Vm(raise)]).await.unwrap().remove(0).unwrap();
        }
        let sequence = ledger.newest();
        Ok(Head { sequence, link: ledger.entry(sequence).await?.unwrap().link })
    }

    fn page(path: &Path, after_sequence: u64) -> Vec<Self> {
        LedgerFile::open(path).unwrap().stored(after_sequence, 7).unwrap()
    }
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.sqlite");
    (directory, path)
}

/// Brings rows' digests up to what the rows say now.
fn redigest<H: History>(connection: &Connection) {
    let sql = format!("UPDATE {} SET digest = row_digest({})", H::TABLE, H::DIGESTED);
    connection.execute_batch(&sql).unwrap();
}

/// The forger's own function, by the form that the documentation gives.
fn hashed(row: &Context<'_>) -> [u8; 32] {
    let mut bytes = Vec::new();
    for index in 0..row.len() {
        match row.get_raw(index) {
            ValueRef::Null => bytes.push(0),
            ValueRef::Integer(number) => {
                bytes.push(1);
                bytes.extend(number.to_be_bytes());
            }
            ValueRef::Text(text) => {
                bytes.push(2);
                bytes.extend((text.len() as u64).to_be_bytes());
                bytes.extend(text);
            }
            ValueRef::Blob(blob) => {
                bytes.push(4);
                bytes.extend((blob.len() as u64).to_be_bytes());
                bytes.extend(blob);
            }
            ValueRef::Real(_) => panic!("no column holds one"),
        }
    }
    Sha256::digest(bytes).into()
}

fn forger(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function(c"row_digest", -1, flags, |row| {
            let [a, b, c, d, e, f, g, h, ..] = hashed(row);
            Ok(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
        })
        .unwrap();
    connection.create_scalar_function(c"hashed", -1, flags, |row| Ok(hashed(row))).unwrap();
    connection
}

/// Makes the links from this line on anew, and all digests.
fn rechain<H: History>(connection: &Connection, from: i64) {
    let (table, chained) = (H::TABLE, H::CHAINED);
    let newest: i64 =
        connection.query_row(&format!("SELECT max(sequence) FROM {table}"), [], |row| row.get(0)).unwrap();
    for sequence in from..=newest {
        let before: Vec<u8> = if sequence == 1 {
            Sha256::digest(H::GENESIS).to_vec()
        } else {
            let sql = format!("SELECT chain FROM {table} WHERE sequence = ?1");
            connection.query_row(&sql, [sequence - 1], |row| row.get(0)).unwrap()
        };
        let sql = format!("UPDATE {table} SET chain = hashed(?2, {chained}) WHERE sequence = ?1");
        connection.execute(&sql, params![sequence, before]).unwrap();
    }
    redigest::<H>(connection);
}

/// A closed file, and the head that it ended with.
async fn written<H: History>(path: &Path) -> Head {
    Connection::open(path).unwrap().execute_batch(H::FIRST.0).unwrap();
    H::write_up_to(path, LINES).await.unwrap()
}

/// What a verification says of the file as it lies there.
fn verified<H: History>(path: &Path, against: Option<Head>) -> Result<Head, ChainFault> {
    let mut check: ChainCheck<H> = ChainCheck::new(against);
    loop {
        let page = H::page(path, check.head().sequence);
        if page.is_empty() {
            return check.end(0);
        }
        for line in &page {
            check.take(line)?;
        }
    }
}

/// What is done to the file, whether the digests are made anew after it, and what shows.
const EDITS: [(&str, bool, ChainFault); 7] = [
    ("UPDATE history SET by = 'eve' WHERE sequence = 30", true, ChainFault::Changed { sequence: 30 }),
    ("UPDATE history SET origin = NULL WHERE sequence = 30", false, ChainFault::Changed { sequence: 30 }),
    ("UPDATE history SET digest = digest + 1 WHERE sequence = 30", false, ChainFault::Changed { sequence: 30 }),
    ("DELETE FROM history WHERE sequence = 30", false, ChainFault::Gap { after: 29, found: 31 }),
    ("DELETE FROM history WHERE sequence = 1", false, ChainFault::Gap { after: 0, found: 2 }),
    // One taken out, and the rest numbered anew.
    (
        "DELETE FROM history WHERE sequence = 30; UPDATE history SET sequence = -sequence WHERE sequence > 30;
            UPDATE history SET sequence = -sequence - 1 WHERE sequence < 0",
        true,
        ChainFault::Changed { sequence: 30 },
    ),
    // Two swapped.
    (
        "UPDATE history SET sequence = -1 WHERE sequence = 30; UPDATE history SET sequence = 30 WHERE sequence = 32;
            UPDATE history SET sequence = 32 WHERE sequence = -1",
        true,
        ChainFault::Changed { sequence: 30 },
    ),
];

/// What somebody does to a file.
type Forgery<'a> = &'a dyn Fn(&Connection);

async fn what_a_forger_does_is_found_and_named<H: History>() {
    for (edit, with_digests, fault) in EDITS {
        let (_directory, path) = place();
        let head = written::<H>(&path).await;
        assert_eq!((head.sequence, verified::<H>(&path, Some(head))), (LINES, Ok(head)));
        let forger = forger(&path);
        forger.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        forger.execute_batch(&edit.replace("history", H::TABLE)).unwrap();
        if with_digests {
            redigest::<H>(&forger);
        }
        drop(forger);
        assert_eq!(verified::<H>(&path, None), Err(fault), "{edit}");
        assert_eq!(verified::<H>(&path, Some(head)), Err(fault), "{edit}, held against the head");
        // Whoever opens it to go on is told as well.
        let error = H::write_up_to(&path, LINES).await.expect_err(edit);
        assert!(matches!(error, StoreError::Damaged { .. }), "{edit}: {error}");
        if with_digests {
            assert!(error.to_string().contains("its chain is broken: record 30 was changed"), "{edit}: {error}");
        }
    }
}

async fn a_line_that_fits_the_one_before_is_betrayed_by_the_one_after<H: History>() {
    let (_directory, path) = place();
    written::<H>(&path).await;
    let (forger, table) = (forger(&path), H::TABLE);
    forger.execute_batch(&format!("UPDATE {table} SET at = at + 1 WHERE sequence = 30")).unwrap();
    let sql = format!("SELECT chain FROM {table} WHERE sequence = 31");
    let next: Vec<u8> = forger.query_row(&sql, [], |row| row.get(0)).unwrap();
    rechain::<H>(&forger, 30);
    forger.execute(&format!("UPDATE {table} SET chain = ?1 WHERE sequence = 31"), [next]).unwrap();
    redigest::<H>(&forger);
    assert_eq!(verified::<H>(&path, None), Err(ChainFault::Changed { sequence: 31 }));
}

/// What the file alone can't show: each needs a head that was kept elsewhere.
async fn a_cut_tail_and_a_chain_written_anew_show_against_a_kept_head_alone<H: History>() {
    let table = H::TABLE;
    let cut = |file: &Connection| {
        file.execute_batch(&format!("DELETE FROM {table} WHERE sequence > 35")).unwrap();
    };
    let rewrite = |file: &Connection| {
        file.execute_batch(&format!("UPDATE {table} SET by = 'eve' WHERE sequence = 30")).unwrap();
        rechain::<H>(file, 30);
    };
    let forgeries: [(Forgery<'_>, ChainFault); 2] = [
        (&cut, ChainFault::CutOff { newest: 35, expected: LINES }),
        (&rewrite, ChainFault::AnotherHead { sequence: LINES }),
    ];
    for (forge, fault) in forgeries {
        let (_directory, path) = place();
        let head = written::<H>(&path).await;
        forge(&forger(&path));
        assert!(verified::<H>(&path, None).is_ok());
        assert_eq!(verified::<H>(&path, Some(head)), Err(fault));
        H::write_up_to(&path, 0).await.unwrap();
    }
}

async fn an_old_file_is_chained_when_it_is_brought_forward<H: History>() {
    let (_directory, path) = place();
    Connection::open(&path).unwrap().execute_batch(H::FIRST.0).unwrap();
    let head = H::write_up_to(&path, 0).await.unwrap();
    assert_eq!(head.sequence, H::FIRST.1);
    assert_eq!(head.to_string(), H::HEAD);
    assert_eq!(verified::<H>(&path, Some(head)), Ok(head));
    H::write_up_to(&path, head.sequence + 1).await.unwrap();
    assert_eq!(verified::<H>(&path, Some(head)).unwrap().sequence, head.sequence + 1);
}

async fn bringing_a_file_forward_makes_no_row_whole_that_was_not<H: History>() {
    let (_directory, path) = place();
    let (person, table) = (forger(&path), H::TABLE);
    person.execute_batch(H::FIRST.0).unwrap();
    person.execute_batch(H::SECOND).unwrap();
    let edit = format!("PRAGMA user_version = 2; UPDATE {table} SET at = at + 1 WHERE sequence = 7");
    person.execute_batch(&edit).unwrap();
    drop(person);
    for _ in 0..2 {
        let error = H::write_up_to(&path, 0).await.expect_err("it was changed before it was brought forward");
        let row = format!("row 7 of {table}");
        assert!(matches!(&error, StoreError::Damaged { found, .. } if found.contains(&row)), "{error}");
    }
}

async fn a_head_is_read_as_it_is_written_and_nothing_else_is<H: History>() {
    let (_directory, path) = place();
    let head = written::<H>(&path).await;
    let text = head.to_string();
    assert_eq!(text.parse(), Ok(head));
    for wrong in ["", ":", "40", &format!("+{text}"), &text[..text.len() - 1], &text.replace(':', " ")] {
        assert!(wrong.parse::<Head>().is_err(), "{wrong}");
    }
    // Of a file before its first line.
    assert!(verified::<H>(&path, Some(H::genesis())).is_ok());
}

macro_rules! of_both {
    ($($case:ident),* $(,)?) => {
        mod journal {
            $(#[tokio::test]
            async fn $case() {
                super::$case::<super::StoredRecord>().await;
            })*
        }
        mod ledger {
            $(#[tokio::test]
            async fn $case() {
                super::$case::<super::StoredEvent>().await;
            })*
        }
    };
}

of_both![
    what_a_forger_does_is_found_and_named,
    a_line_that_fits_the_one_before_is_betrayed_by_the_one_after,
    a_cut_tail_and_a_chain_written_anew_show_against_a_kept_head_alone,
    an_old_file_is_chained_when_it_is_brought_forward,
    bringing_a_file_forward_makes_no_row_whole_that_was_not,
    a_head_is_read_as_it_is_written_and_nothing_else_is,
];

#[tokio::test]
async fn the_head_of_one_kind_of_file_is_never_anothers() {
    assert_ne!(StoredRecord::genesis(), StoredEvent::genesis());
}
