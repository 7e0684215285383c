//! What the hosts offer and the VMs need, asked of libvirt for preflight. Blocking; reads only. What a host doesn't tell is
//! left out, so that nobody takes it for a yes.

use super::config::HostConfig;
use super::define;
use super::disks::why_not;
use super::document::{DiskPlace, child};
use super::needs::{self, Asked, Processor};
use super::trouble::Trouble;
use super::view::{self, View};
use muster_core::guardian::guardian_of;
use muster_core::ids::{HostName, VmId, clip};
use muster_core::preflight::products;
use muster_core::preflight::survey::{
    DiskNeed, HostSurvey, MigrationLink, NetworkOffer, ProcessorFit, Resident, StorageOffer, Version, VmNeeds,
};
use muster_core::reading::Stored;
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::network::Network;
use muster_libvirt::virt::sys;
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// What a host is asked with.
pub(super) struct Asking {
    pub(super) host: HostName,
    pub(super) config: HostConfig,
    pub(super) shared: Vec<PathBuf>,
    pub(super) tls: bool,
}

/// What a host offers.
pub(super) fn host(connection: &Connect, asking: &Asking) -> Result<HostSurvey, Trouble> {
    let (domain_types, machines) = guests(&connection.capabilities()?);
    let mut survey = HostSurvey {
        host: asking.host.clone(),
        domain_types,
        machines,
        emulator: connection.hyp_version().ok().map(version),
        library: connection.lib_version().ok().map(version),
        vcpus_max: asking.config.vcpus_max,
        vcpus_used: 0,
        networks: connection.list_all_networks(0)?.iter().map(network).collect::<Result<_, _>>()?,
        storage: storage(connection, &asking.shared)?,
        residents: Vec::new(),
        link: link(connection, asking),
    };
    for view in define::all(connection)? {
        let (stored, vcpus) = (view.stored(), u64::from(view.facts.vcpus));
        match stored {
            Stored::Real | Stored::Nothing | Stored::Sealed => {
                survey.vcpus_used += vcpus;
                survey.residents.push(resident(&view)?);
            }
            Stored::Placeholder | Stored::Arrived => survey.vcpus_used += vcpus,
            Stored::Retired => {}
        }
    }
    Ok(survey)
}

/// What those of these VMs need that are on this host, and not as muster's own inert copies.
pub(super) fn needs(connection: &Connect, vms: &[VmId], shared: &[PathBuf]) -> Result<Vec<VmNeeds>, Trouble> {
    let mut all = Vec::new();
    let mut of_host = None;
    for vm in vms {
        let Some(view) = view::read(connection, *vm)? else { continue };
        let is_here = view.is_active() || matches!(view.stored(), Stored::Real | Stored::Sealed);
        if is_here {
            all.push(needs_of(connection, *vm, &view, shared, &mut of_host)?);
        }
    }
    Ok(all)
}

/// Whether a host can run a processor, by its own libvirt's word.
pub(super) fn processor(connection: &Connect, processor: &str) -> ProcessorFit {
    match connection.compare_cpu(processor, sys::VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE) {
        Ok(sys::VIR_CPU_COMPARE_IDENTICAL | sys::VIR_CPU_COMPARE_SUPERSET) => ProcessorFit::Fits,
        Ok(sys::VIR_CPU_COMPARE_INCOMPATIBLE) => ProcessorFit::Lacks { what: "its host can't say what".to_owned() },
        Ok(other) => ProcessorFit::Unknown { because: format!("libvirt answers {other}") },
        Err(error) if is_incompatible(&error) => ProcessorFit::Lacks { what: clip(error.message()) },
        Err(error) => ProcessorFit::Unknown { because: clip(error.message()) },
    }
}

fn is_incompatible(error: &muster_libvirt::virt::error::Error) -> bool {
    use muster_libvirt::virt::error::ErrorNumber;
    error.code().is_known_and(|code| code == ErrorNumber::CpuIncompatible)
}

fn needs_of(
    connection: &Connect,
    vm: VmId,
    view: &View,
    shared: &[PathBuf],
    of_host: &mut Option<String>,
) -> Result<VmNeeds, Trouble> {
    // Of a guest that runs, what counts is what would be sent: its processor spelled out.
    let asked: Asked = if view.is_active() {
        let sent = view.domain.xml_desc(sys::VIR_DOMAIN_XML_MIGRATABLE | sys::VIR_DOMAIN_XML_SECURE)?;
        needs::read(&sent, true)?
    } else {
        needs::read(&view.facts.real, false)?
    };
    let processor = match asked.processor {
        Processor::Any => None,
        Processor::Named(processor) => Some(processor),
        Processor::OfHost => {
            if of_host.is_none() {
                *of_host = needs::of_host(&connection.capabilities()?);
            }
            of_host.clone()
        }
    };
    let snapshots = view.domain.list_all_snapshots(0)?.len();
    Ok(VmNeeds {
        vm,
        domain_type: asked.domain_type,
        machine: asked.machine,
        processor,
        nics: asked.nics,
        disks: disks(view, shared)?,
        host_devices: asked.host_devices,
        media: asked.media,
        snapshots: u32::try_from(snapshots).unwrap_or(u32::MAX),
        guardian: guardian_of(&view.facts.tags).map(str::to_owned),
        has_saved_memory: view.has_image,
    })
}

fn disks(view: &View, shared: &[PathBuf]) -> Result<Vec<DiskNeed>, Trouble> {
    let mut disks = Vec::new();
    for disk in view.facts.disks.iter().filter(|disk| disk.is_writable) {
        let path = match (&disk.place, disk.path()) {
            (DiskPlace::Network, _) => continue,
            (DiskPlace::Path(_) | DiskPlace::Other, Some(path)) => path.display().to_string(),
            (DiskPlace::Path(_) | DiskPlace::Other, None) => disk.target.clone(),
        };
        let shared = view::is_shared(&disk.place, shared);
        let size_bytes = if shared { 0 } else { view.disk_bytes(disk)? };
        let uncopyable = if shared { None } else { why_not(disk) };
        disks.push(DiskNeed { path, size_mib: size_bytes.div_ceil(1 << 20), shared, uncopyable });
    }
    Ok(disks)
}

fn resident(view: &View) -> Result<Resident, Trouble> {
    let asked = match view.facts.trouble {
        None => needs::read(&view.facts.real, false)?,
        // It is there; what it has can't be read.
        Some(_) => Asked::default(),
    };
    Ok(Resident {
        vm: define::uuid(view)?,
        name: view::vm_name(&view.facts.name),
        macs: asked.nics.into_iter().map(|nic| nic.mac).collect(),
        vcpus: view.facts.vcpus,
        products: products(&view.facts.tags).map(str::to_owned).collect(),
    })
}

/// libvirt's numbers are `major * 1,000,000 + minor * 1,000 + release`.
fn version(number: u32) -> Version {
    Version { major: number / 1_000_000, minor: number / 1_000 % 1_000, release: number % 1_000 }
}

/// The kinds of virtualisation and the machine types of the host's own architecture.
fn guests(capabilities: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let Ok(document) = Document::parse(capabilities) else { return Default::default() };
    let root = document.root_element();
    let own = child(root, "host").and_then(|host| child(host, "cpu")).and_then(|cpu| child(cpu, "arch"));
    let own = own.and_then(|arch| arch.text());
    let arches = root.children().filter(|node| node.has_tag_name("guest")).filter_map(|guest| child(guest, "arch"));
    let (mut domain_types, mut machines) = (BTreeSet::new(), BTreeSet::new());
    for arch in arches.filter(|arch| own.is_none() || arch.attribute("name") == own) {
        let of_kinds = arch.children().filter(|node| node.has_tag_name("domain"));
        for holder in of_kinds.clone().chain([arch]) {
            let listed = holder.children().filter(|node| node.has_tag_name("machine"));
            machines
                .extend(listed.flat_map(|machine| machine.text().into_iter().chain(machine.attribute("canonical"))));
        }
        domain_types.extend(of_kinds.filter_map(|kind| kind.attribute("type")));
    }
    (domain_types.into_iter().map(str::to_owned).collect(), machines.into_iter().map(str::to_owned).collect())
}

fn network(network: &Network) -> Result<NetworkOffer, Trouble> {
    let (name, active) = (network.name()?, network.is_active()?);
    Ok(NetworkOffer { name, active, subnet: subnet(&network.xml_desc(0)?) })
}

/// The first IPv4 subnet that a network's document names.
fn subnet(text: &str) -> Option<String> {
    let document = Document::parse(text).ok()?;
    let is_ip4 = |node: &Node<'_, '_>| node.has_tag_name("ip") && node.attribute("family") != Some("ipv6");
    let ip = document.root_element().children().find(is_ip4)?;
    let address: Ipv4Addr = ip.attribute("address")?.parse().ok()?;
    let prefix = match (ip.attribute("prefix"), ip.attribute("netmask")) {
        (Some(prefix), _) => prefix.parse().ok().filter(|prefix| *prefix <= 32)?,
        (None, Some(netmask)) => netmask.parse::<Ipv4Addr>().ok()?.to_bits().leading_ones(),
        (None, None) => return None,
    };
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    Some(format!("{}/{prefix}", Ipv4Addr::from_bits(address.to_bits() & mask)))
}

/// The pools that are up, and what the configuration says is shared: that is its writer's word.
fn storage(connection: &Connect, shared: &[PathBuf]) -> Result<Vec<StorageOffer>, Trouble> {
    let mut offers: Vec<StorageOffer> = Vec::new();
    for pool in connection.list_all_storage_pools(sys::VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)? {
        let Some(path) = pool_path(&pool.xml_desc(0)?) else { continue };
        let shared = shared.iter().any(|folder| path.starts_with(folder));
        let free_mib = pool.info()?.available >> 20;
        offers.push(StorageOffer { path: path.display().to_string(), free_mib, shared });
    }
    for folder in shared.iter().map(|folder| folder.display().to_string()) {
        if !offers.iter().any(|offer| offer.path == folder) {
            offers.push(StorageOffer { path: folder, free_mib: 0, shared: true });
        }
    }
    Ok(offers)
}

/// The folder of a pool.
pub(super) fn pool_path(text: &str) -> Option<PathBuf> {
    let document = Document::parse(text).ok()?;
    let target = child(document.root_element(), "target")?;
    child(target, "path")?.text().map(|path| PathBuf::from(path.trim()))
}

/// The configured interface, as the host's own list of devices has it.
fn link(connection: &Connect, asking: &Asking) -> MigrationLink {
    let unknown = MigrationLink { up: None, rate_mbit_s: None, tls: asking.tls };
    let Some(interface) = &asking.config.migration_interface else { return unknown };
    let Ok(devices) = connection.list_all_node_devices(sys::VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET) else {
        return unknown;
    };
    let seen = devices.iter().filter_map(|device| device.xml_desc(0).ok()).find_map(|text| seen_link(&text, interface));
    // The host lists its interfaces, and this is none of them.
    let (up, rate_mbit_s) = seen.unwrap_or((Some(false), None));
    MigrationLink { up, rate_mbit_s, ..unknown }
}

fn seen_link(text: &str, interface: &str) -> Option<(Option<bool>, Option<u64>)> {
    let document = Document::parse(text).ok()?;
    let is_it = |node: &Node<'_, '_>| child(*node, "interface").and_then(|name| name.text()) == Some(interface);
    let capability = document.root_element().children().filter(|node| node.has_tag_name("capability")).find(is_it)?;
    let Some(link) = child(capability, "link") else { return Some((None, None)) };
    let up = link.attribute("state").map(|state| state == "up");
    Some((up, link.attribute("speed").and_then(|speed| speed.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_tell_machines_and_kinds_of_the_hosts_own_architecture() {
        let text = "<capabilities><host><cpu><arch>x86_64</arch></cpu></host>\
            <guest><arch name='x86_64'><machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>\
            <domain type='qemu'/><domain type='kvm'><machine>q35</machine></domain></arch></guest>\
            <guest><arch name='aarch64'><machine>virt</machine><domain type='xen'/></arch></guest></capabilities>";
        let (kinds, machines) = guests(text);
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["kvm", "qemu"]);
        assert_eq!(machines.into_iter().collect::<Vec<_>>(), ["pc", "pc-i440fx-7.2", "q35"]);
    }

    #[test]
    fn a_subnet_is_its_first_address() {
        let of = |ip: &str| subnet(&format!("<network><ip family='ipv6' address='::1'/>{ip}</network>"));
        assert_eq!(of("<ip address='192.0.2.77' netmask='255.255.255.192'/>").as_deref(), Some("192.0.2.64/26"));
        assert_eq!(of("<ip address='192.0.2.77' prefix='0'/>").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(of("<ip address='192.0.2.77' prefix='33'/>"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn a_link_is_found_by_its_interface() {
        let text = "<device><capability type='net'><interface>eth1</interface><link speed='1000' state='up'/></capability></device>";
        assert_eq!(seen_link(text, "eth1"), Some((Some(true), Some(1_000))));
        assert_eq!(seen_link(&text.replace("state='up'", "state='down'"), "eth1"), Some((Some(false), Some(1_000))));
        assert_eq!(seen_link(text, "eth0"), None);
    }

    #[test]
    fn versions_are_taken_apart() {
        assert_eq!(version(7_002_019).to_string(), "7.2.19");
    }
}
