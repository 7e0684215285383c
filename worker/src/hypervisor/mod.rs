//! The seam to a site's hypervisors. One trait, one conformance suite, one module a driver.
//!
//! A driver touches hypervisors and nothing else: no ledger, no other site's worker. It decides nothing: it does
//! what a [`Call`] says or reports why not, and it never takes a host's silence for an absence.

mod changes;
pub mod conformance;
#[cfg(feature = "libvirt")]
pub mod libvirt;
pub mod sim;

use async_trait::async_trait;
use futures::stream::BoxStream;
use muster_core::class::Class;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::preflight::survey::{HostSurvey, Licence, ProcessorFit, VmNeeds};
use muster_core::reading::{Inventory, Mark, Seal, Sight};
use muster_core::terms::Tuning;
use serde::{Deserialize, Serialize};

/// Most changes that wait for a slow reader before the driver drops them all and says [`Change::Everything`].
pub const CHANGES_WAITING_MAX: usize = 4096;

/// A site's hypervisors, behind one face.
#[async_trait]
pub trait Hypervisor: Send + Sync + 'static {
    /// Every host and every VM of the site. Hosts that don't answer are listed as such.
    async fn inventory(&self) -> Result<Inventory, HypervisorError>;

    /// What the hosts show of these VMs, in the order asked.
    async fn look(&self, vms: &[VmId]) -> Result<Vec<Sight>, HypervisorError>;

    /// The definition that a host has stored for a VM, as it is now, whatever its kind.
    async fn definition(&self, host: &HostName, vm: VmId) -> Result<Definition, HypervisorError>;

    /// What each of these hosts that answers offers, and what is licensed; all hosts are asked if none is named. What it can't
    /// find out it leaves out.
    async fn survey(&self, hosts: &[HostName]) -> Result<Survey, HypervisorError>;

    /// What these VMs need of a host; those on hosts that don't answer, or aren't named where some are, are left out.
    async fn needs(&self, vms: &[VmId], hosts: &[HostName]) -> Result<Vec<VmNeeds>, HypervisorError>;

    /// Whether each of these hosts that answers can run each of these processors, as [`VmNeeds::processor`] of a site with the
    /// same kind of hypervisor has them; all hosts are asked if none is named.
    async fn processors(
        &self,
        processors: &[String],
        hosts: &[HostName],
    ) -> Result<Vec<ProcessorOnHost>, HypervisorError>;

    /// Makes one change and returns when the hypervisor has made it; for the calls that begin a job, when the job
    /// has begun. A call may hang; it still counts as under way ([`Sight::call_under_way`]) until it has ended, also
    /// for a worker that was restarted in between.
    async fn call(&self, call: Call) -> Result<(), HypervisorError>;

    /// A predecessor of this process may have left calls for these VMs open. A driver whose hypervisors don't show such
    /// calls by themselves counts each as under way until it can't take effect any more.
    fn inherit(&self, _vms: &[VmId]) {}

    /// A stream of what changes. It begins with [`Change::Everything`] and says so again whenever changes may have
    /// been missed; it ends when the connection is lost, and can then be asked for again.
    async fn changes(&self) -> Result<BoxStream<'static, Change>, HypervisorError>;
}

/// What a site's hosts offer, and what is licensed there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// The hosts that answer.
    pub hosts: Vec<HostSurvey>,
    /// What its owner has licensed.
    pub licences: Vec<Licence>,
}

/// What a host says of a processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessorOnHost {
    /// The processor.
    pub processor: String,
    /// The host.
    pub host: HostName,
    /// Whether it can run it.
    pub fit: ProcessorFit,
}

/// One change to one VM on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The VM.
    pub vm: VmId,
    /// The host of this site that is to do it.
    pub host: HostName,
    /// What to do.
    pub change: VmChange,
}

/// What to do to a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VmChange {
    /// Store an inert definition that reserves the VM's room. Refused where there is no room, and where something
    /// of this UUID is that is neither a placeholder, nor retired, nor off with this evacuation's mark.
    DefinePlaceholder {
        /// The full, real definition it stands for.
        definition: Definition,
        /// Whose it is.
        mark: Mark,
    },
    /// Replace the stored definition by one that can't start, autostart off. A running guest runs on.
    DefineSealed {
        /// Why, readable in the error that a start meets.
        reason: String,
        /// Whose departure it serves; stands in its metadata until the real one is stored again.
        seal: Box<Seal>,
    },
    /// Replace the stored definition by one that is Not Runnable and holds no room.
    DefineRetired {
        /// Why, readable in the error that a start meets.
        reason: String,
    },
    /// Store the real definition, with its autostart. A running guest runs on.
    DefineReal {
        /// The definition.
        definition: Definition,
        /// Whose it is, at the destination.
        mark: Option<Mark>,
    },
    /// Begin a live transfer of the running guest to a host of another site. It arrives paused, with an inert form of
    /// `definition` stored under `mark`, so that nobody starts it should its memory be lost before its event; this side's guest is let go once it is whole there, and its stored
    /// (sealed) definition stays. Refused where the other side has no placeholder with this mark.
    BeginTransfer {
        /// The site it goes to.
        destination_site: SiteName,
        /// The host it goes to.
        destination_host: HostName,
        /// The definition to store there.
        definition: Definition,
        /// Whose it is.
        mark: Mark,
        /// How it is made. Refused where it needs what the site doesn't have; of two caps the smaller one counts.
        tuning: Tuning,
    },
    /// Begin copying the disk of a guest that is off to where `mark`'s placeholder is, and verify it. On shared
    /// storage there is nothing to copy and the job ends at once.
    BeginDiskCopy {
        /// The site it goes to.
        destination_site: SiteName,
        /// The host it goes to.
        destination_host: HostName,
        /// Whose it is.
        mark: Mark,
    },
    /// End the job on it, if there is one. It can lose to the job's success.
    AbortJob,
    /// Change the live transfer that is under way. Where none is there is nothing to change, and that is no error.
    AdjustJob {
        /// Most that it sends from now on, in MiB per second; none for all that the site allows.
        bandwidth_mib_s: Option<u64>,
        /// How long the guest may stand still, in milliseconds; none leaves it as it is.
        downtime_ms: Option<u64>,
    },
    /// Ask the guest to shut down and wait until it has.
    ShutDown,
    /// Start it from its stored definition. Fails where that is a placeholder, sealed or retired.
    Start,
    /// Let its paused instance run on, and announce its addresses to the network.
    Resume,
    /// Delete the stored definition of a retired copy; its disks stay. Deleting what is not there succeeds. Refused where
    /// what is stored is no retired one, where its instance is, and where its memory is in a saved image.
    DeleteRetired,
    /// End its instance, if any, and delete its stored definition and the disk copy of its mark. Removing what is
    /// not there succeeds. Refused where its guest runs, and where what is there is another attempt's or nobody's.
    Remove {
        /// Whose it is; the attempt counts, not the token.
        mark: Mark,
        /// A whole or arriving guest may go with it. Refused without this where there is one.
        may_hold_memory: bool,
    },
}

impl VmChange {
    /// The definition that it brings along.
    #[must_use]
    pub fn definition(&self) -> Option<&Definition> {
        match self {
            VmChange::DefinePlaceholder { definition, .. }
            | VmChange::DefineReal { definition, .. }
            | VmChange::BeginTransfer { definition, .. } => Some(definition),
            VmChange::DefineSealed { .. }
            | VmChange::DefineRetired { .. }
            | VmChange::BeginDiskCopy { .. }
            | VmChange::AbortJob
            | VmChange::AdjustJob { .. }
            | VmChange::ShutDown
            | VmChange::Start
            | VmChange::Resume
            | VmChange::DeleteRetired
            | VmChange::Remove { .. } => None,
        }
    }
}

/// Something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Look at this VM again: its instance, definition, job or job's progress.
    Vm(VmId),
    /// Look at everything again.
    Everything,
}

/// What a driver can fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum HypervisorError {
    /// The host did not answer, or the answer was lost: the change may have been made, or may still be.
    #[error("host {host} does not answer: {message}")]
    HostSilent {
        /// The host.
        host: HostName,
        /// What was seen.
        message: String,
    },
    /// The hypervisors can't be reached at all.
    #[error("the hypervisors can't be reached: {message}")]
    Unreachable {
        /// What was seen.
        message: String,
    },
    /// Another call or job is under way for the VM. Nothing was changed.
    #[error("another call or job is under way for VM {vm}")]
    Busy {
        /// The VM.
        vm: VmId,
    },
    /// The hypervisor refused, and will refuse again as things stand. Nothing was changed.
    #[error("refused by the hypervisor of {host}: {message}")]
    Refused {
        /// The host.
        host: HostName,
        /// Its reason.
        message: String,
    },
    /// The hypervisor tried and failed, and says that nothing is left of it.
    #[error("failed on {host}: {message}")]
    Failed {
        /// The host.
        host: HostName,
        /// Its reason.
        message: String,
    },
    /// It said something that makes no sense.
    #[error("nonsense from the hypervisor: {message}")]
    Nonsense {
        /// What it said.
        message: String,
    },
}

impl HypervisorError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            HypervisorError::HostSilent { .. } | HypervisorError::Unreachable { .. } => Class::Unknown,
            HypervisorError::Busy { .. } | HypervisorError::Failed { .. } => Class::Retry,
            HypervisorError::Refused { .. } => Class::Refused,
            HypervisorError::Nonsense { .. } => Class::Bug,
        }
    }
}
