//! Invariant 1, One runner: at no time do two hosts run a VM.

use muster_core::definition::{Disk, Mode};
use muster_core::reading::Stored;
use muster_proto::v1::MoveState;
use muster_tests::{Process, Stage, StageOptions};

#[tokio::test(start_paused = true)]
async fn a_live_vm_is_evacuated_and_runs_once() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!(moves[&vm].state(), MoveState::Migrated, "{moves:#?}");
    assert_eq!(moves[&vm].source_copy, "Not Runnable");
    let truth = stage.truth_of(vm).await;
    assert_eq!(truth.runs_on(), [(stage.destination.clone(), stage.destination_host(1))]);
    let at_source = truth.places.iter().find(|place| place.site == stage.source).expect("a retired copy");
    assert_eq!(at_source.stored, Stored::Retired);
    assert!(!stage.history_of(Process::Source, vm).await.is_empty());
    stage.assert_no_violation().await;
}
