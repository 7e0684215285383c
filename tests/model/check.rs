//! What must hold in every state: the invariants of the design, looked at from outside, with the truth at hand.

use crate::deciding::Looked;
use crate::kept::Kept;
use crate::message::{Order, Sender};
use crate::protocol::Protocol;
use crate::settles;
use crate::state::{Actor, Broken, Copy, Leg, Phase, Reach, State};
use muster_core::decide::Goal;
use muster_core::evidence::{ArrivalKind, Heard, Outcome};
use muster_core::ledger::{ArrivalRecord, SourceState};
use muster_core::reading::{Instance, OffCause, Sighting, SiteReading, Stored};
use muster_core::step::Hold;
use muster_core::verdict::{Doubt, Verdict};
use stateright::Property;

/// The properties, each with the number of its invariant where it has one.
pub(crate) fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always("1 one runner", |_, state| one_runner(state)),
        Property::always("2 none lost", |_, state: &State| {
            (state.memory_lost || state.shut_down || is_somewhere(state))
                && state.broken != Some(Broken::MemoryThrownAway)
        }),
        Property::always("3 order", |_, state| in_order(state) && !matches!(state.broken, Some(Broken::Order(_)))),
        Property::always("6 forward only", |_, state: &State| !(state.has_event() && state.source_is_alive())),
        Property::always("event only when gone", |_, state: &State| {
            !matches!(state.broken, Some(Broken::EventBeforeGone | Broken::EventForStaleCopy))
        }),
        Property::always("verdicts are true", |_, state: &State| !matches!(state.broken, Some(Broken::Verdict(_)))),
        Property::always("holds have a cause", |_, state: &State| !matches!(state.broken, Some(Broken::Hold(_)))),
        Property::always("8 settles when left alone", settles::settles),
    ]
}

/// What has to be seen in an exploration, lest its bounds leave out what it is meant to show: see [`Protocol::shows`].
pub(crate) fn sights() -> Vec<Property<Protocol>> {
    vec![
        Property::sometimes("migrated", |_, state| closed(state) == Some(Outcome::Migrated)),
        Property::sometimes("stayed", |_, state| closed(state) == Some(Outcome::StayedAtSource)),
        Property::sometimes("the settler commits", |_, state: &State| {
            state.bag.iter().any(|sent| matches!((sent.sender, sent.order), (Sender::Actor(_), Order::Commit(_))))
        }),
        Property::sometimes("an arrival is taken after all", |_, state| {
            ordered(state, |order| matches!(order, Order::Reopen(_)))
        }),
        Property::sometimes("a transfer is ended", |_, state| ordered(state, |order| order == Order::Abort)),
        Property::sometimes("a VM that was shut down is given back", |_, state: &State| {
            state.shut_down && ordered(state, |order| order == Order::Unseal)
        }),
        Property::sometimes("a lost VM is started again", |_, state| ordered(state, |order| order == Order::Start)),
        Property::sometimes("the recovery acts", |protocol: &Protocol, state: &State| {
            state
                .bag
                .iter()
                .any(|sent| matches!(sent.sender, Sender::Actor(by) if by as usize == protocol.orchestrators))
        }),
        Property::sometimes("a claim loses to another", |_, state: &State| {
            let is_late = |actor: &Actor| matches!(actor.phase, Phase::Claiming { expected, .. } if expected < state.claims.epoch);
            state.actors.iter().any(is_late)
        }),
        Property::sometimes("a cancel comes too late", |_, state: &State| {
            state.has_event() && state.actors.iter().any(|actor| actor.goal == Goal::Undo)
        }),
        Property::sometimes("started anew from its disk", |_, state: &State| {
            let anew = matches!(state.record(), ArrivalRecord::Completed(event) if event.started.kind == ArrivalKind::ColdStart);
            anew && state.newest_is_there()
        }),
        Property::sometimes("given up, and back again", |_, state: &State| {
            state.is_sworn() && state.source.reach == Reach::Answers
        }),
        Property::sometimes("back where it was", |_, state: &State| {
            state.leg == Leg::Back && closed(state) == Some(Outcome::Migrated)
        }),
        Property::sometimes("late orders of the move there", |_, state: &State| {
            state.leg == Leg::Back && state.bag.iter().any(|sent| sent.leg == Leg::There)
        }),
    ]
}

fn ordered(state: &State, is: fn(Order) -> bool) -> bool {
    state.bag.iter().any(|sent| is(sent.order))
}

/// Whether what fenced evidence is said to prove is so. Nothing fences a hypervisor: of a guest that it had paused, a
/// verdict may be overtaken by its letting go between the two readings.
pub(crate) fn is_true(state: &State, verdict: Verdict, looked: &Looked) -> bool {
    let overtaken = shows(&looked.source, |seen| seen.instance == Instance::Paused);
    match verdict {
        Verdict::NotMigrated if overtaken && !state.has_event() => true,
        Verdict::NotStarted => *state.record() == ArrivalRecord::Enrolled,
        Verdict::NotMigrated => !state.has_event() && !is_handed_over(state),
        Verdict::HandedOver => !state.has_event() && is_handed_over(state),
        Verdict::FullyMigrated => state.has_event() && !state.source_is_alive(),
        Verdict::MemoryLost if state.shut_down => is_started_behind_its_owner(state),
        Verdict::MemoryLost => state.memory_lost,
        Verdict::SplitBrain => !one_runner(state),
        Verdict::Indeterminate(Doubt::DestinationSilent) => looked.destination == Heard::Silent,
        Verdict::Indeterminate(Doubt::DestinationHostSilent) => !state.has_event() && is_unseen(&looked.destination),
        Verdict::Indeterminate(doubt) => {
            !state.has_event() && (doubt == Doubt::SourceSilent || doubt == Doubt::HandoverUnderWay)
        }
    }
}

/// Whether there is a cause for a hold in the model's world, where nobody's hands touch a VM but its owner's.
pub(crate) fn has_cause(state: &State, hold: Hold, looked: &Looked) -> bool {
    let is_off = shows(&looked.source, is_shut_down);
    // Which of two truths it is, a daemon that forgot why can't tell.
    let may_be_newest = shows(&looked.source, |seen| matches!(seen.instance, Instance::Off(_)))
        && shows(&looked.destination, |seen| seen.instance == Instance::Paused);
    let source_is_unseen = is_unseen(&looked.source);
    let is_given_up = source_is_unseen && state.is_sworn();
    (is_off && hold == Hold::NotRunning)
        || (may_be_newest && hold == Hold::ColdStartNotAllowed)
        || (source_is_unseen && (hold == Hold::SourceSilent || hold == Hold::RetireOwed))
        || (is_given_up && (hold == Hold::LeftBehind || hold == Hold::ColdStartNotAllowed))
        || (looked.destination == Heard::Silent && hold == Hold::DestinationSilent)
        || (is_unseen(&looked.destination) && hold == Hold::DestinationHostSilent)
}

/// Somebody doesn't answer.
pub(crate) fn is_away(looked: &Looked) -> bool {
    is_unseen(&looked.source) || is_unseen(&looked.destination)
}

/// A site, or a host of it, doesn't answer.
fn is_unseen(heard: &Heard<Kept<SiteReading>>) -> bool {
    match heard {
        Heard::Silent => true,
        Heard::Answer(read) => !read.sight.silent_hosts.is_empty(),
    }
}

fn shows(heard: &Heard<Kept<SiteReading>>, is: fn(&Sighting) -> bool) -> bool {
    match heard {
        Heard::Answer(read) => read.sight.sightings.iter().any(is),
        Heard::Silent => false,
    }
}

fn is_shut_down(seen: &Sighting) -> bool {
    seen.instance == Instance::Off(OffCause::ShutDown) && seen.stored == Stored::Real
}

fn one_runner(state: &State) -> bool {
    let copies = state.destination.copies.iter().filter(|copy| copy.instance == Instance::Running).count();
    copies + usize::from(state.source.instance == Instance::Running) <= 1
}

fn is_somewhere(state: &State) -> bool {
    state.source_is_alive() || state.newest_is_there()
}

fn is_handed_over(state: &State) -> bool {
    let stopped = matches!(state.source.instance, Instance::Off(_));
    let arrived = state.attempt().and_then(|attempt| state.copy(attempt)).is_some_and(Copy::holds_newest);
    // A proof that came back from the dark is one.
    let proven = state.is_sworn() && matches!(state.at_source().state, SourceState::Gone { .. });
    stopped && arrived && (!state.memory_lost || proven)
}

/// It was started again, came up with its host, and its owner has shut it down before its worker could write down that it
/// ran: the proof of the handover before still stands, and it is started once more.
fn is_started_behind_its_owner(state: &State) -> bool {
    matches!(state.at_source().state, SourceState::Gone { .. })
}

/// How the move has ended, if it has.
pub(crate) fn closed(state: &State) -> Option<Outcome> {
    match state.record() {
        ArrivalRecord::Closed(closed) => Some(closed.outcome),
        ArrivalRecord::Enrolled
        | ArrivalRecord::Started(_)
        | ArrivalRecord::Abandoned(_)
        | ArrivalRecord::Completed(_) => None,
    }
}

/// The lines of a move that show in a state; those that show in a step are checked where a ledger takes it.
fn in_order(state: &State) -> bool {
    let runs = state.destination.copies.iter().any(|copy| copy.instance == Instance::Running);
    let retired = state.at_source().state == SourceState::Retired || state.source.stored == Stored::Retired;
    let sends = state.source.job.is_some();
    let is_given_back = state.source.stored == Stored::Real;
    let ends_well = match closed(state) {
        None => true,
        Some(Outcome::Migrated) => retired && state.at_source().closed,
        Some(Outcome::StayedAtSource) => state.at_source().closed && is_given_back && !runs && !sends,
    };
    (!runs || state.has_event()) && (!retired || state.has_event()) && ends_well
}
