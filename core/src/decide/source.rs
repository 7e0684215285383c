//! What the source's answer amounts to. Decides nothing about the VM; never takes "paused" or "off" for "gone".

use crate::definition::Mode;
use crate::evidence::{Evidence, Heard, Seal, SourceEvidence, SourceInstance};

/// Where the source stands, all its readings taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceStanding {
    /// No answer from the site or from the host that has the VM, and nobody has sworn that it is fenced.
    Silent,
    /// No answer, and somebody has sworn that it can't run anything.
    Fenced,
    /// A job or a call is under way: whatever shows now says nothing yet.
    Busy,
    /// The guest runs.
    Running,
    /// The guest is paused and no job is on it.
    Paused,
    /// Proven to have stopped after handing over the recorded attempt, or retired.
    Gone,
    /// No instance, and no proof why: it may have crashed, or run on after a handover and crashed then.
    Stopped,
    /// It was to be moved running, and it was shut down in order instead, here: nothing was lost, and nobody wants it
    /// started. What moves by its disk muster shuts down itself: that is merely stopped.
    ShutDown,
    /// It runs on more than one of the source's hosts.
    Several,
}

impl SourceStanding {
    pub(super) fn of(mode: Mode, evidence: &Evidence) -> Self {
        match evidence.source {
            Heard::Silent => silent(evidence.source_fenced),
            Heard::Answer(source) => answered(mode, source, evidence.source_fenced),
        }
    }
}

fn silent(fenced: bool) -> SourceStanding {
    if fenced { SourceStanding::Fenced } else { SourceStanding::Silent }
}

fn answered(mode: Mode, source: SourceEvidence, fenced: bool) -> SourceStanding {
    match source.instance {
        SourceInstance::Several => SourceStanding::Several,
        SourceInstance::Running
        | SourceInstance::Paused
        | SourceInstance::Stopped
        | SourceInstance::ShutDown
        | SourceInstance::HostSilent
            if source.busy =>
        {
            SourceStanding::Busy
        }
        SourceInstance::Running => SourceStanding::Running,
        SourceInstance::Paused => SourceStanding::Paused,
        SourceInstance::Stopped | SourceInstance::ShutDown if proves_gone(source.seal) => SourceStanding::Gone,
        SourceInstance::ShutDown if mode == Mode::Live && !was_let_go(source.seal) => SourceStanding::ShutDown,
        SourceInstance::Stopped | SourceInstance::ShutDown => SourceStanding::Stopped,
        // The proof is durable, and a sealed copy can't come back with its host: the host need not answer.
        SourceInstance::HostSilent if proves_gone(source.seal) => SourceStanding::Gone,
        SourceInstance::HostSilent => silent(fenced),
    }
}

/// In whichever attempt.
fn was_let_go(seal: Seal) -> bool {
    match seal {
        Seal::Gone { .. } | Seal::Retired => true,
        Seal::NotOnRoll | Seal::Unsealed | Seal::Sealed(_) | Seal::Closed => false,
    }
}

fn proves_gone(seal: Seal) -> bool {
    match seal {
        Seal::Gone { of_this_attempt } => of_this_attempt,
        Seal::Retired => true,
        Seal::NotOnRoll | Seal::Unsealed | Seal::Sealed(_) | Seal::Closed => false,
    }
}
