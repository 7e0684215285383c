//! The values that evidence is made of, each list whole: what the exhaustive table, the fault rows and the fuzzing draw from.

use muster_core::evidence::{CopyState, DiskEvidence, OtherCopy, Seal, SourceInstance, TransferTrace};

/// What the destination shows of the attempt.
pub(crate) const COPIES: [CopyState; 8] = [
    CopyState::Absent,
    CopyState::Placeholder,
    CopyState::Incoming,
    CopyState::Paused,
    CopyState::Running,
    CopyState::Crashed,
    CopyState::ShutDown,
    CopyState::HostSilent,
];

/// What it shows besides.
pub(crate) const OTHERS: [OtherCopy; 5] =
    [OtherCopy::Absent, OtherCopy::Inert, OtherCopy::HoldsMemory, OtherCopy::Foreign, OtherCopy::Running];

/// How good its disk is.
pub(crate) const DISKS: [DiskEvidence; 3] = [DiskEvidence::Shared, DiskEvidence::Complete, DiskEvidence::Partial];

/// How far the source has let go.
pub(crate) const SEALS: [Seal; 9] = [
    Seal::NotOnRoll,
    Seal::Unsealed,
    Seal::Sealed(TransferTrace::NotBegun),
    Seal::Sealed(TransferTrace::Begun),
    Seal::Sealed(TransferTrace::Failed),
    Seal::Gone { of_this_attempt: true },
    Seal::Gone { of_this_attempt: false },
    Seal::Retired,
    Seal::Closed,
];

/// What the source shows.
pub(crate) const INSTANCES: [SourceInstance; 6] = [
    SourceInstance::Running,
    SourceInstance::Paused,
    SourceInstance::Stopped,
    SourceInstance::ShutDown,
    SourceInstance::HostSilent,
    SourceInstance::Several,
];
