//! The model: which steps may happen, and what each makes of a state.

use crate::actor::{self, Move};
use crate::check;
use crate::claiming;
use crate::hosts;
use crate::hypervisor::{self, Event};
use crate::protocol::Protocol;
use crate::state::{Reach, State};
use crate::worker;
use muster_core::step::Side;
use muster_core::token::TokenStanding;
use stateright::{Model, Property};

/// One step of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Somebody who settles makes a move.
    Actor { actor: usize, made: Move },
    /// The source's worker asks the destination's whether its copy may run, as this command would have it.
    Asks { index: usize },
    /// A command arrives; it may arrive once more.
    Deliver { index: usize, again: bool },
    /// A hypervisor call takes effect.
    CallLands(Side),
    /// A hypervisor call fails.
    CallFails(Side),
    /// A worker is killed while its call is under way.
    WorkerCrashes { side: Side, call_lost: bool },
    /// A restarted worker finds that its call has ended unseen.
    EndsUnseen(Side),
    /// The source's worker makes inert again what its ledger calls sealed or retired.
    MakesInert,
    /// The source's worker finds its proof, writes it down and calls.
    ReportsGone,
    /// The destination's worker removes what given-up attempts left, once the move is over.
    CleansUp,
    /// A hypervisor acts by itself, or a host comes or goes.
    Happens(Event),
    /// A person swears that the source can't run anything, and sees to it that it is so.
    Swears,
    /// Another evacuation begins to bring it back.
    MovesBack,
}

impl Model for Protocol {
    type State = State;
    type Action = (Step, bool);

    fn init_states(&self) -> Vec<State> {
        vec![State::start(self.faults, self.hosts, claiming::unclaimed(self)).canonical(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<(Step, bool)>) {
        let mut moves = Vec::new();
        for actor in 0..state.actors.len() {
            moves.clear();
            actor::moves(self, state, actor, &mut moves);
            actions.extend(moves.iter().map(|(made, is_fault)| (Step::Actor { actor, made: *made }, *is_fault)));
        }
        self.deliveries(state, actions);
        self.calls(state, actions);
        let mut events = Vec::new();
        hypervisor::events(state, &mut events);
        hosts::events(self, state, &mut events);
        actions.extend(events.into_iter().map(|event| (Step::Happens(event), event.is_fault())));
        if self.sworn.is_some() && state.source.reach.is_dead() && !state.is_sworn() {
            actions.push((Step::Swears, false));
        }
        if self.moves_back && state.may_move_back() {
            actions.push((Step::MovesBack, false));
        }
        if state.faults == 0 {
            actions.retain(|(_, is_fault)| !is_fault);
        }
    }

    fn next_state(&self, last: &State, (step, is_fault): (Step, bool)) -> Option<State> {
        let mut state = last.clone();
        if is_fault {
            state.faults = state.faults.checked_sub(1)?;
        }
        if !self.take(&mut state, step) {
            return None;
        }
        if self.has_floors() {
            forget_refused(&mut state);
        }
        Some(state.canonical(self))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let shown = check::sights().into_iter().filter(|sight| self.shows.contains(&sight.name));
        check::properties().into_iter().chain(shown).collect()
    }
}

impl Protocol {
    fn deliveries(&self, state: &State, actions: &mut Vec<(Step, bool)>) {
        for (index, message) in state.bag.iter().enumerate() {
            if message.side(state.leg) == Side::Source && state.source.reach == Reach::SiteDead {
                continue;
            }
            if self.asks_destination && message.order.runs_the_source() && !message.allowed {
                actions.push((Step::Asks { index }, false));
                continue;
            }
            actions.push((Step::Deliver { index, again: false }, false));
            actions.push((Step::Deliver { index, again: true }, true));
        }
    }

    fn calls(&self, state: &State, actions: &mut Vec<(Step, bool)>) {
        let sites = [
            (Side::Source, &state.source.row, state.source.call),
            (Side::Destination, &state.destination.row, state.destination.call),
        ];
        for (side, row, call) in sites {
            if let Some(call) = call {
                if !worker::call_reach(state, side).is_dead() {
                    actions.push((Step::CallLands(side), false));
                }
                actions.push((Step::CallFails(side), true));
                actions.push((Step::WorkerCrashes { side, call_lost: true }, true));
                if call.watched {
                    actions.push((Step::WorkerCrashes { side, call_lost: false }, true));
                }
            } else if row.intent.is_some() && worker::call_reach(state, side) == Reach::Answers {
                actions.push((Step::EndsUnseen(side), false));
            }
        }
        if worker::provable_gone(self, state).is_some() {
            actions.push((Step::ReportsGone, false));
        }
        if worker::should_be_inert(state) {
            actions.push((Step::MakesInert, false));
        }
        if worker::may_clean_up(state) {
            actions.push((Step::CleansUp, false));
        }
    }

    fn take(&self, state: &mut State, step: Step) -> bool {
        match step {
            Step::Actor { actor, made } => return actor::make(self, state, actor, made),
            Step::Asks { index } => {
                if worker::may_run_here(state) {
                    state.bag[index].allowed = true;
                } else {
                    state.bag.remove(index);
                }
            }
            Step::Deliver { index, again } => {
                let message = state.bag[index];
                let changed = worker::deliver(self, state, &message);
                if !again {
                    state.bag.remove(index);
                }
                return changed || !again;
            }
            Step::CallLands(side) => worker::call_lands(self, state, side),
            Step::CallFails(side) => worker::call_fails(self, state, side),
            Step::WorkerCrashes { side, call_lost } => worker::crash(state, side, call_lost),
            Step::EndsUnseen(side) => worker::end_unseen(self, state, side),
            Step::MakesInert => worker::make_inert_again(state, Side::Source),
            Step::ReportsGone => return worker::report_gone(self, state),
            Step::CleansUp => worker::clean_up(state),
            Step::Happens(event) => hypervisor::happen(self, state, event),
            Step::Swears => return claiming::swear(state),
            Step::MovesBack => state.move_back(claiming::unclaimed(self)),
        }
        true
    }
}

/// A command that its floor refuses will be refused for ever, and a refusal changes nothing: it need not be kept.
fn forget_refused(state: &mut State) {
    let floors = (state.source.row.floor, state.destination.row.floor);
    let leg = state.leg;
    state.bag.retain(|message| {
        let floor = match message.side(leg) {
            Side::Source => floors.0,
            Side::Destination => floors.1,
        };
        message.token.against(floor) == TokenStanding::Above
    });
}
