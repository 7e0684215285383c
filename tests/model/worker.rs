//! A site's worker: the ledger first, floor and all, by the shipped state machine; then the hypervisor's call, which
//! may land late or never. Also what a worker does by itself: its proof that the source is gone, and its commit.

use crate::hypervisor;
use crate::model::{Floors, Protocol};
use crate::state::{
    Broken, Call, EVACUATION, Kept, Message, Order, Sender, State, VM, definition, destination_host, source_host,
};
use muster_core::evidence::ArrivalKind;
use muster_core::ids::Attempt;
use muster_core::ledger::command::{Applied, Execution, FactKind, MutationResult, Refusal, VmCommand, VmFact, VmOrder};
use muster_core::ledger::{ArrivalRecord, AtSource, Mutation, SourceState, Standing, VmRow, transition};
use muster_core::reading::{Instance, Job, Mark, OffCause, Phase, Sight, Sighting, SiteReading, Stored};
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_core::token::Token;

/// A command arrives. Whether it changed anything.
pub(crate) fn deliver(protocol: &Protocol, state: &mut State, message: &Message) -> bool {
    if let Order::Commit(attempt) = message.order
        && !has_arrived(state, attempt)
    {
        return false;
    }
    let side = message.order.side();
    let Ok(applied) = command(protocol, row(state, side), message.token, vm_order(message.order)) else {
        return false;
    };
    if applied.execution == Execution::Before {
        return false;
    }
    check_order(state, message.order);
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

/// A fenced observe's first step at a site.
pub(crate) fn raise_floor(protocol: &Protocol, state: &mut State, side: Side, token: Token) -> Result<(), Refusal> {
    let applied = command(protocol, row(state, side), token, VmOrder::RaiseFloor)?;
    write(state, side, applied.row);
    Ok(())
}

/// The hypervisor carries out the call that is under way; who waited for it writes down what came of it.
pub(crate) fn call_lands(protocol: &Protocol, state: &mut State, side: Side) {
    let Some(under_way) = *call(state, side) else { return };
    if under_way.mutation == Mutation::Start && !under_way.half_done {
        hypervisor::define_real(state);
        *call(state, side) = Some(Call { half_done: true, ..under_way });
        return;
    }
    let result = hypervisor::carry_out(protocol, state, under_way);
    *call(state, side) = None;
    if under_way.watched {
        let looks = under_way.mutation == Mutation::Unseal && protocol.unseal_looks;
        let result = if looks { unsealed(state, result) } else { result };
        mutation_ended(state, side, result);
    }
}

/// The hypervisor refuses the call, or fails in it. What came of it all the same, only a look tells.
pub(crate) fn call_fails(protocol: &Protocol, state: &mut State, side: Side) {
    let failed = call(state, side).take();
    if failed.is_some_and(|call| call.watched) {
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
        Some(Mutation::Unseal) => real && (state.source_is_alive() || !protocol.unseal_looks),
        Some(Mutation::Start) => real && state.source.instance == Instance::Running,
        Some(_) | None => false,
    };
    if done {
        return mutation_ended(state, side, MutationResult::Done);
    }
    if protocol.inert_before_end {
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
    idle && state.source.stored == Stored::Real && state.at_source().state != SourceState::Unsealed
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
    let sealed = state.source.stored == Stored::Sealed || !protocol.seals;
    let stopped = match state.source.instance {
        Instance::Off(OffCause::Migrated) => true,
        Instance::Paused => protocol.paused_is_gone,
        Instance::Off(_) | Instance::Incoming | Instance::Running => false,
    };
    (sealed && stopped && state.source.job.is_none()).then_some((transfer.attempt, transfer.token))
}

/// The source's worker writes its proof down, and then calls the destination's worker.
pub(crate) fn report_gone(protocol: &Protocol, state: &mut State) -> bool {
    let Some((attempt, token)) = provable_gone(protocol, state) else { return false };
    write_fact(state, Side::Source, FactKind::Gone { attempt });
    let commit = Message { sender: Sender::SourceWorker, token, order: Order::Commit(attempt) };
    if !state.bag.contains(&commit) {
        state.send(commit);
    }
    true
}

/// What the source's worker answers. Tokens are left out: nobody weighs them.
pub(crate) fn read_source(state: &State) -> SiteReading {
    let sighting = Sighting {
        host: source_host(),
        instance: state.source.instance,
        stored: state.source.stored,
        mark: None,
        job: state.source.job.map(|_| Job::in_phase(Phase::PreCopy)),
        disk_complete: true,
        stood_still_ms: None,
        job_error: None,
        autostart: false,
    };
    let mut at = state.at_source().clone();
    match &mut at.state {
        SourceState::Sealed { transfer: Some(transfer) } | SourceState::Gone { transfer } => {
            transfer.token = Token::ZERO;
        }
        SourceState::Sealed { transfer: None } | SourceState::Unsealed | SourceState::Retired => {}
    }
    reading(Standing::Source(at), vec![sighting], &state.source.row, state.source.call)
}

/// What the source's worker answers in a world without seals: as if its ledger's word were enough.
pub(crate) fn read_unsealed_source(state: &State) -> SiteReading {
    let mut answer = read_source(state);
    let AtSource { state: standing, .. } = state.at_source();
    if *standing != SourceState::Unsealed {
        answer.sight.sightings.iter_mut().for_each(|sighting| sighting.stored = Stored::Sealed);
    }
    answer
}

/// What the destination's worker answers.
pub(crate) fn read_destination(state: &State) -> SiteReading {
    let seen = |copy: &crate::state::Copy| Sighting {
        host: destination_host(copy.attempt),
        instance: copy.instance,
        stored: copy.stored,
        mark: Some(Mark { evacuation: EVACUATION, attempt: copy.attempt, token: Token::ZERO }),
        job: copy.job.then(|| Job::in_phase(Phase::PreCopy)),
        disk_complete: true,
        stood_still_ms: None,
        job_error: None,
        autostart: false,
    };
    let sightings = state.destination.copies.iter().map(seen).collect();
    let at = state.at_destination().clone();
    reading(Standing::Destination(at), sightings, &state.destination.row, state.destination.call)
}

/// The exclusive section's look before an event: the copy of this attempt is there, whole, paused and without a job.
fn has_arrived(state: &State, attempt: Attempt) -> bool {
    state.copy(attempt).is_some_and(|copy| copy.instance == Instance::Paused && !copy.job)
}

fn command(protocol: &Protocol, row: &VmRow, token: Token, order: VmOrder) -> Result<Applied, Refusal> {
    let command = VmCommand { evacuation: EVACUATION, vm: VM, token, at: Timestamp::default(), order };
    let floor = match protocol.floors {
        Floors::Full => return transition::vm(row, &command),
        Floors::EpochOnly if token.epoch < row.floor.epoch => row.floor,
        Floors::EpochOnly | Floors::Ignored => Token::ZERO,
    };
    let mut applied = transition::vm(&VmRow { floor, ..row.clone() }, &command)?;
    applied.row.floor = row.floor.max(token);
    Ok(applied)
}

fn vm_order(order: Order) -> VmOrder {
    match order {
        Order::Open(attempt) => VmOrder::OpenAttempt { host: destination_host(attempt), kind: ArrivalKind::Transfer },
        Order::Place(attempt) => VmOrder::BeginPlace { attempt },
        Order::Commit(attempt) => VmOrder::Complete { attempt, late: false },
        Order::Run => VmOrder::BeginRun,
        Order::Abandon(attempt) => VmOrder::Abandon { attempt },
        Order::Reopen(attempt) => VmOrder::Reopen { attempt },
        Order::Discard => VmOrder::BeginDiscard,
        Order::CloseDestination(outcome) => VmOrder::CloseDestination { outcome },
        Order::Seal => VmOrder::BeginSeal { definition: Box::new(definition()) },
        Order::Transfer(attempt) => VmOrder::BeginTransfer { attempt, host: destination_host(attempt) },
        Order::Abort => VmOrder::BeginAbort,
        Order::Resume => VmOrder::BeginResume,
        Order::Start => VmOrder::BeginStart,
        Order::Unseal => VmOrder::BeginUnseal,
        Order::Retire => VmOrder::BeginRetire { keep_ms: None },
        Order::CloseSource => VmOrder::CloseSource,
    }
}

/// The order of the lines, checked against the truth of both sites at the moment a ledger takes a command.
fn check_order(state: &mut State, order: Order) {
    let placed = |attempt| state.copy(attempt).is_some();
    let none_is_open = matches!(state.record(), ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_));
    let (follows, wrong) = match order {
        Order::Seal => (state.attempt().is_some_and(placed) && !state.has_event(), "sealed without a placeholder"),
        Order::Transfer(attempt) => {
            (placed(attempt) && state.attempt() == Some(attempt), "transferred without a placeholder")
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
        Order::Commit(attempt) => return check_event(state, attempt),
        Order::Open(_)
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
    let proof = matches!(&state.at_source().state, SourceState::Gone { transfer } if transfer.attempt == attempt);
    if !proof || state.source_is_alive() || state.source.job.is_some() {
        state.breaks(Broken::EventBeforeGone);
    } else if state.copy(attempt).is_some_and(|copy| copy.stale) {
        state.breaks(Broken::EventForStaleCopy);
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

fn write(state: &mut State, side: Side, row: VmRow) {
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

fn reading(standing: Standing, sightings: Vec<Sighting>, row: &VmRow, call: Option<Call>) -> SiteReading {
    let sight = Sight { sightings, silent_hosts: Vec::new(), call_under_way: call.is_some() };
    SiteReading {
        vm: VM,
        floor: Token::ZERO,
        standing: Some(standing),
        sight,
        mutation_under_way: row.intent.is_some(),
        at: Timestamp::default(),
    }
}
