//! The hypervisors of both sites: what a call does, and what they do by themselves. They know nothing of ledgers.

use crate::hosts;
use crate::protocol::{BadRule, Protocol};
use crate::state::{Broken, Call, Copy, Reach, Stage, State, Transfer, placeholder};
use muster_core::evidence::ArrivalKind;
use muster_core::ids::Attempt;
use muster_core::ledger::command::MutationResult;
use muster_core::ledger::{ArrivalRecord, Completed, Mutation};
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
    /// The source's host is cut off from its worker, and goes on. A fault.
    SourceHostIsCut,
    /// The source's host dies. A fault.
    SourceHostDies,
    /// The whole source site dies. A fault.
    SourceSiteDies,
    /// It is heard again; if it was dead it boots what has autostart.
    SourceComesBack,
    /// A copy that nobody sends to any more is dropped.
    IncomingIsDropped(Attempt),
    /// A host of the destination restarts and boots what has its event. A fault.
    DestinationHostRestarts(usize),
    /// A host of the destination is cut off from its worker, and goes on. A fault.
    DestinationHostIsCut(usize),
    /// A host of the destination dies. A fault.
    DestinationHostDies(usize),
    /// It is heard again; if it was dead it boots what has its event.
    DestinationHostComesBack(usize),
}

impl Event {
    pub(crate) fn is_fault(self) -> bool {
        match self {
            Event::FinishIsLost
            | Event::OwnerShutsDown
            | Event::SourceDaemonRestarts
            | Event::SourceHostRestarts
            | Event::SourceHostIsCut
            | Event::SourceHostDies
            | Event::SourceSiteDies
            | Event::DestinationHostRestarts(_)
            | Event::DestinationHostIsCut(_)
            | Event::DestinationHostDies(_) => true,
            Event::MemoryArrives
            | Event::DestinationFinishes
            | Event::SourceLetsGo
            | Event::SourceResumes
            | Event::SourceLetsGoLate
            | Event::SourceComesBack
            | Event::IncomingIsDropped(_)
            | Event::DestinationHostComesBack(_) => false,
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
    for copy in &state.destination.copies {
        let sent_to = state.source.job.is_some_and(|job| job.attempt == copy.attempt);
        if copy.instance == Instance::Incoming && !sent_to {
            events.push(Event::IncomingIsDropped(copy.attempt));
        }
    }
}

/// It happens.
pub(crate) fn happen(protocol: &Protocol, state: &mut State, event: Event) {
    match event {
        Event::MemoryArrives => memory_arrives(state),
        Event::DestinationFinishes => destination_finishes(protocol, state),
        Event::SourceLetsGo => {
            let arrived = state.source.job.take().and_then(|job| state.copy(job.attempt).copied());
            state.source.instance = Instance::Off(OffCause::Migrated);
            // The other host has crashed with it while the answer was on its way.
            state.memory_lost |= !arrived.is_some_and(|copy| copy.holds_newest());
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
        Event::SourceHostRestarts => hosts::source_restarts(state),
        Event::SourceHostIsCut => state.source.reach = Reach::Cut,
        Event::SourceHostDies => hosts::source_goes(state, Reach::Dead),
        Event::SourceSiteDies => hosts::source_goes(state, Reach::SiteDead),
        Event::SourceComesBack => hosts::source_comes_back(state),
        Event::IncomingIsDropped(attempt) => drop_incoming(state, attempt),
        Event::DestinationHostRestarts(host) => hosts::destination_restarts(state, host),
        Event::DestinationHostIsCut(host) => state.destination.hosts[host] = Reach::Cut,
        Event::DestinationHostDies(host) => hosts::destination_goes(state, host),
        Event::DestinationHostComesBack(host) => hosts::destination_comes_back(state, host),
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
            if !protocol.is(BadRule::NoSeal) {
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
    let is_up = attempt.is_some_and(|attempt| !state.host_reach(attempt).is_dead());
    let Some(copy) = attempt.and_then(|attempt| state.copy_mut(attempt)) else { return false };
    let begins = runs && is_up && copy.stored == Stored::Placeholder && copy.is_off();
    if begins {
        copy.instance = Instance::Incoming;
        copy.job = true;
        let attempt = copy.attempt;
        state.source.job = Some(Transfer { attempt, stage: Stage::PreCopy });
    }
    begins
}

fn destination_finishes(protocol: &Protocol, state: &mut State) {
    if let Some(job) = state.source.job
        && let Some(copy) = state.copy_mut(job.attempt)
        && is_whole(copy)
    {
        copy.job = false;
        if protocol.is(BadRule::RunsInFinish) {
            copy.instance = Instance::Running;
        }
        state.source.job = Some(Transfer { stage: Stage::Finishing, ..job });
    } else {
        // It has no copy to finish: the transfer fails, the guest is the source's.
        state.source.job = None;
        state.source.instance = Instance::Running;
        state.source_ran();
    }
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
        hosts::boot_source(state);
    }
    state.source.instance == Instance::Running
}

/// A host has one copy at most: what can't run gives way to the new placeholder.
fn place(state: &mut State, attempt: Option<Attempt>) -> bool {
    let Some(attempt) = attempt else { return false };
    let host = state.host(attempt);
    let (here, elsewhere): (Vec<Copy>, Vec<Copy>) =
        state.destination.copies.iter().partition(|copy| state.host(copy.attempt) == host);
    if here.iter().any(|copy| !copy.is_off()) {
        return false;
    }
    let mut copies = elsewhere;
    copies.push(placeholder(attempt));
    copies.sort_unstable_by_key(|copy| copy.attempt);
    state.destination.copies = copies;
    state.destination.has_retired &= host != 0;
    true
}

fn run(state: &mut State, attempt: Option<Attempt>) -> MutationResult {
    let from_disk = match state.record() {
        ArrivalRecord::Completed(Completed { started, .. }) => started.kind == ArrivalKind::ColdStart,
        ArrivalRecord::Enrolled
        | ArrivalRecord::Started(_)
        | ArrivalRecord::Abandoned(_)
        | ArrivalRecord::Closed(_) => false,
    };
    let newest_is_there = state.newest_is_there();
    let Some(copy) = attempt.and_then(|attempt| state.copy_mut(attempt)) else { return failed() };
    let fresh = match (copy.instance, copy.stored) {
        (Instance::Paused | Instance::Running, _) => false,
        (Instance::Off(_), Stored::Real | Stored::Arrived) => true,
        (Instance::Off(_), Stored::Placeholder) if from_disk => true,
        (Instance::Off(_) | Instance::Incoming, _) => return failed(),
    };
    (copy.instance, copy.stored) = (Instance::Running, Stored::Real);
    if fresh {
        copy.stale = false;
        if newest_is_there && !state.memory_lost {
            state.breaks(Broken::MemoryThrownAway);
        }
        state.memory_lost = false;
    }
    MutationResult::Ran { downtime_ms: None }
}

/// Removes what given-up attempts left: those that the ledger names, on hosts that answer.
fn discard(state: &mut State) -> MutationResult {
    let answers = |attempt: &Attempt| state.host_reach(*attempt) == Reach::Answers;
    let mut attempts: Vec<Attempt> = state.at_destination().leftovers.iter().map(|left| left.attempt).collect();
    attempts.retain(answers);
    if let ArrivalRecord::Started(started) = state.record() {
        attempts.retain(|attempt| *attempt != started.attempt);
    }
    state.destination.copies.retain(|copy| !attempts.contains(&copy.attempt));
    MutationResult::Cleaned { attempts }
}
