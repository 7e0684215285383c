//! Files that rot: a bit flips, a page is an old one, a person edits a row. What was changed is found, and nothing else is believed.

#![allow(clippy::unwrap_used)]

mod support;

use muster_core::evacuation::JournalRecord;
use muster_core::ledger::VmRow;
use muster_core::ledger::command::LedgerEvent;
use muster_store::sqlite::{SqliteJournal, SqliteLedger};
use muster_store::{Journal, JournalQuery, Ledger, LedgerEvacuation, ReadLedger, RowQuery, StoreError};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use support::{raise, vm};
use tempfile::TempDir;

/// How many bytes lie between two bits that are flipped: a prime, so that every place of a row comes up.
const STRIDE_BYTES: usize = 131;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    (directory, path)
}

fn made_by(fixture: &str, path: &Path) {
    Connection::open(path).unwrap().execute_batch(fixture).unwrap();
}

/// All that a ledger says.
#[derive(Debug, PartialEq)]
struct Said(Vec<VmRow>, Vec<(u64, LedgerEvent)>, Vec<LedgerEvacuation>);

async fn said(ledger: &impl ReadLedger) -> Result<Said, StoreError> {
    let evacuations = ledger.evacuations().await?;
    Ok(Said(ledger.rows(RowQuery::all()).await?, ledger.events(0, 4096).await?, evacuations))
}

async fn recorded(journal: &impl Journal) -> Result<Vec<(u64, JournalRecord)>, StoreError> {
    journal.evacuations().await?;
    journal.records(JournalQuery::all()).await
}

/// Flips one bit after the other, in a file of its own each, and asks what `says` still believes then. Returns how many
/// were found and how many lie where nothing is said.
async fn flip<T: PartialEq + std::fmt::Debug>(
    path: &Path,
    says: impl AsyncFn(&Path) -> Result<T, StoreError>,
) -> (usize, usize) {
    let truth = says(path).await.unwrap();
    let good = fs::read(path).unwrap();
    let (mut found, mut harmless) = (0, 0);
    for at in (0..good.len()).step_by(STRIDE_BYTES) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(path, &bad).unwrap();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", path.display()));
        }
        match says(path).await {
            Ok(believed) => {
                assert_eq!(believed, truth, "a flipped bit at {at} was believed");
                harmless += 1;
            }
            Err(StoreError::Damaged { .. } | StoreError::NotOurs { .. } | StoreError::Newer { .. }) => found += 1,
            // Where the flip is in what SQLite itself reads of the file's head.
            Err(StoreError::Engine { .. } | StoreError::Older { .. } | StoreError::ReadOnly { .. }) if at < 100 => {
                found += 1;
            }
            Err(error) => panic!("at {at}: {error}"),
        }
    }
    (found, harmless)
}

#[tokio::test]
async fn no_flipped_bit_of_a_ledger_is_believed() {
    let (_directory, path) = place();
    made_by(include_str!("fixtures/ledger_1.sql"), &path);
    let ledger = SqliteLedger::open(&path).unwrap();
    ledger.execute((100..400).map(|number| raise(number, 1)).collect()).await.unwrap();
    drop(ledger);
    let (found, _) = flip(&path, async |path| said(&SqliteLedger::open(path)?).await).await;
    assert!(found > 200, "only {found} were found");
}

#[tokio::test]
async fn no_flipped_bit_of_a_journal_is_believed() {
    let (_directory, path) = place();
    made_by(include_str!("fixtures/journal_1.sql"), &path);
    drop(SqliteJournal::open(&path).unwrap());
    let (found, _) = flip(&path, async |path| recorded(&SqliteJournal::open(path)?).await).await;
    assert!(found > 20, "only {found} were found");
}

#[tokio::test]
async fn an_edited_row_is_named() {
    let edits = [
        (
            "UPDATE vm SET closed = 1, standing = json_set(standing, '$.Source.closed', json('true')) WHERE side = 'source'",
            "of vm",
        ),
        ("UPDATE vm SET floor_sequence = floor_sequence - 1 WHERE vm LIKE '%4'", "of vm"),
        ("UPDATE roll SET entry = json_set(entry, '$.definition.memory_mib', 7) WHERE vm LIKE '%1'", "of roll"),
        ("UPDATE evacuation SET epoch = 3", "of evacuation"),
        ("UPDATE event SET at = at + 1 WHERE sequence = 3", "row 3 of event"),
    ];
    for (edit, named) in edits {
        let (_directory, path) = place();
        made_by(include_str!("fixtures/ledger_1.sql"), &path);
        drop(SqliteLedger::open(&path).unwrap());
        let changed = Connection::open(&path).unwrap().execute(edit, []).unwrap();
        assert!(changed > 0, "{edit}");
        let error = SqliteLedger::open(&path).expect_err(edit);
        assert!(matches!(&error, StoreError::Damaged { found, .. } if found.contains(named)), "{edit}: {error}");
        assert!(error.to_string().contains("muster ledger rebuild"), "{error}");
    }
}

#[tokio::test]
async fn a_row_that_rots_while_it_is_open_is_not_believed_either() {
    let (_directory, path) = place();
    made_by(include_str!("fixtures/ledger_1.sql"), &path);
    let ledger = SqliteLedger::open(&path).unwrap();
    let person = Connection::open(&path).unwrap();
    person.execute("UPDATE roll SET entry = replace(entry, 'Live', 'Cold') WHERE vm LIKE '%1'", []).unwrap();
    assert!(matches!(ledger.row(vm(1)).await, Err(StoreError::Damaged { .. })));
    assert!(ledger.row(vm(4)).await.is_ok());
    person.execute("UPDATE event SET vm = NULL WHERE sequence = 5", []).unwrap();
    assert!(matches!(ledger.events(0, 10).await, Err(StoreError::Damaged { .. })));
    person.execute("UPDATE evacuation SET claims = replace(claims, '7', '9')", []).unwrap();
    assert!(matches!(ledger.evacuations().await, Err(StoreError::Damaged { .. })));
}

/// A disk that acknowledged a page and kept the one before.
#[tokio::test]
async fn a_row_that_fell_behind_its_history_is_damage() {
    let (_directory, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    ledger.execute((0..9).map(|number| raise(number, 1)).collect()).await.unwrap();
    let keep = "CREATE TEMP TABLE kept AS SELECT * FROM vm";
    let person = Connection::open(&path).unwrap();
    person.execute_batch(keep).unwrap();
    ledger.execute(vec![raise(5, 2)]).await.unwrap();
    drop(ledger);
    let back =
        "UPDATE vm SET (floor_sequence, digest) = (SELECT floor_sequence, digest FROM kept WHERE kept.vm = vm.vm)";
    person.execute_batch(back).unwrap();
    drop(person);
    let error = SqliteLedger::open(&path).expect_err("its row is an old one");
    let of = vm(5).to_string();
    assert!(matches!(&error, StoreError::Damaged { found, .. } if found.contains(&of)), "{error}");
}
