//! Invariant 3, Order: roll, record, placeholder, seal, transfer, gone, event, run, retire, close.
//!
//! Red if any line of a move stands in a ledger before the one that has to be durable before it.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::ledger::Mutation;
use muster_core::ledger::command::EventKind;
use muster_core::reading::Phase;
use muster_core::time::Timestamp;
use muster_proto::v1::MoveState;
use muster_tests::history::Line;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{RuleKind, Trap};

/// Where a line of a move stands: whose ledger, its number there, and when.
type Place = (Process, u64, Timestamp);

/// The lines of one VM's last attempt, in the order in which each has to be durable before the next begins.
async fn lines(stage: &Stage, vm: VmId) -> Vec<(&'static str, Place)> {
    let source = stage.history_of(Process::Source, vm).await;
    let destination = stage.history_of(Process::Destination, vm).await;
    let last = |process: Process, fits: &dyn Fn(&Line) -> bool| -> Place {
        let history = if process == Process::Source { &source } else { &destination };
        let found = history.iter().rev().find(|line| fits(line));
        let found = found.unwrap_or_else(|| panic!("a line is missing: {history:#?}"));
        (process, found.sequence, found.at)
    };
    let enrolled = |line: &Line| matches!(line.kind, EventKind::Enrolled { .. });
    let (here, there) = (Process::Source, Process::Destination);
    vec![
        ("roll there", last(there, &enrolled)),
        ("roll here", last(here, &enrolled)),
        ("record", last(there, &|line| matches!(line.kind, EventKind::AttemptOpened { .. }))),
        ("placeholder begun", last(there, &|line| line.begun(Mutation::Place))),
        ("placeholder", last(there, &|line| line.ended(Mutation::Place))),
        ("transfer begun", last(here, &|line| matches!(line.kind, EventKind::TransferBegun { .. }))),
        ("gone", last(here, &|line| matches!(line.kind, EventKind::Gone { .. }))),
        ("event", last(there, &|line| matches!(line.kind, EventKind::Completed { .. }))),
        ("run begun", last(there, &|line| line.begun(Mutation::Run))),
        ("ran", last(there, &|line| matches!(line.kind, EventKind::Ran { .. }))),
        ("retired", last(here, &|line| matches!(line.kind, EventKind::Retired { .. }))),
        ("retired indeed", last(here, &|line| line.ended(Mutation::Retire))),
        ("closed here", last(here, &|line| matches!(line.kind, EventKind::SourceClosed))),
        ("closed there", last(there, &|line| matches!(line.kind, EventKind::DestinationClosed { .. }))),
    ]
}

async fn assert_in_order(stage: &Stage, vm: VmId) {
    let lines = lines(stage, vm).await;
    for pair in lines.windows(2) {
        let (earlier, later) = (&pair[0], &pair[1]);
        let in_time = earlier.1.2 <= later.1.2;
        let in_ledger = earlier.1.0 != later.1.0 || earlier.1.1 < later.1.1;
        assert!(in_time && in_ledger, "{} stands after {}: {lines:#?}", earlier.0, later.0);
    }
    // The seal stands before the first transfer, and is not made again for later attempts.
    let source = stage.history_of(Process::Source, vm).await;
    let sealed = source.iter().position(|line| line.ended(Mutation::Seal)).expect("a seal");
    let transfers = source.iter().position(|line| line.begun(Mutation::Transfer)).expect("a transfer");
    assert!(sealed < transfers, "{source:#?}");
    // Two clocks agree to the millisecond in a stage; what depends on the other ledger's line has to be later by its call.
    let at = |name: &str| lines.iter().find(|(line, _)| *line == name).map(|(_, place)| place.2).expect("a line");
    let sealed_at = source[sealed].at;
    let first_placed = stage.history_of(Process::Destination, vm).await;
    let first_placed = first_placed.iter().find(|line| line.ended(Mutation::Place)).expect("a placeholder").at;
    assert!(first_placed < sealed_at, "sealed before there was room for it");
    assert!(at("placeholder") < at("gone") && at("gone") < at("ran") && at("event") < at("retired indeed"));
}

#[tokio::test(start_paused = true)]
async fn every_move_of_a_mixed_evacuation_is_made_in_order() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let mut vms = Vec::new();
    for number in 0..3 {
        vms.push(stage.vm(&format!("live-{number}"), Mode::Live, Disk::Shared).await);
        vms.push(stage.vm(&format!("cold-{number}"), Mode::Cold, Disk::Local { size_mib: 1_024 }).await);
        vms.push(stage.vm(&format!("off-{number}"), Mode::Off, Disk::Local { size_mib: 512 }).await);
    }
    stage.start_orchestrator(None).await;
    // One of each needs a second attempt.
    for vm in &vms[..3] {
        for phase in [Phase::Setup, Phase::DiskCopy] {
            stage.rule(*vm, 1, RuleKind::Phase(phase, Trap::Fail("a broken cable".to_owned()))).await;
        }
    }
    let select = ["live", "cold", "off"].map(|mode| format!("[[select]]\ntags = [\"{mode}\"]\nmode = \"{mode}\"\n"));
    let evacuation = stage.order(&stage.runbook(&select.concat())).await;
    let moves = stage.until_finished(evacuation).await;
    for (number, vm) in vms.iter().enumerate() {
        let attempts = if number < 3 { 2 } else { 1 };
        assert_eq!((moves[vm].state(), moves[vm].attempts), (MoveState::Migrated, attempts), "{:#?}", moves[vm]);
        assert_in_order(&stage, *vm).await;
    }
    // No move begins before the whole roll stands.
    for process in [Process::Source, Process::Destination] {
        let history = stage.history(process).await;
        let enrolled = |line: &Line| matches!(line.kind, EventKind::Enrolled { .. });
        let last_enrolled = history.iter().rposition(enrolled).expect("a roll");
        let first_move = history.iter().position(|line| line.vm.is_some() && !enrolled(line) && !line.is_of_claims());
        assert!(last_enrolled < first_move.expect("a move"), "{process:?}");
    }
    stage.assert_ended_right(evacuation).await;
}
