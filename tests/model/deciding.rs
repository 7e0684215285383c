//! From two readings to a decision, by the shipped code; and the rules of `decide` that are known to be bad.

use crate::kept::Kept;
use crate::message::Order;
use crate::protocol::{BadRule, Protocol};
use crate::state::State;
use muster_core::decide::{Goal, Leftovers, MoveOrder, decide};
use muster_core::definition::Mode;
use muster_core::evidence::{CopyState, DestinationEvidence, Evidence, Freshness, Heard, OtherCopy, Record};
use muster_core::evidence::{Seal, SourceEvidence, SourceInstance};
use muster_core::ids::Attempt;
use muster_core::ledger::weigh::Readings;
use muster_core::ledger::{ArrivalRecord, Standing};
use muster_core::reading::SiteReading;
use muster_core::step::{Action, Decision, Step};

/// Both readings, and how they came about.
#[derive(Debug, Clone)]
pub(crate) struct Looked {
    pub(crate) source: Heard<Kept<SiteReading>>,
    pub(crate) destination: Heard<Kept<SiteReading>>,
    pub(crate) freshness: Freshness,
    pub(crate) late: bool,
    /// An attempt of which a step has failed again and again.
    pub(crate) refused: Option<Attempt>,
}

/// Decides on two readings.
pub(crate) fn decide_on(protocol: &Protocol, state: &State, goal: Goal, looked: &Looked) -> Decision {
    let readings = Readings {
        evacuation: state.leg.evacuation(),
        freshness: looked.freshness,
        destination: borrowed(&looked.destination),
        source: borrowed(&looked.source),
        claims: &state.claims,
        past_deadline: looked.late,
    };
    let order = MoveOrder {
        mode: Mode::Live,
        goal,
        attempts_max: protocol.attempts_max,
        cold_start: protocol.cold_start(),
        refused: looked.refused,
        leftovers: Leftovers::AreDiscarded,
    };
    let evidence = readings.weigh();
    let decision = decide(&order, &evidence);
    match badly(protocol, &evidence) {
        Some(action) => Decision { step: Step::Act(action), ..decision },
        None => decision,
    }
}

/// What the broken rule does in place of the shipped one.
fn badly(protocol: &Protocol, evidence: &Evidence) -> Option<Action> {
    let (Heard::Answer(source), Heard::Answer(destination)) = (evidence.source, evidence.destination) else {
        return None;
    };
    let DestinationEvidence { record, copy, other, .. } = destination;
    let idle = !source.busy && !destination.busy;
    let is_open = matches!(record, Record::Started { .. });
    let has_arrived = is_open && copy == CopyState::Paused;
    let times_out = has_arrived && source.instance == SourceInstance::Paused && evidence.past_deadline;
    let holds_memory = matches!(copy, CopyState::Paused) || other == OtherCopy::HoldsMemory;
    let given_up = matches!(record, Record::Abandoned { .. });
    let is_gone = matches!(source, SourceEvidence { seal: Seal::Gone { of_this_attempt: true }, .. });
    if protocol.is(BadRule::ResumesOnTimeout) && idle && times_out {
        Some(Action::ResumeSource)
    } else if protocol.is(BadRule::RetiresBeforeEvent) && idle && has_arrived && is_gone {
        Some(Action::Retire)
    } else if protocol.is(BadRule::DiscardsMemory) && idle && given_up && holds_memory {
        Some(Action::Discard)
    } else {
        None
    }
}

pub(crate) fn borrowed(heard: &Heard<Kept<SiteReading>>) -> Heard<&SiteReading> {
    match heard {
        Heard::Answer(reading) => Heard::Answer(reading),
        Heard::Silent => Heard::Silent,
    }
}

/// The command that an action becomes, for the attempt that was read.
pub(crate) fn order(action: Action, read: Heard<&SiteReading>) -> Order {
    let (current, next) = attempts(read);
    match action {
        Action::OpenAttempt(kind) => Order::Open(next, kind),
        Action::MakePlaceholder => Order::Place(current),
        Action::Seal => Order::Seal,
        Action::Transfer => Order::Transfer(current),
        Action::AbortTransfer => Order::Abort,
        Action::Commit => Order::Commit(current),
        Action::Run => Order::Run,
        Action::Retire => Order::Retire,
        Action::Abandon => Order::Abandon(current),
        Action::Reopen => Order::Reopen(current),
        Action::Discard => Order::Discard,
        Action::ResumeSource => Order::Resume,
        Action::StartSource => Order::Start,
        Action::Unseal => Order::Unseal,
        Action::CloseSource => Order::CloseSource,
        Action::CloseDestination(outcome) => Order::CloseDestination(outcome),
    }
}

fn attempts(read: Heard<&SiteReading>) -> (Attempt, Attempt) {
    let Heard::Answer(SiteReading { standing: Some(Standing::Destination(at)), .. }) = read else {
        return (Attempt::FIRST, Attempt::FIRST);
    };
    match &at.record {
        ArrivalRecord::Started(started) | ArrivalRecord::Abandoned(started) => {
            (started.attempt, started.attempt.next())
        }
        ArrivalRecord::Completed(completed) => (completed.started.attempt, completed.started.attempt.next()),
        ArrivalRecord::Enrolled | ArrivalRecord::Closed(_) => (Attempt::FIRST, Attempt::FIRST),
    }
}
