//! Worlds for the tests of the simulated hypervisors, and the two ways to reach them.

#![allow(clippy::unwrap_used)]

use async_trait::async_trait;
use muster_core::definition::{Definition, Disk};
use muster_core::ids::{EvacuationId, HostName, SiteName, VmId};
use muster_worker::hypervisor::Hypervisor;
use muster_worker::hypervisor::conformance::{Fixture, Stage, Subject};
use muster_worker::hypervisor::sim::client::SimulatedHypervisors;
use muster_worker::hypervisor::sim::direct::DirectHypervisors;
use muster_worker::hypervisor::sim::engine::WorldHandle;
use muster_worker::hypervisor::sim::world::{VmSpec, Workload};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::transport::Channel;
use uuid::Uuid;

pub(crate) fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

pub(crate) fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

pub(crate) fn definition(number: u64, disk: Disk, workload: Workload) -> Definition {
    Definition {
        name: format!("vm-{number}").parse().unwrap(),
        memory_mib: 1_024,
        vcpus: 2,
        disk,
        autostart: true,
        tags: vec!["tier-web".to_owned()],
        document: workload.to_document(),
    }
}

/// How the driver reaches the world.
pub(crate) enum Way {
    Direct,
    Wire(Channel),
}

/// Stages on one world, each with a VM of its own.
pub(crate) struct WorldFixture {
    pub(crate) world: WorldHandle,
    pub(crate) way: Way,
    pub(crate) made: AtomicU64,
}

impl WorldFixture {
    pub(crate) fn new(world: WorldHandle, way: Way) -> Self {
        WorldFixture { world, way, made: AtomicU64::new(0) }
    }

    fn driver(&self, of: &str) -> Arc<dyn Hypervisor> {
        match &self.way {
            Way::Direct => Arc::new(DirectHypervisors::new(self.world.clone(), site(of))),
            Way::Wire(channel) => Arc::new(SimulatedHypervisors::over(channel.clone(), site(of))),
        }
    }
}

#[async_trait]
impl Fixture for WorldFixture {
    async fn stage(&self, subject: Subject) -> Result<Stage, String> {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let quiet = Workload { shutdown_ms: 500, ..Workload::default() };
        let (disk, workload) = match subject {
            Subject::Quiet => (Disk::Shared, quiet),
            Subject::Endless => (Disk::Shared, Workload { hot_mib: 1_024, hot_span_ms: 100, ..quiet }),
            Subject::LocalDisk => (Disk::Local { size_mib: 2_048 }, quiet),
        };
        let vm = VmId(Uuid::from_u128(u128::from(number) << 64));
        let definition = definition(number, disk, workload);
        let spec =
            VmSpec { vm, site: site("source"), host: host("source-1"), definition: definition.clone(), runs: true };
        self.world.create_vm(spec).await.map_err(|error| error.to_string())?;
        Ok(Stage {
            source: self.driver("source"),
            destination: self.driver("destination"),
            source_site: site("source"),
            source_host: host("source-1"),
            destination_site: site("destination"),
            destination_host: host("destination-1"),
            vm,
            definition,
            evacuation: EvacuationId(Uuid::from_u128(u128::from(number))),
        })
    }
}
