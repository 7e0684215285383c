//! Scenario 7 (cloudstack #7285): a small step after the commit point stops a moved VM.
//!
//! Red if anything that fails after the event stops, restarts or moves the VM back, or shows it as anything but migrated.

use muster_core::definition::{Disk, Mode};
use muster_core::verdict::Verdict;
use muster_proto::v1::{Evacuation, Move, MoveState};
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, Fault, RuleKind, Twist};
use std::time::Duration;

const SMALL_STEPS: [CallKind; 2] = [CallKind::DefineReal, CallKind::DefineRetired];

#[tokio::test(start_paused = true)]
async fn a_small_step_that_fails_a_few_times_is_repeated() {
    let twists = [Twist::Fail("busy".to_owned()), Twist::LoseReply, Twist::Refuse("not now".to_owned())];
    for kind in SMALL_STEPS.into_iter().chain([CallKind::Resume]) {
        for twist in &twists {
            let mut stage = Stage::set(StageOptions::default()).await;
            let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
            stage.start_orchestrator(None).await;
            stage.rule(vm, 2, RuleKind::Call(Some(kind), twist.clone())).await;
            let evacuation = stage.order(&stage.runbook_of_all()).await;
            let moves = stage.until_finished(evacuation).await;
            assert_eq!(moves[&vm].state(), MoveState::Migrated, "{kind:?} {twist:?}: {moves:#?}");
            assert_eq!(stage.truth_of(vm).await.memory_generation, 1, "{kind:?} {twist:?}: never started anew");
            stage.assert_ended_right(evacuation).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_step_that_always_fails_leaves_the_vm_running() {
    for kind in SMALL_STEPS {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        stage.rule(vm, 60_000, RuleKind::Call(Some(kind), Twist::Fail("never".to_owned()))).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        let has_arrived = |truth: &muster_worker::hypervisor::sim::world::Truth| {
            truth.runs_on().iter().any(|(site, _)| *site == stage.destination)
        };
        stage.until_true(vm, has_arrived).await;
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let truth = stage.truth_of(vm).await;
            assert!(has_arrived(&truth), "{kind:?}: it was stopped: {truth:#?}");
        }
        let (_, moves) = stage.shown(evacuation).await.expect("an answer");
        assert_eq!(moves[0].verdict, "FullyMigrated", "{kind:?}");
        stage.inject(Fault::ClearRules).await;
        if kind == CallKind::DefineRetired {
            assert_eq!(moves[0].state(), MoveState::Held, "the old copy is not Not Runnable yet, and that is visible");
            assert!(!moves[0].remedy.is_empty());
            stage.retry(evacuation).await;
        }
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{kind:?}: {moves:#?}");
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_is_refused_for_good_is_owed_visibly_and_restored_once_it_can_be() {
    for twist in
        [Twist::Refuse("its storage pool is gone".to_owned()), Twist::Fail("its storage pool is gone".to_owned())]
    {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        stage.rule(vm, 60_000, RuleKind::Call(Some(CallKind::DefineReal), twist.clone())).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        let is_held = |_: &Evacuation, moves: &[Move]| moves[0].state() == MoveState::Held;
        let held = stage.until(evacuation, Duration::from_secs(120), is_held).await.remove(0);
        assert_eq!(held.verdict, "FullyMigrated", "{held:#?}");
        assert!(held.error.contains("its storage pool is gone") && !held.remedy.is_empty(), "{held:#?}");
        // It is owed for as long as it takes, over restarts of everybody, and the VM runs on.
        for process in [Process::Destination, Process::Orchestrator] {
            stage.kill(process);
            match process {
                Process::Orchestrator => drop(stage.start_orchestrator(None).await),
                Process::Source | Process::Destination | Process::Caller => {
                    stage.start_worker(process, None).await;
                }
            }
            tokio::time::sleep(Duration::from_secs(600)).await;
            let (_, moves) = stage.shown(evacuation).await.expect("an answer");
            assert_eq!((moves[0].state(), &*moves[0].verdict), (MoveState::Held, "FullyMigrated"), "{moves:#?}");
            assert!(moves[0].error.contains("its storage pool is gone"), "{moves:#?}");
            let truth = stage.truth_of(vm).await;
            assert_eq!(truth.runs_on(), [(stage.destination.clone(), stage.destination_host(1))], "{truth:#?}");
        }
        stage.inject(Fault::ClearRules).await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{moves:#?}");
        let truth = stage.truth_of(vm).await;
        assert_eq!(truth.memory_generation, 1, "never started anew");
        let arrived = truth.places.iter().find(|place| place.site == stage.destination).expect("it is there");
        assert!(arrived.autostarts, "its autostart is back: {truth:#?}");
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_after_the_event_moves_nothing_back() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    stage.rule(vm, 4, RuleKind::Call(Some(CallKind::DefineRetired), Twist::Fail("busy".to_owned()))).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_true(vm, |truth| truth.runs_on().iter().any(|(site, _)| *site == stage.destination)).await;
    stage.cancel(evacuation).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!(moves[&vm].state(), MoveState::Migrated, "{moves:#?}");
    stage.kill(Process::Orchestrator);
    let recovered = stage.recover(false, true).await;
    assert_eq!(recovered.lines[0].decision.verdict, Verdict::FullyMigrated);
    stage.assert_right(&recovered.lines).await;
}
