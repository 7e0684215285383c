//! What plays add up to, and what of it docs/RELIABILITY.md has.

use muster_core::verdict::Verdict;
use muster_tests::published::{Published, Zeros};
use std::collections::BTreeMap;
use std::time::Duration;

/// Figures of one play, or of many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) seeds: u64,
    pub(crate) evacuations: u64,
    pub(crate) moves: u64,
    pub(crate) migrated: u64,
    pub(crate) stayed: u64,
    pub(crate) attempts: u64,
    /// Those that were made, by their kind.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Held moves that a person looked after.
    pub(crate) helped: u64,
    /// Evacuations that a recovery finished without the orchestrator.
    pub(crate) recoveries: u64,
    pub(crate) roll_calls: u64,
    /// Roll calls of which the destination knew nothing or said nothing.
    pub(crate) unanswered: u64,
    /// By their name; a doubt with its reason.
    pub(crate) verdicts: BTreeMap<String, u64>,
    pub(crate) wrong_verdicts: u64,
    pub(crate) ran_twice: u64,
    pub(crate) lost: u64,
    pub(crate) never_settled: u64,
    pub(crate) simulated_ms: u64,
}

impl Figures {
    pub(crate) fn count_fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    pub(crate) fn count_verdict(&mut self, verdict: Verdict) {
        let name = match verdict {
            Verdict::Indeterminate(doubt) => format!("{} ({doubt:?})", verdict.name()),
            Verdict::NotStarted
            | Verdict::NotMigrated
            | Verdict::HandedOver
            | Verdict::FullyMigrated
            | Verdict::MemoryLost
            | Verdict::SplitBrain => verdict.name().to_owned(),
        };
        *self.verdicts.entry(name).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Figures) {
        self.seeds += other.seeds;
        self.evacuations += other.evacuations;
        self.moves += other.moves;
        self.migrated += other.migrated;
        self.stayed += other.stayed;
        self.attempts += other.attempts;
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        self.helped += other.helped;
        self.recoveries += other.recoveries;
        self.roll_calls += other.roll_calls;
        self.unanswered += other.unanswered;
        for (verdict, count) in &other.verdicts {
            *self.verdicts.entry(verdict.clone()).or_default() += count;
        }
        self.wrong_verdicts += other.wrong_verdicts;
        self.ran_twice += other.ran_twice;
        self.lost += other.lost;
        self.never_settled += other.never_settled;
        self.simulated_ms += other.simulated_ms;
    }

    pub(crate) fn all_faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// What a run has found. `commit` is what it began with; `failed` are the seeds that did not come through.
    pub(crate) fn published(&self, run: &str, commit: &str, failed: &[u64], elapsed: Duration) -> Published {
        let came_through = if failed.is_empty() { "all".to_owned() } else { format!("not {failed:?}") };
        let zeros = Zeros {
            wrong_verdicts: self.wrong_verdicts,
            ran_twice: self.ran_twice,
            lost: self.lost,
            never_settled: self.never_settled,
        };
        let mut published = Published { commit: commit.to_owned(), ..Published::now("sim", run, zeros) }
            .row("seeds", self.seeds)
            .row("came through", came_through)
            .row("evacuations", self.evacuations)
            .row("moves", self.moves)
            .row("migrated, stayed", format!("{}, {}", self.migrated, self.stayed))
            .row("faults", format!("{}, one for {:.2} moves", self.all_faults(), self.moves_per_fault()));
        for (name, count) in &self.faults {
            published = published.row(&format!("· {name}"), count);
        }
        published = published
            .row("finished by `recover --apply`", self.recoveries)
            .row("held moves a person looked after", self.helped)
            .row("roll calls in the middle of it", self.roll_calls)
            .row("verdicts judged", self.verdicts.values().sum::<u64>());
        for (name, count) in &self.verdicts {
            published = published.row(&format!("· {name}"), count);
        }
        published
            .row("simulated", format!("{} h", self.simulated_ms / 3_600_000))
            .row("elapsed", format!("{} s", elapsed.as_secs()))
    }

    fn moves_per_fault(&self) -> f64 {
        self.moves as f64 / self.all_faults().max(1) as f64
    }
}

#[test]
fn a_failed_seed_stands_in_the_table() {
    let total = Figures { moves: 100, wrong_verdicts: 3, faults: [("a", 40)].into(), ..Figures::default() };
    let published = total.published("a_run", "abc", &[32], Duration::from_secs(700));
    assert_eq!(published.zeros, Zeros { wrong_verdicts: 3, ..Zeros::default() });
    let text = published.table();
    assert!(text.contains("| came through | not [32] |") && text.contains("| **wrong verdicts** | 3 |"), "{text}");
    assert!(text.contains("| faults | 40, one for 2.50 moves |") && text.contains("| · a | 40 |"), "{text}");
}
