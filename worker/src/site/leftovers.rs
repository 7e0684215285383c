//! What given-up attempts have left at the destination once their move is over: this site's own work, tried again until
//! it is done.
//!
//! While a move is open, whoever settles it says what is discarded. It never touches what runs, or belongs to a record that
//! stands; and what holds memory, as a copy whose host was silent until the move was over, it removes only against proof, asked
//! for then, that the VM runs where the move has left it, with no job on it. No intent stands for it: the move is over, a hypervisor that still works on it shows the VM as
//! busy, and an attempt of another evacuation enters the VM's section before it places anything.

use super::arrivals::{Rubbish, cleaned, holds_memory, rubbish};
use super::{CALL_DEADLINE, Site};
use crate::error::SiteError;
use crate::hypervisor::{HypervisorError, VmChange};
use muster_core::evidence::Outcome;
use muster_core::ids::{Attempt, HostName, VmId};
use muster_core::ledger::command::FactKind;
use muster_core::ledger::{ArrivalRecord, AtDestination, Enrolled, Standing, VmRow};
use muster_core::reading::{Instance, Mark, Sight, Sighting};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How often what could not be removed is tried again.
pub const CLEAN_UP_EVERY: Duration = Duration::from_secs(15);
/// Most VMs that are cleaned up together.
pub const CLEAN_UP_BATCH_MAX: usize = 16;

/// What this site owes for a VM: its move is over, and something of its given-up attempts may still be on a host.
pub(super) fn owed(row: &VmRow) -> Option<&AtDestination> {
    match row.standing() {
        Some(Standing::Destination(at)) if !at.leftovers.is_empty() => match &at.record {
            ArrivalRecord::Closed(_) => Some(at),
            ArrivalRecord::Enrolled
            | ArrivalRecord::Started(_)
            | ArrivalRecord::Abandoned(_)
            | ArrivalRecord::Completed(_) => None,
        },
        Some(Standing::Destination(_) | Standing::Source(_)) | None => None,
    }
}

impl Site {
    /// Begins to clean up for the first of these VMs, in tasks of their own; the next look finds those that still owe.
    pub(super) fn clean_up_some(self: &Arc<Self>, owing: &mut BTreeSet<VmId>) {
        for _ in 0..CLEAN_UP_BATCH_MAX {
            let Some(vm) = owing.pop_first() else { return };
            // Taken: something is done with it just now, and then it is looked at again.
            let Some(section) = self.sections.enter(vm) else { continue };
            let site = Arc::clone(self);
            self.tasks.spawn(async move {
                match tokio::time::timeout(CALL_DEADLINE, site.clean_up(vm)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::info!(%vm, %error, "what a given-up attempt left is still there"),
                    Err(_) => tracing::info!(%vm, "removing what a given-up attempt left has not ended in time"),
                }
                drop(section);
                site.touch(vm);
            });
        }
    }

    async fn clean_up(&self, vm: VmId) -> Result<(), SiteError> {
        // Both anew, in the section: an evacuation may have begun since.
        let row = self.records.row(vm).await?;
        let Some(at) = owed(&row) else { return Ok(()) };
        let sight = self.look_one(vm).await?;
        if row.intent.is_some() || is_under_way(&sight) {
            return Ok(());
        }
        let mut removable = rubbish(&sight, at);
        let holding_memory = removable.iter().any(|left| !is_inert(&sight, &left.host));
        if holding_memory && !self.runs_where_it_stayed(&row, at, &sight).await {
            removable.retain(|left| is_inert(&sight, &left.host));
        }
        let kept = without(&sight, &removable);
        let shows = |attempt: &Attempt| {
            let is_its = |mark: Mark| mark.evacuation == at.evacuation && mark.attempt == *attempt;
            kept.sightings.iter().any(|seen| seen.mark.is_some_and(is_its))
        };
        let attempts: Vec<Attempt> = cleaned(at, &kept).into_iter().filter(|attempt| !shows(attempt)).collect();
        let mut failed: Option<HypervisorError> = None;
        for Rubbish { host, mark, may_hold_memory } in removable {
            // A guest that somebody has let run meanwhile is refused by its hypervisor.
            let may_hold_memory = may_hold_memory && !is_inert(&sight, &host);
            let change = VmChange::Remove { mark, may_hold_memory };
            if let Err(error) = self.call(&host, vm, change).await {
                failed = Some(error);
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None if attempts.is_empty() => Ok(()),
            None => self.write_fact(vm, FactKind::Cleaned { attempts }).await,
        }
    }
}

impl Site {
    /// Whether the VM runs, now and with no job or call on it, where its move has left it: here, or by the word of its
    /// source's worker there. What runs has run on since the copies in question were given up.
    async fn runs_where_it_stayed(&self, row: &VmRow, at: &AtDestination, here: &Sight) -> bool {
        let (Some(Enrolled { entry, .. }), ArrivalRecord::Closed(closed)) = (&row.enrolled, &at.record) else {
            return false;
        };
        let runs = |sight: &Sight| {
            !is_under_way(sight) && sight.sightings.iter().any(|seen| seen.instance == Instance::Running)
        };
        match closed.outcome {
            Outcome::Migrated => runs(here),
            Outcome::StayedAtSource => match self.peers.observe(&entry.source_site, entry.evacuation, entry.vm).await {
                Ok(reading) => !reading.mutation_under_way && runs(&reading.sight),
                Err(error) => {
                    tracing::info!(vm = %entry.vm, %error, "a given-up attempt's copy holds memory, and its source can't be asked");
                    false
                }
            },
        }
    }
}

fn is_under_way(sight: &Sight) -> bool {
    sight.call_under_way || sight.sightings.iter().any(|seen| seen.job.is_some())
}

fn is_inert(sight: &Sight, host: &HostName) -> bool {
    let mut here = sight.sightings.iter().filter(|seen| seen.host == *host);
    here.all(|seen| !holds_memory(seen.instance))
}

/// The sight as it is once these are gone.
fn without(sight: &Sight, rubbish: &[Rubbish]) -> Sight {
    let is_rubbish = |seen: &Sighting| rubbish.iter().any(|left| left.host == seen.host);
    let kept = sight.sightings.iter().filter(|seen| !is_rubbish(seen));
    Sight { sightings: kept.cloned().collect(), ..sight.clone() }
}
