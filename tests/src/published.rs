//! What a run found, written down so that docs/RELIABILITY.md and its gate can be made from it.
//!
//! Where [`FIGURES`] names a directory, every run that measures reliability leaves one JSON file there. It is written whether
//! the run came through or not, before the run fails: what isn't zero must be seen.

use crate::circumstances::{commit, machine, today};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Names the directory that figures are written to.
pub const FIGURES: &str = "MUSTER_FIGURES";

/// The suite that is no test: what cargo-mutants finds.
pub const MUTANTS: &str = "mutants";

/// One run's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// What kind of run: `sim`, `model`, `crash_points`, `processes`, `reality`, `fuzz`, `mutants`.
    pub suite: String,
    /// Which of that kind, as its file is named.
    pub run: String,
    /// When it ended, as `YYYY-MM-DD`.
    pub date: String,
    /// The code.
    pub commit: String,
    /// Cores and memory.
    pub machine: String,
    /// Rows of its table, in order: what was counted, and how much of it.
    pub rows: Vec<(String, String)>,
    /// What must be zero.
    pub zeros: Zeros,
}

/// What must be zero in every run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zeros {
    /// Verdicts that the truth contradicts, or doubts that nothing bears out.
    pub wrong_verdicts: u64,
    /// VMs that two hosts ran at some time.
    pub ran_twice: u64,
    /// VMs that nobody has any more.
    pub lost: u64,
    /// Moves that came to no end after the faults had ended.
    pub never_settled: u64,
}

impl Zeros {
    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }

    /// Each with its name, as tables have it.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 4] {
        let Zeros { wrong_verdicts, ran_twice, lost, never_settled } = *self;
        [("wrong verdicts", wrong_verdicts), ("ran twice", ran_twice), ("lost", lost), ("never settled", never_settled)]
    }
}

impl Published {
    /// Figures of a run that ends now.
    #[must_use]
    pub fn now(suite: &str, run: &str, zeros: Zeros) -> Self {
        let (suite, run) = (suite.to_owned(), run.to_owned());
        Published { suite, run, date: today(), commit: commit(), machine: machine(), rows: Vec::new(), zeros }
    }

    /// With one more row.
    #[must_use]
    pub fn row(mut self, what: &str, value: impl ToString) -> Self {
        self.rows.push((what.to_owned(), value.to_string()));
        self
    }

    /// Its table, as a run prints it.
    #[must_use]
    pub fn table(&self) -> String {
        let rows = self.all_rows().into_iter().map(|(what, value)| format!("| {what} | {value} |"));
        format!("| | |\n|---|---|\n{}", rows.collect::<Vec<_>>().join("\n"))
    }

    /// Its rows between when, where and with what it was, and what must be zero. Mutants are no evacuations: that nothing was
    /// lost says nothing of them.
    #[must_use]
    pub fn all_rows(&self) -> Vec<(String, String)> {
        let row = |what: &str, value: &str| (what.to_owned(), value.to_owned());
        let mut rows = vec![row("date", &self.date), row("commit", &self.commit), row("machine", &self.machine)];
        rows.extend(self.rows.iter().cloned());
        if self.suite != MUTANTS {
            rows.extend(self.zeros.named().map(|(what, count)| (format!("**{what}**"), count.to_string())));
        }
        rows
    }

    /// Writes it to where [`FIGURES`] says, if that says anything.
    ///
    /// # Panics
    /// Where it can't be written.
    pub fn write(&self) {
        if let Some(directory) = std::env::var_os(FIGURES).map(PathBuf::from) {
            self.write_to(&directory);
        }
    }

    /// Writes it to a directory.
    ///
    /// # Panics
    /// Where it can't be written.
    pub fn write_to(&self, directory: &Path) {
        std::fs::create_dir_all(directory).expect("a directory for figures");
        let text = serde_json::to_string_pretty(self).expect("figures are JSON");
        let path = directory.join(format!("{}-{}.json", self.suite, self.run));
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
