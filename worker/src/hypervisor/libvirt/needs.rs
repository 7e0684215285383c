//! What a VM needs of a host, read in its document: for preflight. Pure; what it can't make out it leaves out.

use super::document::{DocumentError, child, domain, source_path};
use muster_core::preflight::survey::NicNeed;
use roxmltree::{Document, Node};

/// What a document asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Asked {
    pub(super) domain_type: Option<String>,
    pub(super) machine: Option<String>,
    pub(super) processor: Processor,
    pub(super) nics: Vec<NicNeed>,
    pub(super) host_devices: Vec<String>,
    pub(super) media: Vec<String>,
}

/// The processor that a document asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Processor {
    /// Nothing in particular: the default, or one that is emulated, or whatever the host has when it starts.
    #[default]
    Any,
    /// This one, to the letter.
    Named(String),
    /// The very processor of its host.
    OfHost,
}

/// Reads a document: of a guest that runs, the one that libvirt would send.
pub(super) fn read(text: &str, is_active: bool) -> Result<Asked, DocumentError> {
    let document = Document::parse(text)?;
    let domain = domain(&document)?;
    let domain_type = domain.attribute("type").map(str::to_owned);
    let kind = child(domain, "os").and_then(|os| child(os, "type"));
    let devices = child(domain, "devices");
    let all = |name: &'static str| {
        let nodes = devices.into_iter().flat_map(|devices| devices.children());
        nodes.filter(move |node| node.has_tag_name(name))
    };
    let is_medium = |disk: &Node<'_, '_>| matches!(disk.attribute("device"), Some("cdrom" | "floppy"));
    let through_nic = all("interface").filter(|nic| nic.attribute("type") == Some("hostdev"));
    Ok(Asked {
        processor: processor(text, domain, is_active),
        domain_type,
        machine: kind.and_then(|kind| kind.attribute("machine")).map(str::to_owned),
        nics: all("interface").filter_map(nic).collect(),
        host_devices: all("hostdev").chain(through_nic).map(device).collect(),
        media: all("disk").filter(is_medium).filter_map(source_path).map(str::to_owned).collect(),
    })
}

/// The processor in a host's capabilities, to the letter.
pub(super) fn of_host(capabilities: &str) -> Option<String> {
    let document = Document::parse(capabilities).ok()?;
    let host = child(document.root_element(), "host")?;
    Some(capabilities[child(host, "cpu")?.range()].to_owned())
}

fn processor(text: &str, domain: Node<'_, '_>, is_active: bool) -> Processor {
    let is_emulated = domain.attribute("type") == Some("qemu");
    let Some(cpu) = child(domain, "cpu").filter(|_| !is_emulated) else { return Processor::Any };
    match cpu.attribute("mode") {
        Some("host-passthrough") if is_active => Processor::OfHost,
        // What is off takes what its next host has.
        Some("host-passthrough" | "host-model" | "maximum") => Processor::Any,
        Some(_) | None if child(cpu, "model").is_none() => Processor::Any,
        Some(_) | None => Processor::Named(text[cpu.range()].to_owned()),
    }
}

fn nic(interface: Node<'_, '_>) -> Option<NicNeed> {
    let mac = child(interface, "mac")?.attribute("address")?.to_lowercase();
    // Of a bridge or a macvtap, libvirt's remote API doesn't tell whether it is there.
    let of_network = child(interface, "source").filter(|_| interface.attribute("type") == Some("network"));
    Some(NicNeed { mac, network: of_network.and_then(|source| source.attribute("network")).map(str::to_owned) })
}

/// A device in a few words: its kind, and its address at the host.
fn device(node: Node<'_, '_>) -> String {
    let kind = node.attribute("type").filter(|kind| *kind != "hostdev").unwrap_or("pci");
    let address = child(node, "source").and_then(|source| child(source, "address"));
    let parts = address.map(|address| {
        let parts = address.attributes().filter(|part| part.name() != "type");
        parts.map(|part| format!("{} {}", part.name(), part.value())).collect::<Vec<_>>().join(", ")
    });
    match parts.filter(|parts| !parts.is_empty()) {
        Some(parts) => format!("{kind} ({parts})"),
        None => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "<domain type='kvm'><name>a</name><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>\
        <cpu mode='custom' match='exact'><model>Skylake-Client</model><feature policy='require' name='vmx'/></cpu><devices>\
        <disk type='file' device='cdrom'><source file='/iso/a.iso'/><target dev='sda'/></disk>\
        <disk type='file' device='cdrom'><target dev='sdb'/></disk>\
        <interface type='network'><mac address='52:54:00:AA:00:01'/><source network='lan'/></interface>\
        <interface type='bridge'><mac address='52:54:00:aa:00:02'/><source bridge='br0'/></interface>\
        <hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source>\
        </hostdev></devices></domain>";

    #[test]
    fn what_a_guest_asks_for_is_read() {
        let asked = read(DOMAIN, true).unwrap();
        assert_eq!((asked.domain_type.as_deref(), asked.machine.as_deref()), (Some("kvm"), Some("pc-q35-7.2")));
        let Processor::Named(processor) = &asked.processor else { panic!("{asked:?}") };
        assert!(processor.starts_with("<cpu mode='custom'") && processor.ends_with("</cpu>"), "{processor}");
        let nics: Vec<(&str, Option<&str>)> =
            asked.nics.iter().map(|nic| (nic.mac.as_str(), nic.network.as_deref())).collect();
        assert_eq!(nics, [("52:54:00:aa:00:01", Some("lan")), ("52:54:00:aa:00:02", None)]);
        assert_eq!(asked.media, ["/iso/a.iso"]);
        assert_eq!(asked.host_devices, ["pci (domain 0x0000, bus 0x01, slot 0x00, function 0x0)"]);
    }

    #[test]
    fn a_processor_matters_where_it_is_a_real_one() {
        let with = |kind: &str, cpu: &str| DOMAIN.replacen("kvm", kind, 1).replacen("<cpu mode='custom'", cpu, 1);
        assert_eq!(read(&with("qemu", "<cpu mode='custom'"), true).unwrap().processor, Processor::Any);
        assert_eq!(read(&with("kvm", "<cpu mode='host-passthrough'"), true).unwrap().processor, Processor::OfHost);
        assert_eq!(read(&with("kvm", "<cpu mode='host-passthrough'"), false).unwrap().processor, Processor::Any);
    }

    #[test]
    fn a_hosts_processor_is_taken_to_the_letter() {
        let capabilities = "<capabilities><host><uuid>x</uuid><cpu><arch>x86_64</arch></cpu></host></capabilities>";
        assert_eq!(of_host(capabilities).as_deref(), Some("<cpu><arch>x86_64</arch></cpu>"));
        assert_eq!(of_host("<capabilities/>"), None);
    }
}
