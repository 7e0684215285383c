//! The destination does not answer: what the source alone proves. Nothing may be done on it but wait.
//!
//! An event needs the source gone first, so a source that runs, or that has a job under way, has not migrated.
//! Whatever has stopped may have been committed, or started by order, where nobody can look now.

use super::source::SourceStanding;
use super::{doubt, hold, wait};
use crate::evidence::{Evidence, Heard, Seal};
use crate::step::{Decision, Hold, Wait};
use crate::verdict::{Doubt, Verdict};

pub(super) fn decide(source: SourceStanding, evidence: &Evidence) -> Decision {
    let retired = matches!(evidence.source, Heard::Answer(answer) if answer.seal == Seal::Retired);
    match source {
        SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        SourceStanding::Running if retired => doubt(Doubt::SourceAfterEvent, Hold::Contradiction),
        SourceStanding::Running => hold(Verdict::NotMigrated, Hold::DestinationSilent),
        SourceStanding::Busy => wait(Verdict::NotMigrated, Wait::Job),
        SourceStanding::Gone if retired => hold(Verdict::FullyMigrated, Hold::DestinationSilent),
        SourceStanding::Silent
        | SourceStanding::Fenced
        | SourceStanding::Paused
        | SourceStanding::Gone
        | SourceStanding::Stopped => doubt(Doubt::DestinationSilent, Hold::DestinationSilent),
    }
}
