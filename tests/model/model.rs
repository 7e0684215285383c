//! The model: which steps may happen, and what each makes of a state.

use crate::actor::{self, Move};
use crate::check;
use crate::hypervisor::{self, Event};
use crate::state::State;
use crate::worker;
use muster_core::decide::Goal;
use muster_core::step::Side;
use muster_core::token::TokenStanding;
use stateright::{Model, Property};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// The protocol with its bounds; the broken variants differ from [`Protocol::shipped`] in one switch each.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    /// What workers make of floors.
    pub(crate) floors: Floors,
    /// What needs a fenced observe gets one.
    pub(crate) fenced: bool,
    /// The fenced observe reads the destination before the source.
    pub(crate) destination_first: bool,
    /// The source's worker takes a paused guest for a proof that it is gone.
    pub(crate) paused_is_gone: bool,
    /// Sealing changes the stored definition.
    pub(crate) seals: bool,
    /// The source's worker writes its proof of "gone" before it answers a fenced observe.
    pub(crate) proof_before_answer: bool,
    /// The source's worker calls an unsealing done only if the guest still has its instance afterwards.
    pub(crate) unseal_looks: bool,
    /// A worker makes what should be inert so again before it lets a mutation end that did not go well.
    pub(crate) inert_before_end: bool,
    /// A new claim begins with a fenced observe.
    pub(crate) claim_doubts: bool,
    /// Which end each actor wants.
    pub(crate) goals: [Goal; 2],
    /// Most attempts.
    pub(crate) attempts_max: u32,
    /// Most faults in one history.
    pub(crate) faults: u8,
    /// Most commands under way at once.
    pub(crate) in_flight_max: usize,
    /// The second actor takes part.
    pub(crate) successor: bool,
    /// What was already found to settle.
    pub(crate) settled: Arc<Mutex<HashSet<u64>>>,
}

/// What a worker makes of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floors {
    /// As shipped.
    Full,
    /// Only an older epoch is refused.
    EpochOnly,
    /// Nothing is refused.
    Ignored,
}

impl Protocol {
    /// The protocol as it is shipped, within these bounds.
    pub(crate) fn shipped(faults: u8, attempts_max: u32) -> Self {
        Protocol {
            floors: Floors::Full,
            fenced: true,
            destination_first: false,
            paused_is_gone: false,
            seals: true,
            proof_before_answer: true,
            unseal_looks: true,
            inert_before_end: true,
            claim_doubts: true,
            goals: [Goal::Finish; 2],
            attempts_max,
            faults,
            in_flight_max: 2,
            successor: true,
            settled: Arc::default(),
        }
    }
}

/// One step of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Somebody who settles makes a move.
    Actor { actor: usize, made: Move },
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
    /// A hypervisor acts by itself.
    Happens(Event),
}

impl Model for Protocol {
    type State = State;
    type Action = (Step, bool);

    fn init_states(&self) -> Vec<State> {
        let mut start = State::start(self.faults);
        actor::claim(self, &mut start, 0);
        vec![start.canonical()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<(Step, bool)>) {
        let actors = if self.successor { 2 } else { 1 };
        let mut moves = Vec::new();
        for actor in 0..actors {
            moves.clear();
            actor::moves(self, state, actor, &mut moves);
            actions.extend(moves.iter().map(|(made, is_fault)| (Step::Actor { actor, made: *made }, *is_fault)));
        }
        for index in 0..state.bag.len() {
            actions.push((Step::Deliver { index, again: false }, false));
            actions.push((Step::Deliver { index, again: true }, true));
        }
        let sites = [
            (Side::Source, &state.source.row, state.source.call),
            (Side::Destination, &state.destination.row, state.destination.call),
        ];
        for (side, row, call) in sites {
            if let Some(call) = call {
                actions.push((Step::CallLands(side), false));
                actions.push((Step::CallFails(side), true));
                actions.push((Step::WorkerCrashes { side, call_lost: true }, true));
                if call.watched {
                    actions.push((Step::WorkerCrashes { side, call_lost: false }, true));
                }
            } else if row.intent.is_some() {
                actions.push((Step::EndsUnseen(side), false));
            }
        }
        if worker::provable_gone(self, state).is_some() {
            actions.push((Step::ReportsGone, false));
        }
        if worker::should_be_inert(state) {
            actions.push((Step::MakesInert, false));
        }
        let mut events = Vec::new();
        hypervisor::events(state, &mut events);
        actions.extend(events.into_iter().map(|event| (Step::Happens(event), event.is_fault())));
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
        if self.floors == Floors::Full {
            forget_refused(&mut state);
        }
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        check::properties()
    }
}

impl Protocol {
    fn take(&self, state: &mut State, step: Step) -> bool {
        match step {
            Step::Actor { actor, made } => return actor::make(self, state, actor, made),
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
            Step::Happens(event) => hypervisor::happen(state, event),
        }
        true
    }
}

/// A command that its floor refuses will be refused for ever, and a refusal changes nothing: it need not be kept.
fn forget_refused(state: &mut State) {
    let floors = (state.source.row.floor, state.destination.row.floor);
    state.bag.retain(|message| {
        let floor = match message.order.side() {
            Side::Source => floors.0,
            Side::Destination => floors.1,
        };
        message.token.against(floor) == TokenStanding::Above
    });
}
