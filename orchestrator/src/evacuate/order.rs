//! Making an evacuation of a runbook: read it whole, look at both sites, plan, and write all of it down. Nothing at
//! either site changes here.

use super::outlook::foretell;
use super::preflight::{Gathered, gather};
use crate::api::call::Call;
use crate::error::OrchestratorError;
use crate::parts::{EVACUATIONS_OPEN_MAX, Orchestrator};
use crate::pen::Pen;
use muster_core::evacuation::{
    EvacuationStatus, Expected, JournalKind, JournalRecord, MoveState, MoveStatus, PlannedMove,
};
use muster_core::evidence::Outcome;
use muster_core::forecast::{Forecast, Forecaster};
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::RollEntry;
use muster_core::party::Scope;
use muster_core::plan::{Finding, Plan, plan};
use muster_core::runbook::Runbook;
use muster_core::verdict::Verdict;
use muster_store::{Journal, JournalError, PAGE_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is ordered.
pub(crate) struct EvacuationOrder {
    /// The call.
    pub(crate) call: Call,
    /// The runbook's text.
    pub(crate) runbook: String,
    /// Begin and keep nothing.
    pub(crate) validate_only: bool,
}

/// What came of it.
pub(crate) enum Ordered {
    /// It is begun, now or by an earlier call of the same request.
    Begun(EvacuationStatus),
    /// It could be begun: this is what it would be.
    Valid { status: EvacuationStatus, moves: usize, warnings: Vec<String> },
}

/// Orders an evacuation.
pub(crate) async fn order(house: &Arc<Orchestrator>, order: EvacuationOrder) -> Result<Ordered, OrchestratorError> {
    if house.stop.is_cancelled() {
        return Err(OrchestratorError::Stopping);
    }
    if let Some(earlier) = repeated(house, &order.call).await? {
        return Ok(Ordered::Begun(earlier));
    }
    let runbook = Runbook::parse(&order.runbook).map_err(|mistakes| OrchestratorError::Runbook { mistakes })?;
    let open = house.open_evacuations().await?.len();
    if open >= EVACUATIONS_OPEN_MAX {
        return Err(OrchestratorError::TooMany { what: "too many evacuations are open", most: EVACUATIONS_OPEN_MAX });
    }
    let plan = make_plan(house, &runbook).await?;
    must_reach(&order.call.caller.by, &order.call.caller.scope.tags, &plan)?;
    let evacuation = EvacuationId(house.env().new_id());
    let pen = house.pen(evacuation).of(&order.call.caller);
    let ordered = pen.record(Some(&order.call), None, ordered_kind(&runbook, &order));
    let warnings: Vec<String> = plan.warnings.iter().map(Finding::to_string).collect();
    if order.validate_only {
        let status = EvacuationStatus::ordered(&ordered).ok_or(OrchestratorError::NoEvacuation { evacuation: None })?;
        return Ok(Ordered::Valid { status, moves: plan.moves.len(), warnings });
    }
    let seat = house.seats.of(evacuation);
    seat.warn(warnings);
    // No driver may begin on a plan that is half written.
    let mut driven = seat.driven.lock().await;
    let mut records = vec![ordered];
    records.extend(planned_records(house, &runbook, &pen, &plan).await);
    match pen.write(records).await {
        Ok(()) => {}
        Err(JournalError::RequestKnown { .. }) => {
            drop(driven);
            return match repeated(house, &order.call).await? {
                Some(earlier) => Ok(Ordered::Begun(earlier)),
                None => Err(OrchestratorError::RequestIdReused { request: order.call.request }),
            };
        }
        Err(error) => return Err(error.into()),
    }
    house.drive_locked(evacuation, Some(plan.roll(evacuation).collect()), &mut driven);
    drop(driven);
    Ok(Ordered::Begun(status_of(house.journal().as_ref(), evacuation).await?))
}

/// Refuses a plan that holds VMs which whoever ordered it may not touch.
fn must_reach(by: &str, tags: &BTreeSet<String>, plan: &Plan) -> Result<(), OrchestratorError> {
    let scope = Scope { tags: tags.clone(), ..Scope::default() };
    match plan.moves.iter().find(|planned| !scope.has_tags(&planned.definition.tags)) {
        None => Ok(()),
        Some(planned) => Err(OrchestratorError::OutOfReach { by: by.to_owned(), vm: planned.vm }),
    }
}

/// What is made of hosts that don't answer while something is planned anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SilentHosts {
    /// Nothing is planned without them.
    AreWaitedFor,
    /// What can be planned without them is, as by any order, if it has all that was planned before.
    AreLeftOut,
}

/// Plans anew what was ordered and never completely planned, since whoever did it was ended. What the earlier plan has
/// and the new one hasn't is over before it began, unless it may only be unseen: then nothing is planned.
pub(super) async fn plan_anew(
    house: &Orchestrator,
    status: &EvacuationStatus,
    silent_hosts: SilentHosts,
) -> Result<(Runbook, Vec<RollEntry>), OrchestratorError> {
    let runbook = Runbook::parse(&status.runbook).map_err(|mistakes| OrchestratorError::Runbook { mistakes })?;
    let plan = make_plan(house, &runbook).await?;
    must_reach(&status.by, &status.scope_tags, &plan)?;
    let pen = house.pen(status.id);
    let now: BTreeSet<VmId> = plan.moves.iter().map(|planned| planned.vm).collect();
    let before = all_moves(house.journal().as_ref(), status.id).await?;
    let is_complete = before.iter().all(|earlier| now.contains(&earlier.planned.vm));
    let goes_without = silent_hosts == SilentHosts::AreLeftOut && is_complete;
    if !goes_without && plan.warnings.iter().any(Finding::is_silence) {
        return Err(OrchestratorError::Blocked { findings: plan.warnings });
    }
    let mut records: Vec<JournalRecord> = before
        .iter()
        .filter(|earlier| !now.contains(&earlier.planned.vm))
        .map(|earlier| pen.about(earlier.planned.vm, never_begun()))
        .collect();
    records.extend(planned_records(house, &runbook, &pen, &plan).await);
    pen.write(records).await?;
    house.seats.of(status.id).warn(plan.warnings.iter().map(Finding::to_string).collect());
    Ok((runbook, plan.roll(status.id).collect()))
}

/// Ends an evacuation that can't be planned any more; nothing of it was begun.
pub(super) async fn give_up(house: &Orchestrator, evacuation: EvacuationId) -> Result<(), OrchestratorError> {
    let pen = house.pen(evacuation);
    let before = all_moves(house.journal().as_ref(), evacuation).await?;
    let over = before.iter().filter(|earlier| !is_over(earlier.state));
    let mut records: Vec<JournalRecord> = vec![pen.line(JournalKind::Cancelled)];
    records.extend(over.map(|earlier| pen.about(earlier.planned.vm, never_begun())));
    records.push(pen.line(JournalKind::Finished));
    pen.write(records).await?;
    Ok(())
}

/// Every move of an evacuation, by VM.
pub(crate) async fn all_moves(
    journal: &dyn Journal,
    evacuation: EvacuationId,
) -> Result<Vec<MoveStatus>, OrchestratorError> {
    let mut all: Vec<MoveStatus> = Vec::new();
    loop {
        let after = all.last().map(|last| last.planned.vm);
        let page = journal.moves(evacuation, after, PAGE_MAX).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Whether a move is over, by the journal.
pub(crate) fn is_over(state: MoveState) -> bool {
    match state {
        MoveState::Migrated | MoveState::StayedAtSource => true,
        MoveState::Waiting | MoveState::Moving(_) | MoveState::Held(_) => false,
    }
}

pub(crate) async fn status_of(
    journal: &dyn Journal,
    evacuation: EvacuationId,
) -> Result<EvacuationStatus, OrchestratorError> {
    let status = journal.evacuation(evacuation).await?;
    status.ok_or(OrchestratorError::NoEvacuation { evacuation: Some(evacuation) })
}

/// What an evacuation by this runbook would be, or everything that stands in its way. Keeps nothing.
pub(crate) async fn check(
    house: &Orchestrator,
    runbook: &Runbook,
) -> Result<Result<Plan, Vec<Finding>>, OrchestratorError> {
    let pair = house.pair(&runbook.source, &runbook.destination).await?;
    let Gathered { source, destination, preflight } = gather(house, &pair, runbook).await?;
    Ok(plan(runbook, &source, &destination, Some(&preflight)))
}

async fn make_plan(house: &Orchestrator, runbook: &Runbook) -> Result<Plan, OrchestratorError> {
    check(house, runbook).await?.map_err(|findings| OrchestratorError::Blocked { findings })
}

/// The evacuation that this very call has begun before.
async fn repeated(house: &Orchestrator, call: &Call) -> Result<Option<EvacuationStatus>, OrchestratorError> {
    let journal = house.journal().as_ref();
    match call.earlier(journal).await? {
        None => Ok(None),
        Some(earlier) => status_of(journal, earlier.evacuation).await.map(Some),
    }
}

fn ordered_kind(runbook: &Runbook, order: &EvacuationOrder) -> JournalKind {
    JournalKind::Ordered {
        name: runbook.name.clone(),
        source_site: runbook.source.clone(),
        destination_site: runbook.destination.clone(),
        runbook: order.runbook.clone(),
        scope_tags: order.call.caller.scope.tags.clone(),
    }
}

/// The lines of a plan: each move with what is expected of it, and that these are all.
async fn planned_records(house: &Orchestrator, runbook: &Runbook, pen: &Pen, plan: &Plan) -> Vec<JournalRecord> {
    let moves = plan.moves.iter().map(|planned| (planned.to_journal(), None)).collect();
    let (_, forecast) = foretell(Forecaster::new(runbook), moves, house.env().now()).await;
    let foreseen = forecast.iter().flat_map(|forecast| &forecast.moves);
    let expected: BTreeMap<VmId, Expected> = foreseen.filter_map(|of| Some((of.vm, of.expected?))).collect();
    let moves = plan.moves.iter().map(|planned| {
        let planned = PlannedMove { expected: expected.get(&planned.vm).copied(), ..planned.to_journal() };
        pen.about(planned.vm, JournalKind::MovePlanned { planned })
    });
    let outlook = forecast.as_ref().map(Forecast::outlook);
    moves.chain(std::iter::once_with(|| pen.line(JournalKind::Planned { outlook }))).collect()
}

fn never_begun() -> JournalKind {
    JournalKind::Settled {
        outcome: Outcome::StayedAtSource,
        verdict: Verdict::NotStarted,
        attempts: 0,
        downtime_ms: None,
        host: None,
    }
}
