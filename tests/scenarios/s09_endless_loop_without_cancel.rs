//! Scenario 9 (harvester #10698): an endless evacuation loop without cancel.
//!
//! Red if a transfer that never converges can't be called off, if calling off leaves the VM sealed or stopped, or if attempts
//! are made without end.

use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::VmId;
use muster_core::ledger::command::EventKind;
use muster_core::reading::Phase;
use muster_proto::v1::MoveState;
use muster_tests::stage::definition;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::Workload;
use std::time::Duration;

/// A ladder without rungs, whose end comes after any deadline here.
const NO_LADDER: &str = "[ladder]\ndowntimes_ms = []\nstalled_rounds = 1000\n[[select]]\nall = true\n";

async fn endless(stage: &Stage) -> VmId {
    // It dirties all of its memory ten times a second: no link carries that.
    let workload = Workload { hot_mib: 1_024, hot_span_ms: 100, cold_kib_s: 0, shutdown_ms: 1_000 };
    let definition = Definition { document: workload.to_document(), ..definition("busy", Disk::Shared) };
    stage.vm_of(definition, Mode::Live).await
}

#[tokio::test(start_paused = true)]
async fn a_transfer_without_end_is_called_off_and_the_vm_is_as_before() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = endless(&stage).await;
    stage.start_orchestrator(None).await;
    let (source, destination) = (&stage.source, &stage.destination);
    // No deadline for transfers, and no rung of the ladder: only a person ends this.
    let runbook =
        format!("name = \"leave\"\nsource.site = \"{source}\"\ndestination.site = \"{destination}\"\n{NO_LADDER}");
    let evacuation = stage.order(&runbook).await;
    stage.until_in(vm, Phase::PreCopy).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let (_, moves) = stage.shown(evacuation).await.expect("an answer");
    assert_eq!((moves[0].phase.as_str(), moves[0].attempts), ("pre-copy", 1), "{moves:#?}");
    stage.cancel(evacuation).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!(moves[&vm].state(), MoveState::StayedAtSource, "{moves:#?}");
    let truth = stage.truth_of(vm).await;
    assert_eq!((truth.runs_on().len(), truth.memory_generation), (1, 1), "it ran on all the time");
    assert!(truth.places.iter().all(|place| place.autostarts), "{truth:#?}");
    stage.assert_ended_right(evacuation).await;
}

#[tokio::test(start_paused = true)]
async fn attempts_and_their_time_have_an_end() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = endless(&stage).await;
    stage.start_orchestrator(None).await;
    let evacuation = stage.order(&stage.runbook(NO_LADDER)).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::StayedAtSource, 3), "{moves:#?}");
    let failures: Vec<String> = stage
        .audit()
        .await
        .into_iter()
        .filter(|line| line.record == "attempt_failed")
        .map(|line| line.detail_json)
        .collect();
    assert_eq!(failures.len(), 3, "{failures:?}");
    assert!(failures[0].contains("longer than") && failures[1].contains("longer than"), "{failures:?}");
    let events = stage.history_of(Process::Destination, vm).await;
    let opened = events.iter().filter(|line| matches!(line.kind, EventKind::AttemptOpened { .. })).count();
    assert_eq!(opened, 3);
    stage.assert_ended_right(evacuation).await;
}
