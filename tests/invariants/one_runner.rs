//! Invariant 1, One runner: at no time do two hosts run a VM.
//!
//! Red if a source is not sealed, if a copy is let run before its source is gone, or if a retired copy can be started. The
//! world itself watches every change of every instance; the last test shows that it sees a second runner when there is one.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::reading::Stored;
use muster_proto::v1 as pb;
use muster_proto::v1::MoveState;
use muster_tests::judge::violation;
use muster_tests::{Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Deed, Fault, FaultRates};

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
    stage.assert_ended_right(evacuation).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_at_random_no_vm_runs_twice() {
    for seed in 1..=8 {
        let mut stage = Stage::set(StageOptions { seed, ..StageOptions::default() }).await;
        for number in 0..12 {
            let mode = [Mode::Live, Mode::Live, Mode::Cold, Mode::Off][number % 4];
            let disk = if mode == Mode::Live { Disk::Shared } else { Disk::Local { size_mib: 512 } };
            stage.vm(&format!("vm-{number}"), mode, disk).await;
        }
        stage.start_orchestrator(None).await;
        let rates =
            FaultRates { transfer_fails: 200, call_fails: 100, reply_lost: 100, call_hangs: 50, hang_ms: 2_000 };
        stage.inject(Fault::Rates(rates)).await;
        let select =
            ["live", "cold", "off"].map(|mode| format!("[[select]]\ntags = [\"{mode}\"]\nmode = \"{mode}\"\n"));
        let evacuation = stage.order(&stage.runbook(&select.concat())).await;
        // First with faults; then they end, and everything that was held has to come to its end.
        tokio::time::sleep(std::time::Duration::from_secs(120)).await;
        stage.assert_ended_right(evacuation).await;
        stage.inject(Fault::ClearRules).await;
        if stage.shown(evacuation).await.is_some_and(|(_, moves)| moves.iter().any(is_held)) {
            stage.retry(evacuation).await;
        }
        stage.until_finished(evacuation).await;
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_world_sees_a_second_runner() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm: VmId = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_finished(evacuation).await;
    let release = pb::ReleaseVmRequest {
        request_id: evacuation.to_string(),
        vm: vm.to_string(),
        reason: "to see what comes of it".to_owned(),
        ordered_by: "a person".to_owned(),
    };
    stage.client().await.release_vm(release).await.expect("a release");
    assert_eq!(stage.truth_of(vm).await.runs_on().len(), 1, "a release alone starts nothing");
    stage.inject(Fault::ByHand(stage.source.clone(), stage.source_host(1), vm, Deed::Start)).await;
    let seen = violation(&stage.truth_of(vm).await).expect("two run");
    assert!(seen.contains("ran twice"), "{seen}");
}

fn is_held(a_move: &pb::Move) -> bool {
    a_move.state() == MoveState::Held
}
