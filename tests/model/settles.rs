//! From every state, once faults end, the move settles: with one actor alone it ends where the truth has it, or is held for
//! a reason that a person can see.

use crate::check;
use crate::deciding::{self, Looked};
use crate::hosts;
use crate::hypervisor::{self, Event};
use crate::kept::Kept;
use crate::message::{Message, Sender};
use crate::protocol::Protocol;
use crate::reading;
use crate::state::{Reach, State};
use crate::worker;
use muster_core::decide::Goal;
use muster_core::evidence::{Freshness, Heard, Outcome};
use muster_core::ids::Attempt;
use muster_core::ledger::SourceState;
use muster_core::reading::{Instance, OffCause, Stored};
use muster_core::step::{Decision, Hold, Side, Step};
use muster_core::token::Token;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Most steps that an undisturbed actor may need from any state to the move's end.
const SETTLES_WITHIN: usize = 80;

/// How often a step is repeated that fails, before its attempt counts as refused.
const REPEATS_MAX: u32 = 3;

/// What becomes of hosts that don't answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    ComeBack,
    StayAway,
}

/// Whichever end is wanted, and whether what is lost comes back or not. Actors and what they have sent play no part: the
/// first thing that the one who goes on does is to raise the floors above them.
pub(crate) fn settles(protocol: &Protocol, state: &State) -> bool {
    let mut hasher = DefaultHasher::new();
    let sworn = state.is_sworn();
    (state.leg, &state.source, &state.destination, sworn, state.memory_lost, state.shut_down).hash(&mut hasher);
    let key = hasher.finish();
    if protocol.settled.lock().is_ok_and(|settled| settled.contains(&key)) {
        return true;
    }
    let is_away = |reach: &Reach| *reach != Reach::Answers;
    let misses = is_away(&state.source.reach) || state.destination.hosts.iter().any(is_away);
    for goal in [Goal::Finish, Goal::Undo] {
        for lost in [Lost::ComeBack, Lost::StayAway] {
            let ends = lost == Lost::StayAway && !misses || continue_alone(protocol, state.clone(), goal, lost);
            if !ends {
                tell_why_not(protocol, state, goal, lost);
                return false;
            }
        }
    }
    if let Ok(mut settled) = protocol.settled.lock() {
        settled.insert(key);
    }
    true
}

/// Tells how far it comes, where somebody wants to know: the path that stateright shows ends where this begins.
#[allow(clippy::print_stdout, reason = "for whoever looks into a counterexample")]
fn tell_why_not(protocol: &Protocol, state: &State, goal: Goal, lost: Lost) {
    if std::env::var_os("MUSTER_AT_LENGTH").is_none() {
        return;
    }
    let mut lines = Vec::new();
    continue_and_tell(protocol, state.clone(), (goal, lost), &mut |decision| lines.push(format!("{decision:?}")));
    println!("{goal:?}, what is lost {lost:?}:\n  {}", lines.join("\n  "));
}

fn continue_alone(protocol: &Protocol, state: State, goal: Goal, lost: Lost) -> bool {
    continue_and_tell(protocol, state, (goal, lost), &mut |_| {})
}

fn continue_and_tell(
    protocol: &Protocol,
    mut state: State,
    (goal, lost): (Goal, Lost),
    tell: &mut dyn FnMut(&Decision),
) -> bool {
    let protocol = &Protocol { broken: protocol.broken.filter(|rule| !rule.is_of_floors()), ..protocol.clone() };
    state.bag.clear();
    state.broken = None;
    let top = state.source.row.floor.max(state.destination.row.floor);
    let mut token = Token::new(top.epoch.0 + 1, 1);
    let (mut last, mut repeats, mut refused) = (None, 0, None);
    for _ in 0..SETTLES_WITHIN {
        if lost == Lost::ComeBack && comes_back(&mut state) {
            continue;
        }
        if let Some(outcome) = check::closed(&state) {
            return ends_well(&state, outcome);
        }
        if world_moves(protocol, &mut state) {
            continue;
        }
        state.bag.clear();
        let looked = look(protocol, &state, refused);
        let decision = deciding::decide_on(protocol, &state, goal, &looked);
        tell(&decision);
        let action = match decision.step {
            Step::Act(action) => action,
            Step::Hold(hold) => return is_for_a_person(&state, hold, &looked),
            // What has not ended where nobody can look is held as overdue.
            Step::Wait(_) => return check::is_away(&looked),
            Step::ObserveFenced | Step::Settled(_) => return false,
        };
        repeats = if last == Some(action) { repeats + 1 } else { 0 };
        last = Some(action);
        if repeats == REPEATS_MAX {
            refused = state.attempt();
        }
        token = token.next();
        let order = deciding::order(action, deciding::borrowed(&looked.destination));
        let may_run = !protocol.asks_destination || !order.runs_the_source() || worker::may_run_here(&state);
        let message = Message { leg: state.leg, sender: Sender::Actor(0), token, order, allowed: true };
        if !may_run || !worker::deliver(protocol, &mut state, &message) || state.broken.is_some() {
            return false;
        }
    }
    false
}

fn ends_well(state: &State, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Migrated => state.has_event(),
        // Closed, its host's death is no business of muster's.
        Outcome::StayedAtSource => {
            state.source.instance == Instance::Running || state.shut_down || state.source.reach.is_dead()
        }
    }
}

/// Past every deadline, behind raised floors, and nobody else is there.
fn look(protocol: &Protocol, state: &State, refused: Option<Attempt>) -> Looked {
    let source = match state.source.reach {
        Reach::SiteDead => Heard::Silent,
        Reach::Answers | Reach::Cut | Reach::Dead => Heard::Answer(Kept::new(reading::source(protocol, state))),
    };
    let destination = Heard::Answer(Kept::new(reading::destination(protocol, state)));
    Looked { source, destination, freshness: Freshness::Fenced, late: true, refused }
}

/// A hold that is right when nothing more will happen by itself.
fn is_for_a_person(state: &State, hold: Hold, looked: &Looked) -> bool {
    // Off by its owner's wish, and as it was before: a person's to say.
    let given_back = state.shut_down && state.at_source().state == SourceState::Unsealed;
    if hold == Hold::NotRunning {
        return given_back && state.source.stored == Stored::Real;
    }
    // A whole copy, and a source that ended for a reason that nobody knows: a person's to say as well.
    let is_off = matches!(state.source.instance, Instance::Off(_));
    let may_be_newest = is_off && state.destination.copies.iter().any(hypervisor::is_whole);
    (may_be_newest && hold == Hold::ColdStartNotAllowed)
        || (check::is_away(looked) && check::has_cause(state, hold, looked))
}

/// Whatever the world does by itself, without a fault, before anybody has to act.
fn world_moves(protocol: &Protocol, state: &mut State) -> bool {
    for side in [Side::Source, Side::Destination] {
        let (row, call) = match side {
            Side::Source => (&state.source.row, state.source.call),
            Side::Destination => (&state.destination.row, state.destination.call),
        };
        let reach = worker::call_reach(state, side);
        if call.is_some() && !reach.is_dead() {
            worker::call_lands(protocol, state, side);
            return true;
        }
        if call.is_none() && row.intent.is_some() && reach == Reach::Answers {
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
        hypervisor::happen(protocol, state, event);
        return true;
    }
    let off = state.source.instance == Instance::Off(OffCause::Migrated);
    off && worker::report_gone(protocol, state)
}

fn comes_back(state: &mut State) -> bool {
    if state.source.reach != Reach::Answers && hosts::may_come_back(state) {
        hosts::source_comes_back(state);
        return true;
    }
    let away = state.destination.hosts.iter().position(|reach| *reach != Reach::Answers);
    if let Some(host) = away {
        hosts::destination_comes_back(state, host);
    }
    away.is_some()
}
