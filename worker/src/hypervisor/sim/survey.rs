//! What simulated hosts offer and simulated VMs need: whatever an inventory of the world tells. Its guests need no
//! particular machine, processor, network or device, their tags say what else starts and stops them, and what travels between
//! its hosts can't be overheard.

use crate::hypervisor::{ProcessorOnHost, Survey};
use muster_core::definition::Definition;
use muster_core::guardian::guardian_of;
use muster_core::ids::VmId;
use muster_core::preflight::products;
use muster_core::preflight::survey::{HostSurvey, MigrationLink, ProcessorFit, Resident, VmNeeds};
use muster_core::reading::{Inventory, Stored, VmListing};
use std::collections::BTreeSet;

/// An inventory of these hosts, or of all if none is named.
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

/// No simulated VM has a processor of its own, so no simulated host can tell of one that somebody asks about.
pub(super) fn processors(asked: &[String], inventory: &Inventory) -> Vec<ProcessorOnHost> {
    let answering = || inventory.hosts.iter().filter(|listing| listing.answers);
    let because = || "simulated hosts have no processors to compare".to_owned();
    let on_hosts = asked.iter().flat_map(|processor| {
        answering().map(|listing| ProcessorOnHost {
            processor: processor.clone(),
            host: listing.host.clone(),
            fit: ProcessorFit::Unknown { because: because() },
        })
    });
    on_hosts.collect()
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

#[test]
fn whoever_asks_about_a_processor_hears_that_nobody_can_tell() {
    use muster_core::reading::HostListing;
    let listing = |name: &str, answers| HostListing {
        host: name.parse().expect("a host's name"),
        answers,
        memory_mib: 1,
        used_mib: 0,
        cores: 1,
    };
    let inventory = Inventory { hosts: vec![listing("a", true), listing("b", false)], vms: Vec::new() };
    assert!(processors(&[], &inventory).is_empty());
    let told = processors(&["x".to_owned(), "y".to_owned()], &inventory);
    let heard: Vec<(&str, &str)> = told.iter().map(|told| (told.processor.as_str(), told.host.as_str())).collect();
    assert_eq!(heard, [("x", "a"), ("y", "a")]);
    assert!(told.iter().all(|told| matches!(told.fit, ProcessorFit::Unknown { .. })));
}
