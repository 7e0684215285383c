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
//! The live move is tried at every point. So are the cold move (local disk) and the powered-off move for both workers; of the
//! orchestrator's points, whose calls and records are those of the live move, every third is.
//! `MUSTER_CRASH_POINTS=all` tries all of these as well; `MUSTER_CRASH_POINTS="live/source/12/Before/GoesOn"` tries one case
//! and prints what happened.
//!
//! What turns it red: a commit that doesn't wait for the proof that the source is gone, a run or a start that its worker
//! died in and nobody finishes, a step that can't be repeated, an intent that nobody ends, a wait without an end. Not a
//! missing floor: nothing here arrives late. The protocol's model does that.

#![allow(clippy::print_stdout, reason = "how many points were tried is this test's result")]

mod case;
mod ends;
mod play;

use case::{Besides, Kind, Way, enumerate};
use muster_tests::Process;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

/// The real time that a single case may take before it counts as one that never ends.
const CASE_LONGEST: Duration = Duration::from_secs(60);
/// Of the orchestrator's points in a thinned enumeration, every one of this many is tried.
const THINNED: u64 = 3;
/// After every case of this many the VM is moved back and forth.
const MOVED_BACK_EVERY: usize = 12;

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

/// Tries every case of a kind, a way and each `nth` point; tells all that failed at once.
fn try_all(kind: Kind, way: Way, besides: Besides, nth: u64) {
    let wanted = std::env::var("MUSTER_CRASH_POINTS").unwrap_or_default();
    let nth = if wanted == "all" { 1 } else { nth };
    let points = within(CASE_LONGEST, &format!("{kind:?}: the dry run"), move || {
        play::in_a_world_of_its_own(play::undisturbed(kind))
    });
    let points = points.unwrap_or_else(|failure| panic!("{failure}"));
    if wanted == "none" {
        println!("{points:#?}");
    }
    let processes = [Process::Source, Process::Destination, Process::Orchestrator];
    assert!(processes.iter().all(|process| points[process].len() > 10), "too few to be a move's: {points:#?}");
    let cases = enumerate(kind, way, besides, &points);
    let one = cases.iter().position(|case| case.name() == wanted);
    let mut tried: BTreeMap<&str, (BTreeSet<u64>, usize)> = BTreeMap::new();
    let mut failures = Vec::new();
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
        let (tried_points, runs) = tried.entry(case.process_word()).or_default();
        tried_points.insert(case.hit.point);
        *runs += 1;
        let moved_back = *runs % MOVED_BACK_EVERY == 1;
        let name = case.name();
        let played = within(CASE_LONGEST, &name, move || play::in_a_world_of_its_own(play::play(case, moved_back)));
        match played {
            Ok(lasted) => longest = longest.max((lasted, name)),
            Err(failure) => {
                println!("FAILED {failure}\n");
                failures.push(name);
            }
        }
    }
    for (process, names) in &points {
        let word = case::word(*process);
        let (tried_points, runs) = tried.remove(word).unwrap_or_default();
        println!(
            "{kind:?}, {way:?}, {besides:?}, {word}: {} of {} points, {runs} runs",
            tried_points.len(),
            names.len()
        );
    }
    println!("{kind:?}, {way:?}, {besides:?}: the longest took {:?} of simulated time: {}", longest.0, longest.1);
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
}

/// Runs a case in a thread of its own, and fails it if it doesn't end: paused time can't end a loop that never waits.
fn within<T: Send + 'static>(
    longest: Duration,
    name: &str,
    case: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(case());
    });
    match receiver.recv_timeout(longest) {
        Ok(outcome) => outcome.map_err(|failure| format!("{name}: {failure}")),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("{name}: never ends")),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = thread.join().err();
            let words = panic.as_ref().and_then(|panic| {
                panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            });
            Err(format!("{name}: panicked: {}", words.unwrap_or_default()))
        }
    }
}
