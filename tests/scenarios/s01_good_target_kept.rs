//! Scenario 1 (kubevirt #13112): a good target is deleted because the source never reported success.
//!
//! Red if a copy that holds memory is discarded, or its source run, on the strength of a silent or failed source.

use muster_core::definition::{Disk, Mode};
use muster_core::reading::Phase;
use muster_core::step::{Hold, Step};
use muster_core::verdict::{Doubt, Verdict};
use muster_proto::v1::MoveState;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{FinishBreak, LinkFault, RuleKind, Trap};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn an_arrived_copy_outlasts_a_source_that_never_reports() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    stage.hold_in(vm, Phase::Finish).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_in(vm, Phase::Finish).await;

    stage.kill(Process::Source);
    stage.release_transfers().await;
    let is_held = |moves: &[muster_proto::v1::Move]| moves[0].state() == MoveState::Held;
    let held = stage.until(evacuation, Duration::from_secs(60), |_, moves| is_held(moves)).await;
    assert_eq!(held[0].held_because, Hold::SourceSilent.sentence());
    assert_eq!(held[0].verdict, "Indeterminate");

    // Neither time, nor a recovery, nor another look makes rubbish of it.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let truth = stage.truth_of(vm).await;
    assert!(truth.has_good_paused_copy_at(&stage.destination), "{truth:#?}");
    stage.kill(Process::Orchestrator);
    let recovered = stage.recover(true, false).await;
    assert_eq!(recovered.lines[0].decision.verdict, Verdict::Indeterminate(Doubt::SourceSilent));
    assert_eq!(recovered.lines[0].decision.step, Step::Hold(Hold::SourceSilent));
    stage.assert_right(&recovered.lines).await;
    assert!(stage.truth_of(vm).await.has_good_paused_copy_at(&stage.destination));

    stage.start_worker(Process::Source, None).await;
    let recovered = stage.recover(true, true).await;
    assert_eq!(recovered.lines[0].decision.verdict, Verdict::FullyMigrated, "{recovered:#?}");
    assert!(!recovered.claim_kept);
    stage.assert_right(&recovered.lines).await;
    let truth = stage.truth_of(vm).await;
    assert_eq!((truth.runs_on().len(), truth.memory_generation), (1, 1), "it runs on with its memory");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_reports_an_error_after_it_arrived_is_no_failure() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    stage.rule(vm, 1, RuleKind::Finish(FinishBreak::LetGo)).await;
    stage.rule(vm, 1, RuleKind::Phase(Phase::Finish, Trap::Inject(Box::new(stage.link_fault(LinkFault::Cut))))).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::Migrated, 1), "{moves:#?}");
    assert_eq!(stage.truth_of(vm).await.memory_generation, 1);
    stage.assert_ended_right(evacuation).await;
}
