//! What evacuations add up to.

use crate::plan::Part;
use muster_core::verdict::Verdict;
use std::collections::BTreeMap;
use std::fmt;

/// Kills with SIGKILL, by who was killed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kills {
    pub(crate) orchestrator: u64,
    pub(crate) source: u64,
    pub(crate) destination: u64,
    pub(crate) recovery: u64,
    /// Of all these, those that fell while VMs had still to arrive.
    pub(crate) under_way: u64,
}

impl Kills {
    pub(crate) fn count(&mut self, part: Part) {
        match part {
            Part::Orchestrator => self.orchestrator += 1,
            Part::Source => self.source += 1,
            Part::Destination => self.destination += 1,
        }
    }
}

/// Figures of one evacuation, or of many.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    pub(crate) evacuations: u64,
    pub(crate) vms: u64,
    pub(crate) migrated: u64,
    pub(crate) attempts: u64,
    pub(crate) kills: Kills,
    pub(crate) recoveries: u64,
    pub(crate) roll_calls: u64,
    /// By their name; a doubt with its reason.
    pub(crate) verdicts: BTreeMap<String, u64>,
    pub(crate) wrong_verdicts: u64,
    pub(crate) ran_twice: u64,
    pub(crate) lost: u64,
    pub(crate) stale: u64,
    pub(crate) elapsed_ms: u64,
    pub(crate) elapsed_max_ms: u64,
}

impl Kills {
    pub(crate) fn all(&self) -> u64 {
        self.orchestrator + self.source + self.destination + self.recovery
    }
}

impl Figures {
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
        self.evacuations += other.evacuations;
        self.vms += other.vms;
        self.migrated += other.migrated;
        self.attempts += other.attempts;
        self.kills.orchestrator += other.kills.orchestrator;
        self.kills.source += other.kills.source;
        self.kills.destination += other.kills.destination;
        self.kills.recovery += other.kills.recovery;
        self.kills.under_way += other.kills.under_way;
        self.recoveries += other.recoveries;
        self.roll_calls += other.roll_calls;
        for (verdict, count) in &other.verdicts {
            *self.verdicts.entry(verdict.clone()).or_default() += count;
        }
        self.wrong_verdicts += other.wrong_verdicts;
        self.ran_twice += other.ran_twice;
        self.lost += other.lost;
        self.stale += other.stale;
        self.elapsed_ms += other.elapsed_ms;
        self.elapsed_max_ms = self.elapsed_max_ms.max(other.elapsed_ms);
    }

    /// Whether anything was counted that may never be.
    pub(crate) fn is_harmed(&self) -> bool {
        self.wrong_verdicts + self.ran_twice + self.lost + self.stale > 0 || self.migrated != self.vms
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kills { orchestrator, source, destination, recovery, under_way } = self.kills;
        write!(
            formatter,
            "evacuations {}, VMs {}, migrated {}, attempts {}; killed {}: orchestrator {orchestrator}, source's worker \
             {source}, destination's worker {destination}, recovery {recovery}; while VMs had still to arrive \
             {under_way}; finished by recovery {}; roll calls {}, verdicts {}: {}; wrong verdicts {}, ran twice {}, lost \
             {}, ran stale {}; {} ms in the mean",
            self.evacuations,
            self.vms,
            self.migrated,
            self.attempts,
            self.kills.all(),
            self.recoveries,
            self.roll_calls,
            self.verdicts.values().sum::<u64>(),
            listed(&self.verdicts),
            self.wrong_verdicts,
            self.ran_twice,
            self.lost,
            self.stale,
            self.elapsed_ms / self.evacuations.max(1)
        )
    }
}

/// What was counted, each with its number.
pub(crate) fn listed(counts: &BTreeMap<String, u64>) -> String {
    let each: Vec<String> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    each.join(", ")
}
