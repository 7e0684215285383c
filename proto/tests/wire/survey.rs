//! Random parts of a survey, the same for the same seed.

use crate::generate::Generator;
use muster_core::preflight::survey::{
    DiskNeed, HostSurvey, Licence, LicenceUnit, MigrationLink, NetworkOffer, NicNeed, PeerSurvey, ProcessorFit,
    Resident, StorageOffer, Version, VmNeeds,
};
use muster_proto::convert::{SurveyEntry, SurveyOrder};

impl Generator {
    pub(crate) fn survey_order(&mut self) -> SurveyOrder {
        SurveyOrder { vms: self.some(Self::vm), processors: self.some(Self::words), hosts: self.some(Self::host) }
    }

    pub(crate) fn survey_entry(&mut self) -> SurveyEntry {
        match self.one(&[0, 1, 2, 3]) {
            0 => SurveyEntry::Site { licences: self.some(Self::licence), peers: self.some(Self::peer) },
            1 => SurveyEntry::Host(Box::new(self.host_survey())),
            2 => SurveyEntry::Needs(Box::new(self.needs())),
            _ => SurveyEntry::Processor { processor: self.words(), host: self.host(), fit: self.fit() },
        }
    }

    pub(crate) fn licence(&mut self) -> Licence {
        let unit = self.one(&[LicenceUnit::Core, LicenceUnit::Instance]);
        Licence { product: self.words(), unit, count: self.number() }
    }

    pub(crate) fn peer(&mut self) -> PeerSurvey {
        PeerSurvey { site: self.site(), trouble: self.maybe(Self::words) }
    }

    pub(crate) fn host_survey(&mut self) -> HostSurvey {
        HostSurvey {
            host: self.host(),
            domain_types: self.some(Self::words).into_iter().collect(),
            machines: self.some(Self::words).into_iter().collect(),
            emulator: self.maybe(Self::version),
            library: self.maybe(Self::version),
            vcpus_max: self.maybe(Self::number),
            vcpus_used: self.number(),
            networks: self.some(Self::network_offer),
            storage: self.some(Self::storage_offer),
            residents: self.some(Self::resident),
            link: MigrationLink { up: self.maybe(Self::yes), rate_mbit_s: self.maybe(Self::number), tls: self.yes() },
        }
    }

    pub(crate) fn version(&mut self) -> Version {
        Version { major: self.small(), minor: self.small(), release: self.small() }
    }

    pub(crate) fn network_offer(&mut self) -> NetworkOffer {
        NetworkOffer { name: self.words(), active: self.yes(), subnet: self.maybe(Self::words) }
    }

    pub(crate) fn storage_offer(&mut self) -> StorageOffer {
        StorageOffer { path: self.words(), free_mib: self.mib(), shared: self.yes() }
    }

    pub(crate) fn resident(&mut self) -> Resident {
        Resident {
            vm: self.vm(),
            name: self.definition().name,
            macs: self.some(Self::words),
            vcpus: self.small(),
            products: self.some(Self::words),
        }
    }

    pub(crate) fn needs(&mut self) -> VmNeeds {
        VmNeeds {
            vm: self.vm(),
            domain_type: self.maybe(Self::words),
            machine: self.maybe(Self::words),
            processor: self.maybe(Self::words),
            nics: self.some(Self::nic_need),
            disks: self.some(Self::disk_need),
            host_devices: self.some(Self::words),
            media: self.some(Self::words),
            snapshots: self.small(),
            guardian: self.maybe(Self::words),
            has_saved_memory: self.small() % 2 == 1,
        }
    }

    pub(crate) fn nic_need(&mut self) -> NicNeed {
        NicNeed { mac: self.words(), network: self.maybe(Self::words) }
    }

    pub(crate) fn disk_need(&mut self) -> DiskNeed {
        DiskNeed { path: self.words(), size_mib: self.mib(), shared: self.yes(), uncopyable: self.maybe(Self::words) }
    }

    fn fit(&mut self) -> ProcessorFit {
        match self.one(&[0, 1, 2]) {
            0 => ProcessorFit::Fits,
            1 => ProcessorFit::Lacks { what: self.words() },
            _ => ProcessorFit::Unknown { because: self.words() },
        }
    }
}
