//! Live transfers: from libvirt to libvirt, arriving paused.
//!
//! The source's libvirt drives them; this only starts one, on a thread and a connection of its own, and waits for its end. If
//! this process dies, or its connection does, the transfer goes on, and shows itself as a job of libvirt's.

use super::Drivers;
use super::changing::There;
use super::config::PeerConfig;
use super::copies;
use super::disks::{self, LocalDisk};
use super::document::{self, Inert};
use super::host::{CALL_WAIT_MAX, Host, on_thread_with};
use super::links::connect;
use super::listener::Listener;
use super::mark::Note;
use super::trouble::Trouble;
use super::tuning::{Tuned, tuned};
use super::under_way::JobGuard;
use super::view::{self, JobView, View};
use super::volumes::{self, is_its_placeholder};
use crate::hypervisor::{Change, HypervisorError};
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId, clip};
use muster_core::reading::{Instance, Mark};
use muster_core::terms::Tuning;
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::domain::MigrateParameters;
use muster_libvirt::virt::error::Error;
use muster_libvirt::virt::sys;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// How often it is looked whether a job has begun.
pub const BEGUN_LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often a job's progress is told of.
pub const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Where a transfer goes, and as whose.
pub(super) struct Journey {
    pub(super) site: SiteName,
    pub(super) host: HostName,
    pub(super) definition: Definition,
    pub(super) mark: Mark,
    pub(super) tuning: Tuning,
}

impl Drivers {
    /// The configured address of a host of another site.
    fn peer(&self, here: &Host, site: &SiteName, host: &HostName) -> Result<PeerConfig, HypervisorError> {
        self.config.peers.get(&(site.clone(), host.clone())).cloned().ok_or_else(|| HypervisorError::Refused {
            host: here.name.clone(),
            message: format!("{site}/{host} is no [[peer]] in this site's libvirt configuration; add it"),
        })
    }

    /// Refuses where the other side has no placeholder with this mark.
    pub(super) async fn find_placeholder(
        self: &Arc<Self>,
        here: &Arc<Host>,
        vm: VmId,
        (site, host): There<'_>,
        mark: Mark,
    ) -> Result<PeerConfig, HypervisorError> {
        let peer = self.peer(here, site, host)?;
        let there = format!("{site}/{host}");
        let (uri, shown) = (peer.worker_uri.clone(), there.clone());
        let Ok(permit) = Arc::clone(&here.peers).try_acquire_owned() else {
            let message = "as many looks at other sites' hosts as it may have hang already".to_owned();
            return Err(HypervisorError::Failed { host: here.name.clone(), message });
        };
        let looking = on_thread_with("peer", permit, move || -> Result<(), Trouble> {
            let connection = connect(&uri)
                .map_err(|error| Trouble::Failed(format!("no connection to {shown}: {}", error.message())))?;
            let fits = view::read(&connection, vm)?.is_some_and(|view| is_its_placeholder(&view, mark));
            let missing = || Trouble::Refused(format!("{shown} has no placeholder with this mark"));
            fits.then_some(()).ok_or_else(missing)
        });
        let failed = |message: String| HypervisorError::Failed { host: here.name.clone(), message };
        let looking = looking.map_err(|error| failed(format!("no thread could be started: {error}")))?;
        match tokio::time::timeout(CALL_WAIT_MAX, looking).await {
            Ok(Ok(Ok(()))) => Ok(peer),
            // Nothing was changed here, whatever was not heard from there.
            Ok(Ok(Err(Trouble::Refused(message)))) => {
                Err(HypervisorError::Refused { host: here.name.clone(), message })
            }
            Ok(Ok(Err(trouble))) => Err(failed(format!("{there}: {trouble}"))),
            Ok(Err(_)) => Err(failed("the thread of a look has died".to_owned())),
            Err(_) => Err(failed(format!("{there} has not answered in time"))),
        }
    }

    /// Begins a transfer; returns once libvirt shows its job, or it has ended.
    pub(super) async fn begin_transfer(
        self: &Arc<Self>,
        here: &Arc<Host>,
        vm: VmId,
        journey: Journey,
    ) -> Result<(), HypervisorError> {
        let tuned =
            tuned(&self.config.transfer, journey.tuning).map_err(|trouble| trouble.told(&here.name, vm, true))?;
        let peer = self.find_placeholder(here, vm, (&journey.site, &journey.host), journey.mark).await?;
        let shared = self.config.shared_storage.clone();
        let may_leave = move |connection: &_| may_leave(connection, vm, &shared);
        let disks = here.with(super::host::Purpose::Call, vm, may_leave).await?;
        let Mark { evacuation, attempt, .. } = journey.mark;
        let reason = format!("arrived-by-evacuation-{evacuation}-attempt-{attempt}-and-not-committed");
        let note = Note { mark: Some(journey.mark), seal: None, reason };
        let persistent = document::make_inert(&journey.definition.document, Inert::Arrived, &note)
            .and_then(|document| copies::kept(document, disks::mirrored(&disks, journey.mark).as_ref()))
            .map_err(|error| Trouble::from(error).told(&here.name, vm, true))?;
        let mark = journey.mark;
        let order = Order { vm, peer, tuned, persistent, disks, mark };
        let failed = |message: String| HypervisorError::Failed { host: here.name.clone(), message };
        let Ok(permit) = Arc::clone(&here.jobs).try_acquire_owned() else {
            return Err(failed("as many transfers as it may have are under way from there already".to_owned()));
        };
        let mut ended = self.start(here, order, permit).map_err(failed)?;
        let (driver, host) = (Arc::clone(self), Arc::clone(here));
        loop {
            tokio::select! {
                biased;
                outcome = &mut ended => return driver.ended_at_once(&host, vm, outcome.ok()).await,
                () = tokio::time::sleep(BEGUN_LOOK_EVERY) => {}
            }
            let shown = here.with(super::host::Purpose::Look, vm, move |connection| view::read(connection, vm)).await;
            let has_job = matches!(shown, Ok(Some(View { job: JobView::Shown(_), .. })));
            if has_job || shown.is_err() {
                self.tell_progress(vm, ended);
                return shown.map(|_| ());
            }
        }
    }

    fn start(
        self: &Arc<Self>,
        here: &Arc<Host>,
        order: Order,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<(), Broken>>, String> {
        let place = (here.name.clone(), order.vm);
        let guard = self.under_way.begin_job(place);
        let host = Arc::clone(here);
        let running = on_thread_with("transfer", permit, move || run(&host, &order, guard));
        running.map_err(|error| format!("no thread could be started: {error}"))
    }

    /// It ended before its job was seen. If the guest runs here, nothing has begun; if not, a look tells what came of it.
    async fn ended_at_once(
        self: &Arc<Self>,
        here: &Arc<Host>,
        vm: VmId,
        outcome: Option<Result<(), Broken>>,
    ) -> Result<(), HypervisorError> {
        let message = match outcome {
            Some(Err(Broken::Failed(message))) => message,
            Some(Err(Broken::Unheard(message))) => return Err(here.silent(&message)),
            Some(Ok(())) | None => return Ok(()),
        };
        let shown = here.with(super::host::Purpose::Call, vm, move |connection| view::read(connection, vm)).await?;
        match shown {
            Some(view) if view.instance() == Instance::Running && view.job == JobView::Nothing => {
                Err(HypervisorError::Failed { host: here.name.clone(), message })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Between the rounds libvirt says nothing; who follows a job wants to see it move.
    pub(super) fn tell_progress<T: Send + 'static>(self: &Arc<Self>, vm: VmId, mut ended: oneshot::Receiver<T>) {
        let under_way = Arc::clone(&self.under_way);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = &mut ended => return,
                    () = tokio::time::sleep(PROGRESS_EVERY) => under_way.tell(Change::Vm(vm)),
                }
            }
        });
    }
}

/// Returns the disks that have to be copied.
fn may_leave(connection: &Connect, vm: VmId, shared: &[PathBuf]) -> Result<Vec<LocalDisk>, Trouble> {
    let view = super::define::still(connection, vm)?;
    if view.instance() != Instance::Running {
        return Err(Trouble::Refused("its guest does not run".to_owned()));
    }
    view.must_have_no_image()?;
    disks::local(&view, shared)
}

/// What the thread of a transfer needs.
struct Order {
    vm: VmId,
    peer: PeerConfig,
    tuned: Tuned,
    persistent: String,
    disks: Vec<LocalDisk>,
    mark: Mark,
}

/// Why a transfer has not ended well.
enum Broken {
    /// libvirt says so.
    Failed(String),
    /// Its connection broke before libvirt said anything: it may go on, or be yet to begin.
    Unheard(String),
}

/// Runs a transfer to its end. The guard is dropped last: until then it counts as under way.
fn run(host: &Host, order: &Order, guard: JobGuard) -> Result<(), Broken> {
    let (connection, listener) = match prepare(host, order) {
        Ok(connected) => connected,
        Err(message) => {
            // Nothing was sent.
            guard.failed(message.clone());
            return Err(Broken::Failed(message));
        }
    };
    match migrate(&connection, order).map_err(|error| clip(error.message())) {
        Ok(()) => {
            drop(guard);
            Ok(())
        }
        Err(message) if connection.is_alive().unwrap_or(false) => {
            guard.failed(message.clone());
            Err(Broken::Failed(message))
        }
        Err(message) => {
            guard.lost(listener);
            Err(Broken::Unheard(message))
        }
    }
}

/// Makes what the disks are copied into, and connects.
fn prepare(host: &Host, order: &Order) -> Result<(Connect, Option<Listener>), String> {
    let told = |error: Error| clip(error.message());
    if !order.disks.is_empty() {
        let there = connect(&order.peer.worker_uri).map_err(told)?;
        let volumes = disks::volumes_for(&order.disks);
        volumes::make(&there, order.vm, order.mark, &volumes).map_err(|trouble| clip(&trouble.to_string()))?;
    }
    let uri = &host.config.uri;
    Listener::during(uri, || connect(uri)).map_err(told)
}

fn migrate(connection: &Connect, order: &Order) -> Result<(), Error> {
    let domain = connection.lookup_domain_by_uuid_string(&order.vm.0.hyphenated().to_string())?;
    let tuned = order.tuned;
    let parameters = MigrateParameters {
        uri: order.peer.migrate_uri.clone(),
        persist_xml: Some(order.persistent.clone()),
        bandwidth: Some(tuned.bandwidth_mib_s),
        migrate_disks: order.disks.iter().map(|disk| disk.target.clone()).collect(),
        parallel_connections: tuned.connections.map(i32::from),
        ..MigrateParameters::default()
    };
    domain.migrate_to_uri3(Some(&order.peer.uri), parameters, flags(tuned, &order.disks))
}

/// Live, from libvirt to libvirt, stored there, arriving paused. Which disks are where both reach them is known from the
/// configuration, and the others are copied: libvirt itself can't tell a shared folder from another, and would refuse.
fn flags(tuned: Tuned, disks: &[LocalDisk]) -> u32 {
    sys::VIR_MIGRATE_LIVE
        | sys::VIR_MIGRATE_PEER2PEER
        | sys::VIR_MIGRATE_PERSIST_DEST
        | sys::VIR_MIGRATE_PAUSED
        | sys::VIR_MIGRATE_UNSAFE
        | disks::copy_flag(disks)
        | tuned.flags()
}
