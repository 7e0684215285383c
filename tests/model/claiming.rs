//! Who may act: claims by compare-and-set at the destination's ledger, given back by a recovery; and what people swear to.

use crate::protocol::{BadRule, Protocol};
use crate::state::{Actor, Phase, Reach, State, source_host};
use muster_core::claim::{Fenced, Holder, HolderKind};
use muster_core::ledger::command::{Caller, EvacuationCommand, EvacuationOrder};
use muster_core::ledger::transition;
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Sequence, Token};

/// Those who settle, before any of them has claimed. Orchestrators come first.
pub(crate) fn unclaimed(protocol: &Protocol) -> Vec<Actor> {
    let actor = |goal| Actor { last: Token::ZERO, goal, is_fenced: false, phase: Phase::Unclaimed };
    let orchestrators = std::iter::repeat_n(protocol.goal, protocol.orchestrators);
    orchestrators.chain(protocol.recovery).map(actor).collect()
}

/// Reads what a claim needs: the latest epoch, and the greatest that either reachable ledger knows.
pub(crate) fn read(state: &mut State, actor: usize) {
    let source = match state.source.reach {
        Reach::SiteDead => Epoch(0),
        Reach::Answers | Reach::Cut | Reach::Dead => state.source.row.floor.epoch,
    };
    let at_least = source.max(state.destination.row.floor.epoch);
    state.actors[actor].phase = Phase::Claiming { expected: state.claims.epoch, at_least };
}

/// Claims, if nobody was faster and no recovery holds it; else it may be read again.
pub(crate) fn claim(protocol: &Protocol, state: &mut State, actor: usize, expected: Epoch, at_least: Epoch) {
    let order = EvacuationOrder::Claim { holder: holder(protocol, actor), expected, at_least, take_over: None };
    if !change(state, order) {
        state.actors[actor].phase = Phase::Unclaimed;
        return;
    }
    state.actors[actor].last = Token { epoch: state.claims.epoch, sequence: Sequence(1) };
    let on_streams = protocol.is(BadRule::ClaimsOnStreams) || protocol.is(BadRule::Unfenced);
    state.actors[actor].is_fenced = on_streams;
    state.actors[actor].phase = if on_streams { Phase::Idle } else { Phase::Doubting };
}

/// A recovery that has nothing left to do gives its claim back.
pub(crate) fn release(protocol: &Protocol, state: &mut State, actor: usize) {
    if state.claims.holder == Some(holder(protocol, actor)) && actor == protocol.orchestrators {
        let epoch = state.claims.epoch;
        change(state, EvacuationOrder::Release { epoch });
    }
}

/// A person swears what is so.
pub(crate) fn swear(state: &mut State) -> bool {
    let fenced = match state.source.reach {
        Reach::SiteDead => Fenced::Source,
        Reach::Dead => Fenced::Host(source_host()),
        Reach::Answers | Reach::Cut => return false,
    };
    let order = EvacuationOrder::Assert { fenced, reason: String::new(), by: String::new() };
    // Whatever proof of an arrival lies in the dark: from here on the memory counts as given up.
    state.memory_lost |= !state.has_event();
    change(state, order)
}

/// Orchestrators go by one name here: only a recovery's claim is told from another's.
fn holder(protocol: &Protocol, actor: usize) -> Holder {
    if actor == protocol.orchestrators {
        Holder::new("r", HolderKind::Recovery)
    } else {
        Holder::new("o", HolderKind::Orchestrator)
    }
}

fn change(state: &mut State, order: EvacuationOrder) -> bool {
    let command = EvacuationCommand {
        evacuation: state.leg.evacuation(),
        caller: Caller::default(),
        at: Timestamp::default(),
        order,
    };
    let Ok((claims, _)) = transition::evacuation(&state.claims, &command) else { return false };
    state.claims = claims;
    true
}
