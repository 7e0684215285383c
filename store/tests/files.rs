//! Files as a disk, a person or another version leaves them: what opens, what is refused, and in which words.

#![allow(clippy::unwrap_used)]

mod support;

use muster_core::class::Class;
use muster_core::evacuation::{EvacuationState, JournalKind, MoveState, PauseReason};
use muster_core::ledger::command::EventKind;
use muster_core::ledger::{ArrivalRecord, Mutation, RetiredCopy, Standing};
use muster_core::token::{Epoch, Token};
use muster_store::sqlite::{SqliteJournal, SqliteLedger};
use muster_store::{FileKind, Journal, JournalQuery, Ledger, ReadLedger, RowQuery, StoreError};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use support::{evacuation, raise, vm};
use tempfile::TempDir;

const PAGE_BYTES: usize = 4096;

/// Commands in the ledger of [`written`].
const COMMANDS: u32 = 600;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    (directory, path)
}

/// How something is put at a path.
type Make = fn(&Path);

/// A closed ledger of several pages.
async fn written(path: &Path) {
    let ledger = SqliteLedger::open(path).unwrap();
    ledger.execute((0..COMMANDS).map(|number| raise(number, 1)).collect()).await.unwrap();
}

fn opening(path: &Path) -> StoreError {
    let error = SqliteLedger::open(path).expect_err("it must not open");
    assert!(error.to_string().contains(&path.display().to_string()), "it doesn't say which file: {error}");
    let reading = SqliteLedger::open_read_only(path).expect_err(&format!("nor for reading, for {error}"));
    assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&reading), "{error} against {reading}");
    assert_eq!(error.class(), Class::Refused);
    error
}

/// What the directory's files hold, as length and hash; empty ones and the index of the log count for nothing.
fn contents(directory: &Path) -> BTreeMap<PathBuf, (usize, u64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        if !bytes.is_empty() && !path.to_string_lossy().ends_with("-shm") {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            found.insert(path, (bytes.len(), hasher.finish()));
        }
    }
    found
}

fn made_by(fixture: &str, path: &Path) {
    Connection::open(path).unwrap().execute_batch(fixture).unwrap();
}

#[tokio::test]
async fn a_ledger_of_version_1_opens_and_goes_on() {
    let (_directory, path) = place();
    made_by(include_str!("fixtures/ledger_1.sql"), &path);
    let retired = r#"UPDATE event SET kind = '{"event":"retired"}' WHERE sequence = 20"#;
    Connection::open(&path).unwrap().execute_batch(retired).unwrap();
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(ledger.rows(RowQuery::of(evacuation(1))).await.unwrap().len(), 2);
    let arrived = ledger.row(vm(1)).await.unwrap();
    let Some(Standing::Destination(at)) = arrived.standing() else { panic!("{arrived:?}") };
    let ArrivalRecord::Completed(completed) = &at.record else { panic!("{at:?}") };
    assert_eq!((completed.token, completed.ran.and_then(|ran| ran.downtime_ms)), (Token::new(1, 3), Some(40)));
    let under_way = ledger.row(vm(2)).await.unwrap().intent.map(|intent| intent.mutation);
    assert_eq!(under_way, Some(Mutation::Discard));
    assert_eq!(ledger.row(vm(4)).await.unwrap().floor, Token::new(1, 9));
    // Written before a retired copy could be deleted.
    let row = ledger.row(vm(3)).await.unwrap();
    assert!(matches!(row.standing(), Some(Standing::Source(at)) if at.retired_copy == RetiredCopy::Kept), "{row:?}");
    let claims = ledger.claims(evacuation(1)).await.unwrap();
    assert_eq!((claims.epoch, claims.assertions.len()), (Epoch(7), 1));
    assert_eq!(ledger.evacuations().await.unwrap().iter().map(|one| one.open).collect::<Vec<_>>(), [2, 1]);
    let history = ledger.events(0, 100).await.unwrap();
    assert_eq!(history.last().map(|(sequence, _)| *sequence), Some(21));
    assert_eq!(history[19].1.kind, EventKind::Retired { kept_until: None });
    ledger.execute(vec![raise(4, 10)]).await.unwrap()[0].as_ref().unwrap();
    assert_eq!(ledger.newest(), 22);
}

#[tokio::test]
async fn a_journal_of_version_1_opens_and_goes_on() {
    let (_directory, path) = place();
    made_by(include_str!("fixtures/journal_1.sql"), &path);
    let journal = SqliteJournal::open(&path).unwrap();
    let status = journal.evacuation(evacuation(1)).await.unwrap().unwrap();
    assert_eq!(status.state, EvacuationState::Paused(PauseReason::FailureBudget));
    let states: Vec<_> = journal.moves(evacuation(1), None, 10).await.unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states[..2], [MoveState::Migrated, MoveState::Waiting]);
    let records = journal.records(JournalQuery::all()).await.unwrap();
    // Written before a hold kept its error.
    let held = records.iter().find(|(_, record)| matches!(record.kind, JournalKind::Held { error: None, .. }));
    assert_eq!(held.map(|(sequence, _)| *sequence), Some(12));
    let (sequence, mut last) = records.into_iter().next_back().unwrap();
    assert_eq!(journal.find_request(last.request.unwrap()).await.unwrap(), Some((sequence, last.clone())));
    (last.request, last.kind) = (None, JournalKind::Resumed);
    assert_eq!(journal.append(vec![last]).await.unwrap(), 16);
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_as_it_is() {
    let (directory, path) = place();
    written(&path).await;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
    let before = contents(directory.path());
    let error = opening(&path);
    assert!(matches!(error, StoreError::Newer { found: 4, known: 3, kind: FileKind::Ledger, .. }), "{error}");
    assert_eq!(contents(directory.path()), before);
}

#[tokio::test]
async fn what_is_something_else_is_refused_and_left_as_it_is() {
    let (directory, path) = place();
    let foreign: [(&str, Make); 3] = [
        ("not a SQLite file", |path| fs::write(path, "shopping list: milk, bread and a hundred more things").unwrap()),
        ("another program's", |path| Connection::open(path).unwrap().execute_batch("CREATE TABLE milk (n)").unwrap()),
        ("a muster journal", |path| drop(SqliteJournal::open(path).unwrap())),
    ];
    for (expected, make) in foreign {
        make(&path);
        fs::write(directory.path().join("ledger.sqlite-lock"), "").unwrap();
        let before = contents(directory.path());
        let error = opening(&path);
        assert!(matches!(error, StoreError::NotOurs { expected: FileKind::Ledger, .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(contents(directory.path()), before);
        fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_whole_is_never_begun_anew() {
    let (directory, path) = place();
    fs::write(&path, "").unwrap();
    assert!(matches!(opening(&path), StoreError::Damaged { .. }), "an emptied ledger was taken for a new one");
    fs::remove_file(&path).unwrap();
    fs::write(directory.path().join("ledger.sqlite-wal"), "what was committed last").unwrap();
    let error = SqliteLedger::open(&path).expect_err("its log is there");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    fs::remove_file(directory.path().join("ledger.sqlite-wal")).unwrap();
    assert!(matches!(SqliteLedger::open_read_only(&path), Err(StoreError::Missing { .. })));
    assert!(!path.exists(), "reading made a file");
    let nowhere = directory.path().join("nowhere").join("ledger.sqlite");
    assert!(matches!(opening(&nowhere), StoreError::Missing { .. }));
    // A beginning that a crash left is no ledger, and in nobody's way.
    fs::write(directory.path().join("ledger.sqlite-new"), "half of one").unwrap();
    written(&path).await;
    assert!(!directory.path().join("ledger.sqlite-new").exists());
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let (_directory, path) = place();
    written(&path).await;
    let good = fs::read(&path).unwrap();
    let pages = good.len() / PAGE_BYTES;
    assert!(pages > 10, "{pages} pages");
    for page in 0..pages {
        let mut bad = good.clone();
        // Past the first page's file header, which has a test of its own.
        let at = page * PAGE_BYTES + if page == 0 { 100 } else { 0 };
        bad[at..at + 16].iter_mut().for_each(|byte| *byte ^= 0xff);
        fs::write(&path, &bad).unwrap();
        let error = opening(&path);
        assert!(matches!(error, StoreError::Damaged { .. }), "page {page}: {error}");
    }
    for length in [50, PAGE_BYTES, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        let error = opening(&path);
        assert!(matches!(error, StoreError::Damaged { .. } | StoreError::NotOurs { .. }), "{length} bytes: {error}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(SqliteLedger::open(&path).unwrap().newest(), u64::from(COMMANDS));
}

#[tokio::test]
async fn a_history_with_a_gap_is_damage() {
    for missing in [1, 300, COMMANDS] {
        let (_directory, path) = place();
        written(&path).await;
        Connection::open(&path).unwrap().execute("DELETE FROM event WHERE sequence = ?1", [missing]).unwrap();
        if missing == COMMANDS {
            // The newest is missed by nobody: this is what a copy made a moment earlier looks like.
            assert_eq!(SqliteLedger::open(&path).unwrap().newest(), u64::from(COMMANDS - 1));
        } else {
            assert!(matches!(opening(&path), StoreError::Damaged { .. }));
        }
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_damage_and_stops_the_writer() {
    let (_directory, path) = place();
    made_by(include_str!("fixtures/ledger_1.sql"), &path);
    let sql = "UPDATE vm SET standing = '{}' WHERE standing IS NOT NULL";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let ledger = SqliteLedger::open(&path).unwrap();
    assert!(matches!(ledger.row(vm(1)).await, Err(StoreError::Damaged { .. })));
    assert!(ledger.row(vm(4)).await.is_ok());
    assert!(ledger.health().is_working(), "a reading stops no writer");
    let error = ledger.execute(vec![raise(4, 20), raise(1, 20)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(!ledger.health().is_working());
    assert_eq!(ledger.row(vm(4)).await.unwrap().floor, Token::new(1, 9), "half of a call was written");
}

#[tokio::test]
async fn one_process_writes() {
    let (directory, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let link = directory.path().join("another-name.sqlite");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let error = SqliteLedger::open(name).expect_err("it is open");
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    }
    drop(ledger);
    SqliteLedger::open(&link).unwrap().execute(vec![raise(1, 1)]).await.unwrap();
}

#[tokio::test]
async fn reading_alone_works_beside_a_writer_and_after_its_death_and_changes_nothing() {
    let (_directory, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    ledger.execute((0..COMMANDS).map(|number| raise(number, 1)).collect()).await.unwrap();
    let beside = SqliteLedger::open_read_only(&path).unwrap();
    assert_eq!(beside.row(vm(7)).await.unwrap().floor, Token::new(1, 1));
    ledger.execute(vec![raise(7, 2)]).await.unwrap();
    assert_eq!(beside.row(vm(7)).await.unwrap().floor, Token::new(1, 2));

    // What a killed writer leaves: most of it in the log.
    let (left, copy) = place();
    for suffix in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        fs::copy(name(&path), name(&copy)).unwrap();
    }
    let before = contents(left.path());
    for _ in 0..2 {
        let reader = SqliteLedger::open_read_only(&copy).unwrap();
        assert_eq!(reader.row(vm(7)).await.unwrap().floor, Token::new(1, 2));
        assert_eq!(reader.events(u64::from(COMMANDS), 10).await.unwrap().len(), 1);
    }
    assert_eq!(contents(left.path()), before);
    drop(ledger);
    assert_eq!(SqliteLedger::open(&copy).unwrap().newest(), u64::from(COMMANDS) + 1);
}

#[tokio::test]
async fn a_person_reads_it_with_sqlite() {
    let (_directory, path) = place();
    made_by(include_str!("fixtures/ledger_1.sql"), &path);
    let _ledger = SqliteLedger::open(&path).unwrap();
    let person = Connection::open(&path).unwrap();
    let sql = "SELECT vm, standing ->> '$.Destination.record.Completed.started.host' FROM vm WHERE vm LIKE '%1'";
    let read: (String, String) = person.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(read, (vm(1).to_string(), "new-1".to_owned()));
}
