//! How cases are run, what they add up to, and who fails.

use crate::play::in_a_world_of_its_own;
use crate::wrong::Wrong;
use muster_tests::players::{GivenUp, in_a_thread};
use muster_tests::published::{Published, Zeros};
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

/// Plays in a thread and a world of its own, and fails what doesn't end.
pub(crate) fn alone<T, F>(case: impl FnOnce() -> F + Send + 'static) -> Result<T, Wrong>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Wrong>>,
{
    match in_a_thread(CASE_LONGEST, move || in_a_world_of_its_own(case())) {
        Ok(outcome) => outcome,
        Err(GivenUp::NeverEnds) => Err("never ends".to_owned().into()),
        Err(GivenUp::Panicked(words)) => Err(format!("panicked: {words}").into()),
    }
}
