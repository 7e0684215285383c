//! How fast a ledger's file takes commands: one call at a time, then many, then many commands a call.
//!
//! `cargo bench -p muster-store` prints commands a second, and how many times one-a-commit that is. `--quick` does
//! little work; `MUSTER_BENCH_DIRECTORY` says on which disk.

#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used)]

use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::{Caller, LedgerCommand, VmCommand, VmOrder};
use muster_core::time::Timestamp;
use muster_core::token::Token;
use muster_store::Ledger;
use muster_store::sqlite::SqliteLedger;
use std::sync::Arc;
use std::time::Instant;

/// Calls at a time, and commands a call.
const SHAPES: [(u32, u32); 7] = [(1, 1), (8, 1), (64, 1), (512, 1), (1, 10), (1, 100), (4, 1000)];

/// Most calls at a time among the shapes.
const CALLERS_MAX: u32 = 512;

/// VMs whose rows are written, shared out among the callers.
const VMS: u32 = 512 * 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Run as a test it only shows that it runs.
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let measure_commands: u32 = if quick { 2_000 } else { 100_000 };
    let directory = match std::env::var_os("MUSTER_BENCH_DIRECTORY") {
        Some(path) => tempfile::tempdir_in(path).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    println!("{:>6} {:>9} {:>10} {:>12} {:>8}", "calls", "commands", "total", "commands/s", "ratio");
    let mut single = None;
    for (round, (callers, commands)) in (1_u64..).zip(SHAPES) {
        let ledger = Arc::new(SqliteLedger::open(&directory.path().join("ledger.sqlite")).unwrap());
        let share = if callers * commands == 1 { measure_commands / 20 } else { measure_commands };
        let calls_each = (share / (callers * commands)).max(1);
        let began = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| tokio::spawn(call(Arc::clone(&ledger), round, caller, calls_each, commands)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let total = callers * commands * calls_each;
        let rate = f64::from(total) / began.elapsed().as_secs_f64();
        let ratio = rate / *single.get_or_insert(rate);
        println!("{callers:>6} {commands:>9} {total:>10} {rate:>12.0} {ratio:>8.1}");
    }
}

async fn call(ledger: Arc<SqliteLedger>, round: u64, caller: u32, calls: u32, commands: u32) {
    // Each caller has VMs of its own, so that no command meets a newer floor.
    let vms = VMS / CALLERS_MAX;
    for call in 0..calls {
        let numbers = call * commands..(call + 1) * commands;
        let raised = numbers
            .map(|number| raise(caller * vms + number % vms, Token::new(round, 1 + u64::from(number))))
            .collect();
        let answers = ledger.execute(raised).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
    }
}

fn raise(number: u32, token: Token) -> LedgerCommand {
    let vm: VmId = format!("0a000000-0000-4000-8000-0000{number:08x}").parse().unwrap();
    let evacuation: EvacuationId = "0e000000-0000-4000-8000-000000000001".parse().unwrap();
    LedgerCommand::Vm(VmCommand {
        evacuation,
        vm,
        token,
        caller: Caller::default(),
        at: Timestamp(1),
        order: VmOrder::RaiseFloor,
    })
}
