//! The destination's rows: records, events, and what is given up.

use super::Legal;
use crate::evidence::{ArrivalKind, Outcome};
use crate::ids::{Attempt, HostName};
use crate::ledger::command::{EventKind, Refusal, VmCommand, VmOrder};
use crate::ledger::{
    ArrivalRecord, AtDestination, Closed, Completed, Enrolled, LEFTOVERS_MAX, Mutation, Standing, Started, VmRow,
};
use crate::step::Side;

pub(super) fn order(row: &VmRow, command: &VmCommand) -> Result<Legal, Refusal> {
    let not_on_roll = || Refusal::NotOnRoll { vm: row.vm, evacuation: command.evacuation, side: Side::Destination };
    let enrolled = row.enrolled.as_ref().ok_or_else(not_on_roll)?;
    let at = match &enrolled.standing {
        Standing::Destination(at) if at.evacuation == command.evacuation => at,
        Standing::Destination(_) | Standing::Source(_) => return Err(not_on_roll()),
    };
    let out_of_order = |wanted, because| Refusal::NotInOrder { vm: row.vm, wanted, because };
    match &command.order {
        VmOrder::OpenAttempt { host, kind } => open_attempt(row, enrolled, at, command, host, *kind),
        VmOrder::BeginPlace { attempt } => match &at.record {
            ArrivalRecord::Started(started) if started.attempt == *attempt => Ok(Legal::mutation(Mutation::Place)),
            ArrivalRecord::Started(_)
            | ArrivalRecord::Enrolled
            | ArrivalRecord::Abandoned(_)
            | ArrivalRecord::Completed(_)
            | ArrivalRecord::Closed(_) => {
                Err(out_of_order("a placeholder", "no started record of this attempt stands"))
            }
        },
        VmOrder::Abandon { attempt } => abandon(row, enrolled, at, *attempt),
        VmOrder::Reopen { attempt } => reopen(row, enrolled, at, *attempt),
        VmOrder::Complete { attempt, late } => complete(row, enrolled, at, command, *attempt, *late),
        VmOrder::BeginRun => match &at.record {
            ArrivalRecord::Completed(_) => Ok(Legal::mutation(Mutation::Run)),
            ArrivalRecord::Enrolled
            | ArrivalRecord::Started(_)
            | ArrivalRecord::Abandoned(_)
            | ArrivalRecord::Closed(_) => Err(out_of_order("letting it run", "no completion event stands")),
        },
        VmOrder::BeginDiscard => Ok(Legal::mutation(Mutation::Discard)),
        VmOrder::CloseDestination { outcome } => close_destination(row, enrolled, at, command, *outcome),
        VmOrder::Enrol { .. }
        | VmOrder::RaiseFloor
        | VmOrder::BeginSeal { .. }
        | VmOrder::BeginTransfer { .. }
        | VmOrder::BeginAbort
        | VmOrder::BeginAdjust
        | VmOrder::BeginResume
        | VmOrder::BeginStart
        | VmOrder::BeginUnseal
        | VmOrder::BeginRetire { .. }
        | VmOrder::BeginRelease
        | VmOrder::BeginDelete
        | VmOrder::CloseSource => Err(out_of_order("a source's order", "this site is the destination")),
    }
}

fn open_attempt(
    row: &VmRow,
    enrolled: &Enrolled,
    at: &AtDestination,
    command: &VmCommand,
    host: &HostName,
    kind: ArrivalKind,
) -> Result<Legal, Refusal> {
    let attempt = match &at.record {
        ArrivalRecord::Enrolled => Attempt::FIRST,
        ArrivalRecord::Abandoned(given_up) => given_up.attempt.next(),
        ArrivalRecord::Started(_) | ArrivalRecord::Completed(_) | ArrivalRecord::Closed(_) => {
            let because = "an attempt is open, has arrived, or the move is over";
            return Err(Refusal::NotInOrder { vm: row.vm, wanted: "another attempt", because });
        }
    };
    if at.leftovers.len() >= LEFTOVERS_MAX {
        return Err(Refusal::TooManyLeftovers { vm: row.vm });
    }
    let started = Started { attempt, host: host.clone(), kind, token: command.token, at: command.at };
    let standing = AtDestination { record: ArrivalRecord::Started(started), ..at.clone() };
    let event = EventKind::AttemptOpened { attempt, host: host.clone(), kind };
    Ok(Legal::record(enrolled, Standing::Destination(standing), event))
}

fn abandon(row: &VmRow, enrolled: &Enrolled, at: &AtDestination, attempt: Attempt) -> Result<Legal, Refusal> {
    match &at.record {
        ArrivalRecord::Started(started) if started.attempt == attempt => {
            let mut standing = AtDestination { record: ArrivalRecord::Abandoned(started.clone()), ..at.clone() };
            standing.leftovers.push(started.clone());
            Ok(Legal::record(enrolled, Standing::Destination(standing), EventKind::Abandoned { attempt }))
        }
        ArrivalRecord::Started(_)
        | ArrivalRecord::Enrolled
        | ArrivalRecord::Abandoned(_)
        | ArrivalRecord::Completed(_)
        | ArrivalRecord::Closed(_) => Err(Refusal::NotInOrder {
            vm: row.vm,
            wanted: "giving the attempt up",
            because: "no started record of this attempt stands without an event",
        }),
    }
}

fn reopen(row: &VmRow, enrolled: &Enrolled, at: &AtDestination, attempt: Attempt) -> Result<Legal, Refusal> {
    let is_leftover = at.leftovers.iter().any(|leftover| leftover.attempt == attempt);
    match &at.record {
        ArrivalRecord::Abandoned(given_up) if given_up.attempt == attempt && is_leftover => {
            let mut standing = AtDestination { record: ArrivalRecord::Started(given_up.clone()), ..at.clone() };
            standing.leftovers.retain(|leftover| leftover.attempt != attempt);
            Ok(Legal::record(enrolled, Standing::Destination(standing), EventKind::Reopened { attempt }))
        }
        ArrivalRecord::Abandoned(_)
        | ArrivalRecord::Enrolled
        | ArrivalRecord::Started(_)
        | ArrivalRecord::Completed(_)
        | ArrivalRecord::Closed(_) => Err(Refusal::NotInOrder {
            vm: row.vm,
            wanted: "taking the attempt back",
            because: "it is not the one given up last, or what it left was discarded",
        }),
    }
}

fn complete(
    row: &VmRow,
    enrolled: &Enrolled,
    at: &AtDestination,
    command: &VmCommand,
    attempt: Attempt,
    late: bool,
) -> Result<Legal, Refusal> {
    match &at.record {
        ArrivalRecord::Started(started) if started.attempt == attempt => {
            let completed =
                Completed { started: started.clone(), token: command.token, at: command.at, late, ran: None };
            let standing = AtDestination { record: ArrivalRecord::Completed(completed), ..at.clone() };
            let event = EventKind::Completed { attempt, late };
            Ok(Legal::record(enrolled, Standing::Destination(standing), event).and_mutation(Mutation::Run))
        }
        ArrivalRecord::Started(_)
        | ArrivalRecord::Enrolled
        | ArrivalRecord::Abandoned(_)
        | ArrivalRecord::Completed(_)
        | ArrivalRecord::Closed(_) => Err(Refusal::NotInOrder {
            vm: row.vm,
            wanted: "a completion event",
            because: "no started record of this attempt stands without one",
        }),
    }
}

fn close_destination(
    row: &VmRow,
    enrolled: &Enrolled,
    at: &AtDestination,
    command: &VmCommand,
    outcome: Outcome,
) -> Result<Legal, Refusal> {
    let (legal, attempts, downtime_ms) = match (&at.record, outcome) {
        (ArrivalRecord::Completed(completed), Outcome::Migrated) => {
            let downtime_ms = completed.ran.and_then(|ran| ran.downtime_ms);
            (true, completed.started.attempt.count(), downtime_ms)
        }
        (ArrivalRecord::Enrolled, Outcome::StayedAtSource) => (true, 0, None),
        (ArrivalRecord::Abandoned(given_up), Outcome::StayedAtSource) => (true, given_up.attempt.count(), None),
        (
            ArrivalRecord::Enrolled
            | ArrivalRecord::Started(_)
            | ArrivalRecord::Abandoned(_)
            | ArrivalRecord::Completed(_)
            | ArrivalRecord::Closed(_),
            Outcome::Migrated | Outcome::StayedAtSource,
        ) => (false, 0, None),
    };
    if !legal {
        let because = "migrated needs the event, staying needs that no attempt is open";
        return Err(Refusal::NotInOrder { vm: row.vm, wanted: "closing the move", because });
    }
    let closed = Closed { outcome, attempts, at: command.at, downtime_ms };
    let standing = AtDestination { record: ArrivalRecord::Closed(closed), ..at.clone() };
    Ok(Legal::record(enrolled, Standing::Destination(standing), EventKind::DestinationClosed { outcome }))
}
