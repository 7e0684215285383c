//! Invariant 8, No endless wait: every wait has a deadline, every retry a budget, every move a terminal state or a visible
//! hold.
//!
//! Red if a call that hangs, a transfer that stands still or a phase that fails for ever leaves a move neither over nor held
//! within its deadlines, or if it doesn't come to its end once the trouble is over.

use muster_core::definition::{Disk, Mode};
use muster_core::reading::Phase;
use muster_proto::v1::{Move, MoveState};
use muster_tests::{Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, Fault, FinishBreak, HostFault, RuleKind, Trap, Twist};
use std::time::Duration;

/// Longer than all deadlines of the runbook, its attempts and a worker's own deadlines together.
const LONG_ENOUGH: Duration = Duration::from_secs(420);
/// Longer than any test waits.
const FOR_EVER_MS: u64 = 100_000_000;

fn is_over_or_visible(one: &Move) -> bool {
    match one.state() {
        MoveState::Migrated | MoveState::StayedAtSource => true,
        MoveState::Held => !one.held_because.is_empty() && !one.remedy.is_empty(),
        MoveState::Waiting | MoveState::Moving | MoveState::Unspecified => false,
    }
}

async fn assert_ends(rule: RuleKind, mode: Mode, times: u32) {
    let what = format!("{rule:?}");
    let mut stage = Stage::set(StageOptions::default()).await;
    let disk = if mode == Mode::Live { Disk::Shared } else { Disk::Local { size_mib: 512 } };
    let vm = stage.vm("web", mode, disk).await;
    stage.start_orchestrator(None).await;
    stage.rule(vm, 1_000, RuleKind::Finish(FinishBreak::StaysPaused)).await;
    stage.rule(vm, times, rule).await;
    let word = mode.word();
    let evacuation = stage.order(&stage.runbook(&format!("[[select]]\nall = true\nmode = \"{word}\"\n"))).await;
    let settled = stage.until(evacuation, LONG_ENOUGH, |_, moves| moves.iter().all(is_over_or_visible)).await;
    stage.assert_ended_right(evacuation).await;
    // The trouble is over, and calls that hung are lost with their daemons: what was held ends, if need be by a retry.
    stage.inject(Fault::ClearRules).await;
    for (site, host) in [(&stage.source, stage.source_host(1)), (&stage.destination, stage.destination_host(1))] {
        stage.inject(Fault::Host(site.clone(), host, HostFault::DaemonRestart)).await;
    }
    if settled.iter().any(|one| one.state() == MoveState::Held) {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let (_, moves) = stage.shown(evacuation).await.expect("an answer");
        if moves.iter().any(|one| one.state() == MoveState::Held) {
            stage.retry(evacuation).await;
        }
    }
    let moves = stage.until_finished(evacuation).await;
    let ended = moves[&vm].state();
    assert!(matches!(ended, MoveState::Migrated | MoveState::StayedAtSource), "{what}: {moves:#?}");
    stage.assert_ended_right(evacuation).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_returns_is_a_visible_hold() {
    let calls = [
        CallKind::DefinePlaceholder,
        CallKind::DefineSealed,
        CallKind::BeginTransfer,
        CallKind::Resume,
        CallKind::DefineReal,
        CallKind::DefineRetired,
    ];
    for call in calls {
        assert_ends(RuleKind::Call(Some(call), Twist::Hang(FOR_EVER_MS)), Mode::Live, 1_000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_always_fails_or_loses_its_reply_ends() {
    let calls = [CallKind::DefinePlaceholder, CallKind::DefineSealed, CallKind::BeginTransfer, CallKind::Resume];
    for call in calls {
        for twist in [Twist::Fail("no".to_owned()), Twist::LoseReply, Twist::Refuse("no".to_owned())] {
            assert_ends(RuleKind::Call(Some(call), twist), Mode::Live, 1_000).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_stands_still_is_given_up() {
    for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover, Phase::Finish] {
        assert_ends(RuleKind::Phase(phase, Trap::Hold), Mode::Live, 1_000).await;
    }
    for phase in [Phase::DiskCopy, Phase::DiskVerify] {
        for mode in [Mode::Cold, Mode::Off] {
            assert_ends(RuleKind::Phase(phase, Trap::Hold), mode, 1_000).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_always_fails_uses_its_attempts_up() {
    for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover, Phase::Finish] {
        assert_ends(RuleKind::Phase(phase, Trap::Fail("a broken cable".to_owned())), Mode::Live, 1_000).await;
    }
}
