//! A process that is killed in the middle of writing has lost nothing that it had acknowledged.
//!
//! The test runs itself again as the process that is killed.

#![allow(clippy::unwrap_used)]

mod support;

use muster_store::sqlite::SqliteLedger;
use muster_store::{Ledger, ReadLedger, RowQuery, StoreError};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use support::{raise, vm};

/// The variable that makes the test the process to be killed: the ledger's path.
const VICTIM: &str = "MUSTER_TEST_VICTIM_LEDGER";

/// How often it is killed, and after how many acknowledgements.
const ROUNDS: [usize; 4] = [1, 40, 300, 90];

/// Callers at a time in the process that is killed.
const CALLERS: u32 = 8;

#[test]
fn what_was_acknowledged_before_a_kill_stands_after_it() {
    if let Some(path) = std::env::var_os(VICTIM) {
        write_until_killed(Path::new(&path));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.sqlite");
    let mut acknowledged = BTreeMap::new();
    for acknowledgements in ROUNDS {
        acknowledged.extend(run_and_kill(&path, acknowledgements));
        // The lock died with its process, and reading needs none.
        check(&SqliteLedger::open_read_only(&path).unwrap(), &acknowledged);
        let ledger = SqliteLedger::open(&path).unwrap();
        check(&ledger, &acknowledged);
    }
}

/// Starts the victim, reads so many acknowledgements, kills it, and returns all that it got out: floors by VM.
fn run_and_kill(path: &Path, acknowledgements: usize) -> BTreeMap<u32, u64> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_was_acknowledged_before_a_kill_stands_after_it", "--nocapture"])
        .env(VICTIM, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut floors = BTreeMap::new();
    let mut seen = 0;
    for line in BufReader::new(victim.stdout.take().unwrap()).lines() {
        let Some((number, sequence)) = line.as_deref().ok().and_then(acknowledgement) else { continue };
        floors.insert(number, sequence);
        seen += 1;
        if seen == acknowledgements {
            let refused = SqliteLedger::open(path).expect_err("a living process has it open");
            assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
            victim.kill().unwrap();
        }
    }
    assert!(!victim.wait().unwrap().success());
    assert!(seen >= acknowledgements, "the victim ended by itself after {seen}");
    floors
}

fn acknowledgement(line: &str) -> Option<(u32, u64)> {
    let (number, sequence) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
    Some((number.parse().ok()?, sequence.parse().ok()?))
}

fn check(ledger: &dyn ReadLedger, acknowledged: &BTreeMap<u32, u64>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        for (number, sequence) in acknowledged {
            let floor = ledger.row(vm(*number)).await.unwrap().floor;
            assert!(floor.sequence.0 >= *sequence, "VM {number}: {sequence} was acknowledged, {floor} stands");
        }
        // Of each call both commands stand or none.
        for row in ledger.rows(RowQuery::all()).await.unwrap() {
            let partner = VM_PAIRS.iter().find(|(one, _)| vm(*one) == row.vm).map(|(_, other)| vm(*other));
            if let Some(partner) = partner {
                assert_eq!(ledger.row(partner).await.unwrap().floor, row.floor, "half of a call stands");
            }
        }
        let events = ledger.events(0, 1).await.unwrap();
        assert_eq!(events.first().map(|(sequence, _)| *sequence), Some(1));
    });
}

/// Each caller's two VMs.
const VM_PAIRS: [(u32, u32); CALLERS as usize] =
    [(0, 100), (1, 101), (2, 102), (3, 103), (4, 104), (5, 105), (6, 106), (7, 107)];

#[tokio::main(flavor = "current_thread")]
async fn write_until_killed(path: &Path) {
    let ledger = Arc::new(SqliteLedger::open(path).unwrap());
    let mut callers = Vec::new();
    for (one, other) in VM_PAIRS {
        let ledger = Arc::clone(&ledger);
        callers.push(tokio::spawn(async move {
            let begun = ledger.row(vm(one)).await.unwrap().floor.sequence.0;
            for sequence in begun + 1.. {
                ledger.execute(vec![raise(one, sequence), raise(other, sequence)]).await.unwrap();
                let mut out = std::io::stdout().lock();
                // The line before it is the test harness's own.
                writeln!(out, "\nacknowledged {one} {sequence}\nacknowledged {other} {sequence}").unwrap();
                out.flush().unwrap();
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
}
