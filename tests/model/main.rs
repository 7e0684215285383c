//! The protocol on paper that runs: one VM's move, every interleaving of it within stated bounds.
//!
//! What is checked is the shipped logic: [`muster_core::decide::decide`], the ledger's state machine with its floors,
//! claims and records (`ledger::transition`), and the weighing of two sites' readings (`ledger::weigh`). The model adds
//! what surrounds them: two hypervisors, two workers, commands on their way, and two who settle.
//!
//! # What is modelled
//! - `hypervisor.rs`: a live transfer in its stages; a source that resumes its paused guest, or lets it go late, after an
//!   answer got lost; a daemon's restart that cancels the job; copies dropped when nobody sends to them; hosts that
//!   restart, the source's with autostart. Every attempt goes to a host of its own.
//! - `worker.rs`: a command changes the ledger first, floor test and all; the hypervisor's call lands later, fails, or is
//!   lost with its worker, or goes on without it, and the intent keeps the site busy until it has ended. The source's
//!   worker writes its proof of "gone" down and sends `CommitArrival` with the transfer's token.
//! - `actor.rs`: an orchestrator and a successor with a greater claim, either of which may fall silent at any moment for
//!   good and speak up again at any other. Streamed readings are taken at different times, in either order; a fenced
//!   observe raises both floors, reads the source until it is idle, then the destination.
//! - Commands are arbitrarily late, doubled, or never arrive. Whoever settles may stop waiting for what it sent.
//!
//! # Bounds
//! Each test names its own: how many faults in one history (doubled commands, lost patience, crashes of workers, failed
//! calls, lost answers, restarts of daemons and hosts, a silent source or destination), how many attempts, which ends the two want.
//! Two commands of those who settle are under way at once, `CommitArrival` besides. Nothing else is bounded: tokens are
//! renumbered in their order, so that the state space is finite without a limit on steps.
//!
//! # What is not modelled
//! Cold and powered-off moves, copied disks, cold starts and what people swear to, silent hosts, people who resume or start
//! a copy by hand, an admin's release, a source site that is given up and comes back, the journal, and more than one VM.
//! The roll is written before the first step. A ledger loses nothing. A look at a hypervisor and the ledger's write in
//! one exclusive section of a worker are one step.

mod actor;
mod check;
mod hypervisor;
mod model;
mod state;
mod tokens;
mod worker;

use model::{Floors, Protocol};
use muster_core::decide::Goal::{Finish, Undo};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;

const THREADS: usize = 2;

/// Explores all of it; no property may fail, and everything that should be possible must have been seen.
#[allow(clippy::print_stdout, reason = "the number of states is the bound that a reader wants to see")]
fn assert_clean(name: &str, protocol: Protocol) {
    let (faults, attempts, goals) = (protocol.faults, protocol.attempts_max, protocol.goals);
    let checker = protocol.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let states = checker.unique_state_count();
    let depth = checker.max_depth();
    println!("{name}: {states} states, {depth} deep; {faults} faults, {attempts} attempts, {goals:?}");
    checker.assert_properties();
}

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
    assert!(!found.is_empty(), "{name}: nothing of {properties:?} was found in {states} states");
}

#[test]
fn the_protocol_is_clean() {
    assert_clean("both want it moved", Protocol::shipped(2, 2));
}

#[test]
fn the_protocol_is_clean_when_a_recovery_undoes_it() {
    assert_clean("undone by the successor", Protocol { goals: [Finish, Undo], ..Protocol::shipped(2, 1) });
}

#[test]
fn the_protocol_is_clean_when_a_recovery_finishes_what_was_to_be_undone() {
    assert_clean("finished by the successor", Protocol { goals: [Undo, Finish], ..Protocol::shipped(2, 1) });
}

#[test]
#[ignore = "minutes: the same with one fault more"]
fn the_protocol_is_clean_within_wider_bounds() {
    for goals in [[Finish, Finish], [Finish, Undo], [Undo, Finish]] {
        assert_clean("wider", Protocol { goals, ..Protocol::shipped(3, 2) });
    }
}

#[test]
fn without_floors_the_memory_is_lost() {
    let broken = Protocol { floors: Floors::Ignored, ..Protocol::shipped(1, 1) };
    assert_red("no floor", broken, &["1 one runner", "2 none lost"]);
}

#[test]
fn a_floor_by_epoch_alone_makes_wrong_verdicts() {
    let broken = Protocol { floors: Floors::EpochOnly, ..Protocol::shipped(1, 1) };
    assert_red("floor by epoch", broken, &["verdicts are true"]);
}

#[test]
fn unfenced_evidence_lets_two_run() {
    let alone = Protocol { successor: false, claim_doubts: false, ..Protocol::shipped(2, 2) };
    let broken = Protocol { fenced: false, ..alone };
    assert_red("unfenced", broken, &["1 one runner"]);
}

#[test]
fn reading_the_destination_first_makes_a_handover_look_like_a_loss() {
    // Alone, so that nobody but the hypervisors can change anything between the two readings.
    let broken = Protocol { destination_first: true, successor: false, ..Protocol::shipped(1, 1) };
    assert_red("destination first", broken, &["verdicts are true"]);
}

#[test]
fn taking_paused_for_gone_lets_two_run() {
    let broken = Protocol { paused_is_gone: true, ..Protocol::shipped(1, 1) };
    assert_red("paused is gone", broken, &["1 one runner"]);
}

#[test]
fn without_a_seal_a_restarting_source_lets_two_run() {
    let broken = Protocol { seals: false, ..Protocol::shipped(1, 1) };
    assert_red("no seal", broken, &["1 one runner"]);
}

/// Off because migrated, and the proof not yet written: what was read then looks like a crash.
#[test]
fn answering_before_the_proof_is_written_loses_the_memory() {
    let broken = Protocol { proof_before_answer: false, ..Protocol::shipped(1, 1) };
    assert_red("proof after answer", broken, &["2 none lost"]);
}

/// The seal has kept it from booting with its host; "unsealed" must not be the end of it.
#[test]
fn unsealing_without_a_look_leaves_the_vm_off() {
    let broken = Protocol { unseal_looks: false, ..Protocol::shipped(2, 1) };
    assert_red("blind unsealing", broken, &["8 settles when left alone"]);
}

/// Started halfway, the real definition stored and the ledger still sealed: it looks like a VM that its owner shut down.
/// Should the weighing ever tell the two apart, this turns clean and may go.
#[test]
fn a_start_that_ends_halfway_looks_like_an_owners_shutdown() {
    let broken = Protocol { inert_before_end: false, ..Protocol::shipped(2, 2) };
    assert_red("inert too late", broken, &["holds have a cause"]);
}

/// What the successor reads and sends before it has fenced takes effect under its greater claim, however old it is.
#[test]
fn a_claim_that_begins_on_streams_loses_its_way() {
    let broken = Protocol { claim_doubts: false, ..Protocol::shipped(1, 2) };
    assert_red("claim without a fence", broken, &["8 settles when left alone"]);
}
