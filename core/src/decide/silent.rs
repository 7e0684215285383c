//! The destination does not answer: what the source alone proves. Nothing may be done on it but wait, and, past a short
//! patience, end the transfer of a running guest: arriving there it would stand still, with nobody to take it.
//!
//! An event needs the source gone first, so a source that runs, or that has a job under way, has not migrated.
//! Whatever has stopped may have been committed, or started by order, where nobody can look now.

use super::source::SourceStanding;
use super::{act, doubt, hold, wait};
use crate::definition::Mode;
use crate::evidence::{Evidence, Heard, Seal, SourceEvidence, SourceInstance, TransferTrace};
use crate::step::{Action, Decision, Hold, Wait};
use crate::verdict::{Doubt, Verdict};

pub(super) fn decide(mode: Mode, source: SourceStanding, evidence: &Evidence) -> Decision {
    let retired = matches!(evidence.source, Heard::Answer(answer) if answer.seal == Seal::Retired);
    match source {
        SourceStanding::Several => hold(Verdict::SplitBrain, Hold::SplitBrain),
        SourceStanding::Running | SourceStanding::Paused if retired => {
            doubt(Doubt::SourceAfterEvent, Hold::Contradiction)
        }
        SourceStanding::Running => hold(Verdict::NotMigrated, Hold::DestinationSilent),
        SourceStanding::Busy if evidence.past_deadline && sends_its_guest(mode, evidence) => {
            act(busy(mode, evidence), Action::AbortTransfer)
        }
        SourceStanding::Busy => wait(busy(mode, evidence), Wait::Job),
        SourceStanding::Gone if retired => hold(Verdict::FullyMigrated, Hold::DestinationSilent),
        SourceStanding::Silent
        | SourceStanding::Fenced
        | SourceStanding::Paused
        | SourceStanding::Gone
        | SourceStanding::Stopped
        | SourceStanding::ShutDown => doubt(Doubt::DestinationSilent, Hold::DestinationSilent),
    }
}

/// A live transfer is under way and the guest is still here. A cancel can lose to an arrival; then the source is gone
/// and waits. What moves by its disk stands still already: ending its copy would not let it run.
fn sends_its_guest(mode: Mode, evidence: &Evidence) -> bool {
    let Heard::Answer(SourceEvidence { seal, instance, .. }) = evidence.source else { return false };
    mode == Mode::Live
        && seal == Seal::Sealed(TransferTrace::Begun)
        && matches!(instance, SourceInstance::Running | SourceInstance::Paused)
}

/// A job or call under way at the source: most often the transfer, but it may also be what follows a handover.
fn busy(mode: Mode, evidence: &Evidence) -> Verdict {
    let unknown = Verdict::Indeterminate(Doubt::DestinationSilent);
    let Heard::Answer(SourceEvidence { seal, instance, .. }) = evidence.source else { return unknown };
    match seal {
        Seal::Unsealed | Seal::NotOnRoll => Verdict::NotMigrated,
        Seal::Sealed(_) => match instance {
            SourceInstance::Running | SourceInstance::Paused => Verdict::NotMigrated,
            SourceInstance::Stopped | SourceInstance::ShutDown if mode != Mode::Live => Verdict::NotMigrated,
            SourceInstance::Stopped
            | SourceInstance::ShutDown
            | SourceInstance::HostSilent
            | SourceInstance::Several => unknown,
        },
        Seal::Gone { .. } => unknown,
        Seal::Retired => match instance {
            SourceInstance::Stopped | SourceInstance::ShutDown | SourceInstance::HostSilent => Verdict::FullyMigrated,
            SourceInstance::Running | SourceInstance::Paused | SourceInstance::Several => {
                Verdict::Indeterminate(Doubt::SourceAfterEvent)
            }
        },
        Seal::Closed => match instance {
            SourceInstance::Running | SourceInstance::Paused => Verdict::NotMigrated,
            SourceInstance::Stopped
            | SourceInstance::ShutDown
            | SourceInstance::HostSilent
            | SourceInstance::Several => unknown,
        },
    }
}
