//! What one VM's sight calls for: unseen mutations are ended, and what a sight proves is written down.
//!
//! It never ends a mutation that may still land, and never makes anything runnable.

use super::alarms::Alarm;
use super::departures::sealing;
use super::follow::LOOK_AGAIN_EVERY;
use super::sections::Section;
use super::watch::News;
use super::{CALL_DEADLINE, Site};
use crate::error::SiteError;
use crate::hypervisor::VmChange;
use backon::{BackoffBuilder, ExponentialBuilder};
use muster_core::definition::Mode;
use muster_core::ids::{HostName, VmId};
use muster_core::ledger::command::{FactKind, MutationResult};
use muster_core::ledger::{ArrivalRecord, Enrolled, Intent, Mutation, Standing, VmRow};
use muster_core::reading::{Instance, Sight, Sighting, Stored};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// First pause before what is left of a half-done mutation, and failed, is tried again.
pub const MEND_WAIT_MIN: Duration = LOOK_AGAIN_EVERY;
/// Longest pause before that.
pub const MEND_WAIT_MAX: Duration = Duration::from_secs(15);

impl Site {
    /// Does what a VM's sight calls for, and tells whoever watches how it looks. The sight must be newer than the row.
    pub(super) async fn look_into(
        self: &Arc<Self>,
        row: VmRow,
        sight: Sight,
        again: &mut BTreeSet<VmId>,
    ) -> Result<(), SiteError> {
        let (row, sight) = self.end_unseen_mutation(row, sight).await?;
        self.keep_inert(&row, &sight);
        let (row, sight) = self.write_what_is_seen(row, sight).await?;
        // With the section taken its task ends the mutation and touches the VM; without, only looking again tells.
        if row.intent.is_some() && !self.sections.is_taken(row.vm) {
            again.insert(row.vm);
        }
        self.tell(News::Reading(Arc::new(self.reading(&row, sight, self.env.now()))));
        Ok(())
    }

    /// An intent whose maker is gone, and whose call can't land any more, has ended.
    async fn end_unseen_mutation(self: &Arc<Self>, row: VmRow, sight: Sight) -> Result<(VmRow, Sight), SiteError> {
        if row.intent.is_none() {
            return Ok((row, sight));
        }
        let Some(section) = self.sections.enter(row.vm) else { return Ok((row, sight)) };
        // Both anew: while the section was its maker's, the call may have begun after the old sight.
        let row = self.records.row(row.vm).await?;
        let sight = self.look_one(row.vm).await?;
        let Some(intent) = &row.intent else { return Ok((row, sight)) };
        if sight.call_under_way || !self.hosts_answer(&row, intent, &sight).await? {
            return Ok((row, sight));
        }
        let result = seen_result(&row, intent, &sight);
        if result == MutationResult::Unseen {
            self.note_unfinished(row.vm);
            if never_sealed(intent, &sight) {
                // In the ledger, not only in this process: its successor would take the real definition for somebody's change.
                self.write_fact(row.vm, FactKind::NotSealed).await?;
            }
            if let Some(half_back) = given_back_by_half(intent, &sight) {
                self.seal_then_end(&row, intent, half_back.host.clone(), section);
                return Ok((row, sight));
            }
        }
        if let (MutationResult::Ran { .. }, Some(copy)) = (&result, running_copy(&row, &sight)) {
            self.define_then_end(&row, intent, copy.clone(), section);
            return Ok((row, sight));
        }
        self.forget_pauses(row.vm);
        self.write_fact(row.vm, FactKind::MutationEnded { token: intent.token, result }).await?;
        Ok((self.records.row(row.vm).await?, sight))
    }

    /// Makes the definition of a copy that was let run the real one, autostart included, and only then ends the mutation:
    /// no look tells whether that came through. In a task of its own, for a hypervisor may take its time. It is owed until
    /// it is done, or the copy runs no more: where it fails there is an alarm, and another try after a pause that grows.
    fn define_then_end(self: &Arc<Self>, row: &VmRow, intent: &Intent, copy: Sighting, section: Section) {
        let Some(Enrolled { entry, .. }) = &row.enrolled else { return };
        let (vm, token, definition) = (row.vm, intent.token, entry.definition.clone());
        let site = Arc::clone(self);
        self.tasks.spawn(async move {
            let defining = site.call(&copy.host, vm, VmChange::DefineReal { definition, mark: copy.mark });
            match tokio::time::timeout(CALL_DEADLINE, defining).await {
                Ok(Ok(())) => {
                    site.forget_pauses(vm);
                    let result = MutationResult::Ran { downtime_ms: copy.stood_still_ms };
                    if let Err(error) = site.write_fact(vm, FactKind::MutationEnded { token, result }).await {
                        tracing::error!(%vm, %error, "what came of a mutation could not be written down");
                    }
                }
                Ok(Err(error)) => {
                    let message = format!("VM {vm} runs, and its own definition is not back yet: {error}");
                    site.alarm(vm, Alarm::DefinitionOwed, message);
                    site.rest(site.next_pause(vm)).await;
                }
                // It may still land.
                Err(_) => site.rest(site.next_pause(vm)).await,
            }
            drop(section);
            site.touch(vm);
        });
    }

    /// Seals what was given back by half, and only then ends the mutation: in between it would look as if its owner had
    /// shut it down. In a task of its own, for a hypervisor may take its time. Where it fails the VM is looked at and tried
    /// again after a pause that grows with each failure: a host that refuses at once must not be called without end.
    fn seal_then_end(self: &Arc<Self>, row: &VmRow, intent: &Intent, host: HostName, section: Section) {
        let Some(enrolled) = &row.enrolled else { return };
        let (vm, token) = (row.vm, intent.token);
        let sealing = sealing(&enrolled.entry, token);
        let site = Arc::clone(self);
        self.tasks.spawn(async move {
            let sealing = site.call(&host, vm, sealing);
            if let Ok(Ok(())) = tokio::time::timeout(CALL_DEADLINE, sealing).await {
                site.forget_pauses(vm);
                let kind = FactKind::MutationEnded { token, result: MutationResult::Unseen };
                if let Err(error) = site.write_fact(vm, kind).await {
                    tracing::error!(%vm, %error, "what came of a mutation could not be written down");
                }
            } else {
                site.rest(site.next_pause(vm)).await;
            }
            drop(section);
            site.touch(vm);
        });
    }

    /// Sleeps, but never past the site's end.
    async fn rest(&self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    fn next_pause(&self, vm: VmId) -> Duration {
        let mut pauses = self.mend_pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = ExponentialBuilder::default()
            .with_min_delay(MEND_WAIT_MIN)
            .with_max_delay(MEND_WAIT_MAX)
            .without_max_times();
        pauses.entry(vm).or_insert_with(|| fresh.build()).next().unwrap_or(MEND_WAIT_MAX)
    }

    fn forget_pauses(&self, vm: VmId) {
        self.mend_pauses.lock().unwrap_or_else(PoisonError::into_inner).remove(&vm);
    }

    /// Whether every host that the mutation's call may have gone to answers, or can't run anything any more by a
    /// person's word.
    async fn hosts_answer(&self, row: &VmRow, intent: &Intent, sight: &Sight) -> Result<bool, SiteError> {
        let silent: Vec<&HostName> =
            sight.silent_hosts.iter().filter(|host| may_have_gone_to(row, intent, sight, host)).collect();
        if silent.is_empty() {
            return Ok(true);
        }
        let Some(standing) = row.standing() else { return Ok(false) };
        let claims = self.records.claims(standing.evacuation()).await?;
        Ok(silent.into_iter().all(|host| claims.host_is_fenced(host)))
    }
}

/// What a look tells of a mutation whose end nobody saw.
fn seen_result(row: &VmRow, intent: &Intent, sight: &Sight) -> MutationResult {
    let is_real = |seen: &Sighting| seen.stored == Stored::Real;
    let moved_off = row.enrolled.as_ref().is_some_and(|enrolled| enrolled.entry.mode == Mode::Off);
    let runs_as_before = |seen: &Sighting| moved_off || !matches!(seen.instance, Instance::Off(_));
    match intent.mutation {
        Mutation::Run => match running_copy(row, sight) {
            Some(copy) => MutationResult::Ran { downtime_ms: copy.stood_still_ms },
            None => MutationResult::Unseen,
        },
        Mutation::Unseal | Mutation::Start
            if sight.sightings.iter().any(|seen| is_real(seen) && runs_as_before(seen)) =>
        {
            MutationResult::Done
        }
        Mutation::Release if sight.sightings.iter().any(is_real) => MutationResult::Done,
        // Every host answers, and none has it.
        Mutation::Delete if sight.sightings.is_empty() && sight.silent_hosts.is_empty() => MutationResult::Done,
        Mutation::Unseal
        | Mutation::Start
        | Mutation::Release
        | Mutation::Place
        | Mutation::Discard
        | Mutation::Seal
        | Mutation::Transfer
        | Mutation::Abort
        | Mutation::Adjust
        | Mutation::Resume
        | Mutation::Retire
        | Mutation::Delete => MutationResult::Unseen,
    }
}

/// A seal that nobody saw the end of, that can't land any more, and whose VM still has its real definition.
fn never_sealed(intent: &Intent, sight: &Sight) -> bool {
    intent.mutation == Mutation::Seal && sight.sightings.iter().any(|seen| seen.stored == Stored::Real)
}

/// A copy whose real definition is back and which doesn't run, by an order to give it back that nobody saw the end of.
fn given_back_by_half<'a>(intent: &Intent, sight: &'a Sight) -> Option<&'a Sighting> {
    match intent.mutation {
        Mutation::Unseal | Mutation::Start => sight.sightings.iter().find(|seen| seen.stored == Stored::Real),
        Mutation::Place
        | Mutation::Run
        | Mutation::Discard
        | Mutation::Seal
        | Mutation::Transfer
        | Mutation::Abort
        | Mutation::Adjust
        | Mutation::Resume
        | Mutation::Retire
        | Mutation::Release
        | Mutation::Delete => None,
    }
}

fn running_copy<'a>(row: &VmRow, sight: &'a Sight) -> Option<&'a Sighting> {
    let Some(Standing::Destination(at)) = row.standing() else { return None };
    let ArrivalRecord::Completed(completed) = &at.record else { return None };
    sight.sightings.iter().find(|seen| {
        let is_ours =
            seen.mark.is_some_and(|mark| mark.evacuation == at.evacuation && mark.attempt == completed.started.attempt);
        is_ours && seen.instance == Instance::Running && matches!(seen.stored, Stored::Arrived | Stored::Real)
    })
}

/// Whether the call of a mutation may have gone to this host, which is silent now.
fn may_have_gone_to(row: &VmRow, intent: &Intent, sight: &Sight, host: &HostName) -> bool {
    match intent.mutation {
        Mutation::Place | Mutation::Run => match row.standing() {
            Some(Standing::Destination(at)) => match &at.record {
                ArrivalRecord::Started(started) => started.host == *host,
                ArrivalRecord::Completed(completed) => completed.started.host == *host,
                ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_) | ArrivalRecord::Closed(_) => true,
            },
            Some(Standing::Source(_)) | None => true,
        },
        Mutation::Discard => true,
        // The source's go to the one host that has the VM: if it shows itself, the silent one isn't it.
        Mutation::Seal
        | Mutation::Transfer
        | Mutation::Abort
        | Mutation::Adjust
        | Mutation::Resume
        | Mutation::Start
        | Mutation::Unseal
        | Mutation::Retire
        | Mutation::Release
        | Mutation::Delete => sight.sightings.is_empty(),
    }
}
