//! The source's mutations: seal, transfer, and every way back.
//!
//! Invariants 1 and 6 (One runner, Forward only): nothing here lets the source's copy run before the destination was asked whether the VM has arrived there: a source
//! that comes back after it was given up obeys no order to run anything until it has read the destination's events.

use super::Site;
use super::mutation::{Ordered, Place, Planned};
use crate::error::SiteError;
use crate::hypervisor::{HypervisorError, VmChange};
use futures::FutureExt;
use muster_core::class::Class;
use muster_core::definition::{Definition, Mode};
use muster_core::evidence::Outcome;
use muster_core::ids::{Attempt, HostName, SiteName, VmId};
use muster_core::ledger::command::{FactKind, MutationResult, VmOrder};
use muster_core::ledger::weigh::was_taken_away;
use muster_core::ledger::{ArrivalRecord, AtSource, Enrolled, RetiredCopy, RollEntry, Standing, VmRow};
use muster_core::reading::{Instance, Mark, OffCause, Seal, Sight, Sighting, Stored};
use muster_core::terms::Tuning;
use muster_core::token::Token;
use std::sync::Arc;

impl Site {
    pub(super) async fn seal(self: &Arc<Self>, ordered: &Ordered) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let entry = entry(&row, place)?.clone();
                let seen = site.seen_here(place.vm).await?;
                let definition = match seen.stored {
                    Stored::Real => site.definition(&seen.host, place.vm).await?,
                    Stored::Sealed | Stored::Nothing => entry.definition.clone(),
                    Stored::Placeholder | Stored::Arrived | Stored::Retired => {
                        let because = "here is only its placeholder or its retired copy; it is not this site's to move";
                        return Err(SiteError::NotAsNeeded { vm: place.vm, because });
                    }
                };
                let entry = RollEntry { definition, ..entry };
                let order = VmOrder::BeginSeal { definition: Box::new(entry.definition.clone()) };
                let work = async move {
                    let sealed = site.call(&seen.host, place.vm, sealing(&entry, place.token)).await;
                    if let Err(error) = &sealed {
                        site.note_if_not_sealed(&seen.host, place.vm, error).await;
                    }
                    sealed.map(|()| MutationResult::Done)
                };
                Ok(Planned { order, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    pub(super) async fn transfer(
        self: &Arc<Self>,
        ordered: &Ordered,
        attempt: Attempt,
        (site_name, host): (SiteName, HostName),
        tuning: Tuning,
    ) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let entry = entry(&row, place)?.clone();
                site.prove_path(&site_name).await.map_err(|error| error.of_path_to(&site_name))?;
                let seen = site.seen_here(place.vm).await?;
                if seen.stored != Stored::Sealed {
                    let because = "its stored definition is not sealed; seal it again first";
                    return Err(SiteError::NotAsNeeded { vm: place.vm, because });
                }
                let mark = Mark { evacuation: place.evacuation, attempt, token: place.token };
                let order = VmOrder::BeginTransfer { attempt, host: host.clone() };
                let journey = Journey { entry, seen, site_name, host, mark, tuning };
                let work = match journey.entry.mode {
                    Mode::Live => live_transfer(site, journey).boxed(),
                    Mode::Cold => cold_transfer(site, journey, true).boxed(),
                    Mode::Off => {
                        must_be_off(place.vm, &journey.seen)?;
                        cold_transfer(site, journey, false).boxed()
                    }
                };
                Ok(Planned { order, work })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    pub(super) async fn abort(self: &Arc<Self>, ordered: &Ordered) -> Result<(), SiteError> {
        self.change_job(ordered, VmOrder::BeginAbort, VmChange::AbortJob).await
    }

    /// The transfer goes on meanwhile; should it end first, nothing is left to adjust.
    pub(super) async fn adjust(
        self: &Arc<Self>,
        ordered: &Ordered,
        bandwidth_mib_s: Option<u64>,
        downtime_ms: Option<u64>,
    ) -> Result<(), SiteError> {
        let change = VmChange::AdjustJob { bandwidth_mib_s, downtime_ms };
        self.change_job(ordered, VmOrder::BeginAdjust, change).await
    }

    async fn change_job(
        self: &Arc<Self>,
        ordered: &Ordered,
        order: VmOrder,
        change: VmChange,
    ) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, _row: VmRow| {
            async move {
                let seen = site.seen_here(place.vm).await?;
                let work = async move {
                    site.call(&seen.host, place.vm, change).await?;
                    Ok(MutationResult::Done)
                };
                Ok(Planned { order, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    pub(super) async fn resume(self: &Arc<Self>, ordered: &Ordered) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                site.may_run_here(entry(&row, place)?, place).await?;
                let seen = site.seen_here(place.vm).await?;
                must_not_be_saved(place.vm, &seen)?;
                must_not_be_taken(&row, &seen)?;
                let work = async move {
                    if seen.instance == Instance::Paused {
                        site.call(&seen.host, place.vm, VmChange::Resume).await?;
                    }
                    Ok(MutationResult::Done)
                };
                Ok(Planned { order: VmOrder::BeginResume, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    pub(super) async fn start_source(self: &Arc<Self>, ordered: &Ordered) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let entry = entry(&row, place)?.clone();
                site.may_run_here(&entry, place).await?;
                let seen = site.seen_here(place.vm).await?;
                must_not_be_taken(&row, &seen)?;
                let work = async move { site.give_back(&seen.host, &entry, place, ShutDown::IsStarted).await };
                Ok(Planned { order: VmOrder::BeginStart, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    pub(super) async fn unseal(self: &Arc<Self>, ordered: &Ordered) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let entry = entry(&row, place)?.clone();
                site.may_run_here(&entry, place).await?;
                let seen = site.seen_here(place.vm).await?;
                must_not_be_taken(&row, &seen)?;
                let work = async move { site.give_back(&seen.host, &entry, place, ShutDown::StaysOff).await };
                Ok(Planned { order: VmOrder::BeginUnseal, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    pub(super) async fn retire(self: &Arc<Self>, ordered: &Ordered, keep_ms: Option<u64>) -> Result<(), SiteError> {
        let place = ordered.place;
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let reason = retired_reason(entry(&row, place)?);
                let copies = site.all_seen_here(place.vm).await?;
                for copy in &copies {
                    must_be_off(place.vm, copy)?;
                }
                // None: somebody has deleted it. What isn't there can't run.
                let work = async move {
                    for copy in copies {
                        let change = VmChange::DefineRetired { reason: reason.clone() };
                        site.call(&copy.host, place.vm, change).await?;
                    }
                    Ok(MutationResult::Done)
                };
                Ok(Planned { order: VmOrder::BeginRetire { keep_ms }, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    /// Invariant 6's one exception: an admin's explicit order. Autostart stays off, so that nothing starts by itself.
    pub(super) async fn release(self: &Arc<Self>, ordered: &Ordered, reason: &str) -> Result<(), SiteError> {
        let place = ordered.place;
        tracing::warn!(vm = %place.vm, reason, "a retired copy is released by order");
        let planner = move |site: Arc<Site>, row: VmRow| {
            async move {
                let definition = Definition { autostart: false, ..entry(&row, place)?.definition.clone() };
                must_not_be_deleted(&row)?;
                let seen = site.seen_here(place.vm).await?;
                let work = async move {
                    site.define_real(&seen.host, place.vm, definition).await?;
                    Ok(MutationResult::Done)
                };
                Ok(Planned { order: VmOrder::BeginRelease, work: work.boxed() })
            }
            .boxed()
        };
        self.mutate(ordered, Box::new(planner)).await
    }

    /// A seal that was refused for good leaves the real definition stored, and then the ledger says so too: what was never
    /// sealed can be closed. Where nobody knows what came of it, the ledger goes on saying "sealed".
    async fn note_if_not_sealed(&self, host: &HostName, vm: VmId, error: &HypervisorError) {
        match error.class() {
            Class::Unknown | Class::Bug => return,
            Class::Retry | Class::Refused => {}
        }
        let Ok(sight) = self.look_one(vm).await else { return };
        let is_real = |seen: &Sighting| seen.host == *host && seen.stored == Stored::Real;
        if sight.call_under_way || !sight.sightings.iter().any(is_real) {
            return;
        }
        if let Err(unwritten) = self.write_fact(vm, FactKind::NotSealed).await {
            tracing::error!(%vm, error = %unwritten, "a seal that was refused could not be written down");
        }
    }

    /// The real definition back, and the guest running unless it is moved powered off, or its owner has shut it down: its
    /// host may have restarted meanwhile, and only muster's seal kept it from booting. What ends halfway is sealed again before it counts as
    /// ended, so that nobody takes it for its owner's shutdown.
    async fn give_back(
        &self,
        host: &HostName,
        entry: &RollEntry,
        place: Place,
        shut_down: ShutDown,
    ) -> Result<MutationResult, HypervisorError> {
        let vm = entry.vm;
        self.define_real(host, vm, entry.definition.clone()).await?;
        if entry.mode == Mode::Off {
            return Ok(MutationResult::Done);
        }
        match self.instance(host, vm).await? {
            Some(Instance::Running | Instance::Paused | Instance::Incoming) => return Ok(MutationResult::Done),
            // Whoever saved it has its memory, and can go on from there: its definition is back.
            Some(Instance::Off(OffCause::Saved)) => return Ok(MutationResult::Done),
            Some(Instance::Off(OffCause::ShutDown)) if entry.mode == Mode::Live && shut_down == ShutDown::StaysOff => {
                return Ok(MutationResult::Done);
            }
            Some(Instance::Off(_)) | None => {}
        }
        let Err(error) = self.call(host, vm, VmChange::Start).await else { return Ok(MutationResult::Done) };
        match error.class() {
            Class::Unknown | Class::Bug => Err(error),
            Class::Retry | Class::Refused => {
                // The host may have booted it in between.
                if !matches!(self.instance(host, vm).await?, Some(Instance::Off(_)) | None) {
                    return Ok(MutationResult::Done);
                }
                let sealed = self.call(host, vm, sealing(entry, place.token)).await;
                sealed.map_err(|unsealed| {
                    let message = format!("{error}; and it could not be sealed again: {unsealed}");
                    HypervisorError::HostSilent { host: host.clone(), message }
                })?;
                Err(error)
            }
        }
    }

    /// Its instance on this host; none if the host has nothing of it.
    async fn instance(&self, host: &HostName, vm: VmId) -> Result<Option<Instance>, HypervisorError> {
        let sight = self.hypervisor.look(&[vm]).await?.pop().unwrap_or_default();
        if sight.silent_hosts.contains(host) {
            let message = format!("whether VM {vm} runs there can't be seen");
            return Err(HypervisorError::HostSilent { host: host.clone(), message });
        }
        let here = |seen: &&Sighting| seen.host == *host;
        Ok(sight.sightings.iter().find(here).map(|seen| seen.instance))
    }

    async fn define_real(&self, host: &HostName, vm: VmId, definition: Definition) -> Result<(), HypervisorError> {
        self.call(host, vm, VmChange::DefineReal { definition, mark: None }).await
    }

    /// The destination's record must rule out that the VM is, or may yet be, there. Where it has no record, nothing
    /// there may hold the VM's memory; and whatever it records, nothing there may run it.
    async fn may_run_here(&self, entry: &RollEntry, place: Place) -> Result<(), SiteError> {
        let destination = &entry.destination_site;
        let read = self.peers.observe(destination, place.evacuation, place.vm).await;
        let unread =
            |source| SiteError::DestinationUnread { vm: place.vm, site: destination.clone(), source: Box::new(source) };
        let reading = read.map_err(unread)?;
        let shows =
            |instances: &[Instance]| reading.sight.sightings.iter().any(|seen| instances.contains(&seen.instance));
        let may_be_there = match &reading.standing {
            Some(Standing::Destination(at)) if at.evacuation == place.evacuation => match &at.record {
                ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_) => false,
                ArrivalRecord::Started(_) | ArrivalRecord::Completed(_) => true,
                ArrivalRecord::Closed(closed) => closed.outcome == Outcome::Migrated,
            },
            Some(Standing::Destination(_) | Standing::Source(_)) | None => {
                shows(&[Instance::Paused, Instance::Incoming])
            }
        };
        if may_be_there || shows(&[Instance::Running]) {
            Err(SiteError::ArrivedElsewhere { vm: place.vm, site: destination.clone() })
        } else {
            Ok(())
        }
    }

    /// The one place of this site that has the VM.
    async fn seen_here(&self, vm: VmId) -> Result<Sighting, SiteError> {
        let because = "no host of this site has it; was it deleted by hand?";
        let first = self.all_seen_here(vm).await?.into_iter().next();
        first.ok_or(SiteError::NotAsNeeded { vm, because })
    }

    /// Every place of this site that has the VM, what runs first. None only if every host answers.
    async fn all_seen_here(&self, vm: VmId) -> Result<Vec<Sighting>, SiteError> {
        let Sight { mut sightings, silent_hosts, call_under_way } = self.look_one(vm).await?;
        if call_under_way {
            return Err(SiteError::Busy { vm });
        }
        if let (true, Some(host)) = (sightings.is_empty(), silent_hosts.into_iter().next()) {
            let message = format!("VM {vm} may be there");
            return Err(HypervisorError::HostSilent { host, message }.into());
        }
        sightings.sort_by_key(|seen| match seen.instance {
            Instance::Running => 0,
            Instance::Paused | Instance::Incoming => 1,
            Instance::Off(_) => 2,
        });
        Ok(sightings)
    }
}

/// What giving a VM back makes of one that was shut down in order. A cold move has shut its guest down itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShutDown {
    /// It is started like any other.
    IsStarted,
    /// It stays off: its owner wanted it so.
    StaysOff,
}

/// A transfer's particulars.
struct Journey {
    entry: RollEntry,
    seen: Sighting,
    site_name: SiteName,
    host: HostName,
    mark: Mark,
    tuning: Tuning,
}

async fn live_transfer(site: Arc<Site>, journey: Journey) -> Result<MutationResult, HypervisorError> {
    let Journey { entry, seen, site_name, host, mark, tuning } = journey;
    let change = VmChange::BeginTransfer {
        destination_site: site_name,
        destination_host: host,
        // It starts by itself nowhere before its event: autostart comes back with the run.
        definition: Definition { autostart: false, ..entry.definition },
        mark,
        tuning,
    };
    begun(&site, entry.vm, mark.attempt, site.call(&seen.host, entry.vm, change).await).await
}

async fn cold_transfer(site: Arc<Site>, journey: Journey, shut_down: bool) -> Result<MutationResult, HypervisorError> {
    let Journey { entry, seen, site_name, host, mark, tuning: _ } = journey;
    if shut_down && !matches!(seen.instance, Instance::Off(_)) {
        let down = site.call(&seen.host, entry.vm, VmChange::ShutDown).await;
        if down.is_err() {
            return begun(&site, entry.vm, mark.attempt, down).await;
        }
    }
    let change = VmChange::BeginDiskCopy { destination_site: site_name, destination_host: host, mark };
    begun(&site, entry.vm, mark.attempt, site.call(&seen.host, entry.vm, change).await).await
}

/// A transfer that could not even begin is one that failed; one that may have begun is followed like any other.
async fn begun(
    site: &Site,
    vm: VmId,
    attempt: Attempt,
    call: Result<(), HypervisorError>,
) -> Result<MutationResult, HypervisorError> {
    // Busy is somebody else's job: what comes of that must not pass for this transfer's end.
    if let Err(
        error @ (HypervisorError::Refused { .. } | HypervisorError::Failed { .. } | HypervisorError::Busy { .. }),
    ) = &call
    {
        let fact = FactKind::TransferFailed { attempt, error: error.to_string() };
        if let Err(unwritten) = site.write_fact(vm, fact).await {
            tracing::error!(%vm, error = %unwritten, "a failed transfer could not be written down");
        }
    }
    call.map(|()| MutationResult::Done)
}

/// It was migrated away by somebody else: it may run there, whatever may be started here.
fn must_not_be_taken(row: &VmRow, seen: &Sighting) -> Result<(), SiteError> {
    if was_taken_away(row.standing(), std::slice::from_ref(seen)) {
        let because = "somebody else has migrated it away from here; bring it back, or end it there";
        return Err(SiteError::NotAsNeeded { vm: row.vm, because });
    }
    Ok(())
}

fn must_not_be_deleted(row: &VmRow) -> Result<(), SiteError> {
    if let Some(Standing::Source(AtSource { retired_copy: RetiredCopy::Deleted { .. }, .. })) = row.standing() {
        let because = "its retired copy was deleted when its time had come; the VM is at its destination";
        return Err(SiteError::NotAsNeeded { vm: row.vm, because });
    }
    Ok(())
}

fn must_not_be_saved(vm: VmId, seen: &Sighting) -> Result<(), SiteError> {
    if seen.instance == Instance::Off(OffCause::Saved) {
        let because =
            "its memory is in a saved image; start it, or give that memory up with `virsh managedsave-remove`";
        return Err(SiteError::NotAsNeeded { vm, because });
    }
    Ok(())
}

pub(super) fn must_be_off(vm: VmId, seen: &Sighting) -> Result<(), SiteError> {
    must_not_be_saved(vm, seen)?;
    match seen.instance {
        Instance::Off(_) => Ok(()),
        Instance::Running | Instance::Paused | Instance::Incoming => {
            Err(SiteError::NotAsNeeded { vm, because: "it has to be off for this, and it isn't" })
        }
    }
}

fn entry(row: &VmRow, place: Place) -> Result<&RollEntry, SiteError> {
    match &row.enrolled {
        Some(Enrolled { entry, .. }) if entry.evacuation == place.evacuation => Ok(entry),
        Some(_) | None => Err(SiteError::NotOnRoll { vm: place.vm, evacuation: place.evacuation }),
    }
}

/// The sealing of a VM that leaves as this entry says, whose real definition is the entry's.
pub(super) fn sealing(entry: &RollEntry, token: Token) -> VmChange {
    let seal = Seal {
        evacuation: entry.evacuation,
        token,
        mode: entry.mode,
        source_site: entry.source_site.clone(),
        destination_site: entry.destination_site.clone(),
        destination_host: entry.destination_host.clone(),
        autostart: entry.definition.autostart,
    };
    let reason = format!("sealed-while-evacuation-{}-moves-it", entry.evacuation);
    VmChange::DefineSealed { reason, seal: Box::new(seal) }
}

pub(super) fn retired_reason(entry: &RollEntry) -> String {
    format!("retired-not-runnable-moved-to-{}", entry.destination_site)
}
