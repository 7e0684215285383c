//! The imagined disk loses what it should, keeps what it must, and fails as ordered.

mod support;

use muster_core::class::Class;
use muster_store::memory::{Failure, LedgerDisk, MemoryLedger};
use muster_store::{Health, Ledger, ReadLedger, StoreError};
use std::sync::Arc;
use std::time::Duration;
use support::{raise, vm};

fn open(disk: &LedgerDisk) -> Arc<MemoryLedger> {
    Arc::new(MemoryLedger::open(disk).expect("no other handle is open"))
}

/// Three calls that wait for a sync, with an acknowledged one before them.
async fn three_in_flight(
    disk: &LedgerDisk,
    ledger: &Arc<MemoryLedger>,
) -> Vec<tokio::task::JoinHandle<Result<(), StoreError>>> {
    ledger.execute(vec![raise(0, 1)]).await.expect("the disk is good");
    disk.hold();
    let mut calls = Vec::new();
    for number in 1..=3 {
        let ledger = Arc::clone(ledger);
        calls.push(tokio::spawn(async move { ledger.execute(vec![raise(number, 1)]).await.map(drop) }));
        tokio::task::yield_now().await;
    }
    assert_eq!(disk.unsynced(), 3);
    assert_eq!(ledger.newest(), 1, "a reading shows what is not durable");
    calls
}

#[tokio::test]
async fn a_crash_keeps_what_was_acknowledged_and_a_prefix_of_what_was_not() {
    for kept in 0..=3_u32 {
        let disk = LedgerDisk::new("attic");
        let ledger = open(&disk);
        let calls = three_in_flight(&disk, &ledger).await;
        disk.crash(kept as usize);
        for call in calls {
            let error = call.await.expect("it doesn't panic").expect_err("it was never acknowledged");
            assert_eq!(error.class(), Class::Unknown, "{error}");
        }
        assert!(ledger.row(vm(0)).await.is_err(), "a dead handle reads");
        assert!(ledger.execute(vec![raise(9, 1)]).await.is_err(), "a dead handle writes");
        assert!(ledger.wait_past(0).await.is_ok() && ledger.wait_past(1).await.is_err());
        let again = open(&disk);
        // The dead handle's end must not touch the new one.
        drop(ledger);
        assert_eq!(again.newest(), u64::from(1 + kept));
        for number in 0..=3 {
            let there = again.row(vm(number)).await.expect("it can be read").floor.sequence.0 == 1;
            assert_eq!(there, number <= kept, "VM {number} with {kept} kept");
        }
        disk.release();
        again.execute(vec![raise(9, 1)]).await.expect("the disk is good");
    }
}

#[tokio::test]
async fn a_hold_that_ends_acknowledges_all() {
    let disk = LedgerDisk::new("attic");
    let ledger = open(&disk);
    let calls = three_in_flight(&disk, &ledger).await;
    disk.release();
    for call in calls {
        call.await.expect("it doesn't panic").expect("the disk is good");
    }
    disk.crash(0);
    assert_eq!(open(&disk).newest(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_slow_sync_takes_its_time_by_the_runtimes_clock() {
    let disk = LedgerDisk::new("attic");
    disk.set_sync_delay(Duration::from_secs(3));
    let ledger = open(&disk);
    let began = tokio::time::Instant::now();
    ledger.execute(vec![raise(1, 1)]).await.expect("the disk is good");
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_full_disk_writes_nothing_and_stops_the_store() {
    let disk = LedgerDisk::new("attic");
    let ledger = open(&disk);
    disk.fail_next(Failure::Full);
    let error = ledger.execute(vec![raise(1, 1)]).await.expect_err("the disk is full");
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(matches!(ledger.health(), Health::Failed(_)));
    let error = ledger.execute(vec![raise(1, 1)]).await.expect_err("the store has stopped");
    assert!(matches!(error, StoreError::Stopped { .. }), "{error}");
    assert!(ledger.row(vm(1)).await.is_ok(), "nothing is in doubt, so it can be read");
    drop(ledger);
    let ledger = open(&disk);
    assert_eq!(ledger.newest(), 0);
    ledger.execute(vec![raise(1, 1)]).await.expect("the failure was ordered once");
}

#[tokio::test]
async fn a_failed_sync_leaves_its_write_in_doubt_until_the_store_is_opened_again() {
    for survives in [false, true] {
        let disk = LedgerDisk::new("attic");
        let ledger = open(&disk);
        ledger.execute(vec![raise(0, 1)]).await.expect("the disk is good");
        disk.fail_next(Failure::Sync);
        let error = ledger.execute(vec![raise(1, 1)]).await.expect_err("its sync failed");
        assert_eq!(error.class(), Class::Unknown, "{error}");
        assert!(ledger.row(vm(1)).await.is_err(), "a reading that may turn out untrue was given");
        if survives {
            disk.crash(1);
        }
        drop(ledger);
        assert_eq!(open(&disk).newest(), if survives { 2 } else { 1 });
    }
}

#[tokio::test]
async fn another_programs_lock_passes() {
    let disk = LedgerDisk::new("attic");
    let ledger = open(&disk);
    disk.fail_next(Failure::Busy);
    let error = ledger.execute(vec![raise(1, 1)]).await.expect_err("it is locked");
    assert_eq!(error.class(), Class::Retry);
    assert!(ledger.health().is_working());
    ledger.execute(vec![raise(1, 1)]).await.expect("the lock is gone");
}

#[tokio::test]
async fn one_handle_is_open_at_a_time_and_its_orderly_end_loses_nothing() {
    let disk = LedgerDisk::new("attic");
    let ledger = open(&disk);
    assert!(matches!(MemoryLedger::open(&disk), Err(StoreError::InUse { .. })));
    let calls = three_in_flight(&disk, &ledger).await;
    for call in &calls {
        call.abort();
    }
    for call in calls {
        assert!(call.await.is_err());
    }
    drop(ledger);
    assert_eq!(open(&disk).newest(), 4);
    let reader = MemoryLedger::open_read_only(&disk);
    assert_eq!(reader.events(0, 10).await.expect("it can be read").len(), 4);
}
