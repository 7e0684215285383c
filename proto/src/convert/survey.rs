//! What preflight asks a site and hears from it, one item a message.

use super::invalid::{InvalidMessage, Problem};
use super::read::{
    bounded_text, each, each_parsed, enumerated, marked, nested, optional, parsed, present, require_items, size_mib,
};
use crate::limits::{HOSTS_MAX, ITEMS_MAX, SURVEY_PARTS_MAX, SURVEY_TEXT_MAX_BYTES};
use crate::worker::v1 as pb;
use muster_core::definition::DOCUMENT_MAX_BYTES;
use muster_core::ids::{HostName, VmId};
use muster_core::preflight::survey::{
    DiskNeed, HostSurvey, Licence, LicenceUnit, MigrationLink, NetworkOffer, NicNeed, PeerSurvey, ProcessorFit,
    Resident, StorageOffer, Version, VmNeeds,
};
use std::collections::BTreeSet;

/// What a site is asked for preflight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SurveyOrder {
    /// The VMs whose needs are asked for.
    pub vms: Vec<VmId>,
    /// The processors that these hosts are asked about.
    pub processors: Vec<String>,
    /// The hosts that are asked; all if none is named. A VM is looked for on them alone.
    pub hosts: Vec<HostName>,
}

/// One item of a site's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SurveyEntry {
    /// The site itself: what is licensed there, and whom its worker reaches.
    Site {
        /// What is licensed.
        licences: Vec<Licence>,
        /// The other sites.
        peers: Vec<PeerSurvey>,
    },
    /// A host.
    Host(Box<HostSurvey>),
    /// A VM.
    Needs(Box<VmNeeds>),
    /// A processor on a host.
    Processor {
        /// The processor.
        processor: String,
        /// The host.
        host: HostName,
        /// Whether it can run it.
        fit: ProcessorFit,
    },
}

impl From<SurveyOrder> for pb::SurveyRequest {
    fn from(order: SurveyOrder) -> Self {
        pb::SurveyRequest {
            vms: order.vms.iter().map(VmId::to_string).collect(),
            processors: order.processors,
            hosts: order.hosts.iter().map(HostName::to_string).collect(),
        }
    }
}

impl TryFrom<pb::SurveyRequest> for SurveyOrder {
    type Error = InvalidMessage;
    fn try_from(message: pb::SurveyRequest) -> Result<Self, InvalidMessage> {
        Ok(SurveyOrder {
            vms: each_parsed("vms", &message.vms, ITEMS_MAX)?,
            processors: processors("processors", message.processors)?,
            hosts: each_parsed("hosts", &message.hosts, ITEMS_MAX)?,
        })
    }
}

impl From<SurveyEntry> for pb::SurveyItem {
    fn from(entry: SurveyEntry) -> Self {
        use pb::survey_item::Item;
        let item = match entry {
            SurveyEntry::Site { licences, peers } => Item::Site(pb::SiteOffer {
                licences: licences.into_iter().map(Into::into).collect(),
                peers: peers.into_iter().map(Into::into).collect(),
            }),
            SurveyEntry::Host(host) => Item::Host((*host).into()),
            SurveyEntry::Needs(needs) => Item::Needs((*needs).into()),
            SurveyEntry::Processor { processor, host, fit } => {
                use pb::processor_verdict::Verdict;
                let verdict = match fit {
                    ProcessorFit::Fits => Verdict::Fits(true),
                    ProcessorFit::Lacks { what } => Verdict::Lacks(what),
                    ProcessorFit::Unknown { because } => Verdict::Unknown(because),
                };
                Item::Processor(pb::ProcessorVerdict { processor, host: host.into(), verdict: Some(verdict) })
            }
        };
        pb::SurveyItem { item: Some(item) }
    }
}

impl TryFrom<pb::SurveyItem> for SurveyEntry {
    type Error = InvalidMessage;
    fn try_from(message: pb::SurveyItem) -> Result<Self, InvalidMessage> {
        use pb::survey_item::Item;
        Ok(match present("item", message.item)? {
            Item::Site(site) => SurveyEntry::Site {
                licences: each("site.licences", site.licences, SURVEY_PARTS_MAX)?,
                peers: each("site.peers", site.peers, HOSTS_MAX)?,
            },
            Item::Host(host) => SurveyEntry::Host(Box::new(nested("host", host)?)),
            Item::Needs(needs) => SurveyEntry::Needs(Box::new(nested("needs", needs)?)),
            Item::Processor(verdict) => processor_verdict(verdict).map_err(|invalid| invalid.within("processor"))?,
        })
    }
}

fn processor_verdict(message: pb::ProcessorVerdict) -> Result<SurveyEntry, InvalidMessage> {
    use pb::processor_verdict::Verdict;
    let fit = match present("verdict", message.verdict)? {
        Verdict::Fits(fits) => marked("fits", fits, ProcessorFit::Fits)?,
        Verdict::Lacks(what) => ProcessorFit::Lacks { what: part("lacks", what)? },
        Verdict::Unknown(because) => ProcessorFit::Unknown { because: part("unknown", because)? },
    };
    Ok(SurveyEntry::Processor {
        processor: processor("processor", message.processor)?,
        host: parsed("host", &message.host)?,
        fit,
    })
}

impl From<Licence> for pb::Licence {
    fn from(licence: Licence) -> Self {
        let unit = match licence.unit {
            LicenceUnit::Core => pb::LicenceUnit::Core,
            LicenceUnit::Instance => pb::LicenceUnit::Instance,
        };
        pb::Licence { product: licence.product, unit: unit.into(), count: licence.count }
    }
}

impl TryFrom<pb::Licence> for Licence {
    type Error = InvalidMessage;
    fn try_from(message: pb::Licence) -> Result<Self, InvalidMessage> {
        let unit = enumerated("unit", "LicenceUnit", message.unit, |unit| match unit {
            pb::LicenceUnit::Unspecified => None,
            pb::LicenceUnit::Core => Some(LicenceUnit::Core),
            pb::LicenceUnit::Instance => Some(LicenceUnit::Instance),
        })?;
        Ok(Licence { product: part("product", message.product)?, unit, count: message.count })
    }
}

impl From<PeerSurvey> for pb::PeerSurvey {
    fn from(peer: PeerSurvey) -> Self {
        pb::PeerSurvey { site: peer.site.into(), trouble: peer.trouble }
    }
}

impl TryFrom<pb::PeerSurvey> for PeerSurvey {
    type Error = InvalidMessage;
    fn try_from(message: pb::PeerSurvey) -> Result<Self, InvalidMessage> {
        Ok(PeerSurvey { site: parsed("site", &message.site)?, trouble: optional_part("trouble", message.trouble)? })
    }
}

impl From<HostSurvey> for pb::HostSurvey {
    fn from(survey: HostSurvey) -> Self {
        pb::HostSurvey {
            host: survey.host.into(),
            domain_types: survey.domain_types.into_iter().collect(),
            machines: survey.machines.into_iter().collect(),
            emulator: survey.emulator.map(Into::into),
            library: survey.library.map(Into::into),
            vcpus_max: survey.vcpus_max,
            vcpus_used: survey.vcpus_used,
            networks: survey.networks.into_iter().map(Into::into).collect(),
            storage: survey.storage.into_iter().map(Into::into).collect(),
            residents: survey.residents.into_iter().map(Into::into).collect(),
            link_up: survey.link.up,
            link_mbit_s: survey.link.rate_mbit_s,
            link_tls: survey.link.tls,
        }
    }
}

impl TryFrom<pb::HostSurvey> for HostSurvey {
    type Error = InvalidMessage;
    fn try_from(message: pb::HostSurvey) -> Result<Self, InvalidMessage> {
        Ok(HostSurvey {
            host: parsed("host", &message.host)?,
            domain_types: set("domain_types", message.domain_types)?,
            machines: set("machines", message.machines)?,
            emulator: optional("emulator", message.emulator)?,
            library: optional("library", message.library)?,
            vcpus_max: message.vcpus_max,
            vcpus_used: message.vcpus_used,
            networks: each("networks", message.networks, SURVEY_PARTS_MAX)?,
            storage: each("storage", message.storage, SURVEY_PARTS_MAX)?,
            residents: each("residents", message.residents, SURVEY_PARTS_MAX)?,
            link: MigrationLink { up: message.link_up, rate_mbit_s: message.link_mbit_s, tls: message.link_tls },
        })
    }
}

impl From<Version> for pb::Version {
    fn from(version: Version) -> Self {
        pb::Version { major: version.major, minor: version.minor, release: version.release }
    }
}

impl TryFrom<pb::Version> for Version {
    type Error = InvalidMessage;
    fn try_from(message: pb::Version) -> Result<Self, InvalidMessage> {
        Ok(Version { major: message.major, minor: message.minor, release: message.release })
    }
}

impl From<NetworkOffer> for pb::NetworkOffer {
    fn from(offer: NetworkOffer) -> Self {
        pb::NetworkOffer { name: offer.name, active: offer.active, subnet: offer.subnet }
    }
}

impl TryFrom<pb::NetworkOffer> for NetworkOffer {
    type Error = InvalidMessage;
    fn try_from(message: pb::NetworkOffer) -> Result<Self, InvalidMessage> {
        Ok(NetworkOffer {
            name: part("name", message.name)?,
            active: message.active,
            subnet: optional_part("subnet", message.subnet)?,
        })
    }
}

impl From<StorageOffer> for pb::StorageOffer {
    fn from(offer: StorageOffer) -> Self {
        pb::StorageOffer { path: offer.path, free_mib: offer.free_mib, shared: offer.shared }
    }
}

impl TryFrom<pb::StorageOffer> for StorageOffer {
    type Error = InvalidMessage;
    fn try_from(message: pb::StorageOffer) -> Result<Self, InvalidMessage> {
        Ok(StorageOffer {
            path: part("path", message.path)?,
            free_mib: size_mib("free_mib", message.free_mib)?,
            shared: message.shared,
        })
    }
}

impl From<Resident> for pb::Resident {
    fn from(resident: Resident) -> Self {
        pb::Resident {
            vm: resident.vm.to_string(),
            name: resident.name.into(),
            macs: resident.macs,
            vcpus: resident.vcpus,
            products: resident.products,
        }
    }
}

impl TryFrom<pb::Resident> for Resident {
    type Error = InvalidMessage;
    fn try_from(message: pb::Resident) -> Result<Self, InvalidMessage> {
        Ok(Resident {
            vm: parsed("vm", &message.vm)?,
            name: parsed("name", &message.name)?,
            macs: parts("macs", message.macs)?,
            vcpus: message.vcpus,
            products: parts("products", message.products)?,
        })
    }
}

impl From<VmNeeds> for pb::VmNeeds {
    fn from(needs: VmNeeds) -> Self {
        pb::VmNeeds {
            vm: needs.vm.to_string(),
            domain_type: needs.domain_type,
            machine: needs.machine,
            processor: needs.processor,
            nics: needs.nics.into_iter().map(Into::into).collect(),
            disks: needs.disks.into_iter().map(Into::into).collect(),
            host_devices: needs.host_devices,
            media: needs.media,
            snapshots: needs.snapshots,
            guardian: needs.guardian,
            has_saved_memory: needs.has_saved_memory,
        }
    }
}

impl TryFrom<pb::VmNeeds> for VmNeeds {
    type Error = InvalidMessage;
    fn try_from(message: pb::VmNeeds) -> Result<Self, InvalidMessage> {
        Ok(VmNeeds {
            vm: parsed("vm", &message.vm)?,
            domain_type: optional_part("domain_type", message.domain_type)?,
            machine: optional_part("machine", message.machine)?,
            processor: message.processor.map(|given| processor("processor", given)).transpose()?,
            nics: each("nics", message.nics, SURVEY_PARTS_MAX)?,
            disks: each("disks", message.disks, SURVEY_PARTS_MAX)?,
            host_devices: parts("host_devices", message.host_devices)?,
            media: parts("media", message.media)?,
            snapshots: message.snapshots,
            guardian: optional_part("guardian", message.guardian)?,
            has_saved_memory: message.has_saved_memory,
        })
    }
}

impl From<NicNeed> for pb::NicNeed {
    fn from(nic: NicNeed) -> Self {
        pb::NicNeed { mac: nic.mac, network: nic.network }
    }
}

impl TryFrom<pb::NicNeed> for NicNeed {
    type Error = InvalidMessage;
    fn try_from(message: pb::NicNeed) -> Result<Self, InvalidMessage> {
        Ok(NicNeed { mac: part("mac", message.mac)?, network: optional_part("network", message.network)? })
    }
}

impl From<DiskNeed> for pb::DiskNeed {
    fn from(disk: DiskNeed) -> Self {
        pb::DiskNeed { path: disk.path, size_mib: disk.size_mib, shared: disk.shared, uncopyable: disk.uncopyable }
    }
}

impl TryFrom<pb::DiskNeed> for DiskNeed {
    type Error = InvalidMessage;
    fn try_from(message: pb::DiskNeed) -> Result<Self, InvalidMessage> {
        Ok(DiskNeed {
            path: part("path", message.path)?,
            size_mib: size_mib("size_mib", message.size_mib)?,
            shared: message.shared,
            uncopyable: optional_part("uncopyable", message.uncopyable)?,
        })
    }
}

fn part(field: &str, given: String) -> Result<String, InvalidMessage> {
    bounded_text(field, given, SURVEY_TEXT_MAX_BYTES)
}

fn optional_part(field: &str, given: Option<String>) -> Result<Option<String>, InvalidMessage> {
    given.map(|given| part(field, given)).transpose()
}

fn parts(field: &str, given: Vec<String>) -> Result<Vec<String>, InvalidMessage> {
    require_items(field, given.len(), SURVEY_PARTS_MAX)?;
    given.into_iter().enumerate().map(|(index, one)| part(&super::read::at(field, index), one)).collect()
}

fn set(field: &str, given: Vec<String>) -> Result<BTreeSet<String>, InvalidMessage> {
    Ok(parts(field, given)?.into_iter().collect())
}

/// A processor is a piece of a hypervisor's document: bounded as one, and otherwise kept to the letter.
fn processor(field: &str, given: String) -> Result<String, InvalidMessage> {
    match given.len() {
        0 => Err(InvalidMessage::new(field, Problem::Empty)),
        1..=DOCUMENT_MAX_BYTES => Ok(given),
        given => Err(InvalidMessage::new(field, Problem::TooLong { given, max: DOCUMENT_MAX_BYTES })),
    }
}

fn processors(field: &str, given: Vec<String>) -> Result<Vec<String>, InvalidMessage> {
    require_items(field, given.len(), ITEMS_MAX)?;
    given.into_iter().enumerate().map(|(index, one)| processor(&super::read::at(field, index), one)).collect()
}
