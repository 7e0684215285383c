//! What one site reports of one VM: its ledger's standing and what its hypervisors show now.
//!
//! Raw material. [`crate::ledger::weigh`] weighs two of these against each other; nothing here decides.

use crate::definition::{Definition, Mode};
use crate::ids::{Attempt, EvacuationId, HostName, SiteName, VmId};
use crate::ledger::Standing;
use crate::time::Timestamp;
use crate::token::Token;
use serde::{Deserialize, Serialize};

/// One site's answer about one VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SiteReading {
    /// The VM.
    pub vm: VmId,
    /// The greatest token this worker has seen for it.
    pub floor: Token,
    /// What its ledger holds of it.
    pub standing: Option<Standing>,
    /// What its hypervisors show.
    pub sight: Sight,
    /// A mutation of the worker's is under way for it, or one that hung has not ended yet.
    pub mutation_under_way: bool,
    /// The worker's clock when it looked. For people; never compared across sites.
    pub at: Timestamp,
}

/// What a site's hypervisors show of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Sight {
    /// Every host that has something with its UUID.
    pub sightings: Vec<Sighting>,
    /// Hosts of the site that did not answer: what they hold is unknown, not absent.
    pub silent_hosts: Vec<HostName>,
    /// A hypervisor call for it has not returned yet, whoever made it.
    pub call_under_way: bool,
}

/// One host's view of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sighting {
    /// The host.
    pub host: HostName,
    /// Its instance there.
    pub instance: Instance,
    /// What kind of definition is stored there.
    pub stored: Stored,
    /// Who put it there, from the definition's own metadata.
    pub mark: Option<Mark>,
    /// The job on it.
    pub job: Option<Job>,
    /// For the attempt in `mark`: the copy of its disk is complete and verified. Always true on shared storage.
    pub disk_complete: bool,
    /// How long its guest has stood still in this handover, by the hypervisor's own measure.
    pub stood_still_ms: Option<u64>,
    /// Why the last job on it failed, in the hypervisor's words; none if it succeeded, or while one is under way.
    pub job_error: Option<String>,
    /// Its host starts it when it boots, if what is stored can be started.
    #[serde(default)]
    pub autostart: bool,
}

/// An instance of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Instance {
    /// None; and why, as far as the hypervisor remembers.
    Off(OffCause),
    /// Its memory is arriving; not whole.
    Incoming,
    /// Whole and paused.
    Paused,
    /// Running.
    Running,
}

/// Why there is no instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OffCause {
    /// It was migrated away: the hypervisor handed it over and let it go.
    Migrated,
    /// Shut down in order, or never started.
    ShutDown,
    /// It crashed.
    Crashed,
    /// Its memory is in an image at its host, and a start goes on from there: with the definition in the image, past the
    /// stored one, however inert that is. It holds memory like one that is paused.
    Saved,
    /// The hypervisor doesn't know any more, as after its host's restart.
    Unknown,
}

/// What kind of definition a host has stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stored {
    /// None: the instance is transient.
    Nothing,
    /// The real one: it can be started.
    Real,
    /// An inert placeholder.
    Placeholder,
    /// That of a guest which a transfer brought, inert until its event: can't be started, autostart off.
    Arrived,
    /// Sealed: can't be started, autostart off.
    Sealed,
    /// Retired: Not Runnable.
    Retired,
}

/// Whose a definition is; stands in its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The attempt.
    pub attempt: Attempt,
    /// The token of the command that put it there.
    pub token: Token,
}

/// Whose departure a sealed definition serves; stands in its metadata, so that a ledger that is gone can be made anew from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seal {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The token of the command that sealed it.
    pub token: Token,
    /// How it is moved.
    pub mode: Mode,
    /// The site it leaves.
    pub source_site: SiteName,
    /// The site it goes to.
    pub destination_site: SiteName,
    /// The host that it is meant for.
    pub destination_host: HostName,
    /// Whether its host starts the real one at boot.
    pub autostart: bool,
}

/// A job on a VM: the transfer, seen from either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Job {
    /// Where it is.
    pub phase: Phase,
    /// How much of the phase is done, in hundredths of a percent, 0 to 10,000.
    pub done_basis_points: u16,
    /// Sent so far, in MiB.
    pub sent_mib: u64,
    /// Left to send in this round, in MiB.
    pub left_mib: u64,
    /// How fast the guest dirties memory, in MiB per second.
    pub dirty_rate_mib_s: u64,
    /// The pre-copy round, from 1.
    pub round: u32,
    /// How long the guest would stand still if it were handed over now, in milliseconds, where the hypervisor says.
    pub expected_downtime_ms: Option<u64>,
}

impl Job {
    /// A job of which no more than its phase is known.
    #[must_use]
    pub fn in_phase(phase: Phase) -> Self {
        Job {
            phase,
            done_basis_points: 0,
            sent_mib: 0,
            left_mib: 0,
            dirty_rate_mib_s: 0,
            round: 1,
            expected_downtime_ms: None,
        }
    }
}

/// The phases of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The hypervisors agree on what is to come.
    Setup,
    /// The guest is shutting down (cold moves).
    ShutDown,
    /// Memory is sent while the guest runs.
    PreCopy,
    /// The guest is paused and the rest is sent.
    Handover,
    /// All is sent; source and destination settle who has it.
    Finish,
    /// The disk is copied (cold and powered-off moves, with local disks).
    DiskCopy,
    /// The copied disk is verified.
    DiskVerify,
}

impl Phase {
    /// The phase in a word, as people see it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Phase::Setup => "setup",
            Phase::ShutDown => "shutdown",
            Phase::PreCopy => "pre-copy",
            Phase::Handover => "handover",
            Phase::Finish => "finish",
            Phase::DiskCopy => "disk copy",
            Phase::DiskVerify => "disk verify",
        }
    }
}

/// A host as its site reports it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostListing {
    /// The host.
    pub host: HostName,
    /// Whether it answers.
    pub answers: bool,
    /// Its memory for guests, in MiB.
    pub memory_mib: u64,
    /// Of that, held by instances and placeholders, in MiB.
    pub used_mib: u64,
    /// Its cores.
    pub cores: u32,
}

/// A VM as its site lists it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VmListing {
    /// The VM.
    pub vm: VmId,
    /// The host that has it.
    pub host: HostName,
    /// Its definition as stored; of a sealed or retired one, what the ledger says is the real one.
    pub definition: Definition,
    /// Its instance.
    pub instance: Instance,
    /// What kind of definition is stored.
    pub stored: Stored,
    /// Of a sealed one, whose departure it serves, where its hypervisor tells; the site alone needs it.
    #[serde(default)]
    pub seal: Option<Seal>,
}

/// Everything on a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Its hosts.
    pub hosts: Vec<HostListing>,
    /// Its VMs.
    pub vms: Vec<VmListing>,
}
