//! How often a target is tried, what once failed, and what is written down of it.

use muster_tests::published::{Published, Zeros};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// Says how often each target is tried.
const CASES: &str = "MUSTER_FUZZ_CASES";

/// What a target is.
pub(crate) struct Target {
    /// Its name: that of its figures.
    pub(crate) name: &'static str,
    /// Where what failed is kept.
    pub(crate) regressions: &'static str,
    /// Cases of every test run.
    pub(crate) few: u32,
    /// Of so many ordered cases it tries one: those of a slow target are long.
    pub(crate) of_ordered: u32,
}

/// What a run counts besides its cases.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Inputs that were taken.
    pub(crate) taken: AtomicU64,
    /// Inputs that were refused.
    pub(crate) refused: AtomicU64,
}

impl Counts {
    pub(crate) fn count(&self, is_taken: bool) {
        let counter = if is_taken { &self.taken } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where a target's failures are kept.
macro_rules! regressions {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/regressions/", $name, ".txt")
    };
}
pub(crate) use regressions;

/// Tries a target.
///
/// # Panics
/// Where a case fails, with the least that still does.
pub(crate) fn run<S: Strategy<Value: Debug>>(
    target: &Target,
    strategy: &S,
    tried: impl Fn(S::Value, &Counts) -> Result<(), TestCaseError>,
) {
    let ordered = std::env::var(CASES).ok().map(|text| text.parse::<u32>().expect("a number of cases"));
    let cases = ordered.map_or(target.few, |cases| (cases / target.of_ordered).max(1));
    let config = Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(target.regressions))),
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let (counts, executions, began) = (Counts::default(), AtomicU64::new(0), Instant::now());
    let outcome = TestRunner::new(config).run(strategy, |case| {
        executions.fetch_add(1, Ordering::Relaxed);
        tried(case, &counts)
    });
    let (taken, refused) = (counts.taken.into_inner(), counts.refused.into_inner());
    let published = Published::now("fuzz", target.name, Zeros::default())
        .row("executions", executions.into_inner())
        .row("inputs taken", taken)
        .row("inputs refused", refused)
        .row("failures", u32::from(outcome.is_err()))
        .row("elapsed", format!("{} s", began.elapsed().as_secs()));
    published.write();
    if let Err(failure) = outcome {
        panic!("{}: {failure}", target.name);
    }
    // What nothing gets past tests nothing, and what takes everything refuses nothing.
    assert!(
        taken > 0 && (refused > 0 || target.name == "deciding"),
        "{}: {taken} taken, {refused} refused",
        target.name
    );
}
