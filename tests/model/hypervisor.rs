//! The hypervisors of both sites: what a call does, and what they do by themselves. They know nothing of ledgers.

use crate::model::Protocol;
use crate::state::{Broken, Call, Copy, Stage, State, Transfer};
use muster_core::ids::Attempt;
use muster_core::ledger::command::MutationResult;
use muster_core::ledger::{ArrivalRecord, Mutation, SourceState};
use muster_core::reading::{Instance, OffCause, Stored};

/// What a hypervisor does without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The last round is sent: paused here, whole there. If the other side has gone away, the job fails.
    MemoryArrives,
    /// The destination's hypervisor is done with it.
    DestinationFinishes,
    /// The source's hypervisor gets the answer and lets its guest go.
    SourceLetsGo,
    /// The answer is lost: the source's guest stays paused, no job on it. A fault.
    FinishIsLost,
    /// The source's hypervisor resumes what it had paused.
    SourceResumes,
    /// The source's hypervisor hears of the arrival after all, and lets its guest go.
    SourceLetsGoLate,
    /// Its owner shuts the guest down, a transfer of it under way or not. A fault.
    OwnerShutsDown,
    /// The source's daemon restarts: its job is cancelled, its guest runs. A fault.
    SourceDaemonRestarts,
    /// The source's host restarts and boots what has autostart. A fault.
    SourceHostRestarts,
    /// A copy that nobody sends to any more is dropped.
    IncomingIsDropped(Attempt),
    /// The host of an attempt restarts; nothing there has autostart. A fault.
    DestinationHostRestarts(Attempt),
}

impl Event {
    pub(crate) fn is_fault(self) -> bool {
        match self {
            Event::FinishIsLost
            | Event::OwnerShutsDown
            | Event::SourceDaemonRestarts
            | Event::SourceHostRestarts
            | Event::DestinationHostRestarts(_) => true,
            Event::MemoryArrives
            | Event::DestinationFinishes
            | Event::SourceLetsGo
            | Event::SourceResumes
            | Event::SourceLetsGoLate
            | Event::IncomingIsDropped(_) => false,
        }
    }
}

/// What may happen now.
pub(crate) fn events(state: &State, events: &mut Vec<Event>) {
    match state.source.job.map(|job| job.stage) {
        Some(Stage::PreCopy) => events.push(Event::MemoryArrives),
        Some(Stage::Handover) => events.extend([Event::DestinationFinishes, Event::FinishIsLost]),
        Some(Stage::Finishing) => events.extend([Event::SourceLetsGo, Event::FinishIsLost]),
        None if state.source.instance == Instance::Paused => {
            events.push(Event::SourceResumes);
            if state.destination.copies.iter().any(|copy| is_whole(copy) && !copy.stale) {
                events.push(Event::SourceLetsGoLate);
            }
        }
        None => {}
    }
    if state.source.job.is_some() {
        events.push(Event::SourceDaemonRestarts);
    }
    if state.source.instance == Instance::Running {
        events.push(Event::OwnerShutsDown);
    }
    let reboot_shows = match state.source.instance {
        Instance::Running | Instance::Paused | Instance::Incoming | Instance::Off(OffCause::Migrated) => true,
        Instance::Off(OffCause::ShutDown) => true,
        Instance::Off(_) => state.source.stored == Stored::Real,
    };
    if reboot_shows {
        events.push(Event::SourceHostRestarts);
    }
    for copy in &state.destination.copies {
        let sent_to = state.source.job.is_some_and(|job| job.attempt == copy.attempt);
        if copy.instance == Instance::Incoming && !sent_to {
            events.push(Event::IncomingIsDropped(copy.attempt));
        }
        if !matches!(copy.instance, Instance::Off(_)) {
            events.push(Event::DestinationHostRestarts(copy.attempt));
        }
    }
}

/// It happens.
pub(crate) fn happen(state: &mut State, event: Event) {
    match event {
        Event::MemoryArrives => memory_arrives(state),
        Event::DestinationFinishes => {
            if let Some(job) = state.source.job
                && let Some(copy) = state.copy_mut(job.attempt)
                && is_whole(copy)
            {
                copy.job = false;
                state.source.job = Some(Transfer { stage: Stage::Finishing, ..job });
            } else {
                // It has no copy to finish: the transfer fails, the guest is the source's.
                state.source.job = None;
                state.source.instance = Instance::Running;
                state.source_ran();
            }
        }
        Event::SourceLetsGo => {
            let arrived = state.source.job.take().and_then(|job| state.copy(job.attempt).copied());
            state.source.instance = Instance::Off(OffCause::Migrated);
            // The other host has crashed with it while the answer was on its way.
            state.memory_lost |= !arrived.is_some_and(|copy| is_whole(&copy));
        }
        Event::FinishIsLost => {
            let attempt = state.source.job.take().map(|job| job.attempt);
            if let Some(copy) = attempt.and_then(|attempt| state.copy_mut(attempt)) {
                copy.job = false;
            }
        }
        Event::SourceResumes => {
            state.source.instance = Instance::Running;
            state.source_ran();
        }
        Event::SourceLetsGoLate => state.source.instance = Instance::Off(OffCause::Migrated),
        Event::OwnerShutsDown => {
            // What was being sent there is dropped by its own hypervisor.
            state.source.job = None;
            state.source.instance = Instance::Off(OffCause::ShutDown);
            state.shut_down = true;
        }
        Event::SourceDaemonRestarts => cancel_job(state),
        Event::SourceHostRestarts => source_host_restarts(state),
        Event::IncomingIsDropped(attempt) => drop_incoming(state, attempt),
        Event::DestinationHostRestarts(attempt) => destination_host_restarts(state, attempt),
    }
}

/// The source's real definition is stored again.
pub(crate) fn define_real(state: &mut State) {
    state.source.stored = Stored::Real;
}

/// Carries out a call; of a start, its second half.
pub(crate) fn carry_out(protocol: &Protocol, state: &mut State, call: Call) -> MutationResult {
    let done = match call.mutation {
        Mutation::Seal => {
            if protocol.seals {
                state.source.stored = Stored::Sealed;
            }
            true
        }
        Mutation::Transfer => begin_transfer(state, call.attempt),
        Mutation::Abort => match state.source.job.map(|job| job.stage) {
            Some(Stage::PreCopy | Stage::Handover) => {
                cancel_job(state);
                true
            }
            // The cancel has lost to the arrival.
            Some(Stage::Finishing) | None => false,
        },
        // The model orders none: no truth of a VM depends on it.
        Mutation::Adjust => true,
        Mutation::Resume => resume_source(state),
        Mutation::Start => start_source(state),
        Mutation::Unseal | Mutation::Release => {
            define_real(state);
            true
        }
        Mutation::Retire => {
            state.source.stored = Stored::Retired;
            true
        }
        // The model keeps retired copies: a worker's own deletion follows the end of every move in it.
        Mutation::Delete => true,
        Mutation::Place => place(state, call.attempt),
        Mutation::Run => return run(state, call.attempt),
        Mutation::Discard => return discard(state),
    };
    if done { MutationResult::Done } else { failed() }
}

fn failed() -> MutationResult {
    MutationResult::Failed { error: String::new() }
}

pub(crate) fn is_whole(copy: &Copy) -> bool {
    copy.instance == Instance::Paused
}

fn begin_transfer(state: &mut State, attempt: Option<Attempt>) -> bool {
    let runs = state.source.instance == Instance::Running && state.source.job.is_none();
    let Some(copy) = attempt.and_then(|attempt| state.copy_mut(attempt)) else { return false };
    let receives = copy.stored == Stored::Placeholder && matches!(copy.instance, Instance::Off(_));
    if runs && receives {
        copy.instance = Instance::Incoming;
        copy.job = true;
        let attempt = copy.attempt;
        state.source.job = Some(Transfer { attempt, stage: Stage::PreCopy });
    }
    runs && receives
}

fn memory_arrives(state: &mut State) {
    let Some(job) = state.source.job else { return };
    match state.copy_mut(job.attempt) {
        Some(copy) if copy.instance == Instance::Incoming => {
            copy.instance = Instance::Paused;
            copy.stored = Stored::Arrived;
            copy.stale = false;
            state.source.instance = Instance::Paused;
            state.source.job = Some(Transfer { stage: Stage::Handover, ..job });
        }
        Some(_) | None => state.source.job = None,
    }
}

fn cancel_job(state: &mut State) {
    let Some(job) = state.source.job.take() else { return };
    state.source.instance = Instance::Running;
    state.source_ran();
    if let Some(copy) = state.copy_mut(job.attempt)
        && is_whole(copy)
    {
        copy.job = false;
    }
}

fn drop_incoming(state: &mut State, attempt: Attempt) {
    if let Some(copy) = state.copy_mut(attempt) {
        copy.instance = Instance::Off(OffCause::ShutDown);
        copy.job = false;
    }
}

fn source_host_restarts(state: &mut State) {
    let proven = matches!(state.at_source().state, SourceState::Gone { .. } | SourceState::Retired);
    state.memory_lost |= match state.source.instance {
        Instance::Running | Instance::Paused | Instance::Incoming => true,
        // Nor what its owner wanted.
        Instance::Off(OffCause::ShutDown) => true,
        // After the restart nothing tells an arrival from a crash: nobody can prove any more where the memory is.
        Instance::Off(OffCause::Migrated) => !proven && !state.has_event(),
        Instance::Off(_) => false,
    };
    if let Some(job) = state.source.job.take()
        && let Some(copy) = state.copy_mut(job.attempt)
        && is_whole(copy)
    {
        copy.job = false;
    }
    state.source.instance = Instance::Off(OffCause::Unknown);
    state.shut_down = false;
    if state.source.stored == Stored::Real {
        boot_source(state);
    }
}

fn boot_source(state: &mut State) {
    if state.newest_is_there() && !state.memory_lost {
        state.breaks(Broken::MemoryThrownAway);
    }
    state.source.instance = Instance::Running;
    (state.memory_lost, state.shut_down) = (false, false);
    state.source_ran();
}

fn destination_host_restarts(state: &mut State, attempt: Attempt) {
    let source_is_alive = state.source_is_alive();
    let Some(copy) = state.copy_mut(attempt) else { return };
    let newest = !copy.stale && matches!(copy.instance, Instance::Paused | Instance::Running);
    copy.instance = Instance::Off(OffCause::Unknown);
    copy.job = false;
    state.memory_lost |= newest && !source_is_alive;
}

fn resume_source(state: &mut State) -> bool {
    let paused = state.source.instance == Instance::Paused && state.source.job.is_none();
    if paused {
        state.source.instance = Instance::Running;
        state.source_ran();
    }
    paused || state.source.instance == Instance::Running
}

fn start_source(state: &mut State) -> bool {
    if matches!(state.source.instance, Instance::Off(_)) {
        boot_source(state);
    }
    state.source.instance == Instance::Running
}

fn place(state: &mut State, attempt: Option<Attempt>) -> bool {
    let Some(attempt) = attempt else { return false };
    match state.copy_mut(attempt) {
        Some(copy) if matches!(copy.instance, Instance::Off(_)) => copy.stored = Stored::Placeholder,
        Some(_) => return false,
        None => {
            let instance = Instance::Off(OffCause::ShutDown);
            let copy = Copy { attempt, stored: Stored::Placeholder, instance, job: false, stale: false };
            state.destination.copies.push(copy);
            state.destination.copies.sort_unstable_by_key(|copy| copy.attempt);
        }
    }
    true
}

fn run(state: &mut State, attempt: Option<Attempt>) -> MutationResult {
    let Some(copy) = attempt.and_then(|attempt| state.copy_mut(attempt)) else { return failed() };
    let fresh = match (copy.instance, copy.stored) {
        (Instance::Paused | Instance::Running, _) => false,
        (Instance::Off(_), Stored::Real | Stored::Arrived) => true,
        (Instance::Off(_) | Instance::Incoming, _) => return failed(),
    };
    (copy.instance, copy.stored) = (Instance::Running, Stored::Real);
    if fresh {
        copy.stale = false;
        state.memory_lost = false;
    }
    MutationResult::Ran { downtime_ms: None }
}

/// Removes what given-up attempts left: those that the ledger names.
fn discard(state: &mut State) -> MutationResult {
    let mut attempts: Vec<Attempt> = state.at_destination().leftovers.iter().map(|left| left.attempt).collect();
    if let ArrivalRecord::Started(started) = state.record() {
        attempts.retain(|attempt| *attempt != started.attempt);
    }
    state.destination.copies.retain(|copy| !attempts.contains(&copy.attempt));
    MutationResult::Cleaned { attempts }
}
