//! What a site's hypervisors still show when its ledger is gone. Looks and changes nothing.

use crate::hypervisor::{Hypervisor, HypervisorError};
use crate::site::follow::LOOK_BATCH_MAX;
use crate::site::observe::in_time;
use backon::{ConstantBuilder, Retryable};
use muster_core::ids::VmId;
use muster_core::reading::{Inventory, Sight};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often hypervisors that can't be reached yet, as right after a start, are asked again.
const REACH_TRIES_MAX: usize = 20;
/// The pause between two tries.
const REACH_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Everything on a site, and each VM as its hosts show it.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Every host and VM.
    pub inventory: Inventory,
    /// The VMs.
    pub sights: BTreeMap<VmId, Sight>,
}

/// Looks at everything.
///
/// # Errors
/// The hypervisors can't be reached. A host that doesn't answer is listed as such.
pub async fn look_around(hypervisor: &dyn Hypervisor) -> Result<Traces, HypervisorError> {
    let waits = ConstantBuilder::default().with_delay(REACH_AGAIN_AFTER).with_max_times(REACH_TRIES_MAX);
    let inventory = (|| in_time(hypervisor.inventory())).retry(waits).await?;
    let vms: BTreeSet<VmId> = inventory.vms.iter().map(|listed| listed.vm).collect();
    let mut sights = BTreeMap::new();
    for some in vms.into_iter().collect::<Vec<_>>().chunks(LOOK_BATCH_MAX) {
        sights.extend(some.iter().copied().zip(in_time(hypervisor.look(some)).await?));
    }
    Ok(Traces { inventory, sights })
}
