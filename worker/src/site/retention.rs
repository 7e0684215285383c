//! Retired copies whose time has come are deleted: this site's own work, on the terms that came with the order to retire.
//!
//! Nothing is deleted on a doubt. Right before it the destination's ledger is asked, and must show that the VM has arrived
//! there in this very move; what is stored here must be the retired copy, off and without a saved image, with every host of the
//! site in sight. A VM that has been enrolled in another evacuation since is that one's: its row says no more of this copy.
//! What can't be proven now is tried again later.

use super::Site;
use super::departures::must_be_off;
use super::inert::PATROL_EVERY;
use super::mutation::{Ordered, Place, Planned};
use crate::error::SiteError;
use crate::hypervisor::{HypervisorError, VmChange};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::FutureExt;
use muster_core::evidence::Outcome;
use muster_core::ids::VmId;
use muster_core::ledger::command::{Caller, MutationResult, VmOrder};
use muster_core::ledger::{ArrivalRecord, Enrolled, RollEntry, Standing, VmRow};
use muster_core::reading::{Sight, Sighting, Stored};
use muster_core::time::Timestamp;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Most retired copies whose deletion is begun together.
pub const DELETE_BATCH_MAX: usize = 16;
/// First pause before a deletion that came to nothing is tried again.
pub const DELETE_AGAIN_MIN: Duration = PATROL_EVERY;
/// Longest pause before that.
pub const DELETE_AGAIN_MAX: Duration = Duration::from_secs(3600);

/// When a deletion that came to nothing is tried again.
pub(super) struct Pause {
    until: Timestamp,
    longer: ExponentialBackoff,
}

/// The move whose retired copy's time has come.
fn due(row: &VmRow, now: Timestamp) -> Option<&RollEntry> {
    match &row.enrolled {
        Some(Enrolled { entry, standing: Standing::Source(at) }) if at.is_due(now) => Some(entry),
        Some(Enrolled { standing: Standing::Source(_) | Standing::Destination(_), .. }) | None => None,
    }
}

impl Site {
    /// Begins to delete those of these VMs' retired copies whose time has come, in tasks of their own. Those that are left over
    /// have their turn when they are looked at again.
    pub(super) fn delete_some(self: &Arc<Self>, rows: &[VmRow]) {
        let now = self.env.now();
        let is_due = |row: &&VmRow| row.intent.is_none() && due(row, now).is_some() && !self.is_paused(row.vm, now);
        for row in rows.iter().filter(is_due).take(DELETE_BATCH_MAX) {
            let (site, vm) = (Arc::clone(self), row.vm);
            self.tasks.spawn(async move {
                match site.delete_retired(vm).await {
                    Ok(()) => site.forget_pause(vm),
                    Err(error) => {
                        tracing::info!(%vm, %error, "a retired copy whose time has come is still there");
                        site.pause(vm);
                    }
                }
            });
        }
    }

    async fn delete_retired(self: &Arc<Self>, vm: VmId) -> Result<(), SiteError> {
        let row = self.records.row(vm).await?;
        let Some(entry) = due(&row, self.env.now()) else { return Ok(()) };
        // A number of its own: below whatever a newer claim sends, and nobody of this one has anything left to send.
        let place = Place { evacuation: entry.evacuation, vm, token: row.floor.next() };
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let because = "it was released, or is in another evacuation";
                let entry = due(&row, site.env.now()).ok_or(SiteError::NotAsNeeded { vm, because })?;
                site.must_have_arrived(entry).await?;
                let copies = retired_copies(vm, site.look_one(vm).await?)?;
                // None: somebody has deleted it.
                let work = async move {
                    for copy in copies {
                        site.call(&copy.host, vm, VmChange::DeleteRetired).await?;
                    }
                    Ok(MutationResult::Done)
                };
                Ok(Planned { order: VmOrder::BeginDelete, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(&Ordered { place, caller: Caller::default() }, Box::new(planner)).await
    }

    /// The destination's ledger shows, now, that the VM has arrived there in this move.
    async fn must_have_arrived(&self, entry: &RollEntry) -> Result<(), SiteError> {
        let RollEntry { evacuation, vm, destination_site, .. } = entry;
        let read = self.peers.observe(destination_site, *evacuation, *vm).await;
        let reading = read.map_err(|source| SiteError::DestinationUnread {
            vm: *vm,
            site: destination_site.clone(),
            source: Box::new(source),
        })?;
        let has_arrived = match &reading.standing {
            Some(Standing::Destination(at)) if at.evacuation == *evacuation => match &at.record {
                ArrivalRecord::Completed(_) => true,
                ArrivalRecord::Closed(closed) => closed.outcome == Outcome::Migrated,
                ArrivalRecord::Enrolled | ArrivalRecord::Started(_) | ArrivalRecord::Abandoned(_) => false,
            },
            Some(Standing::Destination(_) | Standing::Source(_)) | None => false,
        };
        let because = "its destination's ledger does not show, or no longer, that it has arrived there in this move";
        if has_arrived { Ok(()) } else { Err(SiteError::NotAsNeeded { vm: *vm, because }) }
    }

    fn is_paused(&self, vm: VmId, now: Timestamp) -> bool {
        let pauses = self.retention_pauses.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.get(&vm).is_some_and(|pause| now < pause.until)
    }

    fn pause(&self, vm: VmId) {
        let now = self.env.now();
        let mut pauses = self.retention_pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = ExponentialBuilder::default()
            .with_min_delay(DELETE_AGAIN_MIN)
            .with_max_delay(DELETE_AGAIN_MAX)
            .without_max_times();
        let pause = pauses.entry(vm).or_insert_with(|| Pause { until: now, longer: fresh.build() });
        let wait = pause.longer.next().unwrap_or(DELETE_AGAIN_MAX);
        pause.until = now.plus_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }

    fn forget_pause(&self, vm: VmId) {
        self.retention_pauses.lock().unwrap_or_else(PoisonError::into_inner).remove(&vm);
    }
}

/// The retired copies that may be deleted: everything that this site has of the VM, with every host in sight.
fn retired_copies(vm: VmId, sight: Sight) -> Result<Vec<Sighting>, SiteError> {
    if sight.call_under_way {
        return Err(SiteError::Busy { vm });
    }
    if let Some(host) = sight.silent_hosts.into_iter().next() {
        let message = format!("a copy of VM {vm} may be there");
        return Err(HypervisorError::HostSilent { host, message }.into());
    }
    for copy in &sight.sightings {
        must_be_off(vm, copy)?;
        if copy.job.is_some() {
            return Err(SiteError::Busy { vm });
        }
        if copy.stored != Stored::Retired {
            let because = "what is defined here is not its retired copy";
            return Err(SiteError::NotAsNeeded { vm, because });
        }
    }
    Ok(sight.sightings)
}
