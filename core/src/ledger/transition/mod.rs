//! How a ledger's rows change. Pure; the store runs these inside its write transaction, so that testing a floor and
//! writing what follows are one step (invariant 4, Fenced).

mod destination;
mod seen;
mod source;

use super::command::{
    Applied, Caller, EvacuationCommand, EvacuationOrder, EventKind, Execution, FactKind, LedgerEvent, Refusal,
    VmCommand, VmFact, VmOrder,
};
use super::{
    ArrivalRecord, AtDestination, AtSource, Enrolled, Intent, Mutation, RetiredCopy, RollEntry, SourceState, Standing,
    VmRow,
};
use crate::claim::{Assertion, Claims, HolderKind};
use crate::definition::Definition;
use crate::ids::clip;
use crate::step::Side;
use crate::token::{Epoch, TokenStanding};

/// Most assertions an evacuation keeps.
pub const ASSERTIONS_MAX: usize = 1024;

/// Carries out a command on an evacuation's standing.
///
/// # Errors
/// The refusal; nothing has changed then.
pub fn evacuation(claims: &Claims, command: &EvacuationCommand) -> Result<(Claims, LedgerEvent), Refusal> {
    let mut claims = claims.clone();
    let kind = match &command.order {
        EvacuationOrder::Claim { holder, expected, at_least, take_over } => {
            if claims.epoch != *expected {
                let found = claims.epoch;
                return Err(Refusal::ClaimedInBetween { evacuation: command.evacuation, expected: *expected, found });
            }
            match &claims.holder {
                Some(held) if held.kind == HolderKind::Recovery && held != holder && take_over.is_none() => {
                    return Err(Refusal::HeldByRecovery { evacuation: command.evacuation, holder: held.name.clone() });
                }
                Some(_) | None => {}
            }
            claims.epoch = Epoch(claims.epoch.max(*at_least).0.saturating_add(1));
            claims.holder = Some(holder.clone());
            let take_over = take_over.as_deref().map(clip);
            EventKind::Claimed { epoch: claims.epoch, holder: holder.clone(), take_over }
        }
        EvacuationOrder::Release { epoch } => {
            if claims.epoch != *epoch {
                let found = claims.epoch;
                return Err(Refusal::ClaimedInBetween { evacuation: command.evacuation, expected: *epoch, found });
            }
            claims.holder = None;
            EventKind::ClaimReleased { epoch: *epoch }
        }
        EvacuationOrder::Assert { fenced, reason, by } => {
            if claims.assertions.len() >= ASSERTIONS_MAX {
                return Err(Refusal::TooManyAssertions { evacuation: command.evacuation });
            }
            let (reason, by) = (clip(reason), clip(by));
            let assertion =
                Assertion { fenced: fenced.clone(), reason: reason.clone(), by: by.clone(), at: command.at };
            claims.assertions.push(assertion);
            EventKind::Asserted { fenced: fenced.clone(), reason, by }
        }
    };
    let event = LedgerEvent {
        evacuation: Some(command.evacuation),
        vm: None,
        token: None,
        caller: command.caller.clone(),
        at: command.at,
        kind,
    };
    Ok((claims, event))
}

/// Carries out a command on a VM's row, floor first.
///
/// # Errors
/// The refusal; nothing has changed then.
pub fn vm(row: &VmRow, command: &VmCommand) -> Result<Applied, Refusal> {
    match command.token.against(row.floor) {
        TokenStanding::Below => {
            return Err(Refusal::BelowFloor { vm: row.vm, token: command.token, floor: row.floor });
        }
        TokenStanding::Equal => {
            return Ok(Applied { row: row.clone(), events: Vec::new(), execution: Execution::Before });
        }
        TokenStanding::Above => {}
    }
    let kinds = order_kind(row, command)?;
    if let (Some(intent), true) = (&row.intent, kinds.waits_for_mutations) {
        return Err(Refusal::Busy { vm: row.vm, mutation: intent.mutation });
    }
    let mut next = row.clone();
    next.floor = command.token;
    let events = kinds.apply(&mut next, command);
    Ok(Applied { row: next, events, execution: Execution::Now })
}

/// Writes down what a worker saw. A fact about something that has moved on changes nothing.
#[must_use]
pub fn fact(row: &VmRow, fact: &VmFact) -> Applied {
    let mut next = row.clone();
    let kinds = match &fact.kind {
        FactKind::MutationEnded { token, result } => seen::mutation_ended(&mut next, *token, result, fact),
        FactKind::TransferFailed { attempt, error } => seen::transfer_failed(&mut next, *attempt, error),
        FactKind::Gone { attempt } => seen::gone(&mut next, *attempt),
        FactKind::Cleaned { attempts } => seen::cleaned(&mut next, attempts).into_iter().collect(),
        FactKind::NotSealed => seen::not_sealed(&mut next),
        FactKind::MadeInertAgain => seen::made_inert_again(&mut next, fact.at),
        FactKind::Found { row } => seen::found(&mut next, row),
        FactKind::Alarmed { reason, message } => {
            vec![EventKind::Alarmed { reason: clip(reason), message: clip(message) }]
        }
    };
    let evacuation = next.standing().map(Standing::evacuation);
    let execution = if kinds.is_empty() { Execution::Before } else { Execution::Now };
    let events = kinds
        .into_iter()
        .map(|kind| LedgerEvent {
            evacuation,
            vm: Some(row.vm),
            token: None,
            caller: Caller::default(),
            at: fact.at,
            kind,
        })
        .collect();
    Applied { row: next, events, execution }
}

/// A command found legal: what it makes of the row.
struct Legal {
    waits_for_mutations: bool,
    mutation: Option<Mutation>,
    standing: Option<Enrolled>,
    kinds: Vec<EventKind>,
}

impl Legal {
    fn record(enrolled: &Enrolled, standing: Standing, kind: EventKind) -> Self {
        let standing = Some(Enrolled { entry: enrolled.entry.clone(), standing });
        Legal { waits_for_mutations: true, mutation: None, standing, kinds: vec![kind] }
    }

    fn silent(enrolled: &Enrolled, standing: Standing) -> Self {
        let standing = Some(Enrolled { entry: enrolled.entry.clone(), standing });
        Legal { waits_for_mutations: true, mutation: None, standing, kinds: Vec::new() }
    }

    /// Keeps the real definition as it is now, in place of the one that the roll was made with.
    fn with_definition(mut self, definition: Definition) -> Self {
        if let Some(enrolled) = &mut self.standing {
            enrolled.entry.definition = definition;
        }
        self
    }

    fn mutation(mutation: Mutation) -> Self {
        Legal { waits_for_mutations: true, mutation: Some(mutation), standing: None, kinds: Vec::new() }
    }

    fn and_mutation(mut self, mutation: Mutation) -> Self {
        self.mutation = Some(mutation);
        self
    }

    fn apply(self, row: &mut VmRow, command: &VmCommand) -> Vec<LedgerEvent> {
        if let Some(enrolled) = self.standing {
            row.enrolled = Some(enrolled);
        }
        let mut kinds = self.kinds;
        if let Some(mutation) = self.mutation {
            row.intent = Some(Intent { mutation, token: command.token, at: command.at });
            kinds.push(EventKind::MutationBegun { mutation });
        }
        kinds
            .into_iter()
            .map(|kind| LedgerEvent {
                evacuation: Some(command.evacuation),
                vm: Some(row.vm),
                token: Some(command.token),
                caller: command.caller.clone(),
                at: command.at,
                kind,
            })
            .collect()
    }
}

fn order_kind(row: &VmRow, command: &VmCommand) -> Result<Legal, Refusal> {
    match &command.order {
        VmOrder::Enrol { entry, side } => enrol(row, entry, *side),
        VmOrder::RaiseFloor => Ok(Legal {
            waits_for_mutations: false,
            mutation: None,
            standing: None,
            kinds: vec![EventKind::FloorRaised],
        }),
        VmOrder::OpenAttempt { .. }
        | VmOrder::BeginPlace { .. }
        | VmOrder::Abandon { .. }
        | VmOrder::Reopen { .. }
        | VmOrder::Complete { .. }
        | VmOrder::BeginRun
        | VmOrder::BeginDiscard
        | VmOrder::CloseDestination { .. } => destination::order(row, command),
        VmOrder::BeginSeal { .. }
        | VmOrder::BeginTransfer { .. }
        | VmOrder::BeginAbort
        | VmOrder::BeginAdjust
        | VmOrder::BeginResume
        | VmOrder::BeginStart
        | VmOrder::BeginUnseal
        | VmOrder::BeginRetire { .. }
        | VmOrder::BeginRelease
        | VmOrder::BeginDelete
        | VmOrder::CloseSource => source::order(row, command),
    }
}

fn enrol(row: &VmRow, entry: &RollEntry, side: Side) -> Result<Legal, Refusal> {
    if let Some(enrolled) = &row.enrolled {
        let same = enrolled.entry.evacuation == entry.evacuation;
        if !same && !enrolled.standing.is_closed() {
            return Err(Refusal::InAnotherEvacuation { vm: row.vm, other: enrolled.entry.evacuation });
        }
        if same {
            // The roll is written again after every restart; what stands, stands.
            return Ok(Legal { waits_for_mutations: false, mutation: None, standing: None, kinds: Vec::new() });
        }
    }
    let standing = match side {
        Side::Destination => Standing::Destination(AtDestination {
            evacuation: entry.evacuation,
            mode: entry.mode,
            disk: entry.definition.disk,
            record: ArrivalRecord::Enrolled,
            leftovers: Vec::new(),
        }),
        Side::Source => Standing::Source(AtSource {
            evacuation: entry.evacuation,
            mode: entry.mode,
            state: SourceState::Unsealed,
            closed: false,
            retired_copy: RetiredCopy::Kept,
        }),
    };
    let enrolled = Enrolled { entry: entry.clone(), standing };
    Ok(Legal {
        waits_for_mutations: true,
        mutation: None,
        standing: Some(enrolled),
        kinds: vec![EventKind::Enrolled { side }],
    })
}
