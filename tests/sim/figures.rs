//! What plays add up to, and the table of a run as docs/RELIABILITY.md has it.

use muster_core::verdict::Verdict;
use muster_tests::circumstances::{machine, today};
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

    /// The table of a run. `commit` is what it began with; `failed` are the seeds that did not come through.
    pub(crate) fn table(&self, commit: &str, failed: &[u64], elapsed: Duration) -> String {
        let came_through = if failed.is_empty() { "all".to_owned() } else { format!("not {failed:?}") };
        let mut rows = vec![
            ("date".to_owned(), today()),
            ("commit".to_owned(), commit.to_owned()),
            ("machine".to_owned(), machine()),
            ("seeds".to_owned(), self.seeds.to_string()),
            ("came through".to_owned(), came_through),
            ("evacuations".to_owned(), self.evacuations.to_string()),
            ("moves".to_owned(), self.moves.to_string()),
            ("migrated, stayed".to_owned(), format!("{}, {}", self.migrated, self.stayed)),
            ("faults".to_owned(), format!("{}, one for {:.2} moves", self.all_faults(), self.moves_per_fault())),
        ];
        rows.extend(self.faults.iter().map(|(name, count)| (format!("· {name}"), count.to_string())));
        rows.extend([
            ("finished by `recover --apply`".to_owned(), self.recoveries.to_string()),
            ("held moves a person looked after".to_owned(), self.helped.to_string()),
            ("roll calls in the middle of it".to_owned(), self.roll_calls.to_string()),
            ("verdicts judged".to_owned(), self.verdicts.values().sum::<u64>().to_string()),
        ]);
        rows.extend(self.verdicts.iter().map(|(name, count)| (format!("· {name}"), count.to_string())));
        rows.extend([
            ("**wrong verdicts**".to_owned(), self.wrong_verdicts.to_string()),
            ("**ran twice**".to_owned(), self.ran_twice.to_string()),
            ("**lost**".to_owned(), self.lost.to_string()),
            ("**never settled**".to_owned(), self.never_settled.to_string()),
            ("simulated".to_owned(), format!("{} h", self.simulated_ms / 3_600_000)),
            ("elapsed".to_owned(), format!("{} s", elapsed.as_secs())),
        ]);
        let rows: Vec<String> = rows.iter().map(|(what, value)| format!("| {what} | {value} |")).collect();
        format!("| | |\n|---|---|\n{}", rows.join("\n"))
    }

    fn moves_per_fault(&self) -> f64 {
        self.moves as f64 / self.all_faults().max(1) as f64
    }
}

#[test]
fn a_failed_seed_stands_in_the_table() {
    let total = Figures { moves: 100, wrong_verdicts: 3, faults: [("a", 40)].into(), ..Figures::default() };
    let text = total.table("abc", &[32], Duration::from_secs(700));
    assert!(text.contains("| came through | not [32] |") && text.contains("| **wrong verdicts** | 3 |"), "{text}");
    assert!(text.contains("| faults | 40, one for 2.50 moves |") && text.contains("| · a | 40 |"), "{text}");
}
