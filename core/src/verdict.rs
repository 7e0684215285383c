//! What the evidence proves about one VM.
//!
//! The first four verdicts are the procedure of US 2015/0378759 (granted as US 9,336,039): started record,
//! placeholder, completion event, all at the destination. The others come from looking at both sides.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is proven about one VM of an evacuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// On the roll, no started record: it is at the source, nothing of it has begun.
    NotStarted,
    /// A move was begun and it has not migrated: it is the source's.
    NotMigrated,
    /// Its memory is whole at the destination, still paused, and the source is proven gone: only the event is missing.
    /// DESIGN §3 calls this evidence "handover"; it is no doubt, so it is not `Indeterminate`.
    HandedOver,
    /// A completion event stands: it is at the destination for good.
    FullyMigrated,
    /// Its running state is gone on both sides; a disk is good.
    MemoryLost,
    /// Two copies run.
    SplitBrain,
    /// Two different truths fit the same evidence, or the evidence contradicts itself.
    Indeterminate(Doubt),
}

/// Why a verdict can't be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Doubt {
    /// A copy is, or may be, whole at the destination, and the source does not answer.
    SourceSilent,
    /// The source has stopped or is unreadable, and the destination does not answer.
    DestinationSilent,
    /// The host that the copy was sent to does not answer.
    DestinationHostSilent,
    /// The hypervisors are between "memory arrived" and "source gone": either may still be the one to run.
    HandoverUnderWay,
    /// The copy runs without an event, and it isn't proven that the source has stopped.
    RunsWithoutEvent,
    /// An event stands, but no such VM is at the destination.
    EventWithoutVm,
    /// An event stands, yet the source has an instance again.
    SourceAfterEvent,
    /// What is at the destination belongs to no evacuation.
    ForeignCopy,
    /// A copy of an attempt that was given up runs.
    AbandonedCopyRuns,
    /// The two sides' records can't both be true.
    RecordsDisagree,
}

impl Verdict {
    /// The name of every verdict.
    pub const NAMES: [&'static str; 7] =
        ["NotStarted", "NotMigrated", "HandedOver", "FullyMigrated", "MemoryLost", "SplitBrain", "Indeterminate"];

    /// The verdict's name without its reason: the key of counts and of filters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::NotStarted => "NotStarted",
            Verdict::NotMigrated => "NotMigrated",
            Verdict::HandedOver => "HandedOver",
            Verdict::FullyMigrated => "FullyMigrated",
            Verdict::MemoryLost => "MemoryLost",
            Verdict::SplitBrain => "SplitBrain",
            Verdict::Indeterminate(_) => "Indeterminate",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Doubt {
    /// Every doubt there is.
    pub const ALL: [Doubt; 10] = [
        Doubt::SourceSilent,
        Doubt::DestinationSilent,
        Doubt::DestinationHostSilent,
        Doubt::HandoverUnderWay,
        Doubt::RunsWithoutEvent,
        Doubt::EventWithoutVm,
        Doubt::SourceAfterEvent,
        Doubt::ForeignCopy,
        Doubt::AbandonedCopyRuns,
        Doubt::RecordsDisagree,
    ];

    /// The doubt in a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Doubt::SourceSilent => "the source does not answer, and a copy is or may be whole at the destination",
            Doubt::DestinationSilent => "the destination does not answer, and the source doesn't run the VM",
            Doubt::DestinationHostSilent => "the destination host that the copy was sent to does not answer",
            Doubt::HandoverUnderWay => {
                "memory has arrived and the source has not let go yet; either may be the one to run"
            }
            Doubt::RunsWithoutEvent => {
                "the copy runs at the destination without a completion event, and the source is not proven gone"
            }
            Doubt::EventWithoutVm => "a completion event stands, but the VM is not on the destination's hosts",
            Doubt::SourceAfterEvent => "a completion event stands, yet the source holds an instance of the VM again",
            Doubt::ForeignCopy => "a VM with this UUID is at the destination that no evacuation put there",
            Doubt::AbandonedCopyRuns => "a copy that was given up runs at the destination",
            Doubt::RecordsDisagree => "the records of the two sites can't both be true",
        }
    }
}
