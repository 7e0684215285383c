//! What must hold in every state: the invariants of the design, looked at from outside, with the truth at hand.

use crate::actor;
use crate::hypervisor::{self, Event};
use crate::model::{Floors, Protocol};
use crate::state::{Broken, Copy, Kept, Message, Order, Sender, State};
use crate::worker;
use muster_core::evidence::{Freshness, Heard, Outcome};
use muster_core::ledger::{ArrivalRecord, SourceState};
use muster_core::reading::{Instance, OffCause, Sighting, SiteReading, Stored};
use muster_core::step::{Hold, Side, Step};
use muster_core::token::Token;
use muster_core::verdict::{Doubt, Verdict};
use stateright::Property;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Most steps that an undisturbed actor may need from any state to the move's end.
const SETTLES_WITHIN: usize = 80;

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
        Property::always("8 settles when left alone", settles),
        Property::sometimes("the settler commits", |_, state: &State| {
            state.bag.iter().any(|sent| matches!((sent.sender, sent.order), (Sender::Actor(_), Order::Commit(_))))
        }),
        Property::sometimes("an arrival is taken after all", |_, state: &State| {
            state.bag.iter().any(|sent| matches!(sent.order, Order::Reopen(_)))
        }),
        Property::sometimes("a transfer is ended", |_, state: &State| {
            state.bag.iter().any(|sent| matches!(sent.order, Order::Abort))
        }),
        Property::sometimes("a VM that was shut down is given back", |_, state: &State| {
            state.shut_down && state.bag.iter().any(|sent| matches!(sent.order, Order::Unseal))
        }),
        Property::sometimes("a lost VM is started again", |_, state: &State| {
            state.bag.iter().any(|sent| matches!(sent.order, Order::Start))
        }),
        Property::sometimes("migrated", |_, state| closed(state) == Some(Outcome::Migrated)),
        Property::sometimes("stayed", |_, state| closed(state) == Some(Outcome::StayedAtSource)),
    ]
}

/// Whether what fenced evidence is said to prove is so. Nothing fences a hypervisor: of a guest that it had paused, a
/// verdict may be overtaken by its letting go between the two readings.
pub(crate) fn is_true(state: &State, verdict: Verdict, read: &Heard<Kept<SiteReading>>) -> bool {
    let overtaken = match read {
        Heard::Answer(read) => read.sight.sightings.iter().any(|seen| seen.instance == Instance::Paused),
        Heard::Silent => false,
    };
    match verdict {
        Verdict::NotMigrated if overtaken && !state.has_event() => true,
        Verdict::NotStarted => *state.record() == ArrivalRecord::Enrolled,
        Verdict::NotMigrated => !state.has_event() && !is_handed_over(state),
        Verdict::HandedOver => !state.has_event() && is_handed_over(state),
        Verdict::FullyMigrated => state.has_event() && !state.source_is_alive(),
        Verdict::MemoryLost => state.memory_lost && !state.shut_down,
        Verdict::SplitBrain => !one_runner(state),
        // Nothing in the model's world gives cause for any other doubt.
        Verdict::Indeterminate(doubt) => {
            doubt == Doubt::DestinationSilent
                || (!state.has_event() && (doubt == Doubt::SourceSilent || doubt == Doubt::HandoverUnderWay))
        }
    }
}

/// Whether there is a cause for a hold in the model's world, where only a site may be silent.
pub(crate) fn has_cause(hold: Hold, source: &Heard<Kept<SiteReading>>, destination: &Heard<Kept<SiteReading>>) -> bool {
    let source_is_silent = matches!(source, Heard::Silent);
    let destination_is_silent = matches!(destination, Heard::Silent);
    let shows = |heard: &Heard<Kept<SiteReading>>, is: fn(&Sighting) -> bool| match heard {
        Heard::Answer(read) => read.sight.sightings.iter().any(is),
        Heard::Silent => false,
    };
    let is_off = shows(source, is_shut_down);
    // Which of two truths it is, a daemon that forgot why can't tell.
    let may_be_newest = shows(source, |seen| matches!(seen.instance, Instance::Off(_)))
        && shows(destination, |seen| seen.instance == Instance::Paused);
    (is_off && hold == Hold::NotRunning)
        || (may_be_newest && hold == Hold::ColdStartNotAllowed)
        || (source_is_silent && (hold == Hold::SourceSilent || hold == Hold::RetireOwed))
        || (destination_is_silent && hold == Hold::DestinationSilent)
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
    stopped && arrived && !state.memory_lost
}

fn closed(state: &State) -> Option<Outcome> {
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
    let ends_well = match closed(state) {
        None => true,
        Some(Outcome::Migrated) => retired && state.at_source().closed,
        Some(Outcome::StayedAtSource) => {
            state.at_source().closed && state.source.stored == Stored::Real && !runs && !sends
        }
    };
    (!runs || state.has_event()) && (!retired || state.has_event()) && ends_well
}

/// From here, with no more faults and one actor alone, the move ends, and ends where the truth has it.
fn settles(protocol: &Protocol, state: &State) -> bool {
    let mut hasher = DefaultHasher::new();
    (&state.source, &state.destination, state.memory_lost, state.shut_down).hash(&mut hasher);
    let key = hasher.finish();
    if protocol.settled.lock().is_ok_and(|settled| settled.contains(&key)) {
        return true;
    }
    let ends = (0..2).all(|actor| continue_alone(protocol, state.clone(), actor));
    if ends && let Ok(mut settled) = protocol.settled.lock() {
        settled.insert(key);
    }
    ends
}

fn continue_alone(protocol: &Protocol, mut state: State, actor: usize) -> bool {
    let protocol = &Protocol { floors: Floors::Full, ..protocol.clone() };
    state.bag.clear();
    state.broken = None;
    let top = state.source.row.floor.max(state.destination.row.floor);
    let mut token = Token::new(top.epoch.0 + 1, 1);
    for _ in 0..SETTLES_WITHIN {
        if let Some(outcome) = closed(&state) {
            return match outcome {
                Outcome::Migrated => state.has_event(),
                Outcome::StayedAtSource => state.source.instance == Instance::Running || state.shut_down,
            };
        }
        if world_moves(protocol, &mut state) {
            continue;
        }
        state.bag.clear();
        let source = actor::read_source(protocol, &state);
        let destination = worker::read_destination(&state);
        let heard = (Heard::Answer(&source), Heard::Answer(&destination));
        let decision = actor::decide_on(protocol, &state, actor, heard.0, heard.1, Freshness::Fenced, true);
        // Off by its owner's wish, and as it was before: a person's to say.
        let given_back = state.shut_down && state.at_source().state == SourceState::Unsealed;
        if given_back && decision.step == Step::Hold(Hold::NotRunning) {
            return state.source.stored == Stored::Real;
        }
        // A whole copy, and a source that ended for a reason that nobody knows: a person's to say as well.
        let is_off = matches!(state.source.instance, Instance::Off(_));
        let may_be_newest = is_off && state.destination.copies.iter().any(hypervisor::is_whole);
        if may_be_newest && decision.step == Step::Hold(Hold::ColdStartNotAllowed) {
            return true;
        }
        let Step::Act(action) = decision.step else { return false };
        token = token.next();
        let sender = Sender::Actor(0);
        let message = Message { sender, token, order: actor::order(action, heard.1) };
        if !worker::deliver(protocol, &mut state, &message) || state.broken.is_some() {
            return false;
        }
    }
    false
}

/// Whatever the world does by itself, without a fault, before anybody has to act.
fn world_moves(protocol: &Protocol, state: &mut State) -> bool {
    for side in [Side::Source, Side::Destination] {
        let (row, call) = match side {
            Side::Source => (&state.source.row, state.source.call),
            Side::Destination => (&state.destination.row, state.destination.call),
        };
        if call.is_some() {
            worker::call_lands(protocol, state, side);
            return true;
        }
        if row.intent.is_some() {
            worker::end_unseen(protocol, state, side);
            return true;
        }
    }
    if worker::should_be_inert(state) {
        worker::make_inert_again(state, Side::Source);
        return true;
    }
    let mut events = Vec::new();
    hypervisor::events(state, &mut events);
    let next = events.into_iter().find(|event| {
        matches!(
            event,
            Event::MemoryArrives | Event::DestinationFinishes | Event::SourceLetsGo | Event::IncomingIsDropped(_)
        )
    });
    if let Some(event) = next {
        hypervisor::happen(state, event);
        return true;
    }
    let off = state.source.instance == Instance::Off(OffCause::Migrated);
    off && worker::report_gone(protocol, state)
}
