//! What only the inside can bring about: a file that may not grow, a log that is carried over, a writer that panics.

use super::fault::Fault;
use super::file::{self, Opened, beside};
use super::schema::LEDGER;
use super::writer::{Work, Writer};
use super::{GROUP_MAX, SqliteLedger};
use crate::error::{Health, StoreError, Written};
use crate::ledger::{Ledger, ReadLedger, RowQuery};
use crate::pulse::Pulse;
use muster_core::class::Class;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::{Caller, LedgerCommand, VmCommand, VmOrder};
use muster_core::time::Timestamp;
use muster_core::token::Token;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;

#[tokio::test]
async fn a_full_disk_stops_the_ledger_and_leaves_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let opened = file::open(&path, &LEDGER).unwrap();
    // The engine then answers as it does when the filesystem is full.
    let limited: i64 = opened.connection.query_row("PRAGMA max_page_count = 24", [], |row| row.get(0)).unwrap();
    assert_eq!(limited, 24);
    let ledger = SqliteLedger::start(opened).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match ledger.execute((acknowledged..acknowledged + 20).map(raise).collect()).await {
            Ok(_) => acknowledged += 20,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "the file was not limited");
    };
    assert!(matches!(error, StoreError::Full { written: Written::Nothing, .. }), "{error}");
    assert!(acknowledged > 0);
    assert!(matches!(ledger.health(), Health::Failed(StoreError::Full { .. })));
    let refused = ledger.execute(vec![raise(1_000_000)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Stopped { .. }), "{refused}");
    assert_eq!(refused.class(), Class::Refused);
    assert!(ledger.wait_past(ledger.newest()).await.is_err(), "whoever waits would wait for ever");
    // What stands can still be read: there is no doubt about it.
    assert_eq!(ledger.newest(), u64::from(acknowledged));
    assert_eq!(ledger.row(vm(0)).await.unwrap().floor, Token::new(1, 1));

    drop(ledger);
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(ledger.newest(), u64::from(acknowledged), "half of a call was written, or an acknowledged one lost");
    ledger.execute(vec![raise(1_000_000)]).await.unwrap();
}

#[tokio::test]
async fn a_long_log_is_carried_over_and_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let ledger = SqliteLedger::open(&path).unwrap();
    let mut longest = 0;
    let mut shortened = false;
    for round in 0..200 {
        ledger.execute((round * 1000..round * 1000 + 1000).map(raise).collect()).await.unwrap();
        let length = std::fs::metadata(beside(&path, "-wal")).unwrap().len();
        shortened |= length < longest;
        longest = longest.max(length);
        if shortened {
            break;
        }
    }
    assert!(shortened, "the log has grown to {longest} bytes and was never carried over");
    assert!(longest < 64 * 1024 * 1024, "{longest}");
    assert_eq!(ledger.rows(RowQuery { limit: 10, ..RowQuery::all() }).await.unwrap().len(), 10);
}

#[tokio::test]
async fn somebody_elses_lock_is_no_reason_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let opened = file::open(&path, &LEDGER).unwrap();
    opened.connection.busy_timeout(std::time::Duration::from_millis(10)).unwrap();
    let ledger = SqliteLedger::start(opened).unwrap();
    let person = Connection::open(&path).unwrap();
    person.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = ledger.execute(vec![raise(1)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert_eq!(error.class(), Class::Retry);
    assert!(ledger.health().is_working());
    person.execute_batch("COMMIT").unwrap();
    ledger.execute(vec![raise(1)]).await.unwrap();
}

#[tokio::test]
async fn a_writer_that_panics_is_noticed() {
    #[derive(Debug)]
    struct Flawed;
    impl Work for Flawed {
        type Call = ();
        type Answer = ();
        fn weight((): &()) -> usize {
            GROUP_MAX
        }
        fn carry_out(_: &Connection, _: u64, _: Vec<()>) -> Result<(Vec<()>, u64), Fault> {
            panic!("a flaw that this test has made");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let pulse = Arc::new(Pulse::new(0));
    let writer: Writer<Flawed> = Writer::start(open(&path), Arc::clone(&pulse)).unwrap();
    let error = writer.call(()).await.unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "{error}");
    pulse.wait_past(0).await.unwrap_err();
    assert!(!pulse.health().is_working());
    drop(writer);
    drop(open(&path));
}

fn open(path: &Path) -> Opened {
    file::open(path, &LEDGER).unwrap()
}

fn vm(number: u32) -> VmId {
    format!("0a000000-0000-4000-8000-0000{number:08x}").parse().unwrap()
}

fn raise(number: u32) -> LedgerCommand {
    let evacuation: EvacuationId = "0e000000-0000-4000-8000-000000000001".parse().unwrap();
    let token = Token::new(1, 1);
    LedgerCommand::Vm(VmCommand {
        evacuation,
        vm: vm(number),
        token,
        caller: Caller::default(),
        at: Timestamp(1),
        order: VmOrder::RaiseFloor,
    })
}
