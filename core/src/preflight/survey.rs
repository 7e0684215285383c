//! What a site says of itself for preflight: what its hosts offer, and what its VMs need of a host.
//!
//! Raw material, as [`crate::reading`] is: nothing here judges. What a driver can't find out is left out or `None`, never
//! made up; [`super::Obstacle`] treats what isn't known as a doubt to be shown, not as a yes.

use crate::ids::{HostName, SiteName, VmId, VmName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What a site's hosts offer, and how it reaches the others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SiteSurvey {
    /// The hosts that answered.
    pub hosts: Vec<HostSurvey>,
    /// What its owner has licensed there.
    pub licences: Vec<Licence>,
    /// The sites that its worker knows, and whether their workers answer it.
    pub peers: Vec<PeerSurvey>,
    /// How far its clock is ahead of the asker's, in milliseconds, half of the call's round trip taken off; none where
    /// nobody has compared them.
    pub clock_ahead_ms: Option<i64>,
}

/// What one host offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSurvey {
    /// The host.
    pub host: HostName,
    /// The kinds of virtualisation that it can do (libvirt: `kvm`, `qemu`).
    pub domain_types: BTreeSet<String>,
    /// The machine types that it knows, aliases included.
    pub machines: BTreeSet<String>,
    /// The version of its hypervisor.
    pub emulator: Option<Version>,
    /// The version of the library that drives it.
    pub library: Option<Version>,
    /// How many virtual processors its owner allows there in all; none where there is no limit.
    pub vcpus_max: Option<u64>,
    /// How many its VMs and placeholders have.
    pub vcpus_used: u64,
    /// Its networks and bridges.
    pub networks: Vec<NetworkOffer>,
    /// Where it keeps disks.
    pub storage: Vec<StorageOffer>,
    /// The VMs that are defined or run on it; not muster's own placeholders and retired copies.
    pub residents: Vec<Resident>,
    /// The way that memory comes and goes.
    pub link: MigrationLink,
}

/// A version, as `major.minor.release`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// What comes first.
    pub major: u32,
    /// What comes second.
    pub minor: u32,
    /// What comes last.
    pub release: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.release)
    }
}

/// A network that VMs can be on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkOffer {
    /// Its name, as definitions have it.
    pub name: String,
    /// It is up.
    pub active: bool,
    /// Its subnet, where the host knows one (`192.0.2.0/24`).
    pub subnet: Option<String>,
}

/// A place for disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageOffer {
    /// The folder, or the pool's target.
    pub path: String,
    /// What is free, in MiB.
    pub free_mib: u64,
    /// Both sites reach it.
    pub shared: bool,
}

/// A VM that is on a host already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resident {
    /// The VM.
    pub vm: VmId,
    /// Its name.
    pub name: VmName,
    /// The addresses of its network cards, in lower case.
    pub macs: Vec<String>,
    /// Its virtual processors.
    pub vcpus: u32,
    /// The products that it is licensed for.
    pub products: Vec<String>,
}

/// The way that memory comes to a host and goes from it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MigrationLink {
    /// It is up; none where the host can't tell.
    pub up: Option<bool>,
    /// Its speed in Mbit/s; none where the host can't tell.
    pub rate_mbit_s: Option<u64>,
    /// What goes over it is encrypted.
    pub tls: bool,
}

/// What an owner has licensed at a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// The product, as VMs name it in a tag `product:NAME`.
    pub product: String,
    /// What is counted.
    pub unit: LicenceUnit,
    /// How many there are.
    pub count: u64,
}

/// What a licence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LicenceUnit {
    /// Virtual processors.
    Core,
    /// VMs.
    Instance,
}

impl fmt::Display for LicenceUnit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            LicenceUnit::Core => "cores",
            LicenceUnit::Instance => "instances",
        })
    }
}

/// Another site, as this one's worker reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerSurvey {
    /// The other site.
    pub site: SiteName,
    /// Why its worker can't be reached; none if it answered.
    pub trouble: Option<String>,
}

/// What a VM needs of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmNeeds {
    /// The VM.
    pub vm: VmId,
    /// The kind of virtualisation.
    pub domain_type: Option<String>,
    /// The machine type.
    pub machine: Option<String>,
    /// Its processor, in the hypervisor's own words, for the destination's hypervisor to judge; none where it asks for
    /// nothing in particular.
    pub processor: Option<String>,
    /// Its network cards.
    pub nics: Vec<NicNeed>,
    /// Its disks.
    pub disks: Vec<DiskNeed>,
    /// Devices of its host that are handed through to it.
    pub host_devices: Vec<String>,
    /// Media that are inserted: paths on its host.
    pub media: Vec<String>,
    /// How many snapshots it has.
    pub snapshots: u32,
    /// What else starts and stops it: a high-availability manager's name.
    pub guardian: Option<String>,
    /// Its memory is in an image at its host, from which a start would go on.
    pub has_saved_memory: bool,
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicNeed {
    /// Its address, in lower case.
    pub mac: String,
    /// The network or bridge that it is on; none where it is on none that could be missing.
    pub network: Option<String>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskNeed {
    /// Where it is on the source.
    pub path: String,
    /// Its size in MiB.
    pub size_mib: u64,
    /// It is on storage that both sites reach.
    pub shared: bool,
    /// Why it can't be copied; none if it can, or is shared.
    pub uncopyable: Option<String>,
}

/// Whether a host can run a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessorFit {
    /// It can.
    Fits,
    /// It can't.
    Lacks {
        /// What is missing, in the hypervisor's words.
        what: String,
    },
    /// It can't be told.
    Unknown {
        /// Why not.
        because: String,
    },
}
