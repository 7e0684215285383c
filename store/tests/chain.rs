//! A journal's file in the hands of somebody who can write it, and knows how its rows' digests are made: what the chain shows
//! of that, and where.

#![allow(clippy::unwrap_used)]

mod support;

use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::time::Timestamp;
use muster_store::chain::{ChainCheck, ChainFault, GENESIS_TEXT, Head};
use muster_store::sqlite::{JournalFile, SqliteJournal};
use muster_store::{Journal, JournalQuery, StoreError};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use support::evacuation;
use tempfile::TempDir;

/// Records in the journal of [`written`], the fixture's 15 among them.
const RECORDS: u64 = 40;

/// Brings a row's digest up to what the row says now.
const REDIGEST: &str =
    "UPDATE record SET digest = row_digest(sequence, at, by, request, evacuation, vm, kind, origin, call, chain)";

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.sqlite");
    (directory, path)
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

/// Makes the links from this record on anew, and all digests.
fn rechain(connection: &Connection, from: i64) {
    let newest: i64 = connection.query_row("SELECT max(sequence) FROM record", [], |row| row.get(0)).unwrap();
    for sequence in from..=newest {
        let before: Vec<u8> = if sequence == 1 {
            Sha256::digest(GENESIS_TEXT).to_vec()
        } else {
            let sql = "SELECT chain FROM record WHERE sequence = ?1";
            connection.query_row(sql, [sequence - 1], |row| row.get(0)).unwrap()
        };
        let sql = "UPDATE record SET chain = hashed(?2, sequence, at, by, origin, request, call, evacuation, vm, kind)
            WHERE sequence = ?1";
        connection.execute(sql, params![sequence, before]).unwrap();
    }
    connection.execute_batch(REDIGEST).unwrap();
}

fn resumed(number: u64) -> JournalRecord {
    JournalRecord {
        at: Timestamp(1_800_000_000_000 + number),
        by: "ada".to_owned(),
        origin: Some("127.0.0.1:40312".to_owned()),
        request: None,
        call: None,
        evacuation: evacuation(1),
        vm: None,
        kind: JournalKind::Resumed,
    }
}

/// A closed journal, and the head that it ended with.
async fn written(path: &Path) -> Head {
    Connection::open(path).unwrap().execute_batch(include_str!("fixtures/journal_1.sql")).unwrap();
    let journal = SqliteJournal::open(path).unwrap();
    for number in 16..=RECORDS {
        journal.append(vec![resumed(number)]).await.unwrap();
    }
    journal.head().await.unwrap()
}

/// What a verification says of the file as it lies there.
fn verified(path: &Path, against: Option<Head>) -> Result<Head, ChainFault> {
    let file = JournalFile::open(path).unwrap();
    let mut check = ChainCheck::new(against);
    loop {
        let page = file
            .stored(JournalQuery { after_sequence: check.head().sequence, limit: 7, ..JournalQuery::all() })
            .unwrap();
        if page.is_empty() {
            return check.end(0);
        }
        for record in &page {
            check.take(record)?;
        }
    }
}

/// What is done to the file, whether the digests are made anew after it, and what shows.
const EDITS: [(&str, bool, ChainFault); 7] = [
    ("UPDATE record SET by = 'eve' WHERE sequence = 20", true, ChainFault::Changed { sequence: 20 }),
    ("UPDATE record SET origin = NULL WHERE sequence = 20", false, ChainFault::Changed { sequence: 20 }),
    ("UPDATE record SET digest = digest + 1 WHERE sequence = 20", false, ChainFault::Changed { sequence: 20 }),
    ("DELETE FROM record WHERE sequence = 20", false, ChainFault::Gap { after: 19, found: 21 }),
    ("DELETE FROM record WHERE sequence = 1", false, ChainFault::Gap { after: 0, found: 2 }),
    // One taken out, and the rest numbered anew.
    (
        "DELETE FROM record WHERE sequence = 20; UPDATE record SET sequence = -sequence WHERE sequence > 20;
            UPDATE record SET sequence = -sequence - 1 WHERE sequence < 0",
        true,
        ChainFault::Changed { sequence: 20 },
    ),
    // Two swapped.
    (
        "UPDATE record SET sequence = -1 WHERE sequence = 20; UPDATE record SET sequence = 20 WHERE sequence = 22;
            UPDATE record SET sequence = 22 WHERE sequence = -1",
        true,
        ChainFault::Changed { sequence: 20 },
    ),
];

/// What somebody does to a journal's file.
type Forgery<'a> = &'a dyn Fn(&Connection);

#[tokio::test]
async fn what_a_forger_does_is_found_and_named() {
    for (edit, redigest, fault) in EDITS {
        let (_directory, path) = place();
        let head = written(&path).await;
        assert_eq!((head.sequence, verified(&path, Some(head))), (RECORDS, Ok(head)));
        let forger = forger(&path);
        forger.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        forger.execute_batch(edit).unwrap();
        if redigest {
            forger.execute_batch(REDIGEST).unwrap();
        }
        drop(forger);
        assert_eq!(verified(&path, None), Err(fault), "{edit}");
        assert_eq!(verified(&path, Some(head)), Err(fault), "{edit}, held against the head");
        // Whoever opens it to go on is told as well.
        let error = SqliteJournal::open(&path).expect_err(edit);
        assert!(matches!(error, StoreError::Damaged { .. }), "{edit}: {error}");
        if redigest {
            assert!(error.to_string().contains("its chain is broken: record 20 was changed"), "{edit}: {error}");
        }
    }
}

#[tokio::test]
async fn a_record_that_fits_the_one_before_is_betrayed_by_the_one_after() {
    let (_directory, path) = place();
    written(&path).await;
    let forger = forger(&path);
    forger.execute_batch("UPDATE record SET at = at + 1 WHERE sequence = 20").unwrap();
    let sql = "SELECT chain FROM record WHERE sequence = 21";
    let next: Vec<u8> = forger.query_row(sql, [], |row| row.get(0)).unwrap();
    rechain(&forger, 20);
    forger.execute("UPDATE record SET chain = ?1 WHERE sequence = 21", [next]).unwrap();
    forger.execute_batch(REDIGEST).unwrap();
    assert_eq!(verified(&path, None), Err(ChainFault::Changed { sequence: 21 }));
}

/// What the file alone can't show: each needs a head that was kept elsewhere.
#[tokio::test]
async fn a_cut_tail_and_a_chain_written_anew_show_against_a_kept_head_alone() {
    let cut = |file: &Connection| file.execute_batch("DELETE FROM record WHERE sequence > 30").unwrap();
    let rewrite = |file: &Connection| {
        file.execute_batch("UPDATE record SET by = 'eve' WHERE sequence = 20").unwrap();
        rechain(file, 20);
    };
    let forgeries: [(Forgery<'_>, ChainFault); 2] = [
        (&cut, ChainFault::CutOff { newest: 30, expected: RECORDS }),
        (&rewrite, ChainFault::AnotherHead { sequence: RECORDS }),
    ];
    for (forge, fault) in forgeries {
        let (_directory, path) = place();
        let head = written(&path).await;
        forge(&forger(&path));
        assert!(verified(&path, None).is_ok());
        assert_eq!(verified(&path, Some(head)), Err(fault));
        SqliteJournal::open(&path).unwrap();
    }
}

#[tokio::test]
async fn an_old_file_is_chained_when_it_is_brought_forward() {
    let (_directory, path) = place();
    Connection::open(&path).unwrap().execute_batch(include_str!("fixtures/journal_1.sql")).unwrap();
    let journal = SqliteJournal::open(&path).unwrap();
    let head = journal.head().await.unwrap();
    // Made by another program, of the form that the documentation gives.
    assert_eq!(head.to_string(), "15:cfd4457195d9a5703c66bbae52bde585828885e26d00e38cd599d38bbc43fe3e");
    assert_eq!(verified(&path, Some(head)), Ok(head));
    journal.append(vec![resumed(16)]).await.unwrap();
    assert_eq!(verified(&path, Some(head)).unwrap().sequence, 16);
}

#[tokio::test]
async fn bringing_a_file_forward_makes_no_row_whole_that_was_not() {
    let (_directory, path) = place();
    let person = forger(&path);
    person.execute_batch(include_str!("fixtures/journal_1.sql")).unwrap();
    person.execute_batch(include_str!("../src/sqlite/journal_2.sql")).unwrap();
    person.execute_batch("PRAGMA user_version = 2; UPDATE record SET by = 'eve' WHERE sequence = 7").unwrap();
    drop(person);
    for _ in 0..2 {
        let error = SqliteJournal::open(&path).expect_err("it was changed before it was brought forward");
        assert!(matches!(&error, StoreError::Damaged { found, .. } if found.contains("row 7 of record")), "{error}");
    }
}

#[tokio::test]
async fn a_head_is_read_as_it_is_written_and_nothing_else_is() {
    let (_directory, path) = place();
    let head = written(&path).await;
    let text = head.to_string();
    assert_eq!(text.parse(), Ok(head));
    for wrong in ["", ":", "40", &format!("+{text}"), &text[..text.len() - 1], &text.replace(':', " ")] {
        assert!(wrong.parse::<Head>().is_err(), "{wrong}");
    }
    // Of a journal before its first record.
    assert!(verified(&path, Some(Head::genesis())).is_ok());
}
