//! What this driver has under way, and what only it remembers: calls, jobs, why a job failed, how long a guest stands still.
//!
//! A call counts from before it is sent until it has ended, however long nobody waits for it any more. One whose connection
//! breaks may still lie in a libvirtd that hangs, and land as soon as that goes on: once its host is connected again, it
//! counts for a while longer ([`SETTLES_WITHIN`]). The same goes for whatever this process's predecessor has left behind, at
//! the first connection to each host. Jobs and starts libvirt shows itself, whoever began them.

use crate::hypervisor::changes::{Teller, pair};
use crate::hypervisor::{Change, HypervisorError};
use futures::stream::BoxStream;
use muster_core::ids::{HostName, VmId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long after a host was connected to again what an older connection had sent may still take effect. A libvirtd reads
/// what lies in its sockets before and while it takes new ones, within milliseconds.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(1);

/// A VM on a host.
pub(super) type Place = (HostName, VmId);

/// What is under way at a site.
#[derive(Default)]
pub(super) struct UnderWay {
    state: Mutex<State>,
    tellers: Mutex<Vec<Teller>>,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<VmId, CallAt>,
    jobs: BTreeMap<Place, ()>,
    failures: BTreeMap<Place, String>,
    still: BTreeMap<Place, Still>,
    /// Calls whose connection broke before they were answered.
    lost: BTreeSet<Place>,
    /// Hosts that were connected to a moment ago; and whether for the first time.
    settling: BTreeMap<HostName, bool>,
}

impl State {
    /// A call of whose end nobody has heard may be about to land.
    fn may_land(&self, vm: VmId) -> bool {
        let lost_at = |host: &HostName| self.lost.contains(&(host.clone(), vm));
        self.settling.iter().any(|(host, is_first)| *is_first || lost_at(host))
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
    /// The call waits on this host until the guest has shut down.
    pub(super) shuts_down: bool,
    /// A job of this driver's.
    pub(super) job: bool,
}

impl UnderWay {
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

    /// The host is connected to; what was sent to it before may land now.
    pub(super) fn settles(self: &Arc<Self>, host: &HostName, is_first: bool) {
        self.state().settling.insert(host.clone(), is_first);
        let (under_way, host) = (Arc::clone(self), host.clone());
        tokio::spawn(async move {
            tokio::time::sleep(SETTLES_WITHIN).await;
            {
                let mut state = under_way.state();
                state.settling.remove(&host);
                state.lost.retain(|(at, _)| *at != host);
            }
            under_way.tell(Change::Everything);
        });
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
            call: call.is_some() || state.may_land(place.1),
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
    /// Its connection has broken, and nobody has heard what came of it.
    pub(super) fn lost_at(&self, host: &HostName) {
        self.call.under_way.state().lost.insert((host.clone(), self.call.vm));
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
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        self.under_way.state().jobs.remove(&self.place);
        self.under_way.tell(Change::Vm(self.place.1));
    }
}
