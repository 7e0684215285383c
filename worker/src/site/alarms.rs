//! Alarms: what a person should know. Each is a line of the ledger's history before anybody is told, so that whoever listens
//! later, or again, can read what they have missed.
//!
//! The same one about the same VM is raised again only after a while: what goes on failing must not fill the history.

use super::Site;
use super::watch::News;
use crate::error::SiteError;
use muster_core::ids::VmId;
use muster_core::ledger::command::{EventKind, FactKind, LedgerEvent};
use muster_core::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

/// How long until an alarm of the same reason about the same VM is raised again, in milliseconds.
pub const ALARM_AGAIN_AFTER_MS: u64 = 60_000;
/// Most alarms whose time is remembered before those that may be raised again are forgotten.
pub const ALARMS_REMEMBERED_MAX: usize = 4_096;

impl Site {
    /// Raises an alarm: into the ledger, in a task of its own, and from there to whoever watches.
    pub(super) fn alarm(self: &Arc<Self>, vm: VmId, reason: &'static str, message: String) {
        if !self.is_due(vm, reason) {
            return;
        }
        tracing::warn!(site = %self.name, %vm, reason, message, "alarm");
        let site = Arc::clone(self);
        self.tasks.spawn(async move {
            let alarmed = FactKind::Alarmed { reason: reason.to_owned(), message };
            if let Err(error) = site.write_fact(vm, alarmed).await {
                tracing::error!(%vm, reason, %error, "an alarm could not be written down");
            }
        });
    }

    fn is_due(&self, vm: VmId, reason: &'static str) -> bool {
        let now = self.env.now();
        let mut alarmed = self.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Timestamp| now.since_ms(*at) < ALARM_AGAIN_AFTER_MS;
        if alarmed.get(&(vm, reason)).is_some_and(is_recent) {
            return false;
        }
        if alarmed.len() >= ALARMS_REMEMBERED_MAX {
            alarmed.retain(|_, at| is_recent(at));
        }
        alarmed.insert((vm, reason), now);
        true
    }

    /// Tells whoever watches of the alarms that the ledger's history holds after one sequence number and up to another,
    /// and returns the VMs that it names.
    pub(super) async fn hear_own(&self, after: u64, up_to: u64) -> Result<BTreeSet<VmId>, SiteError> {
        let mut changed = BTreeSet::new();
        let hear = |event: LedgerEvent| {
            changed.extend(event.vm);
            if let EventKind::Alarmed { reason, message } = event.kind {
                self.tell(News::Alarm { vm: event.vm, reason, message });
            }
        };
        self.hear_events(after, up_to, hear).await?;
        Ok(changed)
    }
}
