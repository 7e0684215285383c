//! Scenario 4 (kubevirt #17317, #17203): a move waits forever because an agent is down, or is held by its failing cleanup.
//!
//! Red if a silent worker leaves a move "moving" past its deadlines without a visible hold, if it doesn't go on by itself once
//! the worker is back, or if a cleanup that fails changes what is proven of the VM.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::reading::{Phase, Stored};
use muster_core::step::Hold;
use muster_proto::v1::{Move, MoveState};
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, Fault, Place, RuleKind, Trap, Twist};
use muster_worker::site::leftovers::CLEAN_UP_EVERY;
use std::time::Duration;

fn is_held(moves: &[Move]) -> bool {
    moves.iter().all(|one| one.state() == MoveState::Held)
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_down_holds_its_moves_visibly_until_it_is_back() {
    let cases = [(Process::Source, Hold::SourceSilent), (Process::Destination, Hold::DestinationSilent)];
    for (process, hold) in cases {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        stage.hold_in(vm, Phase::PreCopy).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        stage.until_in(vm, Phase::PreCopy).await;
        stage.kill(process);
        let held = stage.until(evacuation, Duration::from_secs(120), |_, moves| is_held(moves)).await;
        assert_eq!(held[0].held_because, hold.sentence(), "{process:?}");
        assert!(!held[0].remedy.is_empty());
        // Much later it is still held, and nothing was done to it.
        tokio::time::sleep(Duration::from_secs(900)).await;
        let (_, moves) = stage.shown(evacuation).await.expect("an answer");
        assert!(is_held(&moves), "{moves:#?}");
        assert_eq!(stage.truth_of(vm).await.runs_on(), [(stage.source.clone(), stage.source_host(1))]);
        stage.start_worker(process, None).await;
        stage.release_transfers().await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{process:?}: {moves:#?}");
        stage.assert_ended_right(evacuation).await;
    }
}

/// Well before a transfer's own deadline: with the destination's ledger unreachable, what is in pre-copy is aborted. A
/// worker that is just being restarted costs no transfer.
#[tokio::test(start_paused = true)]
async fn a_transfer_is_aborted_when_its_destinations_worker_stays_away_and_only_then() {
    for (away, attempts) in [(Duration::from_secs(7), 1), (Duration::from_secs(20), 2)] {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        stage.hold_in(vm, Phase::PreCopy).await;
        let rest = "[[select]]\nall = true\nmode = \"live\"\n";
        let evacuation = stage.order(&stage.runbook(rest).replace("transfer_ms = 20000", "transfer_ms = 600000")).await;
        stage.until_in(vm, Phase::PreCopy).await;
        stage.kill(Process::Destination);
        tokio::time::sleep(away).await;
        let truth = stage.truth_of(vm).await;
        assert_eq!(truth.runs_on(), [(stage.source.clone(), stage.source_host(1))]);
        assert_eq!(stage.is_in(vm, Phase::PreCopy).await, attempts == 1, "after {away:?}");
        stage.start_worker(Process::Destination, None).await;
        stage.release_transfers().await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::Migrated, attempts), "{moves:#?}");
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_down_from_the_beginning_is_no_endless_wait() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    stage.kill(Process::Destination);
    let refused = stage.try_order(&stage.runbook_of_all()).await;
    assert!(refused.is_err(), "nothing can be planned towards a site that doesn't answer");
    stage.start_worker(Process::Destination, None).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!(moves[&vm].state(), MoveState::Migrated);
    stage.assert_ended_right(evacuation).await;
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_that_fails_a_few_times_is_tried_again() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    stage.rule(vm, 1, RuleKind::Phase(Phase::PreCopy, Trap::Fail("a broken cable".to_owned()))).await;
    stage.rule(vm, 4, RuleKind::Call(Some(CallKind::Remove), Twist::Fail("the disk is busy".to_owned()))).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    let moves = stage.until_finished(evacuation).await;
    assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::Migrated, 2), "{moves:#?}");
    stage.assert_ended_right(evacuation).await;
}

/// Outcome and cleanup are separate: the move goes on, and what is left is removed as soon as that works.
#[tokio::test(start_paused = true)]
async fn a_cleanup_that_always_fails_stops_no_move_and_is_done_later() {
    for (arrives, state) in [(true, MoveState::Migrated), (false, MoveState::StayedAtSource)] {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        let broken = RuleKind::Phase(Phase::PreCopy, Trap::Fail("a broken cable".to_owned()));
        stage.rule(vm, if arrives { 1 } else { 1_000 }, broken).await;
        let never = Twist::Refuse("the disk can't be deleted".to_owned());
        stage.rule(vm, 60_000, RuleKind::Call(Some(CallKind::Remove), never)).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), state, "{moves:#?}");
        // The next attempt's placeholder takes the place of the last one's; the last attempt's stays.
        let owed = usize::from(!arrives);
        assert_eq!(left(&stage, vm).await, owed, "{:#?}", stage.truth_of(vm).await);
        // It is tried again and again, also by a worker that was started since; and one day it works.
        tokio::time::sleep(Duration::from_secs(120)).await;
        stage.start_worker(Process::Destination, None).await;
        assert_eq!(left(&stage, vm).await, owed);
        stage.inject(Fault::ClearRules).await;
        tokio::time::sleep(CLEAN_UP_EVERY * 2).await;
        assert_eq!(left(&stage, vm).await, 0, "{:#?}", stage.truth_of(vm).await);
        stage.assert_ended_right(evacuation).await;
    }
}

/// How many placeholders are at the destination.
async fn left(stage: &Stage, vm: VmId) -> usize {
    let truth = stage.truth_of(vm).await;
    let is_placeholder = |place: &&Place| place.site == stage.destination && place.stored == Stored::Placeholder;
    truth.places.iter().filter(is_placeholder).count()
}
