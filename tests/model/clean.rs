//! The rules as designed: nothing is found, and everything that should be possible is seen.

use crate::figures::publish;
use crate::protocol::Protocol;
use muster_core::decide::ColdStart;
use muster_core::decide::Goal::{Finish, Undo};
use stateright::report::{ReportData, ReportDiscovery, Reporter};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const THREADS: usize = 2;
/// How many steps a course of the deep exploration may have: all of it doesn't fit into 24 GiB.
const DEEP_STEPS_MAX: usize = 43;
/// The deep exploration has to see at least as many different states.
const DEEP_STATES_MIN: usize = 30_000_000;

/// Explores all of it, or every course of at most so many steps; no property may fail. Returns the number of different states.
#[allow(clippy::print_stdout, reason = "the number of states is the bound that a reader wants to see")]
fn assert_clean_within(steps_max: Option<usize>, name: &str, protocol: Protocol) -> usize {
    let Protocol { faults, attempts_max, orchestrators, recovery, .. } = protocol;
    let began = Instant::now();
    let checker = protocol.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures);
    let checker = match steps_max {
        Some(steps_max) => checker.target_max_depth(steps_max).spawn_bfs(),
        None => checker.spawn_bfs(),
    };
    let checker = checker.join_and_report(&mut Progress::default());
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    let elapsed_s = began.elapsed().as_secs();
    let actors = orchestrators + usize::from(recovery.is_some());
    println!(
        "{name}: {states} states, {depth} deep, {elapsed_s} s; {faults} faults, {attempts_max} attempts, {actors} settle"
    );
    publish(name, &checker, began.elapsed());
    checker.assert_properties();
    states
}

/// Explores all of it.
fn assert_clean(name: &str, protocol: Protocol) -> usize {
    assert_clean_within(None, name, protocol)
}

/// Tells whoever waits for a deep exploration that it goes on.
#[derive(Default)]
struct Progress {
    said: Duration,
}

const PROGRESS_EVERY: Duration = Duration::from_secs(30);

impl Reporter<Protocol> for Progress {
    #[allow(clippy::print_stdout, reason = "it is told to whoever waits")]
    fn report_checking(&mut self, data: ReportData) {
        let ReportData { unique_states, max_depth, duration, done, .. } = data;
        if !done && duration >= self.said + PROGRESS_EVERY {
            self.said = duration;
            println!("… {unique_states} states, {max_depth} deep, {} s", duration.as_secs());
        }
    }

    /// What is found is told where properties are asserted.
    fn report_discoveries(&mut self, _: &Protocol, _: BTreeMap<&'static str, ReportDiscovery<Protocol>>) {}
}

#[test]
fn one_orchestrator_and_its_successor() {
    let shows = &[
        "migrated",
        "stayed",
        "the settler commits",
        "an arrival is taken after all",
        "a transfer is ended",
        "a VM that was shut down is given back",
        "a lost VM is started again",
        "a claim loses to another",
        "a cancel comes too late",
    ];
    let cancelled = Protocol { may_cancel: true, shows, ..Protocol::shipped(1, 2) };
    assert_clean("cancelled", cancelled);
}

#[test]
fn two_faults() {
    let shows = &["migrated", "stayed", "the settler commits", "a claim loses to another"];
    assert_clean("two faults", Protocol { shows, ..Protocol::shipped(2, 1) });
}

#[test]
fn two_orchestrators_and_a_recovery() {
    let third = |recovery, shows| Protocol { recovery: Some(recovery), shows, ..Protocol::shipped(0, 1) };
    assert_clean("and a recovery", third(Finish, &["migrated", "the recovery acts", "a claim loses to another"]));
    assert_clean("and one that undoes", third(Undo, &["migrated", "stayed", "the recovery acts"]));
}

#[test]
fn hosts_vanish_and_come_back() {
    let alone = Protocol { orchestrators: 1, hosts_vanish: true, may_cancel: true, ..Protocol::shipped(2, 2) };
    assert_clean("hosts vanish", Protocol { shows: &["migrated", "stayed", "a lost VM is started again"], ..alone });
}

#[test]
fn one_host_takes_every_attempt() {
    let alone = Protocol { orchestrators: 1, hosts: 1, hosts_vanish: true, ..Protocol::shipped(2, 3) };
    assert_clean("one host", Protocol { shows: &["migrated", "stayed"], ..alone });
}

#[test]
fn the_source_is_given_up_and_comes_back() {
    let shows = &["started anew from its disk", "given up, and back again"];
    for (name, sworn) in [("given up, policy", ColdStart::Policy), ("given up, ordered", ColdStart::Ordered)] {
        let given_up =
            Protocol { hosts_vanish: true, sworn: Some(sworn), asks_destination: true, ..Protocol::shipped(1, 2) };
        assert_clean(name, Protocol { shows, ..given_up });
    }
}

#[test]
fn a_move_back_afterwards() {
    let shows = &["migrated", "back where it was", "late orders of the move there"];
    assert_clean("back", Protocol { moves_back: true, shows, ..Protocol::shipped(1, 1) });
}

#[test]
#[ignore = "minutes and gigabytes: see docs/RELIABILITY.md"]
#[allow(clippy::print_stdout, reason = "the number of states is the bound that a reader wants to see")]
fn deep() {
    let everything = Protocol {
        recovery: Some(Undo),
        may_cancel: true,
        hosts_vanish: true,
        moves_back: true,
        shows: &["migrated", "stayed", "the recovery acts", "a claim loses to another"],
        ..Protocol::shipped(1, 1)
    };
    let states = assert_clean_within(Some(DEEP_STEPS_MAX), "deep", everything);
    assert!(states >= DEEP_STATES_MIN, "only {states} states");
}
