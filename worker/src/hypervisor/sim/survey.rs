//! What simulated hosts offer and simulated VMs need: whatever an inventory of the world tells. Its guests need no
//! particular machine, processor, network or device, their tags say what else starts and stops them, and what travels between
//! its hosts can't be overheard.

use crate::hypervisor::Survey;
use muster_core::definition::Definition;
use muster_core::guardian::guardian_of;
use muster_core::ids::VmId;
use muster_core::preflight::products;
use muster_core::preflight::survey::{HostSurvey, MigrationLink, Resident, VmNeeds};
use muster_core::reading::{Inventory, Stored, VmListing};
use std::collections::BTreeSet;

pub(super) fn survey(inventory: &Inventory) -> Survey {
    let answering = inventory.hosts.iter().filter(|listing| listing.answers);
    let hosts = answering.map(|listing| {
        let here = || inventory.vms.iter().filter(|vm| vm.host == listing.host);
        HostSurvey {
            host: listing.host.clone(),
            domain_types: BTreeSet::new(),
            machines: BTreeSet::new(),
            emulator: None,
            library: None,
            vcpus_max: None,
            vcpus_used: here().filter(|vm| vm.stored != Stored::Retired).map(|vm| u64::from(vm.definition.vcpus)).sum(),
            networks: Vec::new(),
            storage: Vec::new(),
            residents: here().filter(|vm| is_resident(vm)).map(resident).collect(),
            link: MigrationLink { up: Some(true), rate_mbit_s: None, tls: true },
        }
    });
    Survey { hosts: hosts.collect(), licences: Vec::new() }
}

/// What VMs of these definitions need.
pub(super) fn needs(definitions: &[(VmId, Definition)]) -> Vec<VmNeeds> {
    let needs = definitions.iter().map(|(vm, definition)| VmNeeds {
        vm: *vm,
        domain_type: None,
        machine: None,
        processor: None,
        nics: Vec::new(),
        disks: Vec::new(),
        host_devices: Vec::new(),
        media: Vec::new(),
        snapshots: 0,
        guardian: guardian_of(&definition.tags).map(str::to_owned),
        has_saved_memory: false,
    });
    needs.collect()
}

fn is_resident(listing: &VmListing) -> bool {
    match listing.stored {
        Stored::Real | Stored::Nothing | Stored::Sealed => true,
        Stored::Placeholder | Stored::Arrived | Stored::Retired => false,
    }
}

fn resident(listing: &VmListing) -> Resident {
    Resident {
        vm: listing.vm,
        name: listing.definition.name.clone(),
        macs: Vec::new(),
        vcpus: listing.definition.vcpus,
        products: products(&listing.definition.tags).map(str::to_owned).collect(),
    }
}
