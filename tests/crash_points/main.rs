//! Crash points: whatever a process was about to write or to call, or had just written or called, when it died, the move
//! comes to the same, right end.
//!
//! Nothing here knows which writes and calls a move has. A dry run counts them as they come ([`case::enumerate`]): every
//! ledger and journal write, every hypervisor call, every call to another process, of the orchestrator and of both workers.
//! Then one stage for each process × point × moment:
//!
//! - *before*: killed before the write or call takes effect;
//! - *after*: killed when it has taken effect and nobody has heard so (calls: when the answer comes);
//! - *reply lost*: the process lives; a hypervisor's reply is lost, or the connection breaks as the answer comes.
//!
//! and for each of those two ways on ([`case::Way`]): the process comes back and the orchestrator goes on by itself; or the
//! orchestrator is killed too, never comes back, and `muster recover --apply` settles the move with the two workers.
//! The live move is tried once more with the source's hypervisor daemon restarting at the moment of the hit.
//! [`ends`] says what a right end is. After some, the VM moves back to its old source, and forth again.
//!
//! Then two faults in one live move ([`twice`]): after the first hit the points of everybody are counted on, and each second hit
//! is tried, also on those who came back. A recovery has points as well, its calls to the workers: it is killed at each of
//! them and run again.
//!
//! The live move is tried at every point. So are the cold move (local disk) and the powered-off move for both workers; of the
//! orchestrator's points, whose calls and records are those of the live move, every third is. Of the killed recoveries and of
//! the pairs every test run tries some, the same each time.
//!
//! ```text
//! MUSTER_CRASH_POINTS=all                           all points, and recovery killed everywhere
//! MUSTER_CRASH_POINTS=live/source/12/Before/GoesOn  one case; a pair's name stands for that pair
//! MUSTER_CRASH_PAIRS=1/10                           the first of ten shares of all pairs
//! ```
//! `cargo test --release -p muster-tests --test crash_points -- --ignored --nocapture every_pair` tries all pairs, or the share
//! that is named.
//!
//! What turns it red: a commit that doesn't wait for the proof that the source is gone, a run or a start that its worker
//! died in and nobody finishes, a step that can't be repeated, an intent that nobody ends, a wait without an end. Not a
//! missing floor: nothing here arrives late. The protocol's model does that.

#![allow(clippy::print_stdout, reason = "how many points were tried is this test's result")]

mod case;
mod ends;
mod pairs;
mod play;
mod tally;
mod twice;
mod wrong;

use case::{Besides, Kind, Points, Way, enumerate};
use muster_tests::Process;
use pairs::Share;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tally::{Tally, alone};

/// Names what is tried: `all`, or one case.
const WANTED: &str = "MUSTER_CRASH_POINTS";
/// Names the share of the pairs that is tried, as `1/10`.
const SHARE: &str = "MUSTER_CRASH_PAIRS";
/// Of the orchestrator's points in a thinned enumeration, every one of this many is tried.
const THINNED: u64 = 3;
/// After every case of this many the VM is moved back and forth.
const MOVED_BACK_EVERY: usize = 12;
/// Of the situations that a recovery begins in, every one of this many is tried in every test run; of the hits on each, every
/// one of the other many.
const RECOVERIES_THINNED: Share = Share { firsts: 5, number: 0, of: 5 };
/// The same for the first hits of pairs and the second ones.
const PAIRS_THINNED: Share = Share { firsts: 11, number: 0, of: 13 };

#[test]
fn a_live_move_survives_every_point_and_the_orchestrator_goes_on() {
    try_all(Kind::Live, Way::GoesOn, Besides::Nothing, 1);
}

#[test]
fn a_live_move_survives_every_point_and_is_recovered_without_the_orchestrator() {
    try_all(Kind::Live, Way::Recovered, Besides::Nothing, 1);
}

#[test]
fn a_cold_move_survives_and_the_orchestrator_goes_on() {
    try_all(Kind::Cold, Way::GoesOn, Besides::Nothing, THINNED);
}

#[test]
fn a_cold_move_survives_and_is_recovered_without_the_orchestrator() {
    try_all(Kind::Cold, Way::Recovered, Besides::Nothing, THINNED);
}

#[test]
fn a_powered_off_move_survives_and_the_orchestrator_goes_on() {
    try_all(Kind::Off, Way::GoesOn, Besides::Nothing, THINNED);
}

#[test]
fn a_powered_off_move_survives_and_is_recovered_without_the_orchestrator() {
    try_all(Kind::Off, Way::Recovered, Besides::Nothing, THINNED);
}

/// A process that dies often doesn't die alone. This is where paused would be taken for gone, and run twice.
#[test]
fn a_live_move_survives_with_the_sources_hypervisor_restarting_at_every_point() {
    try_all(Kind::Live, Way::GoesOn, Besides::DaemonRestarts, THINNED);
}

#[test]
fn a_live_move_is_recovered_with_the_sources_hypervisor_restarting_at_every_point() {
    try_all(Kind::Live, Way::Recovered, Besides::DaemonRestarts, THINNED);
}

/// A recovery is a process like any other: killed in the middle of it, it is run again.
#[test]
fn a_recovery_survives_being_killed_at_every_call_and_is_run_again() {
    let share = if wanted() == "all" { Share::ALL } else { RECOVERIES_THINNED };
    pairs::try_recoveries(share, &wanted());
}

#[test]
fn some_pairs_of_faults_are_survived() {
    pairs::try_pairs(PAIRS_THINNED, &wanted(), "some");
}

#[test]
#[ignore = "takes long; see docs/RELIABILITY.md"]
fn every_pair_of_faults_is_survived() {
    let given = std::env::var(SHARE).unwrap_or_else(|_| "1/1".to_owned());
    let share = Share::parse(&given).expect("a share like 1/10");
    pairs::try_pairs(share, &wanted(), &format!("every-{}", given.replace('/', "-of-")));
}

fn wanted() -> String {
    std::env::var(WANTED).unwrap_or_default()
}

/// What the dry run passes.
fn points_of(kind: Kind) -> Points {
    let points =
        alone(move || play::undisturbed(kind)).unwrap_or_else(|wrong| panic!("{kind:?}: the dry run: {wrong}"));
    let processes = [Process::Source, Process::Destination, Process::Orchestrator];
    assert!(processes.iter().all(|process| points[process].len() > 10), "too few to be a move's: {points:#?}");
    points
}

/// Tries every case of a kind, a way and each `nth` point; tells all that failed at once.
fn try_all(kind: Kind, way: Way, besides: Besides, nth: u64) {
    let wanted = wanted();
    let nth = if wanted == "all" { 1 } else { nth };
    let points = points_of(kind);
    if wanted == "none" {
        println!("{points:#?}");
    }
    let cases = enumerate(kind, way, besides, &points);
    let one = cases.iter().position(|case| case.name() == wanted);
    let mut tried: BTreeMap<Process, (BTreeSet<u64>, usize)> = BTreeMap::new();
    let mut tally = Tally::default();
    let mut longest = (Duration::ZERO, String::new());
    for (count, case) in cases.into_iter().enumerate() {
        let chosen = match one {
            Some(one) => one == count,
            None => wanted.is_empty() || wanted == "all",
        };
        let every = if case.process == Process::Orchestrator { nth } else { 1 };
        if !chosen || !case.hit.point.is_multiple_of(every) {
            continue;
        }
        let (tried_points, runs) = tried.entry(case.process).or_default();
        tried_points.insert(case.hit.point);
        *runs += 1;
        let moved_back = *runs % MOVED_BACK_EVERY == 1;
        let name = case.name();
        let played = alone(move || play::play(case, moved_back));
        longest = longest.max((tally.count(&name, played).unwrap_or_default(), name));
    }
    let run = format!("{kind:?}, {way:?}, {besides:?}");
    let mut figures = tally.published(&run.to_lowercase().replace(", ", "-")).row("runs", tally.runs);
    for (process, names) in &points {
        let (tried_points, runs) = tried.remove(process).unwrap_or_default();
        let counted = format!("{} of {} points, {runs} runs", tried_points.len(), names.len());
        println!("{run}, {}: {counted}", process.word());
        figures = figures.row(process.word(), counted);
    }
    println!("{run}: the longest took {:?} of simulated time: {}", longest.0, longest.1);
    figures.write();
    tally.judge();
}
