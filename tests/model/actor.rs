//! Somebody who settles: observe → decide → act, with the shipped weighing and the shipped `decide`.

use crate::check;
use crate::model::{Floors, Protocol};
use crate::state::{Broken, EVACUATION, Glance, Kept, Message, Order, Phase, Sender, State};
use crate::worker;
use muster_core::claim::{Holder, HolderKind};
use muster_core::decide::{ColdStart, Leftovers, MoveOrder, decide};
use muster_core::definition::Mode;
use muster_core::evidence::{Freshness, Heard};
use muster_core::ids::Attempt;
use muster_core::ledger::ArrivalRecord;
use muster_core::ledger::command::{EvacuationCommand, EvacuationOrder};
use muster_core::ledger::transition;
use muster_core::ledger::weigh::Readings;
use muster_core::reading::SiteReading;
use muster_core::step::{Action, Decision, Side, Step};
use muster_core::time::Timestamp;
use muster_core::token::{Sequence, Token};

/// What an actor may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    /// Claim the evacuation.
    Claim,
    /// Take one side's streamed reading; with both, decide.
    Glance {
        /// Whose.
        side: Side,
        /// The handover's deadline has passed.
        late: bool,
    },
    /// Raise the source's floor.
    FenceSource {
        /// It doesn't answer. A fault.
        silent: bool,
    },
    /// Raise the destination's floor.
    FenceDestination {
        /// It doesn't answer. A fault.
        silent: bool,
    },
    /// Read a side behind the raised floors; with both, decide.
    Read {
        /// Whose.
        side: Side,
        /// The handover's deadline has passed.
        late: bool,
    },
}

/// The moves of an actor, and whether each is a fault.
pub(crate) fn moves(protocol: &Protocol, state: &State, actor: usize, moves: &mut Vec<(Move, bool)>) {
    let both = |late| [(Side::Source, late), (Side::Destination, late)];
    match &state.actors[actor].phase {
        Phase::Unclaimed => moves.push((Move::Claim, false)),
        Phase::Idle => {
            // It has given up waiting for what it sent last.
            let impatient = has_sent(state, actor);
            moves.extend(both(false).map(|(side, late)| (Move::Glance { side, late }, impatient)));
        }
        Phase::Glanced(Glance::Source(_)) => {
            moves.extend([false, true].map(|late| (Move::Glance { side: Side::Destination, late }, false)));
        }
        Phase::Glanced(Glance::Destination(_)) => {
            moves.extend([false, true].map(|late| (Move::Glance { side: Side::Source, late }, false)));
        }
        Phase::Doubting => {
            moves.push((Move::FenceDestination { silent: false }, has_sent(state, actor)));
            moves.push((Move::FenceDestination { silent: true }, true));
        }
        Phase::DestinationFenced { silent } => {
            moves.push((Move::FenceSource { silent: false }, false));
            if !silent {
                moves.push((Move::FenceSource { silent: true }, true));
            }
        }
        // The source is all that it will hear of.
        Phase::BothFenced { silent: Some(Side::Destination) } => {
            moves.extend([false, true].map(|late| (Move::Read { side: Side::Source, late }, false)));
        }
        Phase::BothFenced { silent: Some(Side::Source) | None } => {
            let side = if protocol.destination_first { Side::Destination } else { Side::Source };
            moves.push((Move::Read { side, late: false }, false));
        }
        Phase::Read(first) => {
            let side = match first {
                Glance::Source(_) => Side::Destination,
                Glance::Destination(_) => Side::Source,
            };
            moves.extend([false, true].map(|late| (Move::Read { side, late }, false)));
        }
        Phase::Over => {}
    }
}

/// Makes a move; false if it changes nothing.
pub(crate) fn make(protocol: &Protocol, state: &mut State, actor: usize, made: Move) -> bool {
    match made {
        Move::Claim => claim(protocol, state, actor),
        Move::Glance { side, late } => glance(protocol, state, actor, side, late),
        Move::FenceDestination { silent } => {
            let token = state.actors[actor].last.next();
            state.actors[actor].last = token;
            let refused = !silent && worker::raise_floor(protocol, state, Side::Destination, token).is_err();
            state.actors[actor].phase = if refused { Phase::Over } else { Phase::DestinationFenced { silent } };
            true
        }
        Move::FenceSource { silent } => {
            let token = state.actors[actor].last;
            let refused = !silent && worker::raise_floor(protocol, state, Side::Source, token).is_err();
            let destination_is_silent = state.actors[actor].phase == Phase::DestinationFenced { silent: true };
            let silent = if destination_is_silent { Some(Side::Destination) } else { silent.then_some(Side::Source) };
            state.actors[actor].phase = if refused { Phase::Over } else { Phase::BothFenced { silent } };
            true
        }
        Move::Read { side, late } => read(protocol, state, actor, side, late),
    }
}

/// Claims by compare-and-set at the destination's ledger, above every floor.
pub(crate) fn claim(protocol: &Protocol, state: &mut State, actor: usize) -> bool {
    let kind = if actor == 0 { HolderKind::Orchestrator } else { HolderKind::Recovery };
    let at_least = state.source.row.floor.epoch.max(state.destination.row.floor.epoch);
    let expected = state.claims.epoch;
    let order = EvacuationOrder::Claim { holder: Holder::new("h", kind), expected, at_least, take_over: None };
    let command = EvacuationCommand { evacuation: EVACUATION, at: Timestamp::default(), order };
    let Ok((claims, _)) = transition::evacuation(&state.claims, &command) else { return false };
    state.actors[actor].last = Token { epoch: claims.epoch, sequence: Sequence(1) };
    state.actors[actor].phase = if protocol.claim_doubts { Phase::Doubting } else { Phase::Idle };
    state.claims = claims;
    true
}

fn has_sent(state: &State, actor: usize) -> bool {
    state.bag.iter().any(|message| message.sender == sender(actor))
}

fn sender(actor: usize) -> Sender {
    Sender::Actor(u8::from(actor == 1))
}

fn glance(protocol: &Protocol, state: &mut State, actor: usize, side: Side, late: bool) -> bool {
    let taken = match side {
        Side::Source => Glance::Source(Heard::Answer(Kept::new(read_source(protocol, state)))),
        Side::Destination => Glance::Destination(Heard::Answer(Kept::new(worker::read_destination(state)))),
    };
    let freshness = if protocol.fenced { Freshness::Streamed } else { Freshness::Fenced };
    match (state.actors[actor].phase.clone(), taken) {
        (Phase::Idle, taken) => {
            state.actors[actor].phase = Phase::Glanced(taken);
            true
        }
        (Phase::Glanced(Glance::Source(source)), Glance::Destination(destination))
        | (Phase::Glanced(Glance::Destination(destination)), Glance::Source(source)) => {
            settle(protocol, state, actor, Looked { source, destination, freshness, late })
        }
        _ => false,
    }
}

fn read(protocol: &Protocol, state: &mut State, actor: usize, side: Side, late: bool) -> bool {
    let phase = state.actors[actor].phase.clone();
    if side == Side::Source && !prepare_source(protocol, state, actor, &phase) {
        return false;
    }
    if is_overtaken(protocol, state, actor, side) {
        state.actors[actor].phase = Phase::Over;
        return true;
    }
    let taken = match (side, &phase) {
        (Side::Source, Phase::BothFenced { silent: Some(Side::Source) }) => Glance::Source(Heard::Silent),
        (Side::Source, _) => Glance::Source(Heard::Answer(Kept::new(read_source(protocol, state)))),
        (Side::Destination, _) => Glance::Destination(Heard::Answer(Kept::new(worker::read_destination(state)))),
    };
    let freshness = Freshness::Fenced;
    match (phase, taken) {
        (Phase::BothFenced { silent: Some(Side::Destination) }, Glance::Source(source)) => {
            settle(protocol, state, actor, Looked { source, destination: Heard::Silent, freshness, late })
        }
        (Phase::BothFenced { .. }, taken) => {
            state.actors[actor].phase = Phase::Read(taken);
            true
        }
        (Phase::Read(Glance::Source(source)), Glance::Destination(destination)) => {
            let first_is_busy = matches!(&source, Heard::Answer(source) if is_busy(source));
            (first_is_busy || !matches!(&destination, Heard::Answer(destination) if is_busy(destination)))
                && settle(protocol, state, actor, Looked { source, destination, freshness, late })
        }
        (Phase::Read(Glance::Destination(destination)), Glance::Source(source)) => {
            settle(protocol, state, actor, Looked { source, destination, freshness, late })
        }
        _ => false,
    }
}

/// The source is read until it has no job, or is silent. One who wants the move undone, or can't hear the destination, reads
/// a busy one as well, to find that there is a job to end. Its worker writes down what it can prove before it answers.
fn prepare_source(protocol: &Protocol, state: &mut State, actor: usize, phase: &Phase) -> bool {
    if matches!(phase, Phase::BothFenced { silent: Some(Side::Source) }) {
        return true;
    }
    if protocol.proof_before_answer {
        worker::report_gone(protocol, state);
    }
    let alone = matches!(phase, Phase::BothFenced { silent: Some(Side::Destination) });
    let wants_back = protocol.goals[actor] == muster_core::decide::Goal::Undo;
    alone || wants_back || !is_busy(&worker::read_source(state))
}

/// The destination shows a greater floor than this actor's own: somebody newer has fenced it since. Whoever fences begins
/// there, so that the last reading tells.
fn is_overtaken(protocol: &Protocol, state: &State, actor: usize, side: Side) -> bool {
    let overtaken = state.destination.row.floor > state.actors[actor].last;
    side == Side::Destination && protocol.floors == Floors::Full && overtaken
}

/// Both readings, and how they came about.
struct Looked {
    source: Heard<Kept<SiteReading>>,
    destination: Heard<Kept<SiteReading>>,
    freshness: Freshness,
    late: bool,
}

fn settle(protocol: &Protocol, state: &mut State, actor: usize, looked: Looked) -> bool {
    let decide_when = |late| {
        let (source, destination) = (borrowed(&looked.source), borrowed(&looked.destination));
        decide_on(protocol, state, actor, source, destination, looked.freshness, late)
    };
    let decision = decide_when(looked.late);
    if looked.late && decision == decide_when(false) {
        return false;
    }
    if looked.freshness == Freshness::Fenced && !check::is_true(state, decision.verdict, &looked.source) {
        state.breaks(Broken::Verdict(decision.verdict));
    }
    if let (Freshness::Fenced, Step::Hold(hold)) = (looked.freshness, decision.step)
        && !check::has_cause(hold, &looked.source, &looked.destination)
    {
        state.breaks(Broken::Hold(hold));
    }
    let next = match decision.step {
        Step::ObserveFenced => Phase::Doubting,
        Step::Wait(_) | Step::Hold(_) => Phase::Idle,
        Step::Settled(_) => Phase::Over,
        Step::Act(action) if act(protocol, state, actor, action, &looked.destination) => Phase::Idle,
        Step::Act(_) => return false,
    };
    state.actors[actor].phase = next;
    true
}

fn borrowed(heard: &Heard<Kept<SiteReading>>) -> Heard<&SiteReading> {
    match heard {
        Heard::Answer(reading) => Heard::Answer(reading),
        Heard::Silent => Heard::Silent,
    }
}

fn act(protocol: &Protocol, state: &mut State, actor: usize, action: Action, read: &Heard<Kept<SiteReading>>) -> bool {
    if state.bag.len() >= protocol.in_flight_max {
        return false;
    }
    let token = state.actors[actor].last.next();
    state.actors[actor].last = token;
    state.send(Message { sender: sender(actor), token, order: order(action, borrowed(read)) });
    true
}

/// Decides on two readings.
pub(crate) fn decide_on(
    protocol: &Protocol,
    state: &State,
    actor: usize,
    source: Heard<&SiteReading>,
    destination: Heard<&SiteReading>,
    freshness: Freshness,
    past_deadline: bool,
) -> Decision {
    let readings =
        Readings { evacuation: EVACUATION, freshness, destination, source, claims: &state.claims, past_deadline };
    let order = MoveOrder {
        mode: Mode::Live,
        goal: protocol.goals[actor],
        attempts_max: protocol.attempts_max,
        cold_start: ColdStart::Never,
        refused: None,
        leftovers: Leftovers::AreDiscarded,
    };
    decide(&order, &readings.weigh())
}

/// The command that an action becomes, for the attempt that was read.
pub(crate) fn order(action: Action, read: Heard<&SiteReading>) -> Order {
    let (current, next) = attempts(read);
    match action {
        Action::OpenAttempt(_) => Order::Open(next),
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
    use muster_core::ledger::Standing;
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

/// What the source's worker shows, in this protocol.
pub(crate) fn read_source(protocol: &Protocol, state: &State) -> SiteReading {
    if protocol.seals { worker::read_source(state) } else { worker::read_unsealed_source(state) }
}

fn is_busy(reading: &SiteReading) -> bool {
    let has_job = reading.sight.sightings.iter().any(|sighting| sighting.job.is_some());
    has_job || reading.mutation_under_way || reading.sight.call_under_way
}
