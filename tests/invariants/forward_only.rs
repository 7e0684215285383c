//! Invariant 6, Forward only: after the event no path can run the source's copy, short of an admin's explicit release.
//!
//! Red if a worker obeys an order to run, unseal or move the source's copy once the event stands, or if anybody decides to.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::{Attempt, VmId};
use muster_core::ledger::command::EventKind;
use muster_core::step::Step;
use muster_core::verdict::Verdict;
use muster_proto::convert::SiteAction;
use muster_recovery::roll_call::Wishes;
use muster_tests::hand::reason;
use muster_tests::{Hand, Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Deed, Fault, HostFault};

async fn arrived(stage: &mut Stage) -> (VmId, Hand) {
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    let mut hand = stage.by_hand("a hand", &[(vm, Mode::Live)]).await;
    hand.transferred(vm).await;
    stage.until_true(vm, |truth| truth.runs_on().iter().any(|(site, _)| *site == stage.destination)).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    (vm, hand)
}

async fn assert_only_there(stage: &Stage, vm: VmId) {
    let truth = stage.truth_of(vm).await;
    assert_eq!(truth.runs_on(), [(stage.destination.clone(), stage.destination_host(1))], "{truth:#?}");
    stage.assert_no_violation().await;
}

#[tokio::test(start_paused = true)]
async fn no_order_runs_the_source_after_the_event() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let (vm, mut hand) = arrived(&mut stage).await;
    let ways_back = [SiteAction::StartSource, SiteAction::ResumeSource, SiteAction::Unseal];
    for restarted in [false, true] {
        if restarted {
            for process in [Process::Source, Process::Destination] {
                stage.kill(process);
                stage.start_worker(process, None).await;
            }
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        }
        for action in &ways_back {
            assert_eq!(reason(hand.act(vm, action.clone()).await), "ARRIVED_ELSEWHERE", "{action:?}, {restarted}");
        }
        for action in [SiteAction::Abandon { attempt: Attempt::FIRST }, SiteAction::Reopen { attempt: Attempt::FIRST }]
        {
            assert_eq!(reason(hand.act(vm, action.clone()).await), "NOT_IN_ORDER", "{action:?}: the event stands");
        }
        let again = hand.transfer(Attempt::new(2).expect("an attempt"));
        assert!(hand.act(vm, again).await.is_err(), "nor is it moved once more");
        assert_only_there(&stage, vm).await;
    }
    // Retired, not even the destination has to be asked.
    hand.act(vm, SiteAction::Retire { keep_ms: None }).await.expect("a retired copy");
    stage.network.cut(Process::Source.port(), Process::Destination.port());
    for action in ways_back {
        assert!(hand.act(vm, action.clone()).await.is_err(), "{action:?}");
    }
    stage.network.mend();
    for action in [SiteAction::StartSource, SiteAction::ResumeSource, SiteAction::Unseal, SiteAction::Seal] {
        assert!(hand.act(vm, action.clone()).await.is_err(), "{action:?}");
    }
    hand.act(vm, SiteAction::Discard).await.expect("nothing to discard");
    assert_only_there(&stage, vm).await;
    let start = Fault::ByHand(stage.source.clone(), stage.source_host(1), vm, Deed::Start);
    assert!(stage.world.inject(start).await.is_err(), "the hypervisor holds to it as well");
}

#[tokio::test(start_paused = true)]
async fn nobody_decides_to_go_back_after_the_event() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let (vm, _) = arrived(&mut stage).await;
    let mut order = stage.recover_order(true);
    order.wishes = Wishes { undo: true, ..order.wishes };
    let recovered = stage.recover_as(&order, true).await;
    assert_eq!(recovered.lines[0].decision.verdict, Verdict::FullyMigrated, "{recovered:#?}");
    assert!(matches!(recovered.lines[0].decision.step, Step::Settled(_)), "{recovered:#?}");
    let events = stage.history_of(Process::Source, vm).await;
    assert!(!events.iter().any(|line| matches!(line.kind, EventKind::Unsealed)), "{events:#?}");
    assert_only_there(&stage, vm).await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_dies_after_its_event_is_started_there_and_never_at_the_source() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let (vm, _) = arrived(&mut stage).await;
    let crash = Fault::ByHand(stage.destination.clone(), stage.destination_host(1), vm, Deed::Crash);
    stage.inject(crash).await;
    let recovered = stage.recover(true, true).await;
    assert_eq!(recovered.lines[0].decision.verdict, Verdict::FullyMigrated, "{recovered:#?}");
    assert_only_there(&stage, vm).await;
    // With its host gone it waits for that host, and for nobody else.
    let host = |what| Fault::Host(stage.destination.clone(), stage.destination_host(1), what);
    stage.inject(host(HostFault::PowerLoss)).await;
    let recovered = stage.recover(true, true).await;
    assert_eq!(recovered.lines[0].decision.verdict, Verdict::FullyMigrated, "{recovered:#?}");
    assert!(stage.truth_of(vm).await.runs_on().is_empty());
    stage.assert_no_violation().await;
}
