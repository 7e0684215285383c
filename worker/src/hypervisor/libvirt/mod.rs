//! Real hypervisors: a site's hosts, each spoken to through libvirt.
//!
//! ```text
//! config      the site's file: hosts, peers, shared storage
//! host        one host's connections, and blocking calls on threads of their own
//! looks       looks at many VMs of a host at once
//! view        what a host shows of one VM, and what it means: the table of states
//! document    domain documents: what is read in them, how they are made inert
//! mark        muster's own element in them
//! sights      the inventory and sights, put together
//! changing    which change becomes which calls, and how long a call counts
//! define      changes to definitions and instances
//! survey      what hosts offer and VMs need, for preflight
//! needs       what a document asks for
//! inspect     anybody's hypervisors, read only
//! transfer    live transfers
//! disks       which disks are copied, and how
//! volumes     what they are copied into: made and deleted
//! disk_copy   copies of the disks of a guest that is off
//! copies      the record of what was made and is whole
//! under_way   what this driver has under way, and what only it remembers
//! listener    who is at the other end of a host's connections, and until when what it got may land
//! trouble     libvirt's errors in the seam's words
//! ```
//! It touches libvirt and nothing else, and it decides nothing. What a host doesn't say in time is unknown, never absent.

pub mod changing;
pub mod config;
mod copies;
mod define;
mod disk_copy;
mod disks;
mod document;
pub mod host;
pub mod inspect;
pub mod links;
pub mod listener;
pub mod looks;
mod mark;
mod needs;
mod sights;
mod survey;
pub mod transfer;
mod trouble;
mod tuning;
pub mod under_way;
mod view;
mod volumes;

use super::{Call, Change, Hypervisor, HypervisorError, ProcessorOnHost, Survey, VmChange};
use async_trait::async_trait;
use config::Config;
use disk_copy::DiskCopies;
use futures::future::join_all;
use futures::stream::BoxStream;
use host::{Host, Purpose};
use looks::Hanging;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, VmId, clip};
use muster_core::preflight::survey::VmNeeds;
use muster_core::reading::{Inventory, Sight};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use trouble::Trouble;
use under_way::UnderWay;

/// Who a call is about that is about a whole host.
const NOBODY: VmId = VmId(uuid::Uuid::nil());

/// Why the driver can't be had at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("libvirt's client library can't be used: {message}")]
pub struct LibvirtUnusable {
    /// What it says.
    pub message: String,
}

/// A site's hypervisors, through libvirt. Dropped, it hears and connects no more; what is under way goes on.
pub struct LibvirtHypervisors {
    drivers: Arc<Drivers>,
    stop: CancellationToken,
}

/// What the driver's parts share.
struct Drivers {
    config: Config,
    hosts: BTreeMap<HostName, Reached>,
    under_way: Arc<UnderWay>,
    disk_copies: Arc<DiskCopies>,
}

struct Reached {
    host: Arc<Host>,
    hanging: Arc<Hanging>,
}

impl LibvirtHypervisors {
    /// Starts to connect to the hosts of a site, on the current runtime. Hosts that can't be reached are silent until they can.
    ///
    /// # Errors
    /// Where libvirt's own library fails.
    pub fn start(config: Config) -> Result<LibvirtHypervisors, LibvirtUnusable> {
        muster_libvirt::run_event_loop().map_err(|error| LibvirtUnusable { message: clip(error.message()) })?;
        let (stop, under_way) = (CancellationToken::new(), UnderWay::new());
        let reach = |(name, host): (&HostName, &config::HostConfig)| {
            let host = Arc::new(Host::new(name.clone(), host.clone()));
            (name.clone(), Reached { host, hanging: Arc::default() })
        };
        let hosts: BTreeMap<HostName, Reached> = config.hosts.iter().map(reach).collect();
        for reached in hosts.values() {
            tokio::spawn(Arc::clone(&reached.host).keep(Arc::clone(&under_way), stop.clone()));
        }
        Ok(LibvirtHypervisors {
            drivers: Arc::new(Drivers { config, hosts, under_way, disk_copies: Arc::default() }),
            stop,
        })
    }
}

impl Drop for LibvirtHypervisors {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Hypervisor for LibvirtHypervisors {
    async fn inventory(&self) -> Result<Inventory, HypervisorError> {
        let listed = join_all(self.drivers.hosts.values().map(|reached| self.drivers.list(&reached.host))).await;
        let mut inventory = Inventory::default();
        for (host, vms) in listed {
            inventory.hosts.push(host);
            inventory.vms.extend(vms);
        }
        Ok(inventory)
    }

    async fn look(&self, vms: &[VmId]) -> Result<Vec<Sight>, HypervisorError> {
        Ok(self.drivers.look(vms).await)
    }

    async fn definition(&self, host: &HostName, vm: VmId) -> Result<Definition, HypervisorError> {
        let host = &self.drivers.reached(host)?.host;
        let shared = self.drivers.config.shared_storage.clone();
        let read = move |connection: &_| match view::read(connection, vm)? {
            Some(view) => view.definition(&shared),
            None => Err(Trouble::Refused("no such VM here".to_owned())),
        };
        host.with(Purpose::Look, vm, read).await
    }

    async fn survey(&self, hosts: &[HostName]) -> Result<Survey, HypervisorError> {
        let asked = join_all(self.drivers.named(hosts).map(|reached| {
            let asking = survey::Asking {
                host: reached.host.name.clone(),
                config: reached.host.config.clone(),
                shared: self.drivers.config.shared_storage.clone(),
                tls: self.drivers.config.transfer.tls,
            };
            let ask = move |connection: &_| survey::host(connection, &asking);
            async move { (&reached.host.name, reached.host.with(Purpose::Look, NOBODY, ask).await) }
        }));
        let hosts = said(asked.await).collect();
        Ok(Survey { hosts, licences: self.drivers.config.licences.clone() })
    }

    async fn needs(&self, vms: &[VmId], hosts: &[HostName]) -> Result<Vec<VmNeeds>, HypervisorError> {
        let asked = join_all(self.drivers.named(hosts).map(|reached| {
            let (vms, shared) = (vms.to_vec(), self.drivers.config.shared_storage.clone());
            let ask = move |connection: &_| survey::needs(connection, &vms, &shared);
            async move { (&reached.host.name, reached.host.with(Purpose::Look, NOBODY, ask).await) }
        }));
        Ok(said(asked.await).flatten().collect())
    }

    async fn processors(
        &self,
        processors: &[String],
        hosts: &[HostName],
    ) -> Result<Vec<ProcessorOnHost>, HypervisorError> {
        let asked = join_all(self.drivers.named(hosts).map(|reached| {
            let (processors, name) = (processors.to_vec(), reached.host.name.clone());
            let ask = move |connection: &_| {
                let on_host = |processor: String| ProcessorOnHost {
                    fit: survey::processor(connection, &processor),
                    processor,
                    host: name.clone(),
                };
                Ok(processors.into_iter().map(on_host).collect::<Vec<_>>())
            };
            async move { (&reached.host.name, reached.host.with(Purpose::Look, NOBODY, ask).await) }
        }));
        Ok(said(asked.await).flatten().collect())
    }

    async fn call(&self, call: Call) -> Result<(), HypervisorError> {
        let host = Arc::clone(&self.drivers.reached(&call.host)?.host);
        let shuts_down = call.change == VmChange::ShutDown;
        let guard = self.drivers.under_way.begin_call(&host.name, call.vm, shuts_down)?;
        self.drivers.change(&host, call.vm, call.change, guard).await
    }

    fn inherit(&self, vms: &[VmId]) {
        let hosts: Vec<HostName> = self.drivers.hosts.keys().cloned().collect();
        self.drivers.under_way.inherit(&hosts, vms);
    }

    async fn changes(&self) -> Result<BoxStream<'static, Change>, HypervisorError> {
        Ok(self.drivers.under_way.listen())
    }
}

/// What the hosts that answered said.
fn said<'h, T>(asked: Vec<(&'h HostName, Result<T, HypervisorError>)>) -> impl Iterator<Item = T> + use<'h, T> {
    asked.into_iter().filter_map(|(host, said)| {
        said.inspect_err(|error| tracing::warn!(%host, %error, "a host can't be surveyed")).ok()
    })
}

impl Drivers {
    /// These hosts as far as the site has them; all of them if none is named.
    fn named<'a>(&'a self, hosts: &'a [HostName]) -> impl Iterator<Item = &'a Reached> {
        self.hosts.values().filter(|reached| hosts.is_empty() || hosts.contains(&reached.host.name))
    }

    fn reached(&self, host: &HostName) -> Result<&Reached, HypervisorError> {
        self.hosts.get(host).ok_or_else(|| HypervisorError::Refused {
            host: host.clone(),
            message: "no such host in this site's libvirt configuration".to_owned(),
        })
    }
}
