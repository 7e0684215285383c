//! The order of the lines, checked against the truth of both sites at the moment a ledger takes a command.

use crate::message::{Message, Order};
use crate::state::{Broken, State};
use muster_core::evidence::ArrivalKind;
use muster_core::ids::Attempt;
use muster_core::ledger::{ArrivalRecord, SourceState};

/// A ledger has taken this.
pub(crate) fn check(state: &mut State, message: &Message) {
    if message.leg != state.leg {
        return state.breaks(Broken::Order("an order of an evacuation that is over"));
    }
    let placed = |attempt| state.copy(attempt).is_some();
    let none_is_open = matches!(state.record(), ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_));
    // A source that was given up was never told of it: it may still take what was sent before, and has nothing that runs.
    let unaware = state.is_sworn() && !state.source_is_alive();
    let (follows, wrong) = match message.order {
        Order::Seal => {
            let follows = state.attempt().is_some_and(placed) && !state.has_event();
            (follows || unaware, "sealed without a placeholder")
        }
        Order::Transfer(attempt) => {
            let follows = placed(attempt) && state.attempt() == Some(attempt);
            (follows || unaware, "transferred without a placeholder")
        }
        Order::Retire => (state.has_event(), "retired without an event"),
        Order::Resume | Order::Start | Order::Unseal => {
            (none_is_open, "the source taken back while an attempt is open")
        }
        Order::CloseSource => {
            let retired = state.at_source().state == SourceState::Retired;
            (state.has_event() == retired, "the source closed too early")
        }
        Order::CloseDestination(_) => (state.at_source().closed, "the destination closed too early"),
        Order::Open(_, ArrivalKind::ColdStart) => (state.is_sworn(), "a cold start that nobody has sworn for"),
        Order::Commit(attempt) => return check_event(state, attempt),
        Order::Open(_, ArrivalKind::Transfer)
        | Order::Place(_)
        | Order::Run
        | Order::Abandon(_)
        | Order::Reopen(_)
        | Order::Discard
        | Order::Abort => return,
    };
    if !follows {
        state.breaks(Broken::Order(wrong));
    }
}

fn check_event(state: &mut State, attempt: Attempt) {
    let from_disk = matches!(state.record(), ArrivalRecord::Started(started) if started.kind == ArrivalKind::ColdStart);
    let proof = matches!(&state.at_source().state, SourceState::Gone { transfer } if transfer.attempt == attempt);
    if !(proof || from_disk) || state.source_is_alive() || state.source.job.is_some() {
        state.breaks(Broken::EventBeforeGone);
    } else if state.copy(attempt).is_some_and(|copy| copy.stale) {
        state.breaks(Broken::EventForStaleCopy);
    }
}
