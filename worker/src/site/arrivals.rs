//! The destination's mutations: the placeholder, the event and the run that follows it, and discarding what was given up.
//!
//! Invariant 3 (Order): [`Site::complete`] is the point of no return of every move: the event is durable before the VM is let run.

use super::Site;
use super::mutation::{Ordered, Place, Planned};
use crate::error::SiteError;
use crate::hypervisor::{HypervisorError, VmChange};
use futures::FutureExt;
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::{Attempt, EvacuationId, HostName, VmId};
use muster_core::ledger::command::{MutationResult, VmOrder};
use muster_core::ledger::{ArrivalRecord, AtDestination, Enrolled, RollEntry, Standing, Started, VmRow};
use muster_core::reading::{Instance, Mark, OffCause, Sight, Sighting, Stored};
use std::sync::Arc;

impl Site {
    pub(super) async fn place(self: &Arc<Self>, ordered: &Ordered, attempt: Attempt) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let (entry, at) = arrival(&row, place)?;
                let host = current(at).map_or_else(|| entry.destination_host.clone(), |started| started.host.clone());
                let mark = Mark { evacuation: place.evacuation, attempt, token: place.token };
                let definition = Definition { autostart: false, ..entry.definition.clone() };
                let work = async move {
                    let change = VmChange::DefinePlaceholder { definition, mark };
                    site.call(&host, place.vm, change).await?;
                    Ok(MutationResult::Done)
                };
                Ok(Planned { order: VmOrder::BeginPlace { attempt }, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    /// Writes the completion event, then lets the VM run. Called by the source's worker with its transfer's token, or by
    /// whoever settles with their own. Repeating it after the event changes nothing.
    pub(super) async fn complete(self: &Arc<Self>, ordered: &Ordered, attempt: Attempt) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let (entry, at) = arrival(&row, place)?;
                let sight = site.look_one(place.vm).await?;
                let copy = copy_of(&sight, place.evacuation, attempt).cloned();
                let Some(copy) = copy else {
                    return Err(SiteError::NotArrived { vm: place.vm, because: "no copy of this attempt is here" });
                };
                must_be_still(place.vm, &copy, &sight)?;
                let kind = current(at).map_or(ArrivalKind::Transfer, |started| started.kind);
                may_be_completed(place.vm, entry, kind, &copy)?;
                let late = copy.instance == Instance::Running;
                let work = let_run(site, entry.clone(), kind, copy).boxed();
                Ok(Planned { order: VmOrder::Complete { attempt, late }, work })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    /// Lets a VM run whose event stands.
    pub(super) async fn run(self: &Arc<Self>, ordered: &Ordered) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let (entry, at) = arrival(&row, place)?;
                let Some(started) = current(at) else {
                    return Err(SiteError::NotArrived { vm: place.vm, because: "no attempt of it is open here" });
                };
                let sight = site.look_one(place.vm).await?;
                let Some(copy) = copy_of(&sight, place.evacuation, started.attempt).cloned() else {
                    return Err(SiteError::NotArrived { vm: place.vm, because: "its copy is not here" });
                };
                must_be_still(place.vm, &copy, &sight)?;
                let work = let_run(site, entry.clone(), started.kind, copy).boxed();
                Ok(Planned { order: VmOrder::BeginRun, work })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    /// Removes what given-up attempts left, and placeholders of evacuations that are over. Never touches a copy whose
    /// record stands.
    pub(super) async fn discard(self: &Arc<Self>, ordered: &Ordered) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let (_, at) = arrival(&row, place)?;
                let sight = site.look_one(place.vm).await?;
                let (rubbish, cleaned) = (rubbish(&sight, at), cleaned(at, &sight));
                let is_rubbish = |seen: &Sighting| rubbish.iter().any(|left| left.host == seen.host);
                let has_job = |seen: &Sighting| seen.job.is_some() && is_rubbish(seen);
                if sight.call_under_way || sight.sightings.iter().any(has_job) {
                    return Err(SiteError::Busy { vm: place.vm });
                }
                let work = async move {
                    for Rubbish { host, mark, may_hold_memory } in rubbish {
                        site.call(&host, place.vm, VmChange::Remove { mark, may_hold_memory }).await?;
                    }
                    Ok(MutationResult::Cleaned { attempts: cleaned })
                };
                Ok(Planned { order: VmOrder::BeginDiscard, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }
}

/// The work after the event: resume the paused copy, or bring up what comes from disk; then the definition's autostart.
async fn let_run(
    site: Arc<Site>,
    entry: RollEntry,
    kind: ArrivalKind,
    copy: Sighting,
) -> Result<MutationResult, HypervisorError> {
    let (vm, host) = (entry.vm, copy.host.clone());
    let real = VmChange::DefineReal { definition: entry.definition.clone(), mark: copy.mark };
    match copy.instance {
        Instance::Paused => {
            site.call(&host, vm, VmChange::Resume).await?;
            let downtime_ms = site.stood_still(vm, &copy).await;
            site.call(&host, vm, real).await.map_err(owed)?;
            Ok(MutationResult::Ran { downtime_ms })
        }
        Instance::Running => {
            site.call(&host, vm, real).await.map_err(owed)?;
            Ok(MutationResult::Ran { downtime_ms: copy.stood_still_ms })
        }
        Instance::Incoming => {
            let message = "its memory is still arriving".to_owned();
            Err(HypervisorError::Failed { host, message })
        }
        Instance::Off(_) => {
            site.call(&host, vm, real).await?;
            let starts = entry.mode != Mode::Off || kind == ArrivalKind::ColdStart;
            if starts {
                site.call(&host, vm, VmChange::Start).await?;
            }
            Ok(MutationResult::Ran { downtime_ms: None })
        }
    }
}

/// The VM runs and its real definition, autostart included, is not back. As an error that leaves the mutation's intent
/// standing: what is owed stays known over every restart, and [`super::mend`] goes on until it is done.
fn owed(error: HypervisorError) -> HypervisorError {
    match error {
        HypervisorError::Refused { host, message } | HypervisorError::Failed { host, message } => {
            let message = format!("the VM runs there, and its own definition is not back yet: {message}");
            HypervisorError::HostSilent { host, message }
        }
        HypervisorError::Busy { .. }
        | HypervisorError::HostSilent { .. }
        | HypervisorError::Unreachable { .. }
        | HypervisorError::Nonsense { .. } => error,
    }
}

impl Site {
    /// How long the guest stood still in all, by the hypervisor's own measure, now that it runs.
    async fn stood_still(&self, vm: VmId, before: &Sighting) -> Option<u64> {
        let after = self.look_one(vm).await.ok()?;
        let seen = after.sightings.into_iter().find(|seen| seen.host == before.host)?;
        seen.stood_still_ms.or(before.stood_still_ms)
    }
}

fn may_be_completed(vm: VmId, entry: &RollEntry, kind: ArrivalKind, copy: &Sighting) -> Result<(), SiteError> {
    let disk_is_good = entry.definition.disk == Disk::Shared || copy.disk_complete;
    let from_disk = entry.mode != Mode::Live || kind == ArrivalKind::ColdStart;
    match copy.instance {
        Instance::Paused | Instance::Running => Ok(()),
        Instance::Incoming => Err(SiteError::NotArrived { vm, because: "its memory is still arriving" }),
        Instance::Off(OffCause::Saved) => {
            let because = "its memory is in a saved image there; start it by hand, or give that memory up";
            Err(SiteError::NotArrived { vm, because })
        }
        Instance::Off(OffCause::Migrated | OffCause::ShutDown | OffCause::Crashed | OffCause::Unknown) => {
            let is_placeholder = copy.stored == Stored::Placeholder;
            if !is_placeholder || !from_disk {
                Err(SiteError::NotArrived { vm, because: "only its placeholder is here, not its memory" })
            } else if !disk_is_good {
                Err(SiteError::NotArrived { vm, because: "the copy of its disk is not complete" })
            } else {
                Ok(())
            }
        }
    }
}

fn arrival(row: &VmRow, place: Place) -> Result<(&RollEntry, &AtDestination), SiteError> {
    match &row.enrolled {
        Some(Enrolled { entry, standing: Standing::Destination(at) }) if at.evacuation == place.evacuation => {
            Ok((entry, at))
        }
        Some(_) | None => Err(SiteError::NotOnRoll { vm: place.vm, evacuation: place.evacuation }),
    }
}

fn current(at: &AtDestination) -> Option<&Started> {
    match &at.record {
        ArrivalRecord::Started(started) => Some(started),
        ArrivalRecord::Completed(completed) => Some(&completed.started),
        ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_) | ArrivalRecord::Closed(_) => None,
    }
}

fn copy_of(sight: &Sight, evacuation: EvacuationId, attempt: Attempt) -> Option<&Sighting> {
    sight
        .sightings
        .iter()
        .find(|seen| seen.mark.is_some_and(|mark| mark.evacuation == evacuation && mark.attempt == attempt))
}

/// No job and no call on the copy: what the hypervisors show of it holds.
fn must_be_still(vm: VmId, copy: &Sighting, sight: &Sight) -> Result<(), SiteError> {
    if copy.job.is_some() || sight.call_under_way {
        return Err(SiteError::NotArrived { vm, because: "a job or call is still on the copy" });
    }
    Ok(())
}

/// A copy that is to go.
pub(super) struct Rubbish {
    pub(super) host: HostName,
    pub(super) mark: Mark,
    /// A guest that holds memory may go with it.
    pub(super) may_hold_memory: bool,
}

/// Copies of given-up attempts, and placeholders of evacuations that are over. Never a copy that runs, and never the one
/// that arrived, also after the move was closed.
pub(super) fn rubbish(sight: &Sight, at: &AtDestination) -> Vec<Rubbish> {
    let is_inert = |seen: &Sighting| !holds_memory(seen.instance);
    let as_rubbish = |seen: &Sighting| {
        let mark = seen.mark?;
        let (is_rubbish, may_hold_memory) = if mark.evacuation == at.evacuation {
            match standing_of(at, mark.attempt) {
                AttemptStanding::Stands => (false, false),
                AttemptStanding::GivenUp => (seen.instance != Instance::Running, true),
                // Not even the ledger knows of it: nothing that holds memory is touched.
                AttemptStanding::Unknown => (is_inert(seen), false),
            }
        } else {
            let is_left = matches!(seen.stored, Stored::Placeholder | Stored::Arrived);
            (is_left && is_inert(seen), false)
        };
        is_rubbish.then(|| Rubbish { host: seen.host.clone(), mark, may_hold_memory })
    };
    sight.sightings.iter().filter_map(as_rubbish).collect()
}

pub(super) fn holds_memory(instance: Instance) -> bool {
    match instance {
        Instance::Running | Instance::Paused | Instance::Incoming | Instance::Off(OffCause::Saved) => true,
        Instance::Off(OffCause::Migrated | OffCause::ShutDown | OffCause::Crashed | OffCause::Unknown) => false,
    }
}

/// What the record says of an attempt.
enum AttemptStanding {
    Stands,
    GivenUp,
    Unknown,
}

fn standing_of(at: &AtDestination, attempt: Attempt) -> AttemptStanding {
    let compared_with = |last: Attempt| match attempt.cmp(&last) {
        std::cmp::Ordering::Less => AttemptStanding::GivenUp,
        std::cmp::Ordering::Equal => AttemptStanding::Stands,
        std::cmp::Ordering::Greater => AttemptStanding::Unknown,
    };
    match &at.record {
        ArrivalRecord::Started(started) => compared_with(started.attempt),
        ArrivalRecord::Completed(completed) => compared_with(completed.started.attempt),
        ArrivalRecord::Abandoned(given_up) if attempt <= given_up.attempt => AttemptStanding::GivenUp,
        ArrivalRecord::Abandoned(_) | ArrivalRecord::Enrolled => AttemptStanding::Unknown,
        ArrivalRecord::Closed(closed) => match (closed.outcome, attempt.count() < closed.attempts) {
            (Outcome::StayedAtSource, _) | (Outcome::Migrated, true) => AttemptStanding::GivenUp,
            (Outcome::Migrated, false) => AttemptStanding::Stands,
        },
    }
}

/// The given-up attempts of which nothing is left once the rubbish is removed: those whose host answers, and of which no
/// copy runs.
pub(super) fn cleaned(at: &AtDestination, sight: &Sight) -> Vec<Attempt> {
    let runs = |attempt: Attempt| {
        let is_its =
            |seen: &Sighting| seen.mark.is_some_and(|mark| mark.evacuation == at.evacuation && mark.attempt == attempt);
        sight.sightings.iter().any(|seen| is_its(seen) && seen.instance == Instance::Running)
    };
    at.leftovers
        .iter()
        .filter(|leftover| !sight.silent_hosts.contains(&leftover.host) && !runs(leftover.attempt))
        .map(|leftover| leftover.attempt)
        .collect()
}
