//! Sites, hosts and what a host holds of a VM. Plain state: what changes it stands in the other modules.

use super::agenda::EventKey;
use super::job::JobId;
use super::workload::Workload;
use muster_core::definition::{Definition, Disk};
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::{Instance, Mark, OffCause, Seal, Stored};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SiteId(pub(super) usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostId(pub(super) usize);

#[derive(Debug)]
pub(super) struct Site {
    pub(super) name: SiteName,
    pub(super) powered: bool,
    /// Unplugged: nothing from outside reaches it, its worker included; its guests run on.
    pub(super) plugged: bool,
    pub(super) hosts: BTreeMap<HostName, HostId>,
}

impl Site {
    pub(super) fn is_reachable(&self) -> bool {
        self.powered && self.plugged
    }
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: HostName,
    pub(super) site: SiteId,
    pub(super) memory_mib: u64,
    pub(super) cores: u32,
    pub(super) nic_mib_s: u64,
    pub(super) power: Power,
    /// Held by instances and reservations; kept up to date by [`super::World::edit`] and its like.
    pub(super) used_mib: u64,
    pub(super) entries: BTreeMap<VmId, Entry>,
}

impl Host {
    pub(super) fn answers(&self) -> bool {
        match self.power {
            Power::On => true,
            Power::DaemonSilent { .. } | Power::Off => false,
        }
    }

    pub(super) fn has_power(&self) -> bool {
        match self.power {
            Power::On | Power::DaemonSilent { .. } => true,
            Power::Off => false,
        }
    }

    pub(super) fn free_mib(&self) -> u64 {
        self.memory_mib.saturating_sub(self.used_mib)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    On,
    /// Guests run, the daemon doesn't answer.
    DaemonSilent {
        until_ms: u64,
    },
    Off,
}

/// What a sealed definition keeps: whose departure it serves, and the real document, from which nobody can start it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) seal: Seal,
    pub(super) document: String,
}

/// What a host holds of a VM.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) stored: Stored,
    /// As stored. An inert one has no document, so that nobody can start from it what it isn't.
    pub(super) definition: Definition,
    /// Why an inert one is inert.
    pub(super) reason: String,
    pub(super) mark: Option<Mark>,
    /// What a sealed one keeps beside it.
    pub(super) kept: Option<Kept>,
    pub(super) guest: Guest,
    pub(super) job: Option<JobId>,
    pub(super) shutting_down: Option<ShuttingDown>,
    pub(super) disk: DiskCopy,
    pub(super) still: Still,
    /// Why the last job on it failed.
    pub(super) failure: Option<String>,
}

impl Entry {
    /// The room it holds, in MiB: an instance's, a placeholder's, or that of an arrived VM that is yet to start.
    pub(super) fn held_mib(&self) -> u64 {
        let reserved = match self.stored {
            Stored::Placeholder | Stored::Arrived => true,
            Stored::Real => self.mark.is_some(),
            Stored::Nothing | Stored::Sealed | Stored::Retired => false,
        };
        if reserved || !self.guest.is_off() { self.definition.memory_mib } else { 0 }
    }

    /// As an inventory tells it: of a sealed one with the real document.
    pub(super) fn told_definition(&self) -> Definition {
        let document = self.kept.as_ref().map_or(&self.definition.document, |kept| &kept.document);
        Definition { document: document.clone(), ..self.definition.clone() }
    }

    pub(super) fn disk_complete(&self) -> bool {
        match self.definition.disk {
            Disk::Shared => true,
            Disk::Local { .. } => self.disk.complete,
        }
    }
}

/// A guest on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guest {
    Off(OffCause),
    Incoming,
    Paused(Memory),
    Running(Memory),
}

impl Guest {
    pub(super) fn is_off(self) -> bool {
        match self {
            Guest::Off(_) => true,
            Guest::Incoming | Guest::Paused(_) | Guest::Running(_) => false,
        }
    }

    pub(super) fn is_running(self) -> bool {
        match self {
            Guest::Running(_) => true,
            Guest::Off(_) | Guest::Incoming | Guest::Paused(_) => false,
        }
    }

    pub(super) fn memory(self) -> Option<Memory> {
        match self {
            Guest::Paused(memory) | Guest::Running(memory) => Some(memory),
            Guest::Off(_) | Guest::Incoming => None,
        }
    }

    pub(super) fn instance(self) -> Instance {
        match self {
            Guest::Off(cause) => Instance::Off(cause),
            Guest::Incoming => Instance::Incoming,
            Guest::Paused(_) => Instance::Paused,
            Guest::Running(_) => Instance::Running,
        }
    }
}

/// A guest's memory, as far as the truth needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// Counts the VM's cold starts; a live move carries it along.
    pub(super) generation: u64,
    /// Another copy of the VM has run since this one stood still.
    pub(super) stale: bool,
    pub(super) workload: Workload,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShuttingDown {
    pub(super) since_ms: u64,
    pub(super) until_ms: u64,
    pub(super) key: EventKey,
}

/// A local disk's copy on a host. On shared storage it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DiskCopy {
    pub(super) complete: bool,
    /// The VM has run elsewhere since.
    pub(super) stale: bool,
}

impl DiskCopy {
    pub(super) const NONE: DiskCopy = DiskCopy { complete: false, stale: false };
    pub(super) const WHOLE: DiskCopy = DiskCopy { complete: true, stale: false };
}

/// How long a guest has stood still in a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Still {
    Never,
    Since(u64),
    Lasted(u64),
}

impl Still {
    pub(super) fn ms(self, now_ms: u64) -> Option<u64> {
        match self {
            Still::Never => None,
            Still::Since(since_ms) => Some(now_ms.saturating_sub(since_ms)),
            Still::Lasted(ms) => Some(ms),
        }
    }

    /// The guest goes on.
    pub(super) fn ended(self, now_ms: u64) -> Still {
        self.ms(now_ms).map_or(Still::Never, Still::Lasted)
    }
}
