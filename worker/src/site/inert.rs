//! What is inert stays inert, whoever changes it: sealed and retired copies, and placeholders. Their definition or autostart is
//! put back as it was, with an alarm.
//!
//! Hypervisors tell of a changed definition, not of a changed autostart: so everything that should be inert is also looked at
//! in turn, a few at a time. No intent stands for what is made inert: landing late, it could only make something inert. It
//! never touches a guest that holds memory at a destination, nor a definition there that isn't proven to be this site's own.

use super::alarms::Alarm;
use super::arrivals::holds_memory;
use super::departures::{retired_reason, sealing};
use super::follow::{LOOK_AGAIN_EVERY, LOOK_BATCH_MAX};
use super::{CALL_DEADLINE, Site};
use crate::error::SiteError;
use crate::hypervisor::{HypervisorError, VmChange};
use muster_core::definition::Definition;
use muster_core::ids::{HostName, VmId};
use muster_core::ledger::command::FactKind;
use muster_core::ledger::{
    ArrivalRecord, AtDestination, AtSource, Enrolled, RetiredCopy, RollEntry, SourceState, Standing, VmRow,
};
use muster_core::reading::{Instance, Mark, Sight, Sighting, Stored};
use muster_store::RowQuery;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How often some of what should be inert is looked at, without anything telling that it has changed.
pub const PATROL_EVERY: Duration = Duration::from_secs(15);

/// Somebody's definition stands where this site's inert one should.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loose {
    host: HostName,
    how: How,
    remedy: Remedy,
}

/// How it isn't as inert as the ledger says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It could be started.
    Startable,
    /// It can't be started, and its host would try.
    Autostart,
    /// Muster's own order has not come through: it is inert, and of another kind than it should be.
    OfAnotherKind,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Remedy {
    /// This makes it inert again.
    Change(VmChange),
    /// A placeholder without its mark: made again if what is stored is the VM's own definition, to the letter.
    IfOwn(Definition, Mark),
    /// Nothing proves that it is this site's.
    Nothing,
}

impl Site {
    /// Makes what should be inert, and isn't, inert again. In a task of its own, for a hypervisor may take its time.
    pub(super) fn keep_inert(self: &Arc<Self>, row: &VmRow, sight: &Sight) {
        self.note_placeholder(row, sight);
        let Some(loose) = loose(row, sight, self.placeholder_seen(row.vm)) else { return };
        let Some(section) = self.sections.enter(row.vm) else { return };
        let (site, row) = (Arc::clone(self), row.clone());
        self.tasks.spawn(async move {
            let (vm, host) = (row.vm, &loose.host);
            if let Err(error) = site.make_inert(&row, &loose).await {
                let message = format!("VM {vm} on {host} should be inert, and it can't be made so: {error}");
                site.alarm(vm, Alarm::NotInert, message);
            }
            // Held on for a moment, so that somebody who changes it again and again can't keep this site busy.
            tokio::time::sleep(LOOK_AGAIN_EVERY).await;
            drop(section);
            if loose.remedy != Remedy::Nothing {
                site.touch(vm);
            }
        });
    }

    async fn make_inert(self: &Arc<Self>, row: &VmRow, loose: &Loose) -> Result<(), SiteError> {
        let (vm, host) = (row.vm, &loose.host);
        if self.records.row(vm).await? != *row {
            // Something was done with it in between; the next look finds what is left to do.
            return Ok(());
        }
        match &loose.remedy {
            Remedy::Change(change) => self.call_in_time(host, vm, change.clone()).await?,
            Remedy::IfOwn(own, mark) if is_same(own, &self.definition(host, vm).await?) => {
                // The mark first: what bears it is known for this site's whatever happens before the second call.
                let real = VmChange::DefineReal { definition: own.clone(), mark: Some(*mark) };
                self.call_in_time(host, vm, real).await?;
                let change = VmChange::DefinePlaceholder { definition: own.clone(), mark: *mark };
                self.call_in_time(host, vm, change).await?;
            }
            Remedy::IfOwn(..) | Remedy::Nothing => {
                let message = format!(
                    "VM {vm} on {host}: what is defined there can be started, and nothing proves that it is a placeholder of \
                     muster's; see whose it is, and delete it, or give it another UUID"
                );
                self.alarm(vm, Alarm::NotItsPlaceholder, message);
                return Ok(());
            }
        }
        if self.take_unfinished(vm) || loose.how == How::OfAnotherKind {
            // Nobody changed it: an order of muster's own had not come through.
            return Ok(());
        }
        self.write_fact(vm, FactKind::MadeInertAgain).await?;
        let (alarm, what) = match loose.how {
            How::Startable | How::OfAnotherKind => {
                (Alarm::MadeInertAgain, "definition had been changed; it was made inert")
            }
            How::Autostart => (Alarm::AutostartOffAgain, "autostart had been switched on; it was switched off"),
        };
        self.alarm(vm, alarm, format!("VM {vm} on {host} is to be inert, and its {what} again"));
        Ok(())
    }

    async fn call_in_time(&self, host: &HostName, vm: VmId, change: VmChange) -> Result<(), HypervisorError> {
        let made = tokio::time::timeout(CALL_DEADLINE, self.call(host, vm, change)).await;
        let message = || "the call has not ended in time".to_owned();
        made.map_err(|_| HypervisorError::HostSilent { host: host.clone(), message: message() })?
    }

    /// Remembers that a mutation of the VM came to nothing, or to nobody knows what: a definition that isn't as the
    /// ledger says was then not changed by anybody else.
    pub(super) fn note_unfinished(&self, vm: VmId) {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).insert(vm);
    }

    pub(super) fn take_unfinished(&self, vm: VmId) -> bool {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).remove(&vm)
    }

    /// Remembers the placeholder that is seen, as long as its attempt is open or the last one given up: what stands there
    /// later without a mark has taken its place.
    fn note_placeholder(&self, row: &VmRow, sight: &Sight) {
        let mut seen = self.placeholders.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, at)) = arrival(row) else {
            seen.remove(&row.vm);
            return;
        };
        let is_placeholder = |seen: &&Sighting| seen.stored == Stored::Placeholder;
        let mark = sight.sightings.iter().find(is_placeholder).and_then(|seen| seen.mark);
        if let Some(mark) = mark.filter(|mark| is_current(at, *mark)) {
            seen.insert(row.vm, mark);
        }
    }

    fn placeholder_seen(&self, vm: VmId) -> Option<Mark> {
        self.placeholders.lock().unwrap_or_else(PoisonError::into_inner).get(&vm).copied()
    }

    /// Looks at the next VMs, after this one, of which something should be inert. Those of which something isn't are to
    /// be looked into. Returns the last one that was looked at; none to begin anew.
    pub(super) async fn patrol(
        self: &Arc<Self>,
        after: Option<VmId>,
        again: &mut BTreeSet<VmId>,
    ) -> Result<Option<VmId>, SiteError> {
        let query = RowQuery { after, limit: LOOK_BATCH_MAX, ..RowQuery::all() };
        let mut rows = self.records.page(query).await?;
        let last = rows.last().map(|row| row.vm);
        self.delete_some(&rows);
        rows.retain(|row| arrival(row).is_some() || is_let_go(row));
        let vms: Vec<VmId> = rows.iter().map(|row| row.vm).collect();
        let sights = self.look(&vms).await?;
        for (row, sight) in rows.iter().zip(sights) {
            if loose(row, &sight, self.placeholder_seen(row.vm)).is_some() {
                again.insert(row.vm);
            }
        }
        Ok(last)
    }
}

/// The stored definition that isn't as inert as the ledger says, and what is to be done about it.
fn loose(row: &VmRow, sight: &Sight, placeholder: Option<Mark>) -> Option<Loose> {
    if row.intent.is_some() || sight.call_under_way {
        return None;
    }
    let Enrolled { entry, standing } = row.enrolled.as_ref()?;
    match standing {
        Standing::Source(at) => loose_at_source(row, entry, at, sight),
        Standing::Destination(_) => loose_placeholder(row, sight, placeholder),
    }
}

fn loose_at_source(row: &VmRow, entry: &RollEntry, at: &AtSource, sight: &Sight) -> Option<Loose> {
    // While a job is on it the hypervisor changes nothing.
    let mut still = sight.sightings.iter().filter(|seen| seen.job.is_none());
    let (found, change) = match at.state {
        SourceState::Unsealed => None,
        SourceState::Sealed { .. } | SourceState::Gone { .. } => {
            let found = still.find_map(|seen| Some((seen, how(seen, Stored::Sealed)?)))?;
            Some((found, sealing(entry, row.floor)))
        }
        // It is gone; what somebody has put there since is theirs.
        SourceState::Retired if is_deleted(at) => None,
        // One that runs after it was retired is for a person; the verdict says so.
        SourceState::Retired => {
            let mut off = still.filter(|seen| matches!(seen.instance, Instance::Off(_)));
            let found = off.find_map(|seen| Some((seen, how(seen, Stored::Retired)?)))?;
            Some((found, VmChange::DefineRetired { reason: retired_reason(entry) }))
        }
    }?;
    let (seen, how) = found;
    Some(Loose { host: seen.host.clone(), how, remedy: Remedy::Change(change) })
}

/// How a definition differs from the inert one that it should be; none if it doesn't.
fn how(seen: &Sighting, wanted: Stored) -> Option<How> {
    match seen.stored {
        Stored::Real => Some(How::Startable),
        Stored::Sealed if wanted == Stored::Retired => Some(How::OfAnotherKind),
        stored if stored == wanted && seen.autostart => Some(How::Autostart),
        Stored::Sealed | Stored::Retired | Stored::Placeholder | Stored::Arrived | Stored::Nothing => None,
    }
}

/// A placeholder of the attempt that is open, or was given up last, which could be started or whose host would try. Its mark
/// proves that it is this site's. Without one, only that it was seen there before, and that what has taken its place is
/// the VM's own definition: then nothing of anybody's is lost with it. What is not proven is left as it is.
fn loose_placeholder(row: &VmRow, sight: &Sight, placeholder: Option<Mark>) -> Option<Loose> {
    let (host, at) = arrival(row)?;
    // Two copies at one site are for whoever settles: to make one anew takes the other away.
    let [seen] = sight.sightings.as_slice() else { return None };
    if seen.host != *host || seen.job.is_some() || holds_memory(seen.instance) {
        return None;
    }
    let how = how(seen, Stored::Placeholder)?;
    let definition = Definition { autostart: false, ..row.enrolled.as_ref()?.entry.definition.clone() };
    let remedy = match (seen.mark, placeholder) {
        (Some(mark), _) if is_current(at, mark) => Remedy::Change(VmChange::DefinePlaceholder { definition, mark }),
        // An earlier attempt's, or an earlier evacuation's: it is discarded, not kept.
        (Some(_), _) => return None,
        (None, Some(mark)) if is_current(at, mark) => Remedy::IfOwn(definition, mark),
        (None, Some(_) | None) => Remedy::Nothing,
    };
    Some(Loose { host: host.clone(), how, remedy })
}

/// The host of the attempt that is open, or was given up last.
fn arrival(row: &VmRow) -> Option<(&HostName, &AtDestination)> {
    let Some(Standing::Destination(at)) = row.standing() else { return None };
    match &at.record {
        ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => Some((&started.host, at)),
        ArrivalRecord::Enrolled | ArrivalRecord::Completed(_) | ArrivalRecord::Closed(_) => None,
    }
}

/// Whether a mark is that of the attempt that is open, or was given up last.
fn is_current(at: &AtDestination, mark: Mark) -> bool {
    match &at.record {
        ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => {
            (mark.evacuation, mark.attempt) == (at.evacuation, started.attempt)
        }
        ArrivalRecord::Enrolled | ArrivalRecord::Completed(_) | ArrivalRecord::Closed(_) => false,
    }
}

fn is_deleted(at: &AtSource) -> bool {
    match at.retired_copy {
        RetiredCopy::Deleted { .. } => true,
        RetiredCopy::Kept | RetiredCopy::KeptUntil { .. } => false,
    }
}

fn is_let_go(row: &VmRow) -> bool {
    match row.standing() {
        Some(Standing::Source(at)) => match at.state {
            SourceState::Unsealed => false,
            SourceState::Retired => !is_deleted(at),
            SourceState::Sealed { .. } | SourceState::Gone { .. } => true,
        },
        Some(Standing::Destination(_)) | None => false,
    }
}

/// Whether a definition is another in all that makes a VM. Where its disks lie, and how large they are, stands in the document.
fn is_same(own: &Definition, found: &Definition) -> bool {
    let made_of = |of: &Definition| (of.name.clone(), of.memory_mib, of.vcpus, of.document.clone());
    made_of(own) == made_of(found)
}
