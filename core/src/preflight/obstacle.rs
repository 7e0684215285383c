//! What preflight finds on both sites: what, why it matters, what to do. The words for a person; the findings are made in
//! [`super`] and [`super::totals`].

use super::survey::{LicenceUnit, Version};
use crate::ids::{CommandName, HostName, SiteName, VmName};
use crate::plan::Severity;
use serde::{Deserialize, Serialize};

/// Something that stands, or may stand, between a VM and its destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each field is named in the sentence that `what` makes of it")]
pub enum Obstacle {
    /// Nobody could ask the host what it offers.
    NotSurveyed { host: HostName },
    /// Nobody could ask what the VM needs.
    NeedsUnknown,
    /// The host can't run its processor.
    ProcessorUnfit { host: HostName, lacks: String },
    /// It can't be told whether the host can run its processor.
    ProcessorUnknown { host: HostName, because: String },
    /// The host doesn't do its kind of virtualisation.
    DomainTypeMissing { host: HostName, domain_type: String },
    /// The host doesn't know its machine type.
    MachineMissing { host: HostName, machine: String },
    /// The host's limit of virtual processors is exceeded.
    NoProcessors { host: HostName, wanted: u64, allowed: u64 },
    /// A shared disk is on storage that the host doesn't reach.
    StorageUnreachable { host: HostName, path: String },
    /// The host has no place for a disk that is to be copied.
    NoPlaceForDisk { host: HostName, path: String },
    /// A disk that only its host has is of a kind that isn't copied.
    DiskNotCopyable { path: String, because: String },
    /// The disks to be copied don't fit.
    NoDiskRoom { host: HostName, path: String, needed_mib: u64, free_mib: u64 },
    /// The host has no such network.
    NetworkMissing { host: HostName, network: String },
    /// The network is down there.
    NetworkDown { host: HostName, network: String },
    /// The network of that name has another subnet there.
    SubnetDiffers { host: HostName, network: String, source: String, destination: String },
    /// A device of the source's host is handed through to it.
    HostDevice { device: String },
    /// A medium is inserted that the host doesn't reach.
    MediumUnreachable { host: HostName, path: String },
    /// It has snapshots.
    Snapshots { count: u32 },
    /// Its memory is in a saved image.
    SavedMemory,
    /// A VM of its name is on the host already.
    NameTaken { host: HostName, name: VmName },
    /// A VM at the destination has its network address.
    MacTaken { mac: String, by: VmName },
    /// Something else starts and stops it.
    Guarded { guardian: String },
    /// The runbook names a command that the orchestrator doesn't have.
    CommandMissing { guardian: String, command: CommandName },
    /// Something else starts and stops VMs of the plan, and its hands are taken off them.
    CommandsAreRun { guardian: String, hands_off: CommandName, give_back: CommandName, vms: usize },
    /// The destination's licences don't suffice.
    NotLicensed { product: String, unit: LicenceUnit, needed: u64, licensed: u64 },
    /// The source's worker doesn't reach the destination's.
    PathBroken { trouble: String },
    /// The source's worker doesn't know the destination.
    PeerUnknown { site: SiteName },
    /// The migration link of a host is down.
    LinkDown { host: HostName },
    /// The migration link of a host is slow.
    LinkSlow { host: HostName, rate_mbit_s: u64 },
    /// Memory is sent in the clear.
    NotEncrypted { host: HostName },
    /// The runbook wants memory encrypted, and a host can't.
    NoTls { host: HostName },
    /// The destination's hypervisor is older than the source's.
    EmulatorOlder { host: HostName, source: Version, destination: Version },
    /// The library that drives the destination's hypervisor is older than the source's.
    LibraryOlder { host: HostName, source: Version, destination: Version },
    /// A site's clock is off.
    ClockOff { site: SiteName, ahead_ms: i64 },
}

impl Obstacle {
    /// Whether it stops the evacuation.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Obstacle::ProcessorUnfit { .. }
            | Obstacle::DomainTypeMissing { .. }
            | Obstacle::MachineMissing { .. }
            | Obstacle::NoProcessors { .. }
            | Obstacle::StorageUnreachable { .. }
            | Obstacle::NoPlaceForDisk { .. }
            | Obstacle::DiskNotCopyable { .. }
            | Obstacle::NoDiskRoom { .. }
            | Obstacle::NetworkMissing { .. }
            | Obstacle::NetworkDown { .. }
            | Obstacle::HostDevice { .. }
            | Obstacle::MediumUnreachable { .. }
            | Obstacle::Snapshots { .. }
            | Obstacle::SavedMemory
            | Obstacle::NameTaken { .. }
            | Obstacle::MacTaken { .. }
            | Obstacle::Guarded { .. }
            | Obstacle::CommandMissing { .. }
            | Obstacle::NotLicensed { .. }
            | Obstacle::PathBroken { .. }
            | Obstacle::PeerUnknown { .. }
            | Obstacle::LinkDown { .. }
            | Obstacle::NoTls { .. } => Severity::Blocking,
            Obstacle::NotSurveyed { .. }
            | Obstacle::NeedsUnknown
            | Obstacle::ProcessorUnknown { .. }
            | Obstacle::SubnetDiffers { .. }
            | Obstacle::CommandsAreRun { .. }
            | Obstacle::LinkSlow { .. }
            | Obstacle::NotEncrypted { .. }
            | Obstacle::EmulatorOlder { .. }
            | Obstacle::LibraryOlder { .. }
            | Obstacle::ClockOff { .. } => Severity::Warning,
        }
    }

    /// What was found, in a few words.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Obstacle::NotSurveyed { host } => format!("host {host} could not be asked what it offers"),
            Obstacle::NeedsUnknown => "its host could not be asked what it needs".to_owned(),
            Obstacle::ProcessorUnfit { host, lacks } => format!("{host} can't run its processor: {lacks}"),
            Obstacle::ProcessorUnknown { host, because } => {
                format!("it can't be told whether {host} can run its processor: {because}")
            }
            Obstacle::DomainTypeMissing { host, domain_type } => {
                format!("{host} has no virtualisation \"{domain_type}\"")
            }
            Obstacle::MachineMissing { host, machine } => format!("{host} has no machine type \"{machine}\""),
            Obstacle::NoProcessors { host, wanted, allowed } => {
                format!("{host} would have {wanted} virtual processors and is allowed {allowed}")
            }
            Obstacle::StorageUnreachable { host, path } => format!("{host} does not reach its shared disk {path}"),
            Obstacle::NoPlaceForDisk { host, path } => format!("{host} has no place for a copy of its disk {path}"),
            Obstacle::DiskNotCopyable { path, because } => format!("its disk {path} can't be copied: {because}"),
            Obstacle::NoDiskRoom { host, path, needed_mib, free_mib } => {
                format!("{path} on {host} has {free_mib} MiB free; the disks to be copied there need {needed_mib} MiB")
            }
            Obstacle::NetworkMissing { host, network } => format!("{host} has no network \"{network}\""),
            Obstacle::NetworkDown { host, network } => format!("network \"{network}\" is down on {host}"),
            Obstacle::SubnetDiffers { host, network, source, destination } => {
                format!("network \"{network}\" is {source} at the source and {destination} on {host}")
            }
            Obstacle::HostDevice { device } => format!("a device of its host is handed through to it: {device}"),
            Obstacle::MediumUnreachable { host, path } => format!("{path} is inserted, and {host} does not reach it"),
            Obstacle::SavedMemory => "its memory is in a saved image (virsh managedsave)".to_owned(),
            Obstacle::Snapshots { count: 1 } => "it has a snapshot".to_owned(),
            Obstacle::Snapshots { count } => format!("it has {count} snapshots"),
            Obstacle::NameTaken { host, name } => format!("another VM named {name} is on {host}"),
            Obstacle::MacTaken { mac, by } => format!("{by} at the destination has its network address {mac}"),
            Obstacle::Guarded { guardian } => format!("{guardian} starts and stops it"),
            Obstacle::CommandMissing { guardian, command } => {
                format!("the orchestrator has no command {command}, which the runbook names for guardian {guardian}")
            }
            Obstacle::CommandsAreRun { guardian, hands_off, give_back, vms } => {
                let which = if *vms == 1 { "1 VM".to_owned() } else { format!("each of {vms} VMs") };
                format!("{guardian} starts and stops {which}: {hands_off} is run before its move, {give_back} after it")
            }
            Obstacle::NotLicensed { product, unit, needed, licensed } => {
                format!("{needed} {unit} of {product} would be at the destination, {licensed} are licensed")
            }
            Obstacle::PathBroken { trouble } => {
                format!("the source's worker does not reach the destination's: {trouble}")
            }
            Obstacle::PeerUnknown { site } => format!("the source's worker doesn't know site {site}"),
            Obstacle::LinkDown { host } => format!("the migration link of {host} is down"),
            Obstacle::LinkSlow { host, rate_mbit_s } => {
                format!("the migration link of {host} does {rate_mbit_s} Mbit/s")
            }
            Obstacle::NotEncrypted { host } => format!("memory goes to {host} unencrypted"),
            Obstacle::NoTls { host } => format!("{host} has no TLS for guests' memory"),
            Obstacle::EmulatorOlder { host, source, destination } => {
                format!("the hypervisor of {host} is {destination}, older than the source's {source}")
            }
            Obstacle::LibraryOlder { host, source, destination } => {
                format!("libvirt on {host} is {destination}, older than the source's {source}")
            }
            Obstacle::ClockOff { site, ahead_ms } => {
                let (by, way) = (ahead_ms.unsigned_abs(), if *ahead_ms < 0 { "behind" } else { "ahead" });
                format!("the clock of {site} is {by} ms {way}")
            }
        }
    }

    /// Why it matters.
    #[must_use]
    pub fn why(&self) -> &'static str {
        match self {
            Obstacle::NotSurveyed { .. } | Obstacle::NeedsUnknown | Obstacle::ProcessorUnknown { .. } => {
                "what isn't known may fail in the middle of the move"
            }
            Obstacle::ProcessorUnfit { .. } => "the guest would be refused there, or crash on an instruction",
            Obstacle::DomainTypeMissing { .. } | Obstacle::MachineMissing { .. } => "the guest can't be built there",
            Obstacle::NoProcessors { .. } => "the host's owner has set this limit",
            Obstacle::StorageUnreachable { .. } | Obstacle::MediumUnreachable { .. } => {
                "the guest would be refused there for lack of it"
            }
            Obstacle::NoPlaceForDisk { .. } | Obstacle::NoDiskRoom { .. } => "the copy would end halfway",
            Obstacle::DiskNotCopyable { .. } => "it would have to stay, and the guest can't run without it",
            Obstacle::NetworkMissing { .. } => "the guest can't be plugged in there",
            Obstacle::NetworkDown { .. } => "the guest would be refused, or arrive without its network",
            Obstacle::SubnetDiffers { .. } => "it keeps its addresses, which may lead nowhere there",
            Obstacle::HostDevice { .. } => "it can't leave a device of its host",
            Obstacle::SavedMemory => {
                "a start at the source would go on from there, whatever is stored, also after its move"
            }
            Obstacle::Snapshots { .. } => "the hypervisor refuses to move a VM with snapshots, or loses them",
            Obstacle::NameTaken { .. } => "a host can't have two VMs of one name",
            Obstacle::MacTaken { .. } => "two VMs with one address disturb each other",
            Obstacle::Guarded { .. } => "it could be started again at the source while it moves",
            Obstacle::CommandMissing { .. } => "its VMs could neither be taken out of its hands nor given back",
            Obstacle::CommandsAreRun { .. } => "until a VM is given back, nobody starts it again when it fails",
            Obstacle::NotLicensed { .. } => "it would run there without a licence",
            Obstacle::PathBroken { .. } | Obstacle::PeerUnknown { .. } => {
                "an arrival is committed from worker to worker; no transfer starts without"
            }
            Obstacle::LinkDown { .. } => "nothing can be sent over it",
            Obstacle::LinkSlow { .. } => "busy VMs may never converge",
            Obstacle::NotEncrypted { .. } => "whoever sees the link sees the guests' memory",
            Obstacle::NoTls { .. } => "the runbook lets nothing be transferred without it ([transfer] tls)",
            Obstacle::EmulatorOlder { .. } | Obstacle::LibraryOlder { .. } => {
                "what a newer version sends, an older one may not understand"
            }
            Obstacle::ClockOff { .. } => "times in records and logs of the two sites can't be compared",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn mend(&self) -> &'static str {
        match self {
            Obstacle::NotSurveyed { .. } | Obstacle::NeedsUnknown => "bring the host back, or go on without it",
            Obstacle::ProcessorUnfit { .. } => {
                "give it a processor model that both have, or allow other destination_hosts"
            }
            Obstacle::ProcessorUnknown { .. } => "compare the hosts' processors by hand",
            Obstacle::DomainTypeMissing { .. } | Obstacle::MachineMissing { .. } => {
                "install it there, or allow other destination_hosts"
            }
            Obstacle::NoProcessors { .. } => "raise vcpus_max of the host, or allow other destination_hosts",
            Obstacle::StorageUnreachable { .. } => "mount it there, or take it off the site's shared storage",
            Obstacle::NoPlaceForDisk { .. } => "define and start a storage pool with its very folder there",
            Obstacle::DiskNotCopyable { .. } => {
                "move it into a file, raw or qcow2, or to shared storage, or except the VM"
            }
            Obstacle::NoDiskRoom { .. } => "make room there, allow other destination_hosts, or except some VMs",
            Obstacle::NetworkMissing { .. } => "make a network of that name there",
            Obstacle::NetworkDown { .. } => "start it there",
            Obstacle::SubnetDiffers { .. } => "make sure that the guest's addresses are routed there",
            Obstacle::HostDevice { .. } => "detach it, or except the VM",
            Obstacle::MediumUnreachable { .. } => "eject it, or make it reachable there",
            Obstacle::SavedMemory => {
                "start it, or give its memory up with `virsh managedsave-remove`, or except the VM"
            }
            Obstacle::Snapshots { .. } => "merge or delete them, or except the VM",
            Obstacle::NameTaken { .. } => "rename one of the two, or allow other destination_hosts",
            Obstacle::MacTaken { .. } => "change one of the two, or except the VM",
            Obstacle::Guarded { .. } => {
                "add a [[guardian]] of that name to the runbook, with hands_off and give_back; or except the VM"
            }
            Obstacle::CommandMissing { .. } => {
                "start the orchestrator with --command NAME=/absolute/path for it, or name another in the runbook's [[guardian]]"
            }
            Obstacle::CommandsAreRun { .. } => "nothing, if that is meant",
            Obstacle::NotLicensed { .. } => "license more and say so in the destination's configuration, or except VMs",
            Obstacle::PathBroken { .. } => "mend the path between the workers, or --peer of the source's worker",
            Obstacle::PeerUnknown { .. } => "start the source's worker with --peer for it",
            Obstacle::LinkDown { .. } => "bring it up, or mend the host's migration address in the configuration",
            Obstacle::LinkSlow { .. } => "expect it to take long; move busy VMs cold, or at quiet hours",
            Obstacle::NotEncrypted { .. } => "set up TLS for migration on both hosts",
            Obstacle::NoTls { .. } => {
                "set up TLS for migration on it and say tls = true in its site's libvirt configuration, or take tls out of the runbook"
            }
            Obstacle::EmulatorOlder { .. } | Obstacle::LibraryOlder { .. } => "upgrade the destination first",
            Obstacle::ClockOff { .. } => "synchronise it",
        }
    }
}
