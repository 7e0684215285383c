//! What this driver has under way, and what only it remembers: calls, jobs, why a job failed, how long a guest stands still.
//!
//! A call counts from before it is sent until it has ended, however long nobody waits for it any more. One whose connection
//! breaks is *lost*: it may still lie in a libvirtd that hangs, and land as soon as that goes on. It counts until its host
//! has been connected, without a break, for as long as it may take to land ([`super::listener`]), or until that libvirtd is
//! proven dead. The same goes for what this process's predecessor has left open ([`UnderWay::inherit`]). Jobs and starts
//! libvirt shows itself, whoever began them.

use super::listener::Listener;
use crate::hypervisor::changes::{Teller, pair};
use crate::hypervisor::{Change, HypervisorError};
use futures::stream::BoxStream;
use muster_core::ids::{HostName, VmId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// A VM on a host.
pub(super) type Place = (HostName, VmId);

/// What is under way at a site.
pub(super) struct UnderWay {
    state: Mutex<State>,
    tellers: Mutex<Vec<Teller>>,
    /// Threads that are none of its own speak to it as well.
    runtime: Handle,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<VmId, CallAt>,
    jobs: BTreeMap<Place, ()>,
    failures: BTreeMap<Place, String>,
    still: BTreeMap<Place, Still>,
    /// Calls of whose end nobody has heard, and nobody will.
    lost: BTreeMap<Place, Loss>,
    /// How many there have been.
    losses: u64,
    links: BTreeMap<HostName, Link>,
}

/// A call of whose end nobody has heard.
#[derive(Debug, Clone, Copy)]
struct Loss {
    /// The later, the greater.
    number: u64,
    /// Who was to do it.
    listener: Option<Listener>,
}

/// How a host is connected.
#[derive(Debug, Clone)]
struct Link {
    /// How often it was connected by now.
    connects: u64,
    is_up: bool,
    settles_within: Duration,
}

impl State {
    fn lose(&mut self, place: Place, listener: Option<Listener>) {
        self.losses += 1;
        self.lost.insert(place, Loss { number: self.losses, listener });
    }

    /// Hosts that a lost call for the VM may yet land on.
    fn lost_at(&self, vm: VmId) -> impl Iterator<Item = &HostName> {
        self.lost.keys().filter(move |(_, lost)| *lost == vm).map(|(host, _)| host)
    }

    /// A lost call may land on a host that answers. What is on one that doesn't, its silence stands for.
    fn may_land(&self, vm: VmId) -> bool {
        self.lost_at(vm).any(|host| self.links.get(host).is_some_and(|link| link.is_up))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CallAt {
    host: HostName,
    shuts_down: bool,
}

/// How a guest stands still in a handover.
#[derive(Debug, Clone, Copy)]
enum Still {
    /// It was heard to pause then; whether by an arrival isn't known yet.
    Paused(Instant),
    /// It has arrived: so long before, and still since then.
    Arrived { before_ms: u64, since: Instant },
    /// It runs again.
    Lasted(u64),
}

/// What is under way for one VM on one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// A call for the VM, on whatever host.
    pub(super) call: bool,
    /// Hosts that a lost call for it may yet land on.
    pub(super) lost_at: BTreeSet<HostName>,
    /// The call waits on this host until the guest has shut down.
    pub(super) shuts_down: bool,
    /// A job of this driver's.
    pub(super) job: bool,
}

impl UnderWay {
    /// Nothing is. On the current runtime.
    pub(super) fn new() -> Arc<UnderWay> {
        Arc::new(UnderWay { state: Mutex::default(), tellers: Mutex::default(), runtime: Handle::current() })
    }

    /// Takes the VM for one call.
    ///
    /// # Errors
    /// `Busy` while another has it.
    pub(super) fn begin_call(
        self: &Arc<Self>,
        host: &HostName,
        vm: VmId,
        shuts_down: bool,
    ) -> Result<CallGuard, HypervisorError> {
        {
            let mut state = self.state();
            if state.calls.contains_key(&vm) || state.may_land(vm) {
                return Err(HypervisorError::Busy { vm });
            }
            state.calls.insert(vm, CallAt { host: host.clone(), shuts_down });
        }
        self.tell(Change::Vm(vm));
        Ok(CallGuard { call: Arc::new(OpenCall { under_way: Arc::clone(self), vm }) })
    }

    /// The host is connected, to this listener; what was sent to it before may land now, within so long.
    pub(super) fn connected(self: &Arc<Self>, host: &HostName, listener: Option<Listener>, settles_within: Duration) {
        {
            let mut state = self.state();
            let link = state.links.entry(host.clone());
            let link = link.or_insert(Link { connects: 0, is_up: false, settles_within });
            link.connects += 1;
            link.is_up = true;
            state.lost.retain(|(at, _), loss| at != host || !Listener::is_replaced(loss.listener, listener));
        }
        self.settle(host);
    }

    /// The host's connection is given up.
    pub(super) fn disconnected(&self, host: &HostName) {
        if let Some(link) = self.state().links.get_mut(host) {
            link.is_up = false;
        }
    }

    /// What a predecessor of this process may have sent for these VMs to any of these hosts counts as lost.
    pub(super) fn inherit(self: &Arc<Self>, hosts: &[HostName], vms: &[VmId]) {
        for host in hosts {
            {
                let mut state = self.state();
                vms.iter().for_each(|vm| state.lose((host.clone(), *vm), None));
            }
            self.settle(host);
        }
    }

    /// What is lost at a host by now counts no more once the host has been connected for long enough from now on. Where the
    /// connection breaks before that, the next one begins anew.
    fn settle(self: &Arc<Self>, host: &HostName) {
        let (link, up_to) = {
            let state = self.state();
            let Some(link) = state.links.get(host).filter(|link| link.is_up).cloned() else { return };
            if !state.lost.keys().any(|(at, _)| at == host) {
                return;
            }
            (link, state.losses)
        };
        let (under_way, host) = (Arc::clone(self), host.clone());
        self.runtime.spawn(async move {
            tokio::time::sleep(link.settles_within).await;
            {
                let mut state = under_way.state();
                let is_same = |now: &Link| now.is_up && now.connects == link.connects;
                if !state.links.get(&host).is_some_and(is_same) {
                    return;
                }
                state.lost.retain(|(at, _), loss| *at != host || loss.number > up_to);
            }
            under_way.tell(Change::Everything);
        });
    }

    fn lose(self: &Arc<Self>, place: Place, listener: Option<Listener>) {
        let host = place.0.clone();
        self.state().lose(place, listener);
        // Only this connection may have broken: then the host is heard by the others, and time counts from now on.
        self.settle(&host);
    }

    /// Notes that a job begins. What failed before it is forgotten.
    pub(super) fn begin_job(self: &Arc<Self>, place: Place) -> JobGuard {
        {
            let mut state = self.state();
            state.failures.remove(&place);
            state.jobs.insert(place.clone(), ());
        }
        JobGuard { under_way: Arc::clone(self), place }
    }

    pub(super) fn seen(&self, place: &Place) -> Seen {
        let state = self.state();
        let call = state.calls.get(&place.1);
        Seen {
            call: call.is_some(),
            lost_at: state.lost_at(place.1).cloned().collect(),
            shuts_down: call.is_some_and(|call| call.shuts_down && call.host == place.0),
            job: state.jobs.contains_key(place),
        }
    }

    pub(super) fn failure(&self, place: &Place) -> Option<String> {
        self.state().failures.get(place).cloned()
    }

    /// Nothing is left of the VM on the host.
    pub(super) fn forget(&self, place: &Place) {
        let mut state = self.state();
        state.failures.remove(place);
        state.still.remove(place);
    }

    /// The guest was heard to pause.
    pub(super) fn heard_pause(&self, place: Place) {
        let mut state = self.state();
        let arrived = matches!(state.still.get(&place), Some(Still::Arrived { .. }));
        if !arrived {
            state.still.insert(place, Still::Paused(Instant::now()));
        }
    }

    /// The guest runs again.
    pub(super) fn resumed(&self, place: &Place) {
        let mut state = self.state();
        match state.still.get(place).copied() {
            Some(Still::Arrived { before_ms, since }) => {
                state.still.insert(place.clone(), Still::Lasted(before_ms.saturating_add(elapsed_ms(since))));
            }
            Some(Still::Paused(_)) => {
                state.still.remove(place);
            }
            Some(Still::Lasted(_)) | None => {}
        }
    }

    /// The guest is seen whole and paused; `before_ms` is how long it had stood still when it arrived, if a transfer brought
    /// it. Returns how long it stands still by now.
    pub(super) fn paused(&self, place: &Place, before_ms: Option<u64>) -> Option<u64> {
        let before_ms = before_ms?;
        let mut state = self.state();
        let since = match state.still.get(place).copied() {
            Some(Still::Arrived { since, .. } | Still::Paused(since)) => since,
            Some(Still::Lasted(_)) | None => Instant::now(),
        };
        state.still.insert(place.clone(), Still::Arrived { before_ms, since });
        Some(before_ms.saturating_add(elapsed_ms(since)))
    }

    /// The guest is seen running.
    pub(super) fn runs(&self, place: &Place) -> Option<u64> {
        self.resumed(place);
        match self.state().still.get(place) {
            Some(Still::Lasted(ms)) => Some(*ms),
            Some(Still::Arrived { .. } | Still::Paused(_)) | None => None,
        }
    }

    /// It is arriving. That it was heard to pause stays: this may have been seen before that.
    pub(super) fn arrives(&self, place: &Place) {
        let mut state = self.state();
        if !matches!(state.still.get(place), Some(Still::Paused(_))) {
            state.still.remove(place);
        }
    }

    /// There is no guest.
    pub(super) fn is_off(&self, place: &Place) {
        self.state().still.remove(place);
    }

    /// Another reader of what changes.
    pub(super) fn listen(&self) -> BoxStream<'static, Change> {
        let (teller, stream) = pair();
        self.tellers().push(teller);
        stream
    }

    /// Tells all readers.
    pub(super) fn tell(&self, change: Change) {
        let mut tellers = self.tellers();
        tellers.retain(Teller::is_heard);
        tellers.iter().for_each(|teller| teller.tell(change));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change under the lock is one step: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tellers(&self) -> MutexGuard<'_, Vec<Teller>> {
        self.tellers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A call that has not ended, taken along by everything that may still change something. It ends with the last of them.
#[derive(Clone)]
pub(super) struct CallGuard {
    call: Arc<OpenCall>,
}

impl CallGuard {
    /// Its connection to this listener has broken, and nobody has heard what came of it. Said while the guard is held: in
    /// between it would count for nothing.
    pub(super) fn lost_at(&self, host: &HostName, listener: Option<Listener>) {
        self.call.under_way.lose((host.clone(), self.call.vm), listener);
    }
}

struct OpenCall {
    under_way: Arc<UnderWay>,
    vm: VmId,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.under_way.state().calls.remove(&self.vm);
        self.under_way.tell(Change::Vm(self.vm));
    }
}

/// A job that has not ended. Dropped without a word, it has failed for no known reason.
pub(super) struct JobGuard {
    under_way: Arc<UnderWay>,
    place: Place,
}

impl JobGuard {
    /// The job has failed.
    pub(super) fn failed(self, why: String) {
        self.under_way.state().failures.insert(self.place.clone(), why);
    }

    /// The connection to this listener that began the job has broken. It may go on, or be yet to begin.
    pub(super) fn lost(self, listener: Option<Listener>) {
        self.under_way.lose(self.place.clone(), listener);
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        self.under_way.state().jobs.remove(&self.place);
        self.under_way.tell(Change::Vm(self.place.1));
    }
}

#[cfg(test)]
mod tests;
