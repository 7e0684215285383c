//! What is to happen and when. Two events of one millisecond happen in the order they were entered.

use super::call::CallId;
use super::host::HostId;
use super::job::JobId;
use muster_core::ids::VmId;
use std::collections::BTreeMap;

/// Something that is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A call takes effect.
    CallLands(CallId),
    /// A job's phase that only takes time is over.
    PhaseOver(JobId),
    /// All that a job had to send in this phase or round is sent.
    FlowOver(JobId),
    /// A job's progress is worth telling.
    Progress(JobId),
    /// A guest that was asked to shut down has.
    GuestShutDown(HostId, VmId),
    /// A silent host daemon may answer again.
    DaemonAnswers(HostId),
}

/// Names an entry, so that it can be taken out again.
pub(super) type EventKey = (u64, u64);

#[derive(Debug, Default)]
pub(super) struct Agenda {
    events: BTreeMap<EventKey, Event>,
    entered: u64,
}

impl Agenda {
    pub(super) fn enter(&mut self, at_ms: u64, event: Event) -> EventKey {
        self.entered += 1;
        let key = (at_ms, self.entered);
        self.events.insert(key, event);
        key
    }

    pub(super) fn cancel(&mut self, key: Option<EventKey>) {
        if let Some(key) = key {
            self.events.remove(&key);
        }
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        self.events.keys().next().map(|(at_ms, _)| *at_ms)
    }

    pub(super) fn take_until(&mut self, to_ms: u64) -> Option<(u64, Event)> {
        let first = self.events.first_entry()?;
        if first.key().0 > to_ms {
            return None;
        }
        let ((at_ms, _), event) = first.remove_entry();
        Some((at_ms, event))
    }
}
