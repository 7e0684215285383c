//! Real hypervisors: a site's hosts, each spoken to through libvirt.
//!
//! ```text
//! config      the site's file: hosts, peers, shared storage
//! host        one host's connections, and blocking calls on threads of their own
//! looks       looks at many VMs of a host at once
//! view        what a host shows of one VM, and what it means: the table of states
//! document    domain documents: what is read in them, how they are made inert
//! mark        muster's own element in them
//! define      changes to definitions and instances
//! survey      what hosts offer and VMs need, for preflight
//! needs       what a document asks for
//! inspect     anybody's hypervisors, read only
//! transfer    live transfers
//! under_way   what this driver has under way, and what only it remembers
//! trouble     libvirt's errors in the seam's words
//! ```
//! It touches libvirt and nothing else, and it decides nothing. What a host doesn't say in time is unknown, never absent.

pub mod config;
mod define;
mod document;
pub mod host;
pub mod inspect;
pub mod looks;
mod mark;
mod needs;
mod survey;
pub mod transfer;
mod trouble;
mod under_way;
mod view;

use super::{Call, Change, Hypervisor, HypervisorError, ProcessorOnHost, Survey, VmChange};
use async_trait::async_trait;
use config::{Config, HostMemory};
use define::Room;
use document::Inert;
use futures::future::join_all;
use futures::stream::BoxStream;
use host::{Host, Purpose};
use looks::Hanging;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, VmId, clip};
use muster_core::preflight::survey::VmNeeds;
use muster_core::reading::{HostListing, Instance, Inventory, Phase, Sight, Sighting, Stored, VmListing};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use transfer::Journey;
use trouble::Trouble;
use under_way::{CallGuard, Seen, UnderWay};
use view::{View, job_in};

/// How often it is looked whether a guest has shut down, besides when libvirt says so.
pub const SHUT_DOWN_LOOK_EVERY: Duration = Duration::from_millis(250);

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
        let (stop, under_way) = (CancellationToken::new(), Arc::new(UnderWay::default()));
        let reach = |(name, host): (&HostName, &config::HostConfig)| {
            let host = Arc::new(Host::new(name.clone(), host.clone()));
            (name.clone(), Reached { host, hanging: Arc::default() })
        };
        let hosts: BTreeMap<HostName, Reached> = config.hosts.iter().map(reach).collect();
        for reached in hosts.values() {
            tokio::spawn(Arc::clone(&reached.host).keep(Arc::clone(&under_way), stop.clone()));
        }
        Ok(LibvirtHypervisors { drivers: Arc::new(Drivers { config, hosts, under_way }), stop })
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

    async fn survey(&self) -> Result<Survey, HypervisorError> {
        let asked = join_all(self.drivers.hosts.values().map(|reached| {
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

    async fn needs(&self, vms: &[VmId]) -> Result<Vec<VmNeeds>, HypervisorError> {
        let asked = join_all(self.drivers.hosts.values().map(|reached| {
            let (vms, shared) = (vms.to_vec(), self.drivers.config.shared_storage.clone());
            let ask = move |connection: &_| survey::needs(connection, &vms, &shared);
            async move { (&reached.host.name, reached.host.with(Purpose::Look, NOBODY, ask).await) }
        }));
        Ok(said(asked.await).flatten().collect())
    }

    async fn processors(&self, processors: &[String]) -> Result<Vec<ProcessorOnHost>, HypervisorError> {
        let asked = join_all(self.drivers.hosts.values().map(|reached| {
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
    fn reached(&self, host: &HostName) -> Result<&Reached, HypervisorError> {
        self.hosts.get(host).ok_or_else(|| HypervisorError::Refused {
            host: host.clone(),
            message: "no such host in this site's libvirt configuration".to_owned(),
        })
    }

    /// A host and its VMs.
    async fn list(&self, host: &Arc<Host>) -> (HostListing, Vec<VmListing>) {
        let (config, name) = (host.config.clone(), host.name.clone());
        let shared = self.config.shared_storage.clone();
        let read = move |connection: &_| {
            let room = room(connection, config.memory)?;
            let cores = muster_libvirt::virt::connect::Connect::node_info(connection)?.cpus;
            let mut host = HostListing { host: name, answers: true, memory_mib: room.memory_mib, used_mib: 0, cores };
            let mut vms = Vec::new();
            for view in define::all(connection)? {
                host.used_mib = host.used_mib.saturating_add(view.held_mib());
                let definition = view.definition(&shared)?;
                let (instance, stored) = (view.instance(), view.stored());
                let vm = define::uuid(&view)?;
                vms.push(VmListing { vm, host: host.host.clone(), definition, instance, stored });
            }
            Ok((host, vms))
        };
        match host.with(Purpose::Look, NOBODY, read).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(host = %host.name, %error, "a host can't be listed");
                let memory_mib = match host.config.memory {
                    HostMemory::Fixed { memory_mib } => memory_mib,
                    HostMemory::Reported { .. } => 0,
                };
                let silent = HostListing { host: host.name.clone(), answers: false, memory_mib, used_mib: 0, cores: 0 };
                (silent, Vec::new())
            }
        }
    }

    async fn look(&self, vms: &[VmId]) -> Vec<Sight> {
        let looks = self.hosts.values().map(|reached| {
            let (name, under_way) = (reached.host.name.clone(), Arc::clone(&self.under_way));
            let shared = self.config.shared_storage.clone();
            // What was under way before the look and what is after it both count: in between lies what was seen.
            let before: BTreeMap<VmId, Seen> =
                vms.iter().map(|vm| (*vm, under_way.seen(&(name.clone(), *vm)))).collect();
            let make = move |vm, view: View| {
                let before = before.get(&vm).cloned().unwrap_or_default();
                sighting(&(name.clone(), vm), &view, &before, &under_way, &shared)
            };
            async move { (&reached.host.name, looks::look(&reached.host, &reached.hanging, vms, make).await) }
        });
        let called: BTreeMap<VmId, bool> = vms.iter().map(|vm| (*vm, self.is_called(*vm))).collect();
        let mut seen = join_all(looks).await;
        let mut sights = Vec::with_capacity(vms.len());
        for vm in vms {
            let was_called = called.get(vm).copied().unwrap_or(false);
            let mut sight = Sight { call_under_way: was_called || self.is_called(*vm), ..Sight::default() };
            for (host, views) in &mut seen {
                match views.get(vm).cloned() {
                    Some(Some((sighting, is_starting))) => {
                        sight.call_under_way |= is_starting;
                        sight.sightings.push(sighting);
                    }
                    Some(None) => {}
                    None => sight.silent_hosts.push((*host).clone()),
                }
            }
            sights.push(sight);
        }
        sights
    }

    fn is_called(&self, vm: VmId) -> bool {
        // On whatever host: any place of this site will do.
        self.hosts.keys().next().is_some_and(|host| self.under_way.seen(&(host.clone(), vm)).call)
    }

    async fn change(
        self: &Arc<Self>,
        host: &Arc<Host>,
        vm: VmId,
        change: VmChange,
        guard: CallGuard,
    ) -> Result<(), HypervisorError> {
        if !matches!(change, VmChange::AbortJob) && self.under_way.seen(&(host.name.clone(), vm)).job {
            return Err(HypervisorError::Busy { vm });
        }
        match change {
            VmChange::DefinePlaceholder { definition, mark } => {
                self.define_placeholder(host, vm, definition, mark, guard).await
            }
            VmChange::DefineSealed { reason } => {
                self.make(host, vm, guard, move |at| define::inert(at, vm, Inert::Sealed, reason)).await
            }
            VmChange::DefineRetired { reason } => {
                self.make(host, vm, guard, move |at| define::inert(at, vm, Inert::Retired, reason)).await
            }
            VmChange::DefineReal { definition, mark } => {
                let (memory, admission) = (host.config.memory, Arc::clone(&host.admission).lock_owned().await);
                let define = move |at: &_| {
                    let _admission = admission;
                    define::real(at, vm, &definition, mark, room(at, memory)?)
                };
                self.make(host, vm, guard, define).await
            }
            VmChange::BeginTransfer { destination_site, destination_host, definition, mark } => {
                let journey = Journey { site: destination_site, host: destination_host, definition, mark };
                let begun = self.begin_transfer(host, vm, journey).await;
                drop(guard);
                begun
            }
            VmChange::BeginDiskCopy { destination_site, destination_host, mark } => {
                let begun = self.begin_disk_copy(host, vm, (&destination_site, &destination_host), mark).await;
                drop(guard);
                begun
            }
            VmChange::AbortJob => self.make(host, vm, guard, move |at| define::abort(at, vm)).await,
            VmChange::ShutDown => self.shut_down(host, vm, guard).await,
            VmChange::Start => self.make(host, vm, guard, move |at| define::start(at, vm)).await,
            VmChange::Resume => {
                self.make(host, vm, guard, move |at| define::resume(at, vm)).await?;
                self.under_way.resumed(&(host.name.clone(), vm));
                Ok(())
            }
            VmChange::Remove => {
                self.make(host, vm, guard, move |at| define::remove(at, vm).map(|_| ())).await?;
                self.under_way.forget(&(host.name.clone(), vm));
                Ok(())
            }
        }
    }

    /// Makes a change on a thread; the guard goes with it, and is let go when the change has ended.
    async fn make(
        &self,
        host: &Arc<Host>,
        vm: VmId,
        guard: CallGuard,
        work: impl FnOnce(&muster_libvirt::virt::connect::Connect) -> Result<(), Trouble> + Send + 'static,
    ) -> Result<(), HypervisorError> {
        let guarded = move |connection: &_| {
            let done = work(connection);
            drop(guard);
            done
        };
        host.with(Purpose::Call, vm, guarded).await
    }

    async fn define_placeholder(
        self: &Arc<Self>,
        host: &Arc<Host>,
        vm: VmId,
        definition: Definition,
        mark: muster_core::reading::Mark,
        guard: CallGuard,
    ) -> Result<(), HypervisorError> {
        let others: Vec<Arc<Host>> =
            self.hosts.values().map(|other| Arc::clone(&other.host)).filter(|other| other.name != host.name).collect();
        // Hosts that don't answer are the observers' business: what may be on them is weighed by whoever ordered this.
        let others: Vec<Arc<Host>> = others.into_iter().filter(|other| other.is_connected()).collect();
        for other in &others {
            let may = move |at: &_| view::read(at, vm)?.map_or(Ok(()), |view| define::may_give_way(&view, mark));
            other.with(Purpose::Call, vm, may).await?;
        }
        let memory = host.config.memory;
        let admission = Arc::clone(&host.admission).lock_owned().await;
        let define = move |at: &_| {
            let _admission = admission;
            define::placeholder(at, vm, &definition, mark, room(at, memory)?)
        };
        // Taken off the other hosts first: two placeholders of one VM would be two places for its memory to go.
        for other in &others {
            other.with(Purpose::Call, vm, move |at| define::give_way(at, vm, mark)).await?;
        }
        self.make(host, vm, guard, define).await?;
        self.under_way.forget(&(host.name.clone(), vm));
        Ok(())
    }

    /// Waits until the guest has shut down, however long it takes: that is its own affair.
    async fn shut_down(self: &Arc<Self>, host: &Arc<Host>, vm: VmId, guard: CallGuard) -> Result<(), HypervisorError> {
        let asked = host.with(Purpose::Call, vm, move |at| define::ask_to_shut_down(at, vm)).await?;
        let mut is_up = asked;
        while is_up {
            tokio::time::sleep(SHUT_DOWN_LOOK_EVERY).await;
            let view = host.with(Purpose::Look, vm, move |at| view::read(at, vm)).await?;
            is_up = view.is_some_and(|view| view.is_active());
        }
        drop(guard);
        Ok(())
    }

    /// On shared storage there is nothing to copy.
    async fn begin_disk_copy(
        self: &Arc<Self>,
        host: &Arc<Host>,
        vm: VmId,
        there: (&muster_core::ids::SiteName, &HostName),
        mark: muster_core::reading::Mark,
    ) -> Result<(), HypervisorError> {
        self.find_placeholder(host, vm, there, mark).await?;
        let shared = self.config.shared_storage.clone();
        let check = move |at: &_| {
            let view = define::still(at, vm)?;
            if view.is_active() {
                return Err(Trouble::Refused("its guest is not off".to_owned()));
            }
            if !view.is_on_shared_storage(&shared) {
                let what = "a disk of it is not on storage that both sites reach (shared_storage in the libvirt configuration)";
                return Err(Trouble::Refused(what.to_owned()));
            }
            Ok(())
        };
        host.with(Purpose::Call, vm, check).await
    }
}

/// What a host has for guests.
fn room(connection: &muster_libvirt::virt::connect::Connect, memory: HostMemory) -> Result<Room, Trouble> {
    let memory_mib = match memory {
        HostMemory::Fixed { memory_mib } => memory_mib,
        // libvirt counts a host's memory in KiB.
        HostMemory::Reported { reserve_mib } => (connection.node_info()?.memory >> 10).saturating_sub(reserve_mib),
    };
    Ok(Room { memory_mib })
}

/// A VM on a host as the seam shows it; and whether it is being started there.
fn sighting(
    place: &(HostName, VmId),
    view: &View,
    before: &Seen,
    under_way: &UnderWay,
    shared: &[std::path::PathBuf],
) -> (Sighting, bool) {
    let after = under_way.seen(place);
    let (instance, stored) = (view.instance(), view.stored());
    let own_job = (before.job || after.job).then(|| job_in(Phase::Setup));
    let shutdown = (before.shuts_down || after.shuts_down).then(|| job_in(Phase::ShutDown));
    let job = view.shown_job().or(own_job).or(shutdown);
    let stood_still_ms = match instance {
        Instance::Off(_) => {
            under_way.is_off(place);
            None
        }
        Instance::Incoming => {
            under_way.arrives(place);
            None
        }
        Instance::Paused if job.is_none() && stored == Stored::Real => under_way.paused(place, view.arrived_after_ms),
        Instance::Paused => None,
        Instance::Running => under_way.runs(place),
    };
    let sighting = Sighting {
        host: place.0.clone(),
        instance,
        stored,
        mark: view.facts.note.mark,
        job,
        disk_complete: view.is_on_shared_storage(shared),
        stood_still_ms,
        job_error: if job.is_none() { under_way.failure(place) } else { None },
    };
    (sighting, view.is_starting())
}
