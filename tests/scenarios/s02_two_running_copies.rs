//! Scenario 2 (kubevirt #16622, #15373; libvirt's Finish with a lost reply; an autostarted source): two running copies.
//!
//! Red if a source is not sealed before its transfer, if "paused" or "off" counts as gone, or if a copy is let run before its
//! source has let go.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::reading::{Instance, Phase};
use muster_proto::v1::{Move, MoveState};
use muster_tests::stage::definition;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Deed, Fault, FinishBreak, HostFault, LinkFault, Place, RuleKind, Trap};
use std::time::Duration;

async fn staged() -> (Stage, VmId) {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    (stage, vm)
}

#[tokio::test(start_paused = true)]
async fn a_lost_finish_reply_never_makes_two() {
    for outcome in [FinishBreak::LetGo, FinishBreak::StaysPaused, FinishBreak::Resumes] {
        let (stage, vm) = staged().await;
        stage.rule(vm, 1, RuleKind::Finish(outcome)).await;
        stage.rule(vm, 1, RuleKind::Phase(Phase::Finish, Trap::Fail("the reply was lost".to_owned()))).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{outcome:?}: {moves:#?}");
        let attempts = if outcome == FinishBreak::LetGo { 1 } else { 2 };
        assert_eq!(moves[&vm].attempts, attempts, "{outcome:?}");
        assert_eq!(stage.truth_of(vm).await.memory_generation, 1, "{outcome:?}: its memory came along");
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_finish_reply_with_both_sites_apart_never_makes_two() {
    for outcome in [FinishBreak::LetGo, FinishBreak::StaysPaused, FinishBreak::Resumes] {
        let (stage, vm) = staged().await;
        stage.rule(vm, 1, RuleKind::Finish(outcome)).await;
        stage.hold_in(vm, Phase::Finish).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        stage.until_in(vm, Phase::Finish).await;
        stage.network.cut(Process::Source.port(), Process::Destination.port());
        stage.link_is(LinkFault::Cut).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        stage.assert_no_violation().await;
        stage.network.mend();
        stage.link_is(LinkFault::Restored).await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{outcome:?}: {moves:#?}");
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_host_that_reboots_starts_no_second_copy() {
    for phase in [Phase::PreCopy, Phase::Finish] {
        let (stage, vm) = staged().await;
        stage.hold_in(vm, phase).await;
        let evacuation = stage.order(&stage.runbook_of_all_with_cold_starts()).await;
        stage.until_in(vm, phase).await;
        let host = |what| Fault::Host(stage.source.clone(), stage.source_host(1), what);
        stage.inject(host(HostFault::PowerLoss)).await;
        stage.inject(host(HostFault::PowerReturn)).await;
        let truth = stage.truth_of(vm).await;
        assert!(truth.runs_on().is_empty(), "autostart is off while it is sealed: {truth:#?}");
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{phase:?}: {moves:#?}");
        // Its memory died with its host: it was started from its disk, once, and moved then.
        assert_eq!(stage.truth_of(vm).await.memory_generation, 2);
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_copy_whose_source_rebooted_is_kept_for_a_person() {
    let (stage, vm) = staged().await;
    stage.hold_in(vm, Phase::Finish).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_in(vm, Phase::Finish).await;
    let host = |what| Fault::Host(stage.source.clone(), stage.source_host(1), what);
    stage.inject(host(HostFault::PowerLoss)).await;
    stage.inject(host(HostFault::PowerReturn)).await;
    let is_held = |moves: &[Move]| moves.iter().all(|one| one.state() == MoveState::Held);
    stage.until(evacuation, Duration::from_secs(120), |_, moves| is_held(moves)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let truth = stage.truth_of(vm).await;
    assert!(truth.runs_on().is_empty() && truth.memory_generation == 1, "{truth:#?}");
    let is_paused = |place: &Place| place.site == stage.destination && place.instance == Instance::Paused;
    assert!(truth.places.iter().any(is_paused), "its copy is all there is of its memory: {truth:#?}");
    stage.assert_no_violation().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_starts_the_source_by_hand_while_it_is_sealed() {
    let (stage, vm) = staged().await;
    stage.hold_in(vm, Phase::Finish).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_in(vm, Phase::Finish).await;
    stage.release_transfers().await;
    stage.until_true(vm, |truth| truth.runs_on().iter().any(|(site, _)| *site == stage.destination)).await;
    let by_hand = |deed| Fault::ByHand(stage.source.clone(), stage.source_host(1), vm, deed);
    assert!(stage.world.inject(by_hand(Deed::Start)).await.is_err(), "sealed or retired: it can't be started");

    // Somebody stores the old definition over the retired one; it is made inert again before anybody starts it.
    stage.until_finished(evacuation).await;
    stage.inject(by_hand(Deed::Store(Box::new(tagged(definition("web", Disk::Shared)))))).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(stage.world.inject(by_hand(Deed::Start)).await.is_err(), "it was made inert again");
    stage.assert_ended_right(evacuation).await;
}

fn tagged(mut definition: muster_core::definition::Definition) -> muster_core::definition::Definition {
    definition.tags.push("live".to_owned());
    definition
}
