//! What came of a run of the suite, as it is printed.

use serde::Serialize;

/// A site, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its name.
    pub site: String,
    /// Its software's version.
    pub version: String,
    /// Every case, in the order in which they were run.
    pub cases: Vec<CaseReport>,
    /// What the suite could not take back by the protocol.
    pub left: Vec<String>,
}

impl Report {
    /// How many cases ended like this.
    #[must_use]
    pub fn count(&self, result: CaseResult) -> usize {
        self.cases.iter().filter(|case| case.result == result).count()
    }
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its name, stable, for programs.
    pub case: &'static str,
    /// The protocol's sentence.
    pub demand: &'static str,
    /// How it ended.
    pub result: CaseResult,
    /// What was seen instead, or why it was not checked; absent if it passed.
    pub why: Option<String>,
    /// What was sent and what came, oldest first: at most [`super::EXCHANGES_MAX`].
    pub exchanges: Vec<Exchange>,
    /// How many more exchanges there were.
    pub exchanges_left_out: usize,
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseResult {
    /// The promise is kept.
    Passed,
    /// It is broken.
    Failed,
    /// Nothing was learnt: what the case needs is not there.
    NotChecked,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// What was sent, and to whom.
    pub sent: String,
    /// What came.
    pub came: String,
}
