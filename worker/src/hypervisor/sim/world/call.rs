//! Calls on their way: admitted, under way, landed, answered. What they change stands in `change`.

use super::agenda::Event;
use super::fault::Twist;
use super::host::{HostId, SiteId};
use super::{Output, World};
use crate::hypervisor::{Call, HypervisorError, VmChange};
use muster_core::ids::{HostName, SiteName, VmId};
use serde::{Deserialize, Serialize};

/// Names a call of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub(super) u64);

/// The kinds of [`VmChange`], for rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallKind {
    /// `DefinePlaceholder`.
    DefinePlaceholder,
    /// `DefineSealed`.
    DefineSealed,
    /// `DefineRetired`.
    DefineRetired,
    /// `DefineReal`.
    DefineReal,
    /// `BeginTransfer`.
    BeginTransfer,
    /// `BeginDiskCopy`.
    BeginDiskCopy,
    /// `AbortJob`.
    AbortJob,
    /// `AdjustJob`.
    AdjustJob,
    /// `ShutDown`.
    ShutDown,
    /// `Start`.
    Start,
    /// `Resume`.
    Resume,
    /// `DeleteRetired`.
    DeleteRetired,
    /// `Remove`.
    Remove,
}

impl CallKind {
    /// The kind of a change.
    #[must_use]
    pub fn of(change: &VmChange) -> CallKind {
        match change {
            VmChange::DefinePlaceholder { .. } => CallKind::DefinePlaceholder,
            VmChange::DefineSealed { .. } => CallKind::DefineSealed,
            VmChange::DefineRetired { .. } => CallKind::DefineRetired,
            VmChange::DefineReal { .. } => CallKind::DefineReal,
            VmChange::BeginTransfer { .. } => CallKind::BeginTransfer,
            VmChange::BeginDiskCopy { .. } => CallKind::BeginDiskCopy,
            VmChange::AbortJob => CallKind::AbortJob,
            VmChange::AdjustJob { .. } => CallKind::AdjustJob,
            VmChange::ShutDown => CallKind::ShutDown,
            VmChange::Start => CallKind::Start,
            VmChange::Resume => CallKind::Resume,
            VmChange::DeleteRetired => CallKind::DeleteRetired,
            VmChange::Remove { .. } => CallKind::Remove,
        }
    }
}

/// A call that is under way.
#[derive(Debug, Clone)]
pub(super) struct PendingCall {
    pub(super) site: SiteId,
    pub(super) host: HostId,
    call: Call,
    /// Its answer will not reach the caller.
    loses_reply: bool,
    /// The caller was told already that it will hear nothing.
    answered: bool,
}

/// What came of a call when it landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landed {
    Done,
    /// It ends when the guest has shut down.
    WithGuest,
}

impl World {
    /// Takes a call in for a site's hypervisors. Its end comes out as [`Output::CallEnded`], maybe at once.
    pub fn begin_call(&mut self, site: &SiteName, call: Call) -> CallId {
        let id = CallId(self.next_number());
        match self.admit(id, site, call) {
            Ok(Some(at_ms)) => {
                self.agenda.enter(at_ms, Event::CallLands(id));
            }
            Ok(None) => self.land(id),
            Err(error) => self.outputs.push(Output::CallEnded { call: id, result: Err(error) }),
        }
        self.share_wires();
        id
    }

    /// When the call lands; none for at once.
    fn admit(&mut self, id: CallId, site: &SiteName, call: Call) -> Result<Option<u64>, HypervisorError> {
        let (site_id, host) = self.reach(site, &call.host)?;
        if self.calls_by_vm.contains_key(&(site_id, call.vm)) {
            return Err(HypervisorError::Busy { vm: call.vm });
        }
        self.refuse_during_job(host, &call)?;
        let twist = self.draw_twist(call.vm, CallKind::of(&call.change));
        let refused = |message| HypervisorError::Refused { host: call.host.clone(), message };
        let (span_ms, loses_reply) = match twist {
            None => (self.timing.call_ms, false),
            Some(Twist::Refuse(message)) => return Err(refused(message)),
            Some(Twist::Fail(message)) => return Err(HypervisorError::Failed { host: call.host.clone(), message }),
            Some(Twist::Hang(for_ms)) => (for_ms, false),
            Some(Twist::LoseReply) => (self.timing.call_ms, true),
        };
        let vm = call.vm;
        self.calls.insert(id, PendingCall { site: site_id, host, call, loses_reply, answered: false });
        self.calls_by_vm.insert((site_id, vm), id);
        self.tell(host, vm);
        Ok((span_ms > 0).then(|| self.now_ms + span_ms))
    }

    /// The host, if it can be spoken to.
    pub(super) fn reach(&self, site: &SiteName, host: &HostName) -> Result<(SiteId, HostId), HypervisorError> {
        let site_id = self.reach_site(site)?;
        let Some(id) = self.host_id(site_id, host) else {
            let message = format!("site {site} has no such host");
            return Err(HypervisorError::Refused { host: host.clone(), message });
        };
        if self.hosts[id.0].answers() {
            Ok((site_id, id))
        } else {
            Err(HypervisorError::HostSilent { host: host.clone(), message: "no answer".to_owned() })
        }
    }

    pub(super) fn reach_site(&self, site: &SiteName) -> Result<SiteId, HypervisorError> {
        match self.site_ids.get(site) {
            Some(id) if self.sites[id.0].is_reachable() => Ok(*id),
            Some(_) => Err(HypervisorError::Unreachable { message: format!("no way to site {site}") }),
            None => Err(HypervisorError::Unreachable { message: format!("this world has no site {site}") }),
        }
    }

    /// Whether the site's hypervisors can be reached at all.
    #[must_use]
    pub fn is_site_reachable(&self, site: &SiteName) -> bool {
        self.reach_site(site).is_ok()
    }

    pub(super) fn refuse_during_job(&self, host: HostId, call: &Call) -> Result<(), HypervisorError> {
        let is_about_it = matches!(call.change, VmChange::AbortJob | VmChange::AdjustJob { .. });
        match self.entry(host, call.vm) {
            Some(entry) if entry.job.is_some() && !is_about_it => Err(HypervisorError::Busy { vm: call.vm }),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn land(&mut self, id: CallId) {
        let Some(pending) = self.calls.get(&id).cloned() else { return };
        let landed =
            self.refuse_during_job(pending.host, &pending.call).and_then(|()| self.change(pending.host, &pending.call));
        match landed {
            Ok(Landed::Done) => self.end_call(id, Ok(())),
            Ok(Landed::WithGuest) => {}
            Err(error) => self.end_call(id, Err(error)),
        }
    }

    pub(super) fn end_call(&mut self, id: CallId, result: Result<(), HypervisorError>) {
        let Some(pending) = self.calls.remove(&id) else { return };
        self.calls_by_vm.remove(&(pending.site, pending.call.vm));
        self.tell(pending.host, pending.call.vm);
        let result = if pending.loses_reply {
            let message = "the answer was lost".to_owned();
            Err(HypervisorError::HostSilent { host: pending.call.host, message })
        } else {
            result
        };
        if !pending.answered {
            self.outputs.push(Output::CallEnded { call: id, result });
        }
    }

    /// The guest has shut down: if a call waits for that, it has ended.
    pub(super) fn end_shutdown_call(&mut self, host: HostId, vm: VmId) {
        let site = self.hosts[host.0].site;
        let Some(id) = self.calls_by_vm.get(&(site, vm)).copied() else { return };
        let waits = self
            .calls
            .get(&id)
            .is_some_and(|pending| pending.host == host && matches!(pending.call.change, VmChange::ShutDown));
        if waits {
            self.end_call(id, Ok(()));
        }
    }

    /// The calls on a host end with it: nobody will ever know what came of them.
    pub(super) fn lose_calls_of(&mut self, host: HostId, message: &str) {
        let ids: Vec<CallId> =
            self.calls.iter().filter(|(_, pending)| pending.host == host).map(|(id, _)| *id).collect();
        for id in ids {
            let host = self.hosts[host.0].name.clone();
            self.end_call(id, Err(HypervisorError::HostSilent { host, message: message.to_owned() }));
        }
    }

    /// The callers of a site hear nothing more; their calls land all the same.
    pub(super) fn lose_callers_of(&mut self, site: SiteId) {
        let message = format!("the way to site {} broke", self.sites[site.0].name);
        for (id, pending) in &mut self.calls {
            if pending.site == site && !pending.answered {
                pending.answered = true;
                let result = Err(HypervisorError::Unreachable { message: message.clone() });
                self.outputs.push(Output::CallEnded { call: *id, result });
            }
        }
    }
}
