//! Calling the roll, and explaining one line of it. Applying adds nothing to what the drivers do anyhow: it makes a
//! person's assertions and orders durable, has what is held looked at again, and calls the roll afterwards.

use super::Api;
use super::call::Call;
use super::caller::Caller;
use crate::error::OrchestratorError;
use crate::evacuate::{all_moves, status_of};
use crate::parts::Pair;
use crate::seats::{Driven, Seat};
use muster_core::claim::{Assertion, Fenced};
use muster_core::evacuation::{
    EvacuationState, EvacuationStatus, JournalKind, MoveState, MoveStatus, PauseReason, Sworn,
};
use muster_core::evidence::Heard;
use muster_core::ids::{EvacuationId, HostName, RequestId, VmId};
use muster_core::ledger::RollEntry;
use muster_core::runbook::Runbook;
use muster_core::step::{Hold, Step};
use muster_core::verdict::Verdict;
use muster_proto::convert::{AssertFenced, InvalidMessage, Problem, parsed, require_items, text};
use muster_proto::limits::{ASSERTIONS_MAX, ITEMS_MAX, STREAM_BUFFER};
use muster_proto::v1 as pb;
use muster_recovery::error::RecoveryError;
use muster_recovery::explain::{explain, next};
use muster_recovery::recover::{Unconfirmed, unconfirmed};
use muster_recovery::roll_call::{Account, RollCallLine, Wishes, roll_call};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

/// How long an applied recovery waits for what has begun before it calls the roll, where it isn't told.
pub(crate) const WAIT_DEFAULT: Duration = Duration::from_secs(30);
/// Longest wait of an applied recovery.
pub const RECOVER_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Wait between two looks at how it goes.
pub(crate) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a person has ordered and sworn to.
struct Orders {
    caller: Caller,
    assertions: Vec<Sworn>,
    cold_start: BTreeSet<VmId>,
    /// How long to wait for what has begun.
    wait: Duration,
}

impl Api {
    pub(super) async fn recover(
        &self,
        request: Request<pb::RecoverEvacuationRequest>,
    ) -> Result<ReceiverStream<Result<pb::RollCallLine, Status>>, Status> {
        // A report changes nothing, so it needs no id.
        let call = if request.get_ref().apply { Some(Call::of("RecoverEvacuation", &request)?) } else { None };
        let caller = Caller::of(&request, &request.get_ref().ordered_by)?;
        let request = request.into_inner();
        let named = request.evacuation.clone();
        let orders = orders(request, caller)?;
        let changes_something = !orders.assertions.is_empty() || !orders.cold_start.is_empty();
        if changes_something && call.is_none() {
            let what = "an assertion or an order is durable, so a report takes none".to_owned();
            let mend = "set apply, or leave them out";
            return Err(OrchestratorError::OutOfOrder { reason: "REPORT_ONLY", what, mend }.into());
        }
        let earlier = match &call {
            Some(call) => self.earlier(call).await?,
            None => None,
        };
        let status = match &earlier {
            // What was the newest then may not be any more.
            Some(earlier) => status_of(self.house.journal().as_ref(), earlier.evacuation).await?,
            None => self.named_or_newest(&named).await?,
        };
        let pair = self.house.pair(&status.source_site, &status.destination_site).await?;
        if let Some(call) = &call {
            self.apply(&status, &pair, &orders, call).await?;
        }
        let unconfirmed = unconfirmed(&pair.destination, Some(&pair.source)).await.map_err(OrchestratorError::from)?;
        let lines = self.lines(&status, &pair, None).await?;
        let (told, stream) = mpsc::channel(STREAM_BUFFER);
        tokio::spawn(async move {
            let mut lonely: Vec<pb::UnconfirmedLedger> = unconfirmed.into_iter().map(lonely_ledger).collect();
            for line in lines {
                let unconfirmed_ledgers = std::mem::take(&mut lonely);
                if told.send(Ok(pb::RollCallLine { unconfirmed_ledgers, ..shown(&line) })).await.is_err() {
                    return;
                }
            }
        });
        Ok(ReceiverStream::new(stream))
    }

    pub(super) async fn explain(&self, request: pb::ExplainVmRequest) -> Result<pb::ExplainVmResponse, Status> {
        let found = self.find(&request.vm).await?;
        let wanted: Option<EvacuationId> =
            if request.evacuation.is_empty() { None } else { Some(parsed("evacuation", &request.evacuation)?) };
        let in_wanted = |id: EvacuationId| wanted.is_none_or(|wanted| wanted == id);
        let found = found.into_iter().find(|(evacuation, _)| in_wanted(evacuation.id));
        let Some((evacuation, status)) = found else {
            return Err(OrchestratorError::NoVm { vm: muster_core::ids::clip(&request.vm) }.into());
        };
        let pair = self.house.pair(&evacuation.source_site, &evacuation.destination_site).await?;
        let lines = self.lines(&evacuation, &pair, Some(status.planned.vm)).await?;
        match lines.first() {
            Some(line) => Ok(pb::ExplainVmResponse { lines: explain(line), verdict: Some(shown(line)) }),
            None => Err(OrchestratorError::NoVm { vm: muster_core::ids::clip(&request.vm) }.into()),
        }
    }

    /// Makes the orders and assertions durable, and has what is held looked at.
    async fn apply(
        &self,
        status: &EvacuationStatus,
        pair: &Pair,
        orders: &Orders,
        call: &Call,
    ) -> Result<(), OrchestratorError> {
        let seat = self.house.seats.of(status.id);
        let begun = {
            let mut driven = seat.driven.lock().await;
            let status = status_of(self.house.journal().as_ref(), status.id).await?;
            let moves = self.order(&status, orders, call).await?;
            self.assert(status.id, pair, orders).await?;
            if status.state == EvacuationState::Finished {
                return Ok(());
            }
            let held = moves.iter().filter(|one| matches!(one.state, MoveState::Held(_)));
            seat.leave(held.map(|one| one.planned.vm).chain(orders.cold_start.iter().copied()));
            self.house.drive_locked(status.id, None, &mut driven);
            let begun = moves.iter().filter(|one| has_begun(one)).map(|one| one.planned.vm);
            begun.chain(orders.cold_start.iter().copied()).collect::<BTreeSet<VmId>>()
        };
        self.wait(status.id, &seat, &begun, orders.wait).await
    }

    /// Waits until what had begun is over or held, or can't go on without somebody; no longer than this.
    async fn wait(
        &self,
        evacuation: EvacuationId,
        seat: &Seat,
        begun: &BTreeSet<VmId>,
        longest: Duration,
    ) -> Result<(), OrchestratorError> {
        let journal = self.house.journal();
        let mut quiet = seat.quiet();
        let until = tokio::time::sleep(longest);
        tokio::pin!(until);
        loop {
            let newest = journal.newest();
            let is_quiet = *quiet.borrow_and_update();
            if !self.is_driven(evacuation, seat).await? || is_quiet && !self.goes_on(evacuation, begun).await? {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = &mut until => return Ok(()),
                past = journal.wait_past(newest) => drop(past?),
                // The seat lives as long as its evacuation's house.
                _ = quiet.changed() => {}
            }
            // What comes in a burst is looked at once.
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// Whether one of these moves is under way, or will be by itself.
    async fn goes_on(&self, evacuation: EvacuationId, begun: &BTreeSet<VmId>) -> Result<bool, OrchestratorError> {
        let journal = self.house.journal();
        // While it is paused nothing that waits is begun.
        let starts = match status_of(journal.as_ref(), evacuation).await?.state {
            EvacuationState::Planning | EvacuationState::Planned | EvacuationState::Running => true,
            EvacuationState::Paused(_) | EvacuationState::Finished => false,
        };
        let moves = all_moves(journal.as_ref(), evacuation).await?;
        Ok(moves.iter().filter(|one| begun.contains(&one.planned.vm)).any(|one| match one.state {
            MoveState::Moving(_) => true,
            MoveState::Waiting => starts,
            MoveState::Held(_) | MoveState::Migrated | MoveState::StayedAtSource => false,
        }))
    }

    /// Whether somebody drives it here: not once it is over, and not while another holds its claim.
    async fn is_driven(&self, evacuation: EvacuationId, seat: &Seat) -> Result<bool, OrchestratorError> {
        if *seat.driven.lock().await == Driven::No {
            return Ok(false);
        }
        Ok(match status_of(self.house.journal().as_ref(), evacuation).await?.state {
            EvacuationState::Paused(PauseReason::ClaimLost) | EvacuationState::Finished => false,
            EvacuationState::Paused(PauseReason::Order | PauseReason::FailureBudget)
            | EvacuationState::Planning
            | EvacuationState::Planned
            | EvacuationState::Running => true,
        })
    }

    /// Journals them, and returns how all moves stood before.
    async fn order(
        &self,
        status: &EvacuationStatus,
        orders: &Orders,
        call: &Call,
    ) -> Result<Vec<MoveStatus>, OrchestratorError> {
        let moves = all_moves(self.house.journal().as_ref(), status.id).await?;
        let states: BTreeMap<VmId, MoveState> = moves.iter().map(|one| (one.planned.vm, one.state)).collect();
        let why_not = |vm: &VmId| match states.get(vm) {
            Some(MoveState::Held(_) | MoveState::Waiting | MoveState::Moving(_)) => None,
            Some(MoveState::Migrated | MoveState::StayedAtSource) => Some((*vm, "its move is over".to_owned())),
            None => Some((*vm, "it is not in this evacuation".to_owned())),
        };
        let refused: Vec<(VmId, String)> = orders.cold_start.iter().filter_map(why_not).collect();
        if self.earlier(call).await?.is_some() {
            return Ok(moves);
        }
        if !refused.is_empty() {
            return Err(OrchestratorError::NotRetried { vms: refused });
        }
        let pen = self.house.pen(status.id).of(&orders.caller);
        let assertions = orders.assertions.clone();
        let mut records = vec![pen.record(Some(call), None, JournalKind::RecoveryOrdered { assertions })];
        records.extend(orders.cold_start.iter().map(|vm| pen.about(*vm, JournalKind::ColdStartOrdered)));
        self.ordered(call, records).await?;
        Ok(moves)
    }

    /// Writes down what a person has sworn to, once.
    async fn assert(&self, evacuation: EvacuationId, pair: &Pair, orders: &Orders) -> Result<(), OrchestratorError> {
        if orders.assertions.is_empty() {
            return Ok(());
        }
        let claims = pair.destination.claims(evacuation).await?;
        for Sworn { fenced, reason } in &orders.assertions {
            let stands = |one: &Assertion| one.fenced == *fenced && one.reason == *reason && one.by == orders.caller.by;
            if claims.assertions.iter().any(stands) {
                continue;
            }
            let assertion = AssertFenced {
                request: RequestId(self.house.env().new_id()),
                evacuation,
                fenced: fenced.clone(),
                reason: reason.clone(),
                by: orders.caller.by.clone(),
            };
            pair.destination.assert_fenced(assertion).await?;
        }
        Ok(())
    }

    /// The roll, or one VM's line of it, as it is called now.
    async fn lines(
        &self,
        status: &EvacuationStatus,
        pair: &Pair,
        only: Option<VmId>,
    ) -> Result<Vec<RollCallLine>, OrchestratorError> {
        let mut roll: BTreeMap<VmId, RollEntry> = pair.destination.roll(status.id).await?;
        roll.retain(|vm, _| only.is_none_or(|only| only == *vm));
        if roll.is_empty() {
            return Err(RecoveryError::NoEvacuation { evacuation: Some(status.id) }.into());
        }
        let claims = pair.destination.claims(status.id).await?;
        let moves = all_moves(self.house.journal().as_ref(), status.id).await?;
        let attempts = Runbook::parse(&status.runbook).map(|runbook| runbook.retry.attempts).unwrap_or_default();
        let wishes = Wishes {
            undo: status.cancelled,
            cold_start: moves.iter().filter(|one| one.cold_start_ordered).map(|one| one.planned.vm).collect(),
            further_attempts: attempts,
        };
        let mut lines = roll_call(&pair.destination, Some(&pair.source), &roll, &claims, &wishes).await;
        let known: BTreeMap<VmId, _> = moves.into_iter().map(|one| (one.planned.vm, one)).collect();
        for line in &mut lines {
            let Some(one) = known.get(&line.entry.vm) else { continue };
            // Found by settling only: a look sees a step that could be taken, not that it keeps failing.
            if let MoveState::Held(hold @ (Hold::StepFails | Hold::Overdue | Hold::NotReady | Hold::HandsOffFails)) =
                one.state
            {
                line.decision.step = Step::Hold(hold);
                line.error.clone_from(&one.error);
            }
        }
        Ok(lines)
    }
}

/// Whether something of its move may have been done.
fn has_begun(one: &MoveStatus) -> bool {
    match one.state {
        MoveState::Moving(_) | MoveState::Held(_) => true,
        MoveState::Waiting => one.attempts > 0,
        MoveState::Migrated | MoveState::StayedAtSource => false,
    }
}

fn orders(request: pb::RecoverEvacuationRequest, caller: Caller) -> Result<Orders, Status> {
    require_items("assert_hosts_fenced", request.assert_hosts_fenced.len(), ASSERTIONS_MAX)?;
    require_items("cold_start_vms", request.cold_start_vms.len(), ITEMS_MAX)?;
    let mut assertions = Vec::new();
    if let Some(reason) = request.assert_source_fenced_reason {
        assertions.push(Sworn { fenced: Fenced::Source, reason: text("assert_source_fenced_reason", reason)? });
    }
    for host in request.assert_hosts_fenced {
        let name: HostName = parsed("assert_hosts_fenced.host", &host.host)?;
        assertions.push(Sworn { fenced: Fenced::Host(name), reason: text("assert_hosts_fenced.reason", host.reason)? });
    }
    let mut cold_start = BTreeSet::new();
    for (place, vm) in request.cold_start_vms.iter().enumerate() {
        if !cold_start.insert(parsed("cold_start_vms", vm)?) {
            return Err(InvalidMessage::new(format!("cold_start_vms[{place}]"), Problem::Repeated { first: 0 }).into());
        }
    }
    let wait = match request.wait_ms {
        0 => WAIT_DEFAULT,
        given => Duration::from_millis(given),
    };
    if wait > RECOVER_WAIT_MAX {
        let max = u64::try_from(RECOVER_WAIT_MAX.as_millis()).unwrap_or(u64::MAX);
        return Err(InvalidMessage::new("wait_ms", Problem::OutOfRange { given: request.wait_ms, min: 0, max }).into());
    }
    Ok(Orders { caller, assertions, cold_start, wait })
}

fn shown(line: &RollCallLine) -> pb::RollCallLine {
    let doubt = match line.decision.verdict {
        Verdict::Indeterminate(doubt) => doubt.sentence(),
        Verdict::NotStarted
        | Verdict::NotMigrated
        | Verdict::HandedOver
        | Verdict::FullyMigrated
        | Verdict::MemoryLost
        | Verdict::SplitBrain => "",
    };
    let hold = match line.account() {
        Account::Held(hold) => Some(hold),
        Account::Settled | Account::CanGoOn => None,
    };
    pb::RollCallLine {
        vm: line.entry.vm.to_string(),
        name: line.entry.definition.name.as_str().to_owned(),
        verdict: line.decision.verdict.name().to_owned(),
        doubt: doubt.to_owned(),
        step: next(line.decision.step),
        held_because: hold.map(|hold| hold.sentence().to_owned()).unwrap_or_default(),
        remedy: hold.map(|hold| hold.remedy().to_owned()).unwrap_or_default(),
        settled: line.account() == Account::Settled,
        as_of_ms: match &line.readings.destination {
            Heard::Answer(reading) => reading.at.0,
            Heard::Silent => 0,
        },
        fenced: line.fenced,
        error: line.error.clone().unwrap_or_default(),
        unconfirmed_ledgers: Vec::new(),
    }
}

fn lonely_ledger(ledger: Unconfirmed) -> pb::UnconfirmedLedger {
    pb::UnconfirmedLedger { site: ledger.site.into(), as_of_ms: ledger.as_of.map(|at| at.0) }
}
