//! Scenario 6 (nova, Launchpad 1644248): progress timeouts that abort healthy moves, since remaining bytes go up and down; and its
//! counterpart, the move that never converges and is neither helped nor ended.
//!
//! Red if a transfer that converges is hurried or aborted, if one that doesn't isn't taken up the ladder rung by rung, or if an aborted one
//! leaves anything but the guest as it was, running on and unsealed. Red too if anything is aborted from the handover on.

use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::{EvacuationId, VmId};
use muster_core::reading::{Phase, Stored};
use muster_core::step::Hold;
use muster_proto::v1::{self as pb, Move, MoveState};
use muster_tests::stage::definition;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Fault, Workload};
use std::time::Duration;
use uuid::Uuid;

/// 100 MiB per second: what the guests below are made for.
const SLOW: &str = "[transfer]\nbandwidth_mib_s = 100\n[[select]]\nall = true\n";

async fn stage_with(workload: Workload) -> (Stage, VmId) {
    let mut stage = Stage::set(StageOptions::default()).await;
    let guest = Definition { document: workload.to_document(), ..definition("busy", Disk::Shared) };
    let vm = stage.vm_of(guest, Mode::Live).await;
    stage.start_orchestrator(None).await;
    (stage, vm)
}

fn slow_runbook(stage: &Stage, more: &str) -> String {
    stage.runbook(&format!("{more}{SLOW}")).replace("transfer_ms = 20000", "transfer_ms = 3600000")
}

/// The rungs that the journal says were taken, each as (attempt, rung).
async fn rungs(stage: &Stage) -> Vec<(u64, String)> {
    let lines = stage.audit().await.into_iter().filter(|line| line.record == "rung_taken");
    let rung = |line: pb::AuditLine| {
        let detail: serde_json::Value = serde_json::from_str(&line.detail_json).expect("a detail");
        (detail["attempt"].as_u64().expect("an attempt"), detail["rung"].to_string())
    };
    lines.map(rung).collect()
}

async fn finished(stage: &Stage, evacuation: EvacuationId, vm: VmId) -> Move {
    let mut moves = stage.until_finished(evacuation).await;
    stage.assert_ended_right(evacuation).await;
    moves.remove(&vm).expect("the move")
}

async fn assert_as_before(stage: &Stage, vm: VmId) {
    let truth = stage.truth_of(vm).await;
    assert_eq!(truth.runs_on(), [(stage.source.clone(), stage.source_host(1))]);
    let stored: Vec<_> = truth.places.iter().map(|place| (&place.site, place.stored)).collect();
    assert_eq!(stored, [(&stage.source, Stored::Real)], "unsealed, and nothing is left at the destination");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_whose_remaining_bytes_go_up_and_down_arrives_unhurried() {
    let workload = Workload { hot_mib: 60, hot_span_ms: 1_000, cold_kib_s: 10 * 1024, shutdown_ms: 0 };
    let (stage, vm) = stage_with(workload).await;
    let evacuation = stage.order(&slow_runbook(&stage, "[ladder]\nstalled_rounds = 2\n")).await;
    let ended = finished(&stage, evacuation, vm).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 1), "{ended:?}");
    assert_eq!(rungs(&stage).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_longer_downtime_lets_a_transfer_arrive_that_does_not_converge() {
    // What a round dirties takes a second to send: 100 MiB.
    let workload = Workload { hot_mib: 100, hot_span_ms: 500, cold_kib_s: 0, shutdown_ms: 0 };
    let (stage, vm) = stage_with(workload).await;
    let evacuation = stage.order(&slow_runbook(&stage, "[ladder]\ndowntimes_ms = [600, 1200, 2400]\n")).await;
    let ended = finished(&stage, evacuation, vm).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 1), "{ended:?}");
    let taken = [(1, r#"{"longer_downtime":600}"#.to_owned()), (1, r#"{"longer_downtime":1200}"#.to_owned())];
    assert_eq!(rungs(&stage).await, taken, "no rung more than it takes");
    let downtime_ms = ended.downtime_ms.expect("a downtime");
    assert!((1_000..=1_500).contains(&downtime_ms), "{downtime_ms}");
}

#[tokio::test(start_paused = true)]
async fn auto_converge_comes_with_the_attempt_after_one_that_did_not_converge() {
    let workload = Workload { hot_mib: 300, hot_span_ms: 1_000, cold_kib_s: 0, shutdown_ms: 0 };
    let (stage, vm) = stage_with(workload).await;
    let evacuation = stage.order(&slow_runbook(&stage, "[ladder]\ndowntimes_ms = [400]\n")).await;
    let ended = finished(&stage, evacuation, vm).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 2), "{ended:?}");
    let taken = rungs(&stage).await;
    assert_eq!(taken[..2], [(1, r#"{"longer_downtime":400}"#.to_owned()), (1, r#""auto_converge""#.to_owned())]);
    assert!(taken[2..].iter().all(|(attempt, _)| *attempt == 2), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn what_no_rung_helps_is_aborted_cleanly_once_its_attempts_are_used_up() {
    let workload = Workload { hot_mib: 1_024, hot_span_ms: 100, cold_kib_s: 0, shutdown_ms: 0 };
    let (stage, vm) = stage_with(workload).await;
    let ladder = "[ladder]\ndowntimes_ms = [400, 800]\nauto_converge = \"never\"\n";
    let evacuation = stage.order(&slow_runbook(&stage, ladder)).await;
    let ended = finished(&stage, evacuation, vm).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::StayedAtSource, 3), "{ended:?}");
    assert!(ended.error.contains("doesn't converge"), "{}", ended.error);
    assert_eq!(rungs(&stage).await.len(), 3 * 2, "each attempt goes up the whole ladder");
    assert_as_before(&stage, vm).await;
}

#[tokio::test(start_paused = true)]
async fn between_an_abort_and_the_next_attempt_the_guest_is_as_it_was() {
    let workload = Workload { hot_mib: 1_024, hot_span_ms: 100, cold_kib_s: 0, shutdown_ms: 0 };
    let (stage, vm) = stage_with(workload).await;
    let patient = slow_runbook(&stage, "[ladder]\ndowntimes_ms = []\nauto_converge = \"never\"\n")
        .replace("backoff_ms = 100\nbackoff_max_ms = 400", "backoff_ms = 600000\nbackoff_max_ms = 600000");
    let evacuation = stage.order(&patient).await;
    let waits = |moves: &[Move]| moves.iter().all(|one| one.state() == MoveState::Waiting && one.attempts == 1);
    let moves = stage.until(evacuation, Duration::from_secs(300), |_, moves| waits(moves)).await;
    assert!(moves[0].error.contains("doesn't converge"), "{moves:#?}");
    assert_as_before(&stage, vm).await;
    let truth = stage.truth_of(vm).await;
    assert!(truth.memory_generation == 1 && truth.places.iter().all(|place| place.autostarts), "{truth:#?}");
}

fn order_to_adjust(evacuation: EvacuationId, vms: &[VmId], adjustment: pb::Adjustment) -> pb::AdjustMovesRequest {
    let payload = format!("{vms:?} {adjustment:?}");
    pb::AdjustMovesRequest {
        request_id: Uuid::new_v5(&evacuation.0, payload.as_bytes()).to_string(),
        evacuation: evacuation.to_string(),
        vms: vms.iter().map(ToString::to_string).collect(),
        adjustment: Some(adjustment),
        ordered_by: "an operator".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_adjusted_counts_for_a_transfer_under_way_also_after_a_restart() {
    let workload = Workload { hot_mib: 100, hot_span_ms: 500, cold_kib_s: 0, shutdown_ms: 0 };
    for restarts in [false, true] {
        let (mut stage, vm) = stage_with(workload).await;
        let evacuation =
            stage.order(&slow_runbook(&stage, "[ladder]\ndowntimes_ms = []\nstalled_rounds = 1000\n")).await;
        stage.until_in(vm, Phase::PreCopy).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(stage.is_in(vm, Phase::PreCopy).await, "it doesn't converge at this rate");
        let faster = pb::Adjustment { bandwidth_mib_s: Some(400), ..pb::Adjustment::default() };
        let order = order_to_adjust(evacuation, &[vm], faster);
        for _ in 0..2 {
            // The same call once more changes nothing.
            stage.client().await.adjust_moves(order.clone()).await.expect("adjusted");
        }
        if restarts {
            stage.kill(Process::Orchestrator);
            stage.start_orchestrator(None).await;
        }
        let ended = finished(&stage, evacuation, vm).await;
        assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 1), "{ended:?}");
        let lines = stage.audit().await;
        let adjusted: Vec<_> = lines.iter().filter(|line| line.record == "adjusted").collect();
        assert_eq!(adjusted.len(), 1);
        assert_eq!((adjusted[0].by.as_str(), adjusted[0].vm.as_str()), ("an operator", vm.to_string().as_str()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_and_a_ladder_are_adjusted_for_a_whole_evacuation_and_nonsense_is_refused() {
    let workload = Workload { hot_mib: 100, hot_span_ms: 500, cold_kib_s: 0, shutdown_ms: 0 };
    let (stage, vm) = stage_with(workload).await;
    let runbook = stage.runbook(&format!("[ladder]\ndowntimes_ms = []\nstalled_rounds = 1000\n{SLOW}"));
    let evacuation = stage.order(&runbook).await;
    stage.until_in(vm, Phase::PreCopy).await;
    let adjustments = [
        pb::Adjustment::default(),
        pb::Adjustment { setup_ms: Some(1), ..pb::Adjustment::default() },
        pb::Adjustment { stalled_rounds: Some(1), ..pb::Adjustment::default() },
        pb::Adjustment { auto_converge: Some(0), ..pb::Adjustment::default() },
        pb::Adjustment { downtimes: Some(pb::Downtimes { milliseconds: vec![500, 500] }), ..pb::Adjustment::default() },
    ];
    for adjustment in adjustments {
        let refused = stage.client().await.adjust_moves(order_to_adjust(evacuation, &[], adjustment)).await;
        assert_eq!(refused.expect_err("nonsense").code(), tonic::Code::InvalidArgument);
    }
    let longer = pb::Adjustment { transfer_ms: Some(600_000), ..pb::Adjustment::default() };
    let stranger = order_to_adjust(evacuation, &[VmId(Uuid::nil())], longer.clone());
    assert!(stage.client().await.adjust_moves(stranger).await.is_err(), "a VM of no evacuation");
    // The runbook's limit of 20 s would have ended it; then a rung that it can take ends the waiting.
    stage.client().await.adjust_moves(order_to_adjust(evacuation, &[], longer)).await.expect("adjusted");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(stage.is_in(vm, Phase::PreCopy).await, "the longer limit doesn't count");
    let rung = pb::Adjustment {
        downtimes: Some(pb::Downtimes { milliseconds: vec![1_200] }),
        stalled_rounds: Some(2),
        ..pb::Adjustment::default()
    };
    stage.client().await.adjust_moves(order_to_adjust(evacuation, &[], rung)).await.expect("adjusted");
    let ended = finished(&stage, evacuation, vm).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 1), "{ended:?}");
    let late = pb::Adjustment { finish_ms: Some(1_000), ..pb::Adjustment::default() };
    let refused = stage.client().await.adjust_moves(order_to_adjust(evacuation, &[], late)).await;
    assert!(refused.is_err(), "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_takes_too_long_is_aborted_and_a_handover_never_is() {
    let (stage, vm) = stage_with(Workload::default()).await;
    stage.hold_in(vm, Phase::Setup).await;
    let evacuation =
        stage.order(&slow_runbook(&stage, "").replace("transfer_ms", "setup_ms = 1000\ntransfer_ms")).await;
    stage.until_in(vm, Phase::Setup).await;
    let ended = finished(&stage, evacuation, vm).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 2), "{ended:?}");
    let audit = stage.audit().await;
    assert!(audit.iter().any(|line| line.detail_json.contains("setup took longer than 1000 ms")), "{audit:#?}");

    for phase in [Phase::Handover, Phase::Finish] {
        let (stage, vm) = stage_with(Workload::default()).await;
        stage.hold_in(vm, phase).await;
        let evacuation =
            stage.order(&slow_runbook(&stage, "").replace("transfer_ms", "finish_ms = 1000\ntransfer_ms")).await;
        stage.until_in(vm, phase).await;
        let held = stage
            .until(evacuation, Duration::from_secs(60), |_, moves| {
                moves.iter().all(|one| one.state() == MoveState::Held)
            })
            .await;
        assert_eq!(held[0].held_because, Hold::Overdue.sentence(), "{phase:?}");
        assert!(stage.is_in(vm, phase).await, "{phase:?}: it was not left to its hypervisors");
        stage.inject(Fault::ReleaseTransfers(None)).await;
        let ended = finished(&stage, evacuation, vm).await;
        assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 1), "{phase:?}: {ended:?}");
    }
}
