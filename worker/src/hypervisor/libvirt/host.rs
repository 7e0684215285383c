//! One host's libvirt: connections that are made again whenever they break, and blocking calls on threads of their own.
//!
//! libvirt's calls block, and may do so for ever. Each is made on a thread of its own, and a host has no more of these than
//! the bounds below: what hangs at one host can't hold up another, nor the runtime. A host without a connection is silent at
//! once; nobody waits for it.

use super::config::HostConfig;
use super::links::{Lent, Links};
use super::listener::{Listener, settles_within};
use super::trouble::Trouble;
use super::under_way::UnderWay;
use crate::hypervisor::{Change, HypervisorError};
use backon::{BackoffBuilder, ExponentialBuilder};
use muster_core::ids::{HostName, VmId, clip};
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::{Heard, Hearer, Lifecycle};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// Most threads that look at one host, each over a connection of its own.
pub const LOOKS_MAX: usize = 2;
/// Most calls on one host that have not ended, each over a connection of its own.
pub const CALLS_MAX: usize = 4;
/// Most jobs on one host that have not ended, each with a connection of its own.
pub const JOBS_MAX: usize = 64;
/// Longest wait for a free thread and an answer, where the call depends on no guest.
pub const CALL_WAIT_MAX: Duration = Duration::from_secs(15);
/// First wait before a lost host is connected to again.
pub const RECONNECT_WAIT_MIN: Duration = Duration::from_millis(100);
/// Longest wait before it is tried again.
pub const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest wait where somebody wants to know of the host meanwhile.
pub const RECONNECT_WAIT_WANTED: Duration = Duration::from_millis(500);

/// A host and its connections.
pub(super) struct Host {
    pub(super) name: HostName,
    pub(super) config: HostConfig,
    links: Mutex<Option<Arc<Links>>>,
    /// Rung when a connection may have broken.
    broken: Notify,
    /// Rung when somebody wants a connection and there is none.
    wanted: Notify,
    pub(super) looks: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    pub(super) jobs: Arc<Semaphore>,
    /// For looks at the hosts that its jobs go to.
    pub(super) peers: Arc<Semaphore>,
    /// Taken while room is counted and given away.
    pub(super) admission: Arc<tokio::sync::Mutex<()>>,
}

/// Whose threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Look,
    Call,
}

impl Host {
    pub(super) fn new(name: HostName, config: HostConfig) -> Host {
        Host {
            name,
            config,
            links: Mutex::new(None),
            broken: Notify::new(),
            wanted: Notify::new(),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            jobs: Arc::new(Semaphore::new(JOBS_MAX)),
            peers: Arc::new(Semaphore::new(JOBS_MAX)),
            admission: Arc::default(),
        }
    }

    /// Keeps the host connected until `stop`.
    pub(super) async fn keep(self: Arc<Self>, under_way: Arc<UnderWay>, stop: CancellationToken) {
        let mut waits = reconnect_waits().build();
        loop {
            let opened = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                opened = self.open(&under_way) => opened,
            };
            match opened {
                Ok(links) => {
                    waits = reconnect_waits().build();
                    tracing::info!(host = %self.name, "connected");
                    // Before anybody can look.
                    under_way.connected(&self.name, links.listener, settles_within(&self.config.uri));
                    *self.links() = Some(Arc::new(links));
                    under_way.tell(Change::Everything);
                    let stopped = self.until_broken(&stop).await;
                    let links = self.links().take();
                    under_way.disconnected(&self.name);
                    close(links);
                    under_way.tell(Change::Everything);
                    if stopped {
                        return;
                    }
                    tracing::warn!(host = %self.name, "the connection is lost");
                }
                Err(message) => tracing::warn!(host = %self.name, message, "no connection"),
            }
            let wait = waits.next().unwrap_or(RECONNECT_WAIT_MAX);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.until_wanted() => {}
            }
        }
    }

    /// Until somebody wants the host, and it has been left alone for a moment.
    async fn until_wanted(&self) {
        tokio::time::sleep(RECONNECT_WAIT_WANTED).await;
        self.wanted.notified().await;
    }

    /// True if it was stopped.
    async fn until_broken(&self, stop: &CancellationToken) -> bool {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return true,
                () = self.broken.notified() => {}
            }
            if !self.is_connected() {
                return false;
            }
        }
    }

    async fn open(self: &Arc<Self>, under_way: &Arc<UnderWay>) -> Result<Links, String> {
        let (host, under_way) = (Arc::clone(self), Arc::clone(under_way));
        let opening = on_thread("connect", move || {
            let hearer = host.hearer(under_way);
            Links::open(&host.config.uri, LOOKS_MAX + CALLS_MAX, &hearer)
        });
        match opening {
            // However long it takes: it is the only one, and nobody waits for it.
            Ok(opened) => match opened.await {
                Ok(opened) => opened.map_err(|error| clip(error.message())),
                Err(_) => Err("the thread that connects has died".to_owned()),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    fn hearer(self: &Arc<Self>, under_way: Arc<UnderWay>) -> Hearer {
        let host = Arc::downgrade(self);
        Arc::new(move |heard| {
            let Some(host) = host.upgrade() else { return };
            match heard {
                Heard::Lifecycle(uuid, what) => {
                    let place = (host.name.clone(), VmId(uuid));
                    match what {
                        Lifecycle::Suspended => under_way.heard_pause(place),
                        Lifecycle::Resumed => under_way.resumed(&place),
                        Lifecycle::Other => {}
                    }
                    under_way.tell(Change::Vm(VmId(uuid)));
                }
                Heard::Touched(uuid) => under_way.tell(Change::Vm(VmId(uuid))),
                Heard::Closed => host.broken.notify_one(),
            }
        })
    }

    fn links(&self) -> MutexGuard<'_, Option<Arc<Links>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_connected(&self) -> bool {
        let links = self.links().clone();
        links.is_some_and(|links| links.stand())
    }

    /// Whether it is connected, for who has something to ask; where it isn't, that is tried again soon.
    pub(super) fn can_be_asked(&self) -> bool {
        let is_connected = self.is_connected();
        if !is_connected {
            self.wanted.notify_one();
        }
        is_connected
    }

    /// A connection for one thread, if there is any.
    pub(super) fn lend(&self) -> Option<Lent> {
        let links = self.links().clone();
        links.and_then(|links| links.lend())
    }

    /// Who is at the other end of its connections, if that is known. Asked after a connection was had, it is never older
    /// than that.
    pub(super) fn listener(&self) -> Option<Listener> {
        self.links().as_ref().and_then(|links| links.listener)
    }

    /// Whether the connection still stands after an error; if it doesn't, it is made anew.
    pub(super) fn stands(&self, connection: &Lent) -> bool {
        let stands = connection.stands();
        if !stands {
            self.broken.notify_one();
        }
        stands
    }

    pub(super) fn silent(&self, message: &str) -> HypervisorError {
        HypervisorError::HostSilent { host: self.name.clone(), message: message.to_owned() }
    }

    /// Does blocking work for a VM on a thread of its own. If it takes too long it goes on, with whatever it has taken along,
    /// and nobody knows what came of it.
    pub(super) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        purpose: Purpose,
        vm: VmId,
        work: impl FnOnce(&Connect) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, HypervisorError> {
        if !self.can_be_asked() {
            return Err(self.silent("there is no connection to its libvirt"));
        }
        let threads = match purpose {
            Purpose::Look => &self.looks,
            Purpose::Call => &self.calls,
        };
        let until = tokio::time::Instant::now() + CALL_WAIT_MAX;
        let permit = tokio::time::timeout_at(until, Arc::clone(threads).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            let message = "as many calls as it may have hang there already".to_owned();
            return Err(HypervisorError::Failed { host: self.name.clone(), message });
        };
        // Whoever has a thread finds a connection, unless one that is given up still hangs in another's.
        let Some(connection) = self.lend() else {
            return Err(self.silent("there is no free connection to its libvirt"));
        };
        let host = Arc::clone(self);
        let working = on_thread_with("call", permit, move || {
            work(&connection).map_err(|trouble| {
                let stands = host.stands(&connection);
                trouble.told(&host.name, vm, stands)
            })
        });
        let working = working.map_err(|error| HypervisorError::Failed {
            host: self.name.clone(),
            message: format!("no thread could be started: {error}"),
        })?;
        match tokio::time::timeout_at(until, working).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(HypervisorError::Nonsense { message: "the thread of a call has died".to_owned() }),
            Err(_) => Err(self.silent("it has not answered in time")),
        }
    }
}

/// On a thread: closing may wait for the other end.
fn close(links: Option<Arc<Links>>) {
    if on_thread("close", move || drop(links)).is_err() {
        tracing::warn!("no thread could be started to close a connection");
    }
}

fn reconnect_waits() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(RECONNECT_WAIT_MIN)
        .with_max_delay(RECONNECT_WAIT_MAX)
        .without_max_times()
}

/// Starts a thread; what it returns comes through the receiver.
pub(super) fn on_thread<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<oneshot::Receiver<T>> {
    let (answer, receiver) = oneshot::channel();
    thread::Builder::new().name(format!("libvirt-{what}")).spawn(move || {
        // Nobody may be waiting any more.
        let _ = answer.send(work());
    })?;
    Ok(receiver)
}

/// As [`on_thread`]; the permit is given back when the work has ended, before anybody hears of it.
pub(super) fn on_thread_with<T: Send + 'static>(
    what: &str,
    permit: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<oneshot::Receiver<T>> {
    on_thread(what, move || {
        let done = work();
        drop(permit);
        done
    })
}
