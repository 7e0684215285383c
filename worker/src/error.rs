//! What a site can answer instead of doing as told.

use crate::hypervisor::HypervisorError;
use crate::peers::PeerError;
use muster_core::class::Class;
use muster_core::ids::{EvacuationId, RequestId, SiteName, VmId};
use muster_core::ledger::command::Refusal;
use muster_proto::convert::SiteFailure;
use muster_store::StoreError;

/// Why a site did not do, or may not have done, what it was told.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The ledger refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger can't be read or written.
    #[error("the ledger of this site: {0}")]
    Store(#[from] StoreError),
    /// The hypervisor refused, failed or fell silent.
    #[error("{0}")]
    Hypervisor(#[from] HypervisorError),
    /// Another mutation of this worker's is under way.
    #[error("a mutation of VM {vm} is still under way; observe and try again")]
    Busy {
        /// The VM.
        vm: VmId,
    },
    /// A mutation was begun and its end has not been seen in time. It still counts as under way.
    #[error(
        "the change to VM {vm} was begun and has not ended within {deadline_ms} ms; observe to see what came of it"
    )]
    NotEndedYet {
        /// The VM.
        vm: VmId,
        /// How long it was waited for.
        deadline_ms: u64,
    },
    /// The worker takes no work.
    #[error("site {site} takes no work: {because}")]
    NotWorking {
        /// The site.
        site: SiteName,
        /// Why.
        because: String,
    },
    /// The commit could not come through, so nothing is transferred.
    #[error("no transfer is begun, since the path to the worker of {site} is not proven: {source}")]
    PathUnproven {
        /// The site it leads to.
        site: SiteName,
        /// What was seen.
        #[source]
        source: Box<PeerError>,
    },
    /// The destination must be read before the source's copy may run, and it can't be.
    #[error("VM {vm} may not run here before {site} was asked whether it arrived there: {source}")]
    DestinationUnread {
        /// The VM.
        vm: VmId,
        /// The destination.
        site: SiteName,
        /// What was seen.
        #[source]
        source: Box<PeerError>,
    },
    /// The destination's record forbids that the source's copy runs.
    #[error("VM {vm} may not run here: at {site} its attempt is open or has arrived")]
    ArrivedElsewhere {
        /// The VM.
        vm: VmId,
        /// The destination.
        site: SiteName,
    },
    /// A commit came before its copy.
    #[error("VM {vm} can't be committed: {because}")]
    NotArrived {
        /// The VM.
        vm: VmId,
        /// What is missing.
        because: &'static str,
    },
    /// A worker speaks for a site that is not the VM's source.
    #[error("VM {vm} does not come from site {site}; only its source's worker may commit its arrival")]
    NotItsSource {
        /// The VM.
        vm: VmId,
        /// Who called.
        site: SiteName,
    },
    /// One id on two requests that differ.
    #[error("request id {request} was used before for something else; take a new one for every new request")]
    RequestReused {
        /// The id.
        request: RequestId,
    },
    /// The VM isn't where the order needs it.
    #[error("VM {vm}: {because}")]
    NotAsNeeded {
        /// The VM.
        vm: VmId,
        /// What is missing, and how to mend it.
        because: &'static str,
    },
    /// A promise of muster's own code is broken.
    #[error("a promise is broken, which is a fault of muster's own: {promise}; keep the ledger file and report it")]
    BrokenPromise {
        /// Which.
        promise: &'static str,
    },
    /// No row for the VM where there must be one.
    #[error("VM {vm} is not on the roll of evacuation {evacuation} at this site")]
    NotOnRoll {
        /// The VM.
        vm: VmId,
        /// The evacuation.
        evacuation: EvacuationId,
    },
}

impl SiteError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            SiteError::Refused(refusal) => refusal.class(),
            SiteError::Store(error) => error.class(),
            SiteError::Hypervisor(error) => error.class(),
            SiteError::NotEndedYet { .. } => Class::Unknown,
            SiteError::BrokenPromise { .. } => Class::Bug,
            SiteError::Busy { .. }
            | SiteError::NotWorking { .. }
            | SiteError::PathUnproven { .. }
            | SiteError::DestinationUnread { .. }
            | SiteError::NotArrived { .. } => Class::Retry,
            SiteError::ArrivedElsewhere { .. }
            | SiteError::NotItsSource { .. }
            | SiteError::RequestReused { .. }
            | SiteError::NotAsNeeded { .. }
            | SiteError::NotOnRoll { .. } => Class::Refused,
        }
    }

    /// The reason as it goes over the wire: stable, for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            SiteError::Refused(refusal) => refusal.reason(),
            SiteError::Store(_) => "LEDGER",
            SiteError::Hypervisor(error) => match error {
                HypervisorError::HostSilent { .. } => "HOST_SILENT",
                HypervisorError::Unreachable { .. } => "HYPERVISOR_UNREACHABLE",
                HypervisorError::Busy { .. } => "BUSY",
                HypervisorError::Refused { .. } => "HYPERVISOR_REFUSED",
                HypervisorError::Failed { .. } => "HYPERVISOR_FAILED",
                HypervisorError::Nonsense { .. } => "HYPERVISOR_NONSENSE",
            },
            SiteError::Busy { .. } => "BUSY",
            SiteError::NotEndedYet { .. } => "NOT_ENDED_YET",
            SiteError::NotWorking { .. } => "NOT_WORKING",
            SiteError::PathUnproven { .. } => "PATH_UNPROVEN",
            SiteError::DestinationUnread { .. } => "DESTINATION_UNREAD",
            SiteError::ArrivedElsewhere { .. } => "ARRIVED_ELSEWHERE",
            SiteError::NotArrived { .. } => "NOT_ARRIVED",
            SiteError::NotItsSource { .. } => "NOT_ITS_SOURCE",
            SiteError::RequestReused { .. } => "REQUEST_REUSED",
            SiteError::NotAsNeeded { .. } => "NOT_AS_NEEDED",
            SiteError::NotOnRoll { .. } => "NOT_ON_ROLL",
            SiteError::BrokenPromise { .. } => "BROKEN_PROMISE",
        }
    }

    /// The error as it goes over the wire.
    #[must_use]
    pub fn failure(&self) -> SiteFailure {
        SiteFailure::new(self.class(), self.reason(), &self.to_string())
    }
}
