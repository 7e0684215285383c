//! A site's worker: the ledger first, floor and all, by the shipped state machine; then the hypervisor's call, which
//! may land late or never. Also what a worker does by itself: its proof that the source is gone, and its commit.

use crate::hypervisor;
use crate::kept::Kept;
use crate::message::{Message, Order, Sender};
use crate::order;
use crate::protocol::{BadRule, Protocol};
use crate::state::{Call, Copy, Reach, State, VM, definition, destination_host};
use crate::tokens;
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::{Attempt, EvacuationId};
use muster_core::ledger::command::{
    Applied, Caller, Execution, FactKind, MutationResult, Refusal, VmCommand, VmFact, VmOrder,
};
use muster_core::ledger::{ArrivalRecord, Mutation, SourceState, VmRow, transition};
use muster_core::reading::{Instance, OffCause, Stored};
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_core::token::Token;

/// A command arrives. Whether it changed anything.
pub(crate) fn deliver(protocol: &Protocol, state: &mut State, message: &Message) -> bool {
    let side = message.side(state.leg);
    if message.leg == state.leg && !looks_right(state, message.order) {
        return false;
    }
    let order = vm_order(state, message.order);
    let evacuation = message.leg.evacuation();
    let Ok(applied) = command(protocol, evacuation, row(state, side), message.token, order) else {
        return false;
    };
    if applied.execution == Execution::Before {
        return false;
    }
    order::check(state, message);
    let mutation = applied.row.intent.as_ref().map(|intent| intent.mutation);
    let begun = row(state, side).intent.is_none();
    write(state, side, applied.row);
    if let (Some(mutation), true) = (mutation, begun) {
        let attempt = match mutation {
            Mutation::Run => state.attempt(),
            Mutation::Place | Mutation::Transfer => message.order.attempt(),
            Mutation::Discard
            | Mutation::Seal
            | Mutation::Abort
            | Mutation::Adjust
            | Mutation::Resume
            | Mutation::Start
            | Mutation::Unseal
            | Mutation::Retire
            | Mutation::Release
            | Mutation::Delete => None,
        };
        *call(state, side) = Some(Call { mutation, attempt, watched: true, half_done: false });
    }
    true
}

/// What a worker sees of its hosts before it takes a command; what it can't look at it refuses.
fn looks_right(state: &State, order: Order) -> bool {
    match order {
        Order::Seal
        | Order::Transfer(_)
        | Order::Abort
        | Order::Resume
        | Order::Start
        | Order::Unseal
        | Order::Retire => state.source.reach == Reach::Answers,
        Order::Commit(attempt) => may_be_completed(state, attempt),
        Order::Run => state.attempt().is_some_and(|attempt| is_still(state, attempt)),
        Order::Discard => state.destination.copies.iter().all(|copy| !copy.job),
        Order::Open(..)
        | Order::Place(_)
        | Order::Abandon(_)
        | Order::Reopen(_)
        | Order::CloseDestination(_)
        | Order::CloseSource => true,
    }
}

fn is_still(state: &State, attempt: Attempt) -> bool {
    state.host_reach(attempt) == Reach::Answers && state.copy(attempt).is_some_and(|copy| !copy.job)
}

/// The exclusive section's look before an event: the copy of this attempt is there, whole, paused and without a job; or
/// the placeholder of a cold start.
fn may_be_completed(state: &State, attempt: Attempt) -> bool {
    let from_disk = matches!(state.record(), ArrivalRecord::Started(started) if started.kind == ArrivalKind::ColdStart);
    let is_fit = state.copy(attempt).is_some_and(|copy| match copy.instance {
        Instance::Paused | Instance::Running => true,
        Instance::Incoming => false,
        Instance::Off(_) => from_disk && copy.stored == Stored::Placeholder,
    });
    is_fit && is_still(state, attempt)
}

/// What the source's worker asks the destination's before its copy may run: that the VM is not, and may not yet be, there.
pub(crate) fn may_run_here(state: &State) -> bool {
    let may_be_there = match state.record() {
        ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_) => false,
        ArrivalRecord::Started(_) | ArrivalRecord::Completed(_) => true,
        ArrivalRecord::Closed(closed) => closed.outcome == Outcome::Migrated,
    };
    let seen = |attempt| state.host_reach(attempt) == Reach::Answers;
    let mut copies = state.destination.copies.iter();
    !may_be_there && !copies.any(|copy| copy.instance == Instance::Running && seen(copy.attempt))
}

/// How the host is reached that a site's mutation is for.
pub(crate) fn call_reach(state: &State, side: Side) -> Reach {
    let mutation = row(state, side).intent.as_ref().map(|intent| intent.mutation);
    let attempt = state.destination.call.and_then(|call| call.attempt).or_else(|| state.attempt());
    match (side, mutation, attempt) {
        (Side::Source, _, _) => state.source.reach,
        (Side::Destination, Some(Mutation::Place | Mutation::Run), Some(attempt)) => state.host_reach(attempt),
        (Side::Destination, _, _) => Reach::Answers,
    }
}

/// A fenced observe's first step at a site.
pub(crate) fn raise_floor(protocol: &Protocol, state: &mut State, side: Side, token: Token) -> Result<(), Refusal> {
    let evacuation = state.leg.evacuation();
    let applied = command(protocol, evacuation, row(state, side), token, VmOrder::RaiseFloor)?;
    write(state, side, applied.row);
    Ok(())
}

/// The hypervisor carries out the call that is under way; who waited for it writes down what came of it, if the answer
/// comes through.
pub(crate) fn call_lands(protocol: &Protocol, state: &mut State, side: Side) {
    let Some(mut under_way) = *call(state, side) else { return };
    under_way.watched &= call_reach(state, side) == Reach::Answers;
    if under_way.mutation == Mutation::Start && !under_way.half_done {
        hypervisor::define_real(state);
        *call(state, side) = Some(Call { half_done: true, ..under_way });
        return;
    }
    let result = hypervisor::carry_out(protocol, state, under_way);
    *call(state, side) = None;
    if under_way.watched {
        let looks = under_way.mutation == Mutation::Unseal && !protocol.is(BadRule::UnsealsBlindly);
        let result = if looks { unsealed(state, result) } else { result };
        mutation_ended(state, side, result);
    }
}

/// The hypervisor refuses the call, or fails in it. What came of it all the same, only a look tells.
pub(crate) fn call_fails(protocol: &Protocol, state: &mut State, side: Side) {
    let failed = call(state, side).take();
    // Whether it failed where nobody answers, nobody knows: its intent stands.
    let is_heard = call_reach(state, side) == Reach::Answers;
    if is_heard && failed.is_some_and(|call| call.watched) {
        if failed.is_some_and(|call| call.mutation == Mutation::Seal) && state.source.stored == Stored::Real {
            write_fact(state, side, FactKind::NotSealed);
        }
        end_by_look(protocol, state, side, MutationResult::Failed { error: String::new() });
    }
}

/// The worker was killed. Its call is lost with it, or goes on at the hypervisor.
pub(crate) fn crash(state: &mut State, side: Side, call_lost: bool) {
    let call = call(state, side);
    *call = match *call {
        Some(under_way) if !call_lost => Some(Call { watched: false, ..under_way }),
        Some(_) | None => None,
    };
}

/// The restarted worker finds its intent, and no call under way any more.
pub(crate) fn end_unseen(protocol: &Protocol, state: &mut State, side: Side) {
    end_by_look(protocol, state, side, MutationResult::Unseen);
}

/// A look tells of some mutations that they were done; of the others nothing, and they end as `otherwise`.
fn end_by_look(protocol: &Protocol, state: &mut State, side: Side, otherwise: MutationResult) {
    let mutation = row(state, side).intent.as_ref().map(|intent| intent.mutation);
    let real = state.source.stored == Stored::Real;
    let done = match mutation {
        Some(Mutation::Unseal) => real && (state.source_is_alive() || protocol.is(BadRule::UnsealsBlindly)),
        Some(Mutation::Start) => real && state.source.instance == Instance::Running,
        Some(_) | None => false,
    };
    if done {
        return mutation_ended(state, side, MutationResult::Done);
    }
    if !protocol.is(BadRule::InertTooLate) {
        make_inert_again(state, side);
    }
    mutation_ended(state, side, otherwise);
}

/// An unsealing is done only when the guest still has its instance afterwards, or its owner has shut it down: if its host has restarted meanwhile, the
/// seal has kept it from booting, and it has to be started rather than left off.
fn unsealed(state: &mut State, result: MutationResult) -> MutationResult {
    if state.source_is_alive() || state.source.instance == Instance::Off(OffCause::ShutDown) {
        return result;
    }
    make_inert_again(state, Side::Source);
    MutationResult::Failed { error: String::new() }
}

/// A stored definition that can start while the ledger calls it sealed or retired, and no mutation is under way: what
/// an unsealing or a start leaves behind that did not end well.
pub(crate) fn should_be_inert(state: &State) -> bool {
    let idle = state.source.row.intent.is_none() && state.source.call.is_none();
    idle && state.source.reach == Reach::Answers
        && state.source.stored == Stored::Real
        && state.at_source().state != SourceState::Unsealed
}

/// The worker makes it so again.
pub(crate) fn make_inert_again(state: &mut State, side: Side) {
    if side == Side::Source {
        state.source.stored = match (&state.at_source().state, state.source.stored) {
            (SourceState::Sealed { .. } | SourceState::Gone { .. }, Stored::Real) => Stored::Sealed,
            (SourceState::Retired, _) => Stored::Retired,
            (_, stored) => stored,
        };
    }
}

/// What the source's worker takes for its proof: sealed, no job, no instance, off because it migrated.
pub(crate) fn provable_gone(protocol: &Protocol, state: &State) -> Option<(Attempt, Token)> {
    let SourceState::Sealed { transfer: Some(transfer) } = &state.at_source().state else { return None };
    let sealed = state.source.stored == Stored::Sealed || protocol.is(BadRule::NoSeal);
    let stopped = state.source.reach == Reach::Answers
        && match state.source.instance {
            Instance::Off(OffCause::Migrated) => true,
            Instance::Paused => protocol.is(BadRule::PausedIsGone),
            Instance::Off(_) | Instance::Incoming | Instance::Running => false,
        };
    (sealed && stopped && state.source.job.is_none()).then_some((transfer.attempt, transfer.token))
}

/// The source's worker writes its proof down, and then calls the destination's worker.
pub(crate) fn report_gone(protocol: &Protocol, state: &mut State) -> bool {
    let Some((attempt, token)) = provable_gone(protocol, state) else { return false };
    write_fact(state, Side::Source, FactKind::Gone { attempt });
    let order = Order::Commit(attempt);
    let commit = Message { leg: state.leg, sender: Sender::SourceWorker, token, order, allowed: false };
    if !state.bag.contains(&commit) {
        state.send(commit);
    }
    true
}

/// What given-up attempts left, on hosts that answer, once the move is over; never what holds memory.
fn cleanable(state: &State) -> Vec<Attempt> {
    let is_inert = |attempt: &Attempt| state.copy(*attempt).is_none_or(Copy::is_off);
    let left = state.at_destination().leftovers.iter().map(|leftover| leftover.attempt);
    left.filter(|attempt| state.host_reach(*attempt) == Reach::Answers).filter(is_inert).collect()
}

pub(crate) fn may_clean_up(state: &State) -> bool {
    let is_over = matches!(state.record(), ArrivalRecord::Closed(_));
    is_over && state.destination.call.is_none() && !cleanable(state).is_empty()
}

/// The destination's worker removes them by itself.
pub(crate) fn clean_up(state: &mut State) {
    let attempts = cleanable(state);
    state.destination.copies.retain(|copy| !attempts.contains(&copy.attempt));
    write_fact(state, Side::Destination, FactKind::Cleaned { attempts });
}

fn command(
    protocol: &Protocol,
    evacuation: EvacuationId,
    row: &VmRow,
    token: Token,
    order: VmOrder,
) -> Result<Applied, Refusal> {
    let command = VmCommand { evacuation, vm: VM, token, caller: Caller::default(), at: Timestamp::default(), order };
    let floor = if protocol.has_floors() {
        return transition::vm(row, &command);
    } else if protocol.is(BadRule::FloorByEpoch) && token.epoch < row.floor.epoch {
        row.floor
    } else {
        Token::ZERO
    };
    let mut applied = transition::vm(&VmRow { floor, ..row.clone() }, &command)?;
    applied.row.floor = row.floor.max(token);
    Ok(applied)
}

fn vm_order(state: &State, order: Order) -> VmOrder {
    let host = |attempt| destination_host(state.host(attempt));
    match order {
        Order::Open(attempt, kind) => VmOrder::OpenAttempt { host: host(attempt), kind },
        Order::Place(attempt) => VmOrder::BeginPlace { attempt },
        Order::Commit(attempt) => VmOrder::Complete { attempt, late: false },
        Order::Run => VmOrder::BeginRun,
        Order::Abandon(attempt) => VmOrder::Abandon { attempt },
        Order::Reopen(attempt) => VmOrder::Reopen { attempt },
        Order::Discard => VmOrder::BeginDiscard,
        Order::CloseDestination(outcome) => VmOrder::CloseDestination { outcome },
        Order::Seal => VmOrder::BeginSeal { definition: Box::new(definition()) },
        Order::Transfer(attempt) => VmOrder::BeginTransfer { attempt, host: host(attempt) },
        Order::Abort => VmOrder::BeginAbort,
        Order::Resume => VmOrder::BeginResume,
        Order::Start => VmOrder::BeginStart,
        Order::Unseal => VmOrder::BeginUnseal,
        Order::Retire => VmOrder::BeginRetire { keep_ms: None },
        Order::CloseSource => VmOrder::CloseSource,
    }
}

fn mutation_ended(state: &mut State, side: Side, result: MutationResult) {
    if let Some(intent) = &row(state, side).intent {
        let token = intent.token;
        write_fact(state, side, FactKind::MutationEnded { token, result });
    }
}

fn write_fact(state: &mut State, side: Side, kind: FactKind) {
    let fact = VmFact { vm: VM, at: Timestamp::default(), kind };
    let applied = transition::fact(row(state, side), &fact);
    write(state, side, applied.row);
}

fn row(state: &State, side: Side) -> &VmRow {
    match side {
        Side::Source => &state.source.row,
        Side::Destination => &state.destination.row,
    }
}

fn write(state: &mut State, side: Side, mut row: VmRow) {
    tokens::blank(&mut row);
    match side {
        Side::Source => state.source.row = Kept::new(row),
        Side::Destination => state.destination.row = Kept::new(row),
    }
}

fn call(state: &mut State, side: Side) -> &mut Option<Call> {
    match side {
        Side::Source => &mut state.source.call,
        Side::Destination => &mut state.destination.call,
    }
}
