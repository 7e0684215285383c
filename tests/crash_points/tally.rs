//! How cases are run, what they add up to, and who fails.

use crate::play::in_a_world_of_its_own;
use crate::wrong::Wrong;
use muster_tests::published::{Published, Zeros};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// The real time that a single case may take before it counts as one that never ends.
const CASE_LONGEST: Duration = Duration::from_secs(60);
/// Most failures that are told in full.
const TOLD_MAX: usize = 8;

/// What a run adds up to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    zeros: Zeros,
    failed: Vec<String>,
}

impl Tally {
    /// Counts a run that came out like this.
    pub(crate) fn count<T>(&mut self, name: &str, outcome: Result<T, Wrong>) -> Option<T> {
        self.runs += 1;
        match outcome {
            Ok(value) => Some(value),
            Err(wrong) => {
                wrong.count(&mut self.zeros);
                if self.failed.len() < TOLD_MAX {
                    println!("FAILED {name} ({:?}): {wrong}\n", wrong.counts_as);
                } else {
                    println!("FAILED {name} ({:?})", wrong.counts_as);
                }
                self.failed.push(name.to_owned());
                None
            }
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
        self.runs += other.runs;
        self.zeros.wrong_verdicts += other.zeros.wrong_verdicts;
        self.zeros.ran_twice += other.zeros.ran_twice;
        self.zeros.lost += other.zeros.lost;
        self.zeros.never_settled += other.zeros.never_settled;
        self.failed.extend(other.failed);
    }

    /// Its figures under this name.
    pub(crate) fn published(&self, run: &str) -> Published {
        Published::now("crash_points", run, self.zeros)
    }

    /// Fails where anything has.
    pub(crate) fn judge(&self) {
        let Tally { failed, runs, .. } = self;
        assert!(failed.is_empty(), "{} of {runs} failed:\n{}", failed.len(), failed.join("\n"));
    }
}

/// Does this for each of these on all cores, and returns what came of them in their order.
pub(crate) fn side_by_side<I: Sync, O: Send>(all: &[I], play: impl Fn(usize, &I) -> O + Sync) -> Vec<O> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let mut played: Vec<(usize, O)> = std::thread::scope(|scope| {
        let player = || {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(one) = all.get(number) else { return mine };
                mine.push((number, play(number, one)));
            }
        };
        let players: Vec<_> = (0..cores).map(|_| scope.spawn(player)).collect();
        players.into_iter().flat_map(|player| player.join().expect("a player")).collect()
    });
    played.sort_by_key(|(number, _)| *number);
    played.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Plays in a thread and a world of its own, and fails what doesn't end: paused time can't end a loop that never waits.
pub(crate) fn alone<T, F>(case: impl FnOnce() -> F + Send + 'static) -> Result<T, Wrong>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Wrong>>,
{
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(in_a_world_of_its_own(case()));
    });
    match receiver.recv_timeout(CASE_LONGEST) {
        Ok(outcome) => outcome,
        Err(mpsc::RecvTimeoutError::Timeout) => Err("never ends".to_owned().into()),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = thread.join().err();
            let words = panic.as_ref().and_then(|panic| {
                panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            });
            Err(format!("panicked: {}", words.unwrap_or_default()).into())
        }
    }
}
