//! The world against hand calculations, against its own faults, and against itself.

mod faults;
mod moves;
mod truths;

use super::*;
use crate::hypervisor::{Call, VmChange};
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::{Attempt, EvacuationId};
use muster_core::reading::{Instance, Mark, Seal, Sighting};
use muster_core::terms::Tuning;
use muster_core::token::Token;
use uuid::Uuid;

/// A world without latency that moves VMs from `source-1` to `destination-1`.
struct Scene {
    world: World,
    next: u64,
}

const LINK_MIB_S: u64 = 100;

fn source() -> SiteName {
    "source".parse().unwrap()
}

fn destination() -> SiteName {
    "destination".parse().unwrap()
}

fn host(site: &SiteName, number: u32) -> HostName {
    format!("{site}-{number}").parse().unwrap()
}

fn vm(number: u64) -> VmId {
    VmId(Uuid::from_u128(u128::from(number)))
}

fn mark() -> Mark {
    Mark { evacuation: EvacuationId(Uuid::from_u128(99)), attempt: Attempt::FIRST, token: Token::new(1, 1) }
}

fn sealing() -> VmChange {
    let (evacuation, token) = (EvacuationId(Uuid::from_u128(99)), Token::new(1, 1));
    let (source_site, destination_site, destination_host) = (source(), destination(), host(&destination(), 1));
    let seal =
        Seal { evacuation, token, mode: Mode::Live, source_site, destination_site, destination_host, autostart: false };
    VmChange::DefineSealed { reason: "moving".to_owned(), seal: Box::new(seal) }
}

fn quiet() -> Workload {
    Workload::default()
}

fn endless() -> Workload {
    Workload { hot_mib: 1_024, hot_span_ms: 100, ..quiet() }
}

impl Scene {
    fn new() -> Scene {
        let mut config = WorldConfig::two_sites(1, 2, 64 * 1024).unwrap();
        config.timing.call_ms = 0;
        config.links[0].rate_mib_s = LINK_MIB_S;
        Scene { world: World::new(&config).unwrap(), next: 0 }
    }

    /// A running VM of 1 GiB on `source-1`, with autostart.
    fn vm(&mut self, disk: Disk, workload: Workload) -> VmId {
        self.next += 1;
        let definition = self.definition(self.next, disk, workload);
        let spec = VmSpec { vm: vm(self.next), site: source(), host: host(&source(), 1), definition, runs: true };
        self.world.create_vm(&spec).unwrap();
        vm(self.next)
    }

    fn definition(&self, number: u64, disk: Disk, workload: Workload) -> Definition {
        Definition {
            name: format!("vm-{number}").parse().unwrap(),
            memory_mib: 1_024,
            vcpus: 1,
            disk,
            autostart: true,
            tags: Vec::new(),
            document: workload.to_document(),
        }
    }

    fn original(&self, vm: VmId) -> Definition {
        self.world.lives[&vm].original.clone()
    }

    fn call(&mut self, site: &SiteName, vm: VmId, change: VmChange) -> Result<(), HypervisorError> {
        let id = self.world.begin_call(site, Call { vm, host: host(site, 1), change });
        let ended = self.world.take_outputs().into_iter().find_map(|output| match output {
            Output::CallEnded { call, result } if call == id => Some(result),
            Output::CallEnded { .. }
            | Output::Changed { .. }
            | Output::EverythingChanged { .. }
            | Output::SiteLost { .. } => None,
        });
        ended.expect("without latency a call ends at once")
    }

    fn place(&mut self, vm: VmId) {
        let definition = self.original(vm);
        self.call(&destination(), vm, VmChange::DefinePlaceholder { definition, mark: mark() }).unwrap();
    }

    fn seal(&mut self, vm: VmId) {
        self.call(&source(), vm, sealing()).unwrap();
    }

    /// Lines 2 to 4 of a move; the transfer has begun.
    fn begin(&mut self, vm: VmId) {
        self.place(vm);
        self.seal(vm);
        self.call(&source(), vm, transfer(self.original(vm))).unwrap();
    }

    fn inject(&mut self, fault: Fault) {
        self.world.inject(&fault).unwrap();
    }

    fn pass(&mut self, ms: u64) {
        self.world.advance(self.world.now_ms() + ms);
    }

    fn sighting(&self, site: &SiteName, vm: VmId) -> Sighting {
        self.world.look(site, &[vm]).unwrap()[0].sightings[0].clone()
    }

    fn instances(&self, vm: VmId) -> (Instance, Instance) {
        (self.sighting(&source(), vm).instance, self.sighting(&destination(), vm).instance)
    }

    fn truth(&self, vm: VmId) -> Truth {
        self.world.truth_of(vm).unwrap()
    }
}

fn transfer(definition: Definition) -> VmChange {
    VmChange::BeginTransfer {
        destination_site: destination(),
        destination_host: host(&destination(), 1),
        definition,
        mark: mark(),
        tuning: Tuning::default(),
    }
}

fn disk_copy() -> VmChange {
    VmChange::BeginDiskCopy { destination_site: destination(), destination_host: host(&destination(), 1), mark: mark() }
}
