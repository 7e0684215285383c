//! Invariant 1, One runner: at no time do two hosts run a VM.
//!
//! Red if a source is not sealed, if a copy is let run before its source is gone, or if a retired copy can be started. The
//! world itself watches every change of every instance; the last test shows that it sees a second runner when there is one.
//! Red as well if two runners are reported where there is one, that was seen at both sites, at one after the other.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::reading::{Phase, Stored};
use muster_core::verdict::Verdict;
use muster_proto::v1 as pb;
use muster_proto::v1::MoveState;
use muster_recovery::roll_call::{Wishes, roll_call};
use muster_tests::judge::violation;
use muster_tests::stage::definition;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, Deed, Fault, FaultRates, RuleKind, Truth, Twist};
use std::time::Duration;

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
        tokio::time::sleep(Duration::from_secs(120)).await;
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
async fn a_vm_that_moves_while_the_roll_is_called_does_not_run_twice() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let first = stage.vm("first", Mode::Live, Disk::Shared).await;
    let small = muster_core::definition::Definition { memory_mib: 64, ..definition("second", Disk::Shared) };
    let second = stage.vm_of(small, Mode::Live).await;
    stage.start_orchestrator(None).await;
    stage.hold_in(first, Phase::PreCopy).await;
    // Its move is not to be over before the destination is heard: what is over hangs on no source.
    stage.rule(second, 1, RuleKind::Call(Some(CallKind::DefineRetired), Twist::Hang(60_000))).await;
    let evacuation = stage.order(&stage.runbook("[limits]\ntotal = 1\n[[select]]\nall = true\n")).await;
    stage.until_in(first, Phase::PreCopy).await;
    let (source, destination) = (stage.link(Process::Source).await, stage.link(Process::Destination).await);
    let roll = destination.roll(evacuation).await.expect("a roll");
    let claims = destination.claims(evacuation).await.expect("claims");
    // Whoever calls the roll hears the source at once, and the destination only when the second VM has moved.
    stage.network.cut(Process::Caller.port(), Process::Destination.port());
    let wishes = Wishes::default();
    let calling = roll_call(&destination, Some(&source), &roll, &claims, &wishes);
    let moving = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let runs_at = |truth: &Truth| truth.runs_on().first().map(|(site, _)| site.clone());
        assert_eq!(runs_at(&stage.truth_of(second).await), Some(stage.source.clone()));
        stage.release_transfers().await;
        stage.until_true(second, |truth| runs_at(truth) == Some(stage.destination.clone())).await;
        stage.network.mend();
    };
    let (lines, ()) = tokio::join!(calling, moving);
    let line = lines.iter().find(|line| line.entry.vm == second).expect("a line");
    assert_eq!(line.decision.verdict, Verdict::FullyMigrated, "{line:#?}");
    stage.assert_right(&lines).await;
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
