//! Invariant 5, Silent is not absent: a timeout or a transport error means "unknown". Nothing is destroyed, started or
//! retried on missing data.
//!
//! Red if anything is done to a VM while the side that would have to be asked about it says nothing.

use muster_core::definition::{Disk, Mode};
use muster_core::evidence::Heard;
use muster_core::ids::VmId;
use muster_core::reading::{Instance, Phase, Stored};
use muster_core::step::Step;
use muster_proto::v1::MoveState;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Fault, HostFault, SiteFault, Truth};
use std::time::Duration;

/// What must not change by muster's doing: where it lives, with which memory, under which definition.
fn held(truth: &Truth) -> (u64, Vec<(String, Stored, bool)>) {
    let whole = |instance: Instance| matches!(instance, Instance::Running | Instance::Paused);
    let places = truth.places.iter().map(|place| (place.host.to_string(), place.stored, whole(place.instance)));
    (truth.memory_generation, places.collect())
}

async fn staged(phase: Phase) -> (Stage, VmId, muster_core::ids::EvacuationId) {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    stage.hold_in(vm, phase).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_in(vm, phase).await;
    (stage, vm, evacuation)
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_cut_gets_nothing_destroyed_or_started() {
    let to = |one: Process, other: Process| (one.port(), other.port());
    let (orchestrator, source, destination) = (Process::Orchestrator, Process::Source, Process::Destination);
    let cuts = [
        vec![to(orchestrator, source)],
        vec![to(source, destination)],
        vec![to(orchestrator, source), to(source, destination)],
    ];
    for cut in cuts {
        let (stage, vm, evacuation) = staged(Phase::Finish).await;
        for (one, other) in &cut {
            stage.network.cut(*one, *other);
        }
        let before = held(&stage.truth_of(vm).await);
        tokio::time::sleep(Duration::from_secs(45)).await;
        assert_eq!(before, held(&stage.truth_of(vm).await), "{cut:?}");
        stage.network.mend();
        stage.release_transfers().await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::Migrated, 1), "{cut:?}: {moves:#?}");
        assert_eq!(stage.truth_of(vm).await.memory_generation, 1, "{cut:?}");
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_destination_gets_nothing_destroyed_or_started() {
    let (stage, vm, evacuation) = staged(Phase::Finish).await;
    stage.network.cut(Process::Orchestrator.port(), Process::Destination.port());
    stage.network.cut(Process::Source.port(), Process::Destination.port());
    stage.release_transfers().await;
    let arrived = |truth: &Truth| truth.places.iter().all(|place| !place.job);
    let before = held(&stage.until_true(vm, arrived).await);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(before, held(&stage.truth_of(vm).await));
    let (_, moves) = stage.shown(evacuation).await.expect("an answer");
    assert_eq!((moves[0].state(), moves[0].verdict.as_str()), (MoveState::Held, "Indeterminate"), "{moves:#?}");
    stage.network.mend();
    let moves = stage.until_finished(evacuation).await;
    assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::Migrated, 1), "{moves:#?}");
    stage.assert_ended_right(evacuation).await;
}

#[tokio::test(start_paused = true)]
async fn a_site_that_is_unplugged_runs_on_and_is_not_replaced() {
    for phase in [Phase::PreCopy, Phase::Finish] {
        let (mut stage, vm, _) = staged(phase).await;
        stage.kill(Process::Orchestrator);
        stage.kill(Process::Source);
        stage.inject(Fault::Site(stage.source.clone(), SiteFault::Unplugged)).await;
        let before = held(&stage.truth_of(vm).await);
        for _ in 0..3 {
            let recovered = stage.recover(true, false).await;
            assert!(matches!(recovered.lines[0].decision.step, Step::Hold(_)), "{phase:?}: {recovered:#?}");
            stage.assert_right(&recovered.lines).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(before, held(&stage.truth_of(vm).await), "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_is_no_empty_host() {
    for (at_source, phase) in
        [(true, Phase::PreCopy), (false, Phase::PreCopy), (true, Phase::Finish), (false, Phase::Finish)]
    {
        let (stage, vm, evacuation) = staged(phase).await;
        let (site, host) = if at_source {
            (stage.source.clone(), stage.source_host(1))
        } else {
            (stage.destination.clone(), stage.destination_host(1))
        };
        let before = stage.truth_of(vm).await.memory_generation;
        stage.inject(Fault::Host(site, host, HostFault::Silent { for_ms: 30_000 })).await;
        stage.release_transfers().await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{at_source} {phase:?}: {moves:#?}");
        assert_eq!(stage.truth_of(vm).await.memory_generation, before, "{at_source} {phase:?}: never started anew");
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_roll_call_asks_again_for_what_a_silent_host_may_have() {
    for (for_ms, is_back_in_time) in [(900, true), (30_000, false)] {
        let (mut stage, _, _) = staged(Phase::PreCopy).await;
        stage.kill(Process::Orchestrator);
        let host = stage.destination_host(1);
        stage.inject(Fault::Host(stage.destination.clone(), host.clone(), HostFault::Silent { for_ms })).await;
        let recovered = stage.recover(false, false).await;
        let Heard::Answer(reading) = &recovered.lines[0].readings.destination else {
            panic!("the destination is heard: {recovered:#?}");
        };
        let silent = if is_back_in_time { vec![] } else { vec![host] };
        assert_eq!(reading.sight.silent_hosts, silent, "{recovered:#?}");
    }
}
