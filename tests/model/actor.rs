//! Somebody who settles: observe → decide → act, with the shipped weighing and the shipped `decide`.

use crate::check;
use crate::claiming;
use crate::deciding::{self, Looked};
use crate::kept::Kept;
use crate::message::{Message, Sender};
use crate::protocol::{BadRule, IN_FLIGHT_MAX, Protocol};
use crate::reading;
use crate::state::{Broken, Glance, Phase, Reach, State};
use crate::worker;
use muster_core::decide::Goal;
use muster_core::evidence::{Freshness, Heard};
use muster_core::ledger::weigh::is_busy;
use muster_core::reading::SiteReading;
use muster_core::step::{Action, Side, Step};
use muster_core::token::Token;

/// What an actor may do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    /// Read what a claim of the evacuation needs.
    ReadClaims,
    /// Claim the evacuation.
    Claim,
    /// Take one side's streamed reading; with both, decide.
    Glance {
        /// Whose.
        side: Side,
        /// The handover's deadline has passed.
        late: bool,
    },
    /// Look behind raised floors: a site's stream has ended.
    Doubt,
    /// Raise the source's floor.
    FenceSource {
        /// It doesn't answer. A fault, unless its site is dead.
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
    /// Hear from a person that the move is to be undone.
    Cancel,
    /// Die, and be started again. A fault.
    Restart,
}

/// The moves of an actor, and whether each is a fault.
pub(crate) fn moves(protocol: &Protocol, state: &State, actor: usize, moves: &mut Vec<(Move, bool)>) {
    let late_or_not = |made: fn(bool) -> Move| [(made(false), false), (made(true), false)];
    let site_is_dead = state.source.reach == Reach::SiteDead;
    match &state.actors[actor].phase {
        Phase::Unclaimed => moves.push((Move::ReadClaims, false)),
        Phase::Claiming { .. } => moves.push((Move::Claim, false)),
        // It has given up waiting for what it sent last.
        Phase::Idle if site_is_dead => moves.push((Move::Doubt, has_sent(state, actor))),
        Phase::Idle => {
            let sides = [Side::Source, Side::Destination];
            moves.extend(sides.map(|side| (Move::Glance { side, late: false }, has_sent(state, actor))));
        }
        Phase::Glanced(Glance::Source(_)) => {
            moves.extend(late_or_not(|late| Move::Glance { side: Side::Destination, late }));
        }
        Phase::Glanced(Glance::Destination(_)) if site_is_dead => moves.push((Move::Doubt, false)),
        Phase::Glanced(Glance::Destination(_)) => {
            moves.extend(late_or_not(|late| Move::Glance { side: Side::Source, late }));
        }
        Phase::Doubting => {
            moves.push((Move::FenceDestination { silent: false }, has_sent(state, actor)));
            moves.push((Move::FenceDestination { silent: true }, true));
        }
        Phase::DestinationFenced { silent } => {
            if !site_is_dead {
                moves.push((Move::FenceSource { silent: false }, false));
            }
            if !silent && may_be_silent(protocol, state) {
                moves.push((Move::FenceSource { silent: true }, !site_is_dead));
            }
        }
        // The source is all that it will hear of.
        Phase::BothFenced { silent: Some(Side::Destination) } => {
            moves.extend(late_or_not(|late| Move::Read { side: Side::Source, late }));
        }
        Phase::BothFenced { silent: Some(Side::Source) | None } => {
            let destination_first = protocol.is(BadRule::DestinationFirst);
            let side = if destination_first { Side::Destination } else { Side::Source };
            moves.push((Move::Read { side, late: false }, false));
        }
        Phase::Read(Glance::Source(_)) => {
            moves.extend(late_or_not(|late| Move::Read { side: Side::Destination, late }));
        }
        Phase::Read(Glance::Destination(_)) => {
            moves.extend(late_or_not(|late| Move::Read { side: Side::Source, late }));
        }
        Phase::Over => {}
    }
    orders_and_deaths(protocol, state, actor, moves);
}

/// What was sworn to be fenced is silent because it is, or not at all: see [`Protocol::sworn_vanishes_again`].
fn may_be_silent(protocol: &Protocol, state: &State) -> bool {
    state.source.reach == Reach::SiteDead || !state.is_sworn() || protocol.sworn_vanishes_again
}

/// A cancel counts from the next decision on, so it is heard right before an actor begins to look.
fn orders_and_deaths(protocol: &Protocol, state: &State, actor: usize, moves: &mut Vec<(Move, bool)>) {
    let phase = &state.actors[actor].phase;
    let begins = matches!(phase, Phase::Idle | Phase::Doubting);
    let is_orchestrator = actor < protocol.orchestrators;
    if protocol.may_cancel && is_orchestrator && begins && state.actors[actor].goal == Goal::Finish {
        moves.push((Move::Cancel, false));
    }
    let has_claimed = !matches!(phase, Phase::Unclaimed | Phase::Claiming { .. });
    if has_claimed && check::closed(state).is_none() {
        moves.push((Move::Restart, true));
    }
}

/// Makes a move; false if it changes nothing.
pub(crate) fn make(protocol: &Protocol, state: &mut State, actor: usize, made: Move) -> bool {
    let acted = match made {
        Move::ReadClaims => {
            claiming::read(state, actor);
            true
        }
        Move::Claim => {
            if let Phase::Claiming { expected, at_least } = state.actors[actor].phase {
                claiming::claim(protocol, state, actor, expected, at_least);
            }
            true
        }
        Move::Glance { side, late } => glance(protocol, state, actor, side, late),
        Move::Doubt => {
            state.actors[actor].phase = Phase::Doubting;
            true
        }
        Move::FenceDestination { silent } => {
            fence_destination(protocol, state, actor, silent);
            true
        }
        Move::FenceSource { silent } => {
            fence_source(protocol, state, actor, silent);
            true
        }
        Move::Read { side, late } => read(protocol, state, actor, side, late),
        Move::Cancel => {
            state.actors[actor].goal = Goal::Undo;
            true
        }
        Move::Restart => {
            state.actors[actor].phase = Phase::Unclaimed;
            true
        }
    };
    if matches!(state.actors[actor].phase, Phase::Unclaimed | Phase::Over) {
        state.actors[actor].last = Token::ZERO;
        state.actors[actor].is_fenced = false;
    }
    acted
}

fn fence_destination(protocol: &Protocol, state: &mut State, actor: usize, silent: bool) {
    let token = state.actors[actor].last.next();
    state.actors[actor].last = token;
    let refused = !silent && worker::raise_floor(protocol, state, Side::Destination, token).is_err();
    state.actors[actor].phase = if refused { Phase::Over } else { Phase::DestinationFenced { silent } };
}

fn fence_source(protocol: &Protocol, state: &mut State, actor: usize, silent: bool) {
    let token = state.actors[actor].last;
    let refused = !silent && worker::raise_floor(protocol, state, Side::Source, token).is_err();
    let destination_is_silent = state.actors[actor].phase == Phase::DestinationFenced { silent: true };
    let silent = if destination_is_silent { Some(Side::Destination) } else { silent.then_some(Side::Source) };
    state.actors[actor].phase = if refused { Phase::Over } else { Phase::BothFenced { silent } };
}

fn has_sent(state: &State, actor: usize) -> bool {
    state.bag.iter().any(|message| message.sender == sender(actor) && message.leg == state.leg)
}

fn sender(actor: usize) -> Sender {
    Sender::Actor(u8::try_from(actor).expect("three actors at most"))
}

fn glance(protocol: &Protocol, state: &mut State, actor: usize, side: Side, late: bool) -> bool {
    let taken = match side {
        Side::Source => Glance::Source(Heard::Answer(Kept::new(reading::source(protocol, state)))),
        Side::Destination => Glance::Destination(Heard::Answer(Kept::new(reading::destination(protocol, state)))),
    };
    let freshness = if protocol.is(BadRule::Unfenced) { Freshness::Fenced } else { Freshness::Streamed };
    match (state.actors[actor].phase.clone(), taken) {
        (Phase::Idle, taken) => {
            state.actors[actor].phase = Phase::Glanced(taken);
            true
        }
        (Phase::Glanced(Glance::Source(source)), Glance::Destination(destination))
        | (Phase::Glanced(Glance::Destination(destination)), Glance::Source(source)) => {
            settle(protocol, state, actor, &Looked { source, destination, freshness, late, refused: None })
        }
        _ => false,
    }
}

fn read(protocol: &Protocol, state: &mut State, actor: usize, side: Side, late: bool) -> bool {
    let phase = state.actors[actor].phase.clone();
    let hears_nothing = phase == Phase::BothFenced { silent: Some(Side::Source) };
    if side == Side::Source && !hears_nothing {
        if state.source.reach == Reach::SiteDead {
            // It has died since its floor was raised: silent now.
            return take(protocol, state, actor, Glance::Source(Heard::Silent), late);
        }
        if !prepare_source(protocol, state, actor, &phase) {
            return false;
        }
    }
    if is_overtaken(protocol, state, actor, side) {
        state.actors[actor].phase = Phase::Over;
        return true;
    }
    let taken = match side {
        Side::Source if hears_nothing => Glance::Source(Heard::Silent),
        Side::Source => Glance::Source(Heard::Answer(Kept::new(reading::source(protocol, state)))),
        Side::Destination => Glance::Destination(Heard::Answer(Kept::new(reading::destination(protocol, state)))),
    };
    take(protocol, state, actor, taken, late)
}

/// Takes one reading behind the raised floors; with both, decides.
fn take(protocol: &Protocol, state: &mut State, actor: usize, taken: Glance, late: bool) -> bool {
    let freshness = Freshness::Fenced;
    match (state.actors[actor].phase.clone(), taken) {
        (Phase::BothFenced { silent: Some(Side::Destination) }, Glance::Source(source)) => settle(
            protocol,
            state,
            actor,
            &Looked { source, destination: Heard::Silent, freshness, late, refused: None },
        ),
        (Phase::BothFenced { .. }, taken) => {
            state.actors[actor].phase = Phase::Read(taken);
            true
        }
        (Phase::Read(Glance::Source(source)), Glance::Destination(destination)) => {
            let first_is_busy = matches!(&source, Heard::Answer(source) if is_busy(source));
            (first_is_busy || !matches!(&destination, Heard::Answer(destination) if is_busy(destination)))
                && settle(protocol, state, actor, &Looked { source, destination, freshness, late, refused: None })
        }
        (Phase::Read(Glance::Destination(destination)), Glance::Source(source)) => {
            settle(protocol, state, actor, &Looked { source, destination, freshness, late, refused: None })
        }
        _ => false,
    }
}

/// The source is read until it has no job, or is silent. One who wants the move undone, or can't hear the destination, reads
/// a busy one as well, to find that there is a job to end; and so does everybody where its host can't be looked at. Its
/// worker writes down what it can prove before it answers.
fn prepare_source(protocol: &Protocol, state: &mut State, actor: usize, phase: &Phase) -> bool {
    if !protocol.is(BadRule::AnswersBeforeProof) {
        worker::report_gone(protocol, state);
    }
    let alone = matches!(phase, Phase::BothFenced { silent: Some(Side::Destination) });
    let wants_back = state.actors[actor].goal == Goal::Undo;
    let unseen = state.source.reach != Reach::Answers;
    alone || wants_back || unseen || !is_busy(&reading::source(protocol, state))
}

/// The destination shows a greater floor than this actor's own: somebody newer has fenced it since. Whoever fences begins
/// there, so that the last reading tells.
fn is_overtaken(protocol: &Protocol, state: &State, actor: usize, side: Side) -> bool {
    let overtaken = state.destination.row.floor > state.actors[actor].last;
    side == Side::Destination && protocol.has_floors() && overtaken
}

fn settle(protocol: &Protocol, state: &mut State, actor: usize, looked: &Looked) -> bool {
    let goal = state.actors[actor].goal;
    let decision = deciding::decide_on(protocol, state, goal, looked);
    if looked.late {
        let in_time = Looked { late: false, ..looked.clone() };
        if decision == deciding::decide_on(protocol, state, goal, &in_time) {
            return false;
        }
    }
    if looked.freshness == Freshness::Fenced && !check::is_true(state, decision.verdict, looked) {
        state.breaks(Broken::Verdict(decision.verdict));
    }
    if let (Freshness::Fenced, Step::Hold(hold)) = (looked.freshness, decision.step)
        && !check::has_cause(state, hold, looked)
    {
        state.breaks(Broken::Hold(hold));
    }
    let next = match decision.step {
        Step::ObserveFenced => Phase::Doubting,
        Step::Wait(_) | Step::Hold(_) => Phase::Idle,
        Step::Settled(_) => {
            claiming::release(protocol, state, actor);
            Phase::Over
        }
        Step::Act(action) if act(state, actor, action, &looked.destination) => Phase::Idle,
        Step::Act(_) => return false,
    };
    // Only a fence that both sides have heard keeps older commands from taking effect: until then no streams.
    let is_whole = looked.source != Heard::Silent && looked.destination != Heard::Silent;
    state.actors[actor].is_fenced |= is_whole || protocol.is(BadRule::HalfAFence);
    let doubts = next == Phase::Idle && !state.actors[actor].is_fenced;
    state.actors[actor].phase = if doubts { Phase::Doubting } else { next };
    true
}

fn act(state: &mut State, actor: usize, action: Action, read: &Heard<Kept<SiteReading>>) -> bool {
    let under_way = state.bag.iter().filter(|message| message.leg == state.leg).count();
    if under_way >= IN_FLIGHT_MAX {
        return false;
    }
    let token = state.actors[actor].last.next();
    state.actors[actor].last = token;
    let order = deciding::order(action, deciding::borrowed(read));
    state.send(Message { leg: state.leg, sender: sender(actor), token, order, allowed: false });
    true
}
