//! A site's inventory, one item a message.

use super::invalid::InvalidMessage;
use super::read::{nested, parsed, present, require_items, required, size_mib};
use super::reading::{instance, stored};
use crate::limits::{HOSTS_MAX, INVENTORY_VMS_MAX};
use crate::worker::v1 as pb;
use muster_core::reading::{HostListing, Inventory, VmListing};

/// One item of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InventoryEntry {
    /// A host.
    Host(HostListing),
    /// A VM.
    Vm(Box<VmListing>),
}

/// Every item of an inventory as messages, hosts first.
pub fn inventory_items(inventory: Inventory) -> impl Iterator<Item = pb::InventoryItem> {
    let hosts = inventory.hosts.into_iter().map(InventoryEntry::Host);
    let vms = inventory.vms.into_iter().map(|vm| InventoryEntry::Vm(Box::new(vm)));
    hosts.chain(vms).map(Into::into)
}

/// Adds a received item to the inventory that is being read.
///
/// # Errors
/// What is wrong with the item; `TooMany` past [`HOSTS_MAX`] hosts or [`INVENTORY_VMS_MAX`] VMs.
pub fn add_to_inventory(inventory: &mut Inventory, item: pb::InventoryItem) -> Result<(), InvalidMessage> {
    match item.try_into()? {
        InventoryEntry::Host(host) => {
            require_items("host", inventory.hosts.len() + 1, HOSTS_MAX)?;
            inventory.hosts.push(host);
        }
        InventoryEntry::Vm(vm) => {
            require_items("vm", inventory.vms.len() + 1, INVENTORY_VMS_MAX)?;
            inventory.vms.push(*vm);
        }
    }
    Ok(())
}

impl From<InventoryEntry> for pb::InventoryItem {
    fn from(entry: InventoryEntry) -> Self {
        use pb::inventory_item::Item;
        let item = match entry {
            InventoryEntry::Host(host) => Item::Host(host.into()),
            InventoryEntry::Vm(vm) => Item::Vm((*vm).into()),
        };
        pb::InventoryItem { item: Some(item) }
    }
}

impl TryFrom<pb::InventoryItem> for InventoryEntry {
    type Error = InvalidMessage;
    fn try_from(message: pb::InventoryItem) -> Result<Self, InvalidMessage> {
        use pb::inventory_item::Item;
        match present("item", message.item)? {
            Item::Host(host) => Ok(InventoryEntry::Host(nested("host", host)?)),
            Item::Vm(vm) => Ok(InventoryEntry::Vm(Box::new(nested("vm", vm)?))),
        }
    }
}

impl From<HostListing> for pb::Host {
    fn from(listing: HostListing) -> Self {
        pb::Host {
            host: listing.host.into(),
            answers: listing.answers,
            memory_mib: listing.memory_mib,
            used_mib: listing.used_mib,
            cores: listing.cores,
        }
    }
}

impl TryFrom<pb::Host> for HostListing {
    type Error = InvalidMessage;
    fn try_from(message: pb::Host) -> Result<Self, InvalidMessage> {
        Ok(HostListing {
            host: parsed("host", &message.host)?,
            answers: message.answers,
            memory_mib: size_mib("memory_mib", message.memory_mib)?,
            used_mib: size_mib("used_mib", message.used_mib)?,
            cores: message.cores,
        })
    }
}

impl From<VmListing> for pb::InventoryVm {
    fn from(listing: VmListing) -> Self {
        pb::InventoryVm {
            vm: listing.vm.to_string(),
            host: listing.host.into(),
            definition: Some(listing.definition.into()),
            instance: pb::InstanceState::from(listing.instance).into(),
            stored: pb::StoredKind::from(listing.stored).into(),
        }
    }
}

impl TryFrom<pb::InventoryVm> for VmListing {
    type Error = InvalidMessage;
    fn try_from(message: pb::InventoryVm) -> Result<Self, InvalidMessage> {
        Ok(VmListing {
            vm: parsed("vm", &message.vm)?,
            host: parsed("host", &message.host)?,
            definition: required("definition", message.definition)?,
            instance: instance("instance", message.instance)?,
            stored: stored("stored", message.stored)?,
            // Only the site that has it needs it.
            seal: None,
        })
    }
}
