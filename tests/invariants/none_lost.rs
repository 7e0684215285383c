//! Invariant 2, None lost: before the event nothing irreversible happens to the source's definition, memory or disk.
//!
//! Red if a failed attempt leaves the source stopped, started anew, sealed, without its autostart, or with another definition.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::reading::{Phase, Stored};
use muster_core::step::Hold;
use muster_proto::v1::{Move, MoveState};
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, Deed, Fault, FinishBreak, RuleKind, Trap, Twist};
use std::time::Duration;

async fn assert_as_before(stage: &Stage, vm: VmId, what: &str) {
    let truth = stage.truth_of(vm).await;
    assert_eq!(truth.runs_on(), [(stage.source.clone(), stage.source_host(1))], "{what}: {truth:#?}");
    assert_eq!(truth.memory_generation, 1, "{what}: it was started anew");
    assert_eq!(truth.places.len(), 1, "{what}: something is left elsewhere: {truth:#?}");
    assert!(truth.places[0].stored == Stored::Real && truth.places[0].autostarts, "{what}: {truth:#?}");
    assert!(truth.definition_intact, "{what}");
    stage.assert_no_violation().await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_fails_in_any_phase_leaves_the_source_as_it_was() {
    for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover, Phase::Finish] {
        for outcome in [FinishBreak::Resumes, FinishBreak::StaysPaused] {
            let what = format!("{phase:?}, {outcome:?}");
            let mut stage = Stage::set(StageOptions::default()).await;
            let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
            stage.start_orchestrator(None).await;
            stage.rule(vm, 1_000, RuleKind::Finish(outcome)).await;
            stage.rule(vm, 1_000, RuleKind::Phase(phase, Trap::Fail("a broken cable".to_owned()))).await;
            let evacuation = stage.order(&stage.runbook_of_all()).await;
            let moves = stage.until_finished(evacuation).await;
            assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::StayedAtSource, 3), "{what}");
            assert_as_before(&stage, vm, &what).await;
        }
    }
}

/// Whether it says that it will refuse again or not: its repeats are bounded, its attempts too.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_always_refused_or_fails_leaves_the_source_as_it_was() {
    for kind in [CallKind::DefinePlaceholder, CallKind::BeginTransfer] {
        for twist in [Twist::Refuse("not today".to_owned()), Twist::Fail("not today".to_owned())] {
            let what = format!("{kind:?}, {twist:?}");
            let mut stage = Stage::set(StageOptions::default()).await;
            let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
            stage.start_orchestrator(None).await;
            stage.rule(vm, 1_000, RuleKind::Call(Some(kind), twist)).await;
            let evacuation = stage.order(&stage.runbook_of_all()).await;
            let moves = stage.until_finished(evacuation).await;
            assert_eq!(moves[&vm].state(), MoveState::StayedAtSource, "{what}: {moves:#?}");
            assert!(moves[&vm].error.contains("not today"), "{what}: {moves:#?}");
            assert_as_before(&stage, vm, &what).await;
        }
    }
}

/// Each attempt is given up, and with the last of them the VM goes back: it was never sealed in truth.
#[tokio::test(start_paused = true)]
async fn a_source_that_can_not_be_sealed_goes_back_as_it_was_with_the_reason() {
    for twist in [Twist::Refuse("no seal today".to_owned()), Twist::Fail("no seal today".to_owned())] {
        let what = format!("{twist:?}");
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        stage.rule(vm, 60_000, RuleKind::Call(Some(CallKind::DefineSealed), twist)).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::StayedAtSource, 3), "{what}: {moves:#?}");
        assert!(moves[&vm].error.contains("no seal today"), "{what}: {moves:#?}");
        assert_as_before(&stage, vm, &what).await;
        // And once it can be sealed, it can be moved.
        stage.inject(Fault::ClearRules).await;
        let again = stage.order(&format!("# again\n{}", stage.runbook_of_all())).await;
        let moves = stage.until_finished(again).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{what}: {moves:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_evacuation_that_is_called_off_in_any_phase_leaves_the_source_as_it_was() {
    for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover] {
        let what = format!("{phase:?}");
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        stage.hold_in(vm, phase).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        stage.until_in(vm, phase).await;
        stage.cancel(evacuation).await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::StayedAtSource, "{what}: {moves:#?}");
        assert_as_before(&stage, vm, &what).await;
        // And it can be moved afterwards.
        let again = stage.order(&format!("# again\n{}", stage.runbook_of_all())).await;
        let moves = stage.until_finished(again).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{what}: {moves:#?}");
        stage.assert_ended_right(again).await;
    }
}

/// Its owner's shutdown loses nothing and is nobody's to take back: the VM is given back off, and held for a person.
#[tokio::test(start_paused = true)]
async fn a_guest_that_its_owner_shuts_down_in_its_move_stays_off_at_the_source() {
    for phase in [Phase::Setup, Phase::PreCopy] {
        for called_off in [false, true] {
            let what = format!("{phase:?}, called off: {called_off}");
            let mut stage = Stage::set(StageOptions::default()).await;
            let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
            stage.start_orchestrator(None).await;
            stage.hold_in(vm, phase).await;
            let evacuation = stage.order(&stage.runbook_of_all()).await;
            stage.until_in(vm, phase).await;
            stage.inject(Fault::ByHand(stage.source.clone(), stage.source_host(1), vm, Deed::ShutDown)).await;
            let held = stage.until(evacuation, Duration::from_secs(60), |_, moves| is_held(&moves[0])).await;
            assert_eq!(held[0].held_because, Hold::NotRunning.sentence(), "{what}");
            assert_eq!(held[0].verdict, "NotMigrated", "{what}");
            assert_given_back_off(&stage, vm, &what).await;
            if called_off {
                stage.cancel(evacuation).await;
                let moves = stage.until_finished(evacuation).await;
                assert_eq!(moves[&vm].state(), MoveState::StayedAtSource, "{what}: {moves:#?}");
                assert_given_back_off(&stage, vm, &what).await;
            } else {
                stage.inject(Fault::ByHand(stage.source.clone(), stage.source_host(1), vm, Deed::Start)).await;
                stage.retry(evacuation).await;
                let moves = stage.until_finished(evacuation).await;
                assert_eq!(moves[&vm].state(), MoveState::Migrated, "{what}: {moves:#?}");
            }
            stage.assert_ended_right(evacuation).await;
        }
    }
}

/// What crashed is another matter: it ran, and it is to run again.
#[tokio::test(start_paused = true)]
async fn a_guest_that_crashes_in_its_move_is_started_again() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    stage.hold_in(vm, Phase::PreCopy).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_in(vm, Phase::PreCopy).await;
    stage.inject(Fault::ByHand(stage.source.clone(), stage.source_host(1), vm, Deed::Crash)).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!(moves[&vm].state(), MoveState::Migrated, "{moves:#?}");
    stage.assert_ended_right(evacuation).await;
}

fn is_held(a_move: &Move) -> bool {
    a_move.state() == MoveState::Held
}

async fn assert_given_back_off(stage: &Stage, vm: VmId, what: &str) {
    let truth = stage.truth_of(vm).await;
    assert!(truth.runs_on().is_empty() && truth.memory_generation == 1, "{what}: it was started: {truth:#?}");
    assert!(truth.places.len() == 1 && truth.places[0].site == stage.source, "{what}: {truth:#?}");
    assert!(truth.places[0].stored == Stored::Real && truth.places[0].autostarts, "{what}: {truth:#?}");
    stage.assert_no_violation().await;
}

#[tokio::test(start_paused = true)]
async fn a_cold_move_that_fails_starts_the_vm_from_its_own_untouched_disk() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("database", Mode::Cold, Disk::Local { size_mib: 2_048 }).await;
    stage.start_orchestrator(None).await;
    stage.rule(vm, 1_000, RuleKind::Phase(Phase::DiskVerify, Trap::Fail("a bad block".to_owned()))).await;
    let evacuation = stage.order(&stage.runbook("[[select]]\nall = true\nmode = \"cold\"\n")).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!(moves[&vm].state(), MoveState::StayedAtSource, "{moves:#?}");
    let truth = stage.truth_of(vm).await;
    assert_eq!(truth.runs_on(), [(stage.source.clone(), stage.source_host(1))], "{truth:#?}");
    assert!(truth.places[0].autostarts && truth.places.len() == 1, "{truth:#?}");
    assert!(!stage.history_of(Process::Source, vm).await.is_empty());
    stage.assert_ended_right(evacuation).await;
}
