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

/// How long until an alarm of what somebody has done is raised again for the same VM, in milliseconds.
pub const ALARM_AGAIN_AFTER_MS: u64 = 60_000;
/// How long until an alarm of what goes on by itself is raised again for the same VM, in milliseconds.
pub const LASTING_ALARM_AGAIN_AFTER_MS: u64 = 600_000;
/// Most alarms whose time is remembered before those that may be raised again are forgotten.
pub const ALARMS_REMEMBERED_MAX: usize = 4_096;

/// The alarms that a site raises about a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// It was handed over, and its commit gets no answer.
    CommitWaits,
    /// Whether the copy of its disk is complete can't be learnt.
    DiskUnproven,
    /// It runs, and its own definition is not back.
    DefinitionOwed,
    /// It should be inert, and can't be made so.
    NotInert,
    /// What stands where its placeholder should can be started, and isn't proven to be this site's.
    NotItsPlaceholder,
    /// An inert definition had been changed.
    MadeInertAgain,
    /// Autostart had been switched on over an inert definition.
    AutostartOffAgain,
}

impl Alarm {
    /// Stable, for programs.
    fn reason(self) -> &'static str {
        match self {
            Alarm::CommitWaits => "COMMIT_WAITS",
            Alarm::DiskUnproven => "DISK_UNPROVEN",
            Alarm::DefinitionOwed => "DEFINITION_OWED",
            Alarm::NotInert => "NOT_INERT",
            Alarm::NotItsPlaceholder => "NOT_ITS_PLACEHOLDER",
            Alarm::MadeInertAgain => "MADE_INERT_AGAIN",
            Alarm::AutostartOffAgain => "AUTOSTART_OFF_AGAIN",
        }
    }

    fn again_after_ms(self) -> u64 {
        match self {
            Alarm::MadeInertAgain | Alarm::AutostartOffAgain => ALARM_AGAIN_AFTER_MS,
            Alarm::CommitWaits
            | Alarm::DiskUnproven
            | Alarm::DefinitionOwed
            | Alarm::NotInert
            | Alarm::NotItsPlaceholder => LASTING_ALARM_AGAIN_AFTER_MS,
        }
    }
}

impl Site {
    /// Raises an alarm: into the ledger, in a task of its own, and from there to whoever watches.
    pub(super) fn alarm(self: &Arc<Self>, vm: VmId, alarm: Alarm, message: String) {
        if !self.is_due(vm, alarm) {
            return;
        }
        let reason = alarm.reason();
        tracing::warn!(site = %self.name, %vm, reason, message, "alarm");
        let site = Arc::clone(self);
        self.tasks.spawn(async move {
            let alarmed = FactKind::Alarmed { reason: reason.to_owned(), message };
            if let Err(error) = site.write_fact(vm, alarmed).await {
                tracing::error!(%vm, reason, %error, "an alarm could not be written down");
            }
        });
    }

    fn is_due(&self, vm: VmId, alarm: Alarm) -> bool {
        let now = self.env.now();
        let mut alarmed = self.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |alarm: Alarm, at: Timestamp| now.since_ms(at) < alarm.again_after_ms();
        if alarmed.get(&(vm, alarm)).is_some_and(|at| is_recent(alarm, *at)) {
            return false;
        }
        if alarmed.len() >= ALARMS_REMEMBERED_MAX {
            alarmed.retain(|(_, alarm), at| is_recent(*alarm, *at));
        }
        alarmed.insert((vm, alarm), now);
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
