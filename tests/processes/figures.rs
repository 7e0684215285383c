//! What evacuations add up to.

use crate::plan::Part;
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
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) evacuations: u64,
    pub(crate) vms: u64,
    pub(crate) migrated: u64,
    pub(crate) attempts: u64,
    pub(crate) kills: Kills,
    pub(crate) recoveries: u64,
    pub(crate) roll_calls: u64,
    pub(crate) verdicts: u64,
    pub(crate) doubts: u64,
    /// Of these, those left by a worker that was just coming back; the roll was called again then.
    pub(crate) unanswered: u64,
    pub(crate) wrong_verdicts: u64,
    pub(crate) ran_twice: u64,
    pub(crate) lost: u64,
    pub(crate) stale: u64,
    pub(crate) elapsed_ms: u64,
}

impl Figures {
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
        self.verdicts += other.verdicts;
        self.doubts += other.doubts;
        self.unanswered += other.unanswered;
        self.wrong_verdicts += other.wrong_verdicts;
        self.ran_twice += other.ran_twice;
        self.lost += other.lost;
        self.stale += other.stale;
        self.elapsed_ms += other.elapsed_ms;
    }

    /// Whether anything was counted that may never be.
    pub(crate) fn is_harmed(&self) -> bool {
        self.wrong_verdicts + self.ran_twice + self.lost + self.stale > 0 || self.migrated != self.vms
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kills { orchestrator, source, destination, recovery, under_way } = self.kills;
        let all = orchestrator + source + destination + recovery;
        write!(
            formatter,
            "{} evacuations, {} VMs, {} migrated in {} attempts; {all} kills: {orchestrator} orchestrators, {source} \
             source workers, {destination} destination workers, {recovery} recoveries; {under_way} while VMs had still to arrive; {} finished by recovery; {} \
             verdicts in {} roll calls, {} of them in doubt ({} unanswered); {} wrong verdicts, {} ran twice, {} lost, {} ran stale; \
             {} ms each in the mean",
            self.evacuations,
            self.vms,
            self.migrated,
            self.attempts,
            self.recoveries,
            self.verdicts,
            self.roll_calls,
            self.doubts,
            self.unanswered,
            self.wrong_verdicts,
            self.ran_twice,
            self.lost,
            self.stale,
            self.elapsed_ms / self.evacuations.max(1)
        )
    }
}
