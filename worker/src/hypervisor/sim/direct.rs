//! The driver for a world in the same process: for deterministic tests, on one runtime and without a wire.

use super::engine::WorldHandle;
use super::survey;
use crate::hypervisor::{Call, Change, Hypervisor, HypervisorError, ProcessorOnHost, Survey};
use async_trait::async_trait;
use futures::stream::BoxStream;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::preflight::survey::VmNeeds;
use muster_core::reading::{Inventory, Sight};

/// One site's hypervisors in a world of this process.
#[derive(Debug, Clone)]
pub struct DirectHypervisors {
    world: WorldHandle,
    site: SiteName,
}

impl DirectHypervisors {
    /// The hypervisors of `site` in `world`.
    #[must_use]
    pub fn new(world: WorldHandle, site: SiteName) -> Self {
        DirectHypervisors { world, site }
    }
}

impl DirectHypervisors {
    async fn inventory_of(&self, hosts: &[HostName]) -> Result<Inventory, HypervisorError> {
        self.world.inventory(self.site.clone(), hosts.to_vec()).await
    }
}

#[async_trait]
impl Hypervisor for DirectHypervisors {
    async fn inventory(&self) -> Result<Inventory, HypervisorError> {
        self.inventory_of(&[]).await
    }

    async fn look(&self, vms: &[VmId]) -> Result<Vec<Sight>, HypervisorError> {
        self.world.look(self.site.clone(), vms.to_vec()).await
    }

    async fn definition(&self, host: &HostName, vm: VmId) -> Result<Definition, HypervisorError> {
        self.world.definition(self.site.clone(), host.clone(), vm).await
    }

    async fn survey(&self, hosts: &[HostName]) -> Result<Survey, HypervisorError> {
        Ok(survey::survey(&self.inventory_of(hosts).await?))
    }

    async fn needs(&self, vms: &[VmId], hosts: &[HostName]) -> Result<Vec<VmNeeds>, HypervisorError> {
        Ok(survey::needs(&self.world.definitions(self.site.clone(), vms.to_vec(), hosts.to_vec()).await?))
    }

    async fn processors(
        &self,
        processors: &[String],
        hosts: &[HostName],
    ) -> Result<Vec<ProcessorOnHost>, HypervisorError> {
        Ok(survey::processors(processors, &self.inventory_of(hosts).await?))
    }

    async fn call(&self, call: Call) -> Result<(), HypervisorError> {
        self.world.call(self.site.clone(), call).await
    }

    async fn changes(&self) -> Result<BoxStream<'static, Change>, HypervisorError> {
        self.world.changes(self.site.clone()).await
    }
}
