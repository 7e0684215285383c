//! Invariant 4, Fenced: a worker refuses what is below its floor, also after its restart, and nothing older takes effect
//! after a fenced observe.
//!
//! Red if floors aren't tested in the transaction that writes, aren't durable, count by epoch alone, or if a commit that was
//! sent before a fenced observe still writes its event after it.

use muster_core::definition::{Disk, Mode};
use muster_core::evidence::Outcome;
use muster_core::ids::{Attempt, RequestId};
use muster_core::ledger::command::EventKind;
use muster_core::step::Side;
use muster_core::token::Token;
use muster_core::verdict::Verdict;
use muster_proto::convert::{CommitArrival, SiteAction, VmAnswer};
use muster_proto::worker::v1 as wire;
use muster_tests::hand::{BY_HAND, reason};
use muster_tests::{Hand, Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, RuleKind, Truth, Twist};
use std::time::Duration;
use uuid::Uuid;

fn everything(hand: &Hand) -> Vec<SiteAction> {
    let attempt = Attempt::FIRST;
    vec![
        hand.open(),
        SiteAction::MakePlaceholder { attempt },
        SiteAction::Seal,
        hand.transfer(attempt),
        SiteAction::AbortTransfer,
        SiteAction::AdjustTransfer { bandwidth_mib_s: None, downtime_ms: Some(1_000) },
        SiteAction::Commit { attempt },
        SiteAction::Run,
        SiteAction::Retire { keep_ms: None },
        SiteAction::Abandon { attempt },
        SiteAction::Reopen { attempt },
        SiteAction::Discard,
        SiteAction::ResumeSource,
        SiteAction::StartSource,
        SiteAction::Unseal,
        SiteAction::CloseSource,
        SiteAction::CloseDestination(Outcome::StayedAtSource),
        SiteAction::Release { reason: "why not".to_owned() },
    ]
}

#[tokio::test(start_paused = true)]
async fn an_older_claims_commands_are_refused_also_after_a_restart() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    let mut old = stage.by_hand("the old one", &[(vm, Mode::Live)]).await;
    old.sealed(vm).await;
    let mut new = stage.by_hand("the new one", &[(vm, Mode::Live)]).await;
    assert!(new.epoch > old.epoch);
    let token = new.token();
    for side in [Side::Source, Side::Destination] {
        new.link(side).observe_one(BY_HAND, vm, Some(token)).await.expect("a fenced observe");
    }
    for restarted in [false, true] {
        if restarted {
            for process in [Process::Source, Process::Destination] {
                stage.kill(process);
                stage.start_worker(process, None).await;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        let before = (stage.history(Process::Source).await.len(), stage.history(Process::Destination).await.len());
        let truth = stage.truth_of(vm).await;
        for action in everything(&old) {
            // A token of the old claim, however high its own count.
            let late = Token::new(old.epoch.0, 1_000_000);
            let answer = old.act_under(vm, late, action.clone()).await;
            assert_eq!(reason(answer), "BELOW_FLOOR", "{action:?}, restarted: {restarted}");
        }
        let token = old.token();
        let fenced = old.link(Side::Destination).observe_one(BY_HAND, vm, Some(token)).await;
        assert_eq!(reason(fenced), "BELOW_FLOOR", "nor does it lower a floor");
        let after = (stage.history(Process::Source).await.len(), stage.history(Process::Destination).await.len());
        assert_eq!(before, after, "nothing was written");
        assert_eq!(truth, stage.truth_of(vm).await, "nothing was done");
    }
}

#[tokio::test(start_paused = true)]
async fn within_one_claim_an_older_command_is_refused_as_well() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    let mut hand = stage.by_hand("a hand", &[(vm, Mode::Live)]).await;
    let delayed = hand.token();
    let token = hand.token();
    for side in [Side::Source, Side::Destination] {
        hand.link(side).observe_one(BY_HAND, vm, Some(token)).await.expect("a fenced observe");
    }
    for action in [SiteAction::Seal, hand.open()] {
        assert_eq!(reason(hand.act_under(vm, delayed, action).await), "BELOW_FLOOR");
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_sent_before_a_fenced_observe_writes_no_event_after_it() {
    for restarted in [false, true] {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        let mut hand = stage.by_hand("a hand", &[(vm, Mode::Live)]).await;
        hand.sealed(vm).await;
        let transfers = hand.token();
        let transfer = hand.transfer(Attempt::FIRST);
        hand.act_under(vm, transfers, transfer).await.expect("a transfer");
        // It arrives, and its commit can't come through.
        stage.network.cut(Process::Source.port(), Process::Destination.port());
        let arrived = |truth: &Truth| {
            truth.has_good_paused_copy_at(&stage.destination) && truth.places.iter().all(|place| !place.job)
        };
        stage.until_true(vm, arrived).await;
        let token = hand.token();
        hand.link(Side::Destination).observe_one(BY_HAND, vm, Some(token)).await.expect("a fenced observe");
        if restarted {
            stage.kill(Process::Destination);
            stage.start_worker(Process::Destination, None).await;
        }
        stage.network.mend();
        tokio::time::sleep(Duration::from_secs(120)).await;
        // Nor does anybody else's, with the very token of the transfer.
        let late = CommitArrival {
            request: RequestId(Uuid::from_u128(7)),
            evacuation: BY_HAND,
            vm,
            attempt: Attempt::FIRST,
            token: transfers,
            source_site: stage.source.clone(),
        };
        let mut worker = stage.worker(Process::Destination).await;
        let answer = worker.commit_arrival(wire::CommitArrivalRequest::from(late)).await.expect("an answer");
        let answer = VmAnswer::try_from(answer.into_inner()).expect("an answer that makes sense");
        assert_eq!(answer.result.expect_err("refused").reason, "BELOW_FLOOR");
        let events = stage.history_of(Process::Destination, vm).await;
        assert!(!events.iter().any(|line| matches!(line.kind, EventKind::Completed { .. })), "{events:#?}");
        assert!(stage.truth_of(vm).await.has_good_paused_copy_at(&stage.destination), "and it waits, whole");

        // Whoever settles commits it, under a token of their own.
        let recovered = stage.recover(true, true).await;
        assert_eq!(recovered.lines[0].decision.verdict, Verdict::FullyMigrated, "{recovered:#?}");
        stage.assert_right(&recovered.lines).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_counts_until_it_has_ended_also_after_a_restart() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    let mut hand = stage.by_hand("a hand", &[(vm, Mode::Live)]).await;
    hand.sealed(vm).await;
    stage.rule(vm, 1, RuleKind::Call(Some(CallKind::BeginTransfer), Twist::Hang(60_000))).await;
    let transfer = hand.transfer(Attempt::FIRST);
    assert!(hand.act(vm, transfer).await.is_err(), "its end is not known");
    stage.kill(Process::Source);
    stage.start_worker(Process::Source, None).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let token = hand.token();
    let fenced = hand.link(Side::Source).observe_one(BY_HAND, vm, Some(token)).await.expect("a fenced observe");
    assert!(fenced.mutation_under_way || fenced.sight.call_under_way, "it may still land: {fenced:#?}");
    assert_eq!(reason(hand.act(vm, SiteAction::Seal).await), "BUSY");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let seen = hand.seen(Side::Source, vm).await;
    assert!(!seen.mutation_under_way && !seen.sight.call_under_way, "{seen:#?}");
    stage.assert_no_violation().await;
}
