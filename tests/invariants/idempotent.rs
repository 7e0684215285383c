//! Invariant 7, Idempotent: every step can be repeated, every reply lost. Recovering twice changes nothing the second time.
//!
//! Red if a command that is repeated under its token is carried out again, if a second recovery writes anything but its own
//! claim, or if an order with the same request id makes a second evacuation.

use muster_core::definition::{Disk, Mode};
use muster_core::evidence::Outcome;
use muster_core::ids::Attempt;
use muster_core::reading::Phase;
use muster_proto::convert::SiteAction;
use muster_proto::v1::MoveState;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{FinishBreak, RuleKind, Trap};
use std::time::Duration;

/// What stands in both ledgers, claims and floors aside.
async fn written(stage: &Stage) -> (Vec<u64>, Vec<u64>) {
    let mut both = Vec::new();
    for process in [Process::Source, Process::Destination] {
        let lines = stage.history(process).await;
        both.push(lines.iter().filter(|line| !line.is_of_claims()).map(|line| line.sequence).collect::<Vec<u64>>());
    }
    let destination = both.pop().unwrap_or_default();
    (both.pop().unwrap_or_default(), destination)
}

#[tokio::test(start_paused = true)]
async fn every_command_repeated_under_its_token_changes_nothing() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    let mut hand = stage.by_hand("a hand", &[(vm, Mode::Live)]).await;
    let attempt = Attempt::FIRST;
    let line = [
        hand.open(),
        SiteAction::MakePlaceholder { attempt },
        SiteAction::Seal,
        hand.transfer(attempt),
        SiteAction::Retire { keep_ms: None },
        SiteAction::CloseSource,
        SiteAction::CloseDestination(Outcome::Migrated),
    ];
    for action in line {
        let token = hand.token();
        hand.act_under(vm, token, action.clone()).await.expect("a line of a move");
        if matches!(action, SiteAction::Transfer { .. }) {
            stage.until_true(vm, |truth| truth.runs_on().iter().any(|(site, _)| *site == stage.destination)).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (before, truth) = (written(&stage).await, stage.truth_of(vm).await);
        for _ in 0..3 {
            hand.act_under(vm, token, action.clone()).await.expect("the answer again");
        }
        assert_eq!(before, written(&stage).await, "{action:?} was carried out again");
        assert_eq!(truth, stage.truth_of(vm).await, "{action:?} did something again");
    }
    stage.assert_no_violation().await;
}

#[tokio::test(start_paused = true)]
async fn recovering_twice_changes_nothing_the_second_time() {
    for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover, Phase::Finish] {
        for outcome in [FinishBreak::LetGo, FinishBreak::StaysPaused, FinishBreak::Resumes] {
            let mut stage = Stage::set(StageOptions::default()).await;
            let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
            let other = stage.vm("never-begun", Mode::Live, Disk::Shared).await;
            let mut hand = stage.by_hand("a hand", &[(vm, Mode::Live), (other, Mode::Live)]).await;
            stage.rule(vm, 1, RuleKind::Finish(outcome)).await;
            stage.rule(vm, 1, RuleKind::Phase(phase, Trap::Fail("a broken cable".to_owned()))).await;
            hand.transferred(vm).await;
            let first = stage.recover(true, true).await;
            stage.assert_right(&first.lines).await;
            assert!(first.is_settled(), "{phase:?} {outcome:?}: {first:#?}");
            let (before, truth) = (written(&stage).await, stage.truth().await);
            let second = stage.recover(true, true).await;
            assert_eq!(before, written(&stage).await, "{phase:?} {outcome:?}");
            assert_eq!(truth, stage.truth().await, "{phase:?} {outcome:?}");
            let verdicts = |one: &muster_recovery::recover::Recovered| -> Vec<_> {
                one.lines.iter().map(|line| line.decision).collect()
            };
            assert_eq!(verdicts(&first), verdicts(&second));
            // And a report changes nothing at all.
            let everything =
                (stage.history(Process::Source).await.len(), stage.history(Process::Destination).await.len());
            stage.recover(false, true).await;
            let after = (stage.history(Process::Source).await.len(), stage.history(Process::Destination).await.len());
            assert_eq!(everything, after, "{phase:?} {outcome:?}: a report only reads");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_repeated_is_the_same_evacuation() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    let runbook = stage.runbook_of_all();
    let first = stage.order(&runbook).await;
    assert_eq!(first, stage.order(&runbook).await);
    let moves = stage.until_finished(first).await;
    assert_eq!(moves[&vm].state(), MoveState::Migrated);
    stage.kill(Process::Orchestrator);
    stage.start_orchestrator(None).await;
    assert_eq!(first, stage.order(&runbook).await, "also after its end, and after a restart");
    stage.assert_ended_right(first).await;
}
