//! The rules that the design forbids: each yields its counterexample, so that the checker is known to see.

use crate::protocol::{BadRule, Protocol};
use muster_core::decide::{ColdStart, Goal};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;

const THREADS: usize = 2;

/// Explores until one of these properties fails, and fails itself if none does.
#[allow(clippy::print_stdout, reason = "the number of states tells how deep the mistake hides")]
fn assert_red(name: &str, protocol: Protocol, properties: &[&'static str]) {
    let wanted: BTreeSet<&'static str> = properties.iter().copied().collect();
    let checker = protocol.checker().threads(THREADS).finish_when(HasDiscoveries::AnyOf(wanted)).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let found: Vec<_> = properties.iter().filter_map(|name| Some((name, discoveries.get(name)?))).collect();
    let states = checker.unique_state_count();
    let shown: Vec<_> = found.iter().map(|(name, path)| (name, (*path).clone().into_vec().len())).collect();
    println!("{name}: {states} states until (property, steps): {shown:?}");
    if std::env::var_os("MUSTER_AT_LENGTH").is_some() {
        found
            .iter()
            .for_each(|(_, path)| (*path).clone().into_actions().iter().for_each(|step| println!("  {step:?}")));
    }
    assert!(!found.is_empty(), "{name}: nothing of {properties:?} was found in {states} states");
}

/// One orchestrator alone: what goes wrong then needs nobody else.
fn alone(faults: u8, attempts_max: u32) -> Protocol {
    Protocol { orchestrators: 1, ..Protocol::shipped(faults, attempts_max) }
}

#[test]
fn without_a_fence_the_memory_is_lost() {
    let broken = Protocol::shipped(1, 1).broken(BadRule::NoFloor);
    assert_red("no floor", broken, &["1 one runner", "2 none lost"]);
}

#[test]
fn a_fence_by_epoch_alone_makes_wrong_verdicts() {
    let broken = Protocol::shipped(1, 1).broken(BadRule::FloorByEpoch);
    assert_red("floor by epoch", broken, &["verdicts are true"]);
}

#[test]
fn an_unfenced_observe_lets_two_run() {
    assert_red("unfenced", alone(2, 2).broken(BadRule::Unfenced), &["1 one runner"]);
}

#[test]
fn observing_the_destination_first_makes_a_handover_look_like_a_loss() {
    assert_red("destination first", alone(1, 1).broken(BadRule::DestinationFirst), &["verdicts are true"]);
}

/// libvirt does it by itself, and leans on locks of the disk.
#[test]
fn resuming_the_source_when_finish_times_out_lets_two_run() {
    assert_red("runs in Finish", alone(1, 1).broken(BadRule::RunsInFinish), &["1 one runner"]);
}

/// With a paused arrival nobody runs twice, but the attempt is still open: an event could be written for a stale copy.
#[test]
fn resuming_the_source_of_an_open_attempt_is_out_of_order() {
    assert_red("resumes on timeout", alone(1, 1).broken(BadRule::ResumesOnTimeout), &["3 order"]);
}

#[test]
fn counting_paused_as_gone_lets_two_run() {
    assert_red("paused is gone", alone(1, 1).broken(BadRule::PausedIsGone), &["1 one runner"]);
}

#[test]
fn without_a_seal_a_restarting_source_lets_two_run() {
    assert_red("no seal", alone(1, 1).broken(BadRule::NoSeal), &["1 one runner"]);
}

/// Should the arrived copy die, nothing can bring the VM back.
#[test]
fn retiring_before_the_event_leaves_the_vm_nowhere() {
    assert_red("retires early", alone(1, 1).broken(BadRule::RetiresBeforeEvent), &["8 settles when left alone"]);
}

#[test]
fn reading_silent_as_absent_loses_the_memory() {
    let vanishing = Protocol { hosts_vanish: true, may_cancel: true, ..alone(2, 1) };
    assert_red("silent is absent", vanishing.broken(BadRule::SilentIsAbsent), &["1 one runner", "2 none lost"]);
}

/// A cancel that lost to an arrival: the copy is all that there is.
#[test]
fn discarding_a_copy_that_holds_memory_loses_it() {
    let cancelled = Protocol { goal: Goal::Undo, recovery: Some(Goal::Finish), ..alone(2, 1) };
    assert_red("discards memory", cancelled.broken(BadRule::DiscardsMemory), &["2 none lost"]);
}

/// Off because migrated, and the proof not yet written: what was read then looks like a crash.
#[test]
fn answering_before_the_proof_is_written_loses_the_memory() {
    let broken = Protocol::shipped(1, 1).broken(BadRule::AnswersBeforeProof);
    assert_red("proof after answer", broken, &["2 none lost"]);
}

/// The seal has kept it from booting with its host; "unsealed" must not be the end of it.
#[test]
fn unsealing_without_a_look_leaves_the_vm_off() {
    let broken = alone(2, 1).broken(BadRule::UnsealsBlindly);
    assert_red("blind unsealing", broken, &["8 settles when left alone"]);
}

/// Started halfway, the real definition stored and the ledger still sealed: it looks like a VM that its owner shut down.
/// Should the weighing ever tell the two apart, this turns clean and may go.
#[test]
fn a_start_that_ends_halfway_looks_like_an_owners_shutdown() {
    assert_red("inert too late", alone(2, 2).broken(BadRule::InertTooLate), &["holds have a cause"]);
}

/// What the successor reads and sends before it has fenced takes effect under its greater claim, however old it is.
#[test]
fn a_claim_that_begins_on_streams_loses_its_way() {
    let broken = Protocol::shipped(1, 2).broken(BadRule::ClaimsOnStreams);
    assert_red("claim without a fence", broken, &["8 settles when left alone"]);
}

/// The side that has not heard it still takes an older claim's commands, and whoever sent them still believes its floor.
#[test]
fn a_fence_that_one_side_has_not_heard_makes_wrong_verdicts() {
    let cancelled = Protocol { may_cancel: true, ..Protocol::shipped(1, 1) };
    assert_red("half a fence", cancelled.broken(BadRule::HalfAFence), &["verdicts are true"]);
}

/// Nobody can take it back that a source was sworn to be fenced: lost a second time, it still counts as fenced.
#[test]
fn an_oath_that_outlives_the_loss_lets_two_run() {
    let again =
        Protocol { hosts_vanish: true, sworn: Some(ColdStart::Policy), sworn_vanishes_again: true, ..alone(2, 2) };
    assert_red("an old oath", Protocol { asks_destination: true, ..again }, &["1 one runner"]);
}
