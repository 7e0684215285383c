//! Evidence about one VM, in the few values that decisions hang on.
//!
//! [`crate::reading`] turns what two sites reported into this. Every combination of these values is a legal input of
//! [`crate::decide::decide`] and stands in its exhaustive table test.

use crate::ids::Attempt;
use serde::{Deserialize, Serialize};

/// What is known about one VM, from both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// How the readings were made, and so what may be done on their strength.
    pub freshness: Freshness,
    /// The destination's answer.
    pub destination: Heard<DestinationEvidence>,
    /// The source's answer.
    pub source: Heard<SourceEvidence>,
    /// Somebody has sworn, durably, that the source can't run the VM. Counts only while the source is silent.
    pub source_fenced: bool,
    /// Somebody has sworn, durably, that the destination host of the current attempt can't run anything. Counts only
    /// while that host is silent.
    pub destination_host_fenced: bool,
    /// The longest time that the present state of a handover may last is past; with the destination silent, the time
    /// that a transfer may go on without it.
    pub past_deadline: bool,
}

/// How readings were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Freshness {
    /// Pushed by the workers: true a moment ago, in no common order. May only carry a move forward.
    Streamed,
    /// Read after the floors were raised on both sides, the source first: no older command can change it any more.
    Fenced,
}

/// An answer, or its absence. Silence is never absence of the thing asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Heard<T> {
    /// No answer: a timeout or a transport's error. Proves nothing.
    Silent,
    /// The site answered.
    Answer(T),
}

/// What the destination's worker reports: its ledger and its hypervisors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DestinationEvidence {
    /// Its ledger's record of this evacuation.
    pub record: Record,
    /// The copy of the recorded attempt, on the host it was sent to.
    pub copy: CopyState,
    /// The worst other thing with the VM's UUID on any other host, or of any other attempt.
    pub other: OtherCopy,
    /// A hypervisor call or job is under way for the VM.
    pub busy: bool,
    /// Whether the disk that the destination would use is good.
    pub disk: DiskEvidence,
}

/// What the destination's ledger says of the current evacuation's attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Record {
    /// The VM is not on this evacuation's roll.
    NotOnRoll,
    /// On the roll, no attempt was ever started.
    Enrolled,
    /// A started record stands.
    Started {
        /// Its attempt.
        attempt: Attempt,
        /// How the VM is to come up.
        kind: ArrivalKind,
    },
    /// The attempt was given up for good: no event can be written for it any more.
    Abandoned {
        /// The attempt.
        attempt: Attempt,
    },
    /// The completion event stands.
    Completed {
        /// The attempt that arrived.
        attempt: Attempt,
        /// How the VM came, or is to come, up.
        kind: ArrivalKind,
    },
    /// The move is over, as recorded.
    Closed(Outcome),
}

/// How a VM comes up at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArrivalKind {
    /// By a transfer from the source: live with its memory, cold or powered off with its disk.
    Transfer,
    /// Started from its disk at the destination, since its memory is lost.
    ColdStart,
}

/// How a move ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// At the destination.
    Migrated,
    /// At the source, unsealed, as before.
    StayedAtSource,
}

/// The copy of the recorded attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyState {
    /// Nothing there.
    Absent,
    /// The inert placeholder.
    Placeholder,
    /// Memory is arriving; not whole yet.
    Incoming,
    /// Whole, paused, no job on it: arrived.
    Paused,
    /// Running.
    Running,
    /// It had arrived and its instance has ended without anybody's wish: crashed, or its host restarted.
    Crashed,
    /// It had arrived and was shut down in order, from inside or by a person.
    ShutDown,
    /// The host it was sent to does not answer.
    HostSilent,
}

/// The worst thing with the VM's UUID besides the recorded attempt's copy. Ordered: later is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OtherCopy {
    /// Nothing.
    Absent,
    /// An inert definition of an attempt that is over: no memory in it.
    Inert,
    /// A copy of another attempt of muster's that holds memory, paused or arriving.
    HoldsMemory,
    /// Something that no evacuation put there, not running.
    Foreign,
    /// Any other copy, whoever's, and it runs.
    Running,
}

/// What is known of the disk that the destination would start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DiskEvidence {
    /// On storage that both sites reach.
    Shared,
    /// A copy for the recorded attempt, complete and verified after the source had stopped.
    Complete,
    /// No complete copy of this attempt.
    Partial,
}

/// What the source's worker reports: its ledger and its hypervisors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceEvidence {
    /// What its ledger and the stored definition say together.
    pub seal: Seal,
    /// What its hypervisors show.
    pub instance: SourceInstance,
    /// A hypervisor call or job is under way for the VM.
    pub busy: bool,
}

/// How far the source has let go of the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seal {
    /// The VM is not on this evacuation's roll here.
    NotOnRoll,
    /// Its definition is real: it can be started.
    Unsealed,
    /// Sealed, in the ledger and at the hypervisor; what became of the recorded attempt's transfer.
    Sealed(TransferTrace),
    /// Sealed, and the proof that the source has stopped is durable; for the recorded attempt or for another.
    Gone {
        /// The proof is the recorded attempt's.
        of_this_attempt: bool,
    },
    /// Not Runnable, for good.
    Retired,
    /// This side's part is over.
    Closed,
}

/// What the source knows of the recorded attempt's transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferTrace {
    /// It was never begun.
    NotBegun,
    /// It was begun; no job is known to have failed.
    Begun,
    /// It ended without an arrival.
    Failed,
}

/// What the source's hypervisors show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceInstance {
    /// Runs on one host.
    Running,
    /// Paused on one host. Proves nothing by itself: the hypervisor may still resume it.
    Paused,
    /// No instance: off, or no definition at all; and nobody can say for sure why.
    Stopped,
    /// No instance, and the hypervisor says that it was shut down in order. In a cold move that is muster's own doing.
    ShutDown,
    /// The host that has it does not answer.
    HostSilent,
    /// Instances on more than one host.
    Several,
}
