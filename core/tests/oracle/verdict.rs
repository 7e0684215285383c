//! Which verdicts the evidence allows: by listing the truths that fit it (DESIGN §3, "Verdicts").
//!
//! A truth is where the source's guest is and where the copy is. What is seen leaves one truth or several; each truth has
//! one verdict; one verdict over all truths is the only right one, several make `Indeterminate` the only right one, and
//! none at all means that the evidence contradicts itself, which is `Indeterminate` too.
//!
//! Where the design leaves two readings, both are allowed; each such place says so ("open").

use super::{
    SourceShows, destination, has_event, has_gone_proof, is_busy, is_ended_by_its_owner, is_gone, is_whole, runners,
    seal, source, source_shows,
};
use muster_core::definition::Mode;
use muster_core::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, DiskEvidence, Evidence, OtherCopy, Outcome, Record, Seal,
    SourceInstance, TransferTrace,
};
use muster_core::verdict::{Doubt, Verdict};
use std::fmt;

/// A set of verdicts by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowed(u8);

pub(crate) const NOT_STARTED: Allowed = Allowed(1);
pub(crate) const NOT_MIGRATED: Allowed = Allowed(2);
pub(crate) const HANDED_OVER: Allowed = Allowed(4);
pub(crate) const FULLY_MIGRATED: Allowed = Allowed(8);
pub(crate) const MEMORY_LOST: Allowed = Allowed(16);
pub(crate) const SPLIT_BRAIN: Allowed = Allowed(32);
pub(crate) const INDETERMINATE: Allowed = Allowed(64);
const NONE: Allowed = Allowed(0);

impl Allowed {
    pub(crate) fn or(self, other: Allowed) -> Allowed {
        Allowed(self.0 | other.0)
    }

    pub(crate) fn or_if(self, also: bool, other: Allowed) -> Allowed {
        if also { self.or(other) } else { self }
    }

    pub(crate) fn holds(self, verdict: Verdict) -> bool {
        self.0 & of(verdict).0 != 0
    }

    /// The fold over truths: one verdict stands, several or none are a doubt.
    fn folded(self) -> Allowed {
        if self.0.count_ones() == 1 { self } else { INDETERMINATE }
    }
}

fn of(verdict: Verdict) -> Allowed {
    match verdict {
        Verdict::NotStarted => NOT_STARTED,
        Verdict::NotMigrated => NOT_MIGRATED,
        Verdict::HandedOver => HANDED_OVER,
        Verdict::FullyMigrated => FULLY_MIGRATED,
        Verdict::MemoryLost => MEMORY_LOST,
        Verdict::SplitBrain => SPLIT_BRAIN,
        Verdict::Indeterminate(_) => INDETERMINATE,
    }
}

impl fmt::Debug for Allowed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["NotStarted", "NotMigrated", "HandedOver", "FullyMigrated", "MemoryLost", "SplitBrain", "Doubt"];
        let mut first = true;
        for (bit, name) in names.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0) {
            write!(formatter, "{}{name}", if first { "" } else { "|" })?;
            first = bit > 7;
        }
        Ok(())
    }
}

/// The verdicts that the design allows for this evidence.
pub(crate) fn allowed(evidence: &Evidence, mode: Mode) -> Allowed {
    let busy = is_busy(evidence);
    if runners(evidence) >= 2 {
        // "runs" with a job still on it says nothing yet; what is recorded, or was closed, stands all the same.
        let at = destination(evidence);
        let event = at.is_some_and(|at| has_event(at.record));
        let over = at.is_some_and(|at| at.record == Record::Closed(Outcome::StayedAtSource));
        let closed = at.is_some_and(|at| matches!(at.record, Record::Closed(_)));
        return SPLIT_BRAIN
            .or_if(busy, INDETERMINATE)
            .or_if(event && (busy || closed), FULLY_MIGRATED)
            .or_if(over, NOT_MIGRATED)
            .or_if(
                busy && at.is_some_and(|at| matches!(at.record, Record::NotOnRoll | Record::Enrolled)),
                NOT_STARTED,
            );
    }
    match destination(evidence) {
        None => destination_silent(evidence, mode),
        Some(at) => match at.record {
            Record::NotOnRoll | Record::Enrolled => unstarted(evidence, &at, mode),
            Record::Started { .. } | Record::Abandoned { .. } => begun(evidence, &at, mode),
            Record::Completed { kind, .. } => completed(evidence, &at, mode, kind),
            Record::Closed(outcome) => closed(outcome),
        },
    }
}

/// No started record: "it is at the source", whatever the source says or doesn't say.
fn unstarted(evidence: &Evidence, at: &DestinationEvidence, mode: Mode) -> Allowed {
    match seal(evidence) {
        // Letting go and retiring need a started record: such records can't both be true.
        Some(Seal::Gone { .. } | Seal::Retired) => INDETERMINATE,
        // Open: a seal needs one too, but a sealed guest is still at the source.
        Some(Seal::Sealed(_)) => {
            let died = source_shows(evidence) == SourceShows::Off && !is_ended_by_its_owner(evidence, mode);
            NOT_STARTED.or(INDETERMINATE).or_if(died, MEMORY_LOST)
        }
        Some(Seal::NotOnRoll | Seal::Unsealed | Seal::Closed) | None => {
            // Open: a copy without a record, or a stranger, where the source shows no guest that outweighs it.
            let source_has_it = matches!(source_shows(evidence), SourceShows::Runs | SourceShows::Paused);
            let stranger = matches!(at.other, OtherCopy::Foreign | OtherCopy::Running);
            let odd = at.copy != CopyState::Absent
                || (stranger && !source_has_it)
                || matches!(at.other, OtherCopy::Running | OtherCopy::HoldsMemory);
            NOT_STARTED.or_if(odd, INDETERMINATE)
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceTruth {
    /// The guest is the source's: running or paused; without memory to lose, simply off.
    Has,
    /// It was handed over by this attempt.
    LetGo,
    /// Its running state is gone and nobody let it go.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CopyTruth {
    Nothing,
    Arriving,
    Whole,
    Runs,
    Ended,
}

/// A started or abandoned attempt without its event.
fn begun(evidence: &Evidence, at: &DestinationEvidence, mode: Mode) -> Allowed {
    if at.other == OtherCopy::Running {
        // It runs where no record expects it; nothing says whose guest it is.
        return INDETERMINATE;
    }
    let abandoned = matches!(at.record, Record::Abandoned { .. });
    let contradicts = match seal(evidence) {
        // Retired follows the event; a closed source follows the event or a return.
        Some(Seal::Retired) => true,
        // Open: closed, and in another evacuation since.
        Some(Seal::NotOnRoll) => !abandoned,
        Some(Seal::Closed) => matches!(at.record, Record::Started { .. }),
        Some(Seal::Gone { .. }) => matches!(source_shows(evidence), SourceShows::Runs | SourceShows::Paused),
        Some(Seal::Unsealed | Seal::Sealed(_)) | None => false,
    };
    if contradicts {
        // Open: a guest that is seen at the source is the source's, whatever the records say.
        let seen = matches!(source_shows(evidence), SourceShows::Runs | SourceShows::Paused);
        return INDETERMINATE.or_if(seen || seal(evidence) != Some(Seal::Retired), NOT_MIGRATED);
    }
    // What arrived leaves its definition where nobody discards it: memory that was let go and left none may be anywhere.
    let leaves_a_trace = mode == Mode::Live && !abandoned;
    let mut verdicts = NONE;
    for source in source_truths(evidence, at, mode) {
        for copy in copy_truths(evidence, at, mode) {
            verdicts = verdicts.or(truth(source, copy, leaves_a_trace));
        }
    }
    open_readings(evidence, at, mode, verdicts.folded())
}

fn source_truths(evidence: &Evidence, at: &DestinationEvidence, mode: Mode) -> Vec<SourceTruth> {
    let may_be_whole = copy_truths(evidence, at, mode)
        .any(|copy| matches!(copy, CopyTruth::Whole | CopyTruth::Runs | CopyTruth::Ended | CopyTruth::Arriving));
    let never_arrived = matches!(
        seal(evidence),
        Some(Seal::Unsealed | Seal::Closed | Seal::Sealed(TransferTrace::NotBegun | TransferTrace::Failed))
    );
    let cold_start = matches!(at.record, Record::Started { kind: ArrivalKind::ColdStart, .. });
    match source_shows(evidence) {
        SourceShows::Runs | SourceShows::Several => vec![SourceTruth::Has],
        SourceShows::Paused => {
            let whole = copy_truths(evidence, at, mode).any(|copy| matches!(copy, CopyTruth::Whole | CopyTruth::Runs));
            // The hypervisor may still resume it, or let it go.
            if mode == Mode::Live && whole && !never_arrived {
                vec![SourceTruth::Has, SourceTruth::LetGo]
            } else {
                vec![SourceTruth::Has]
            }
        }
        SourceShows::Off | SourceShows::Nothing if is_gone(evidence) => vec![SourceTruth::LetGo],
        SourceShows::Off => match mode {
            // Its running state went where its owner wanted it: into the shutdown.
            Mode::Live if is_ended_by_its_owner(evidence, mode) => vec![SourceTruth::Has],
            Mode::Live => vec![SourceTruth::Lost],
            Mode::Cold | Mode::Off => vec![SourceTruth::Has],
        },
        // Let go by another attempt: off, and so like any other that is off.
        SourceShows::Nothing if has_gone_proof(evidence) => match mode {
            Mode::Live => vec![SourceTruth::Lost],
            Mode::Cold | Mode::Off => vec![SourceTruth::Has],
        },
        SourceShows::Nothing if evidence.source_fenced => vec![SourceTruth::Lost],
        SourceShows::Nothing if cold_start => vec![SourceTruth::Has, SourceTruth::Lost],
        SourceShows::Nothing if may_be_whole && !never_arrived => vec![SourceTruth::Has, SourceTruth::LetGo],
        // "Recorded only", and a placeholder with handover ruled out: the source's, be it well or not.
        SourceShows::Nothing => vec![SourceTruth::Has],
    }
}

fn copy_truths(evidence: &Evidence, at: &DestinationEvidence, mode: Mode) -> impl Iterator<Item = CopyTruth> + use<> {
    let (one, two) = match at.copy {
        CopyState::Placeholder if is_whole(at, mode) => (CopyTruth::Whole, None),
        CopyState::Absent | CopyState::Placeholder => (CopyTruth::Nothing, None),
        CopyState::Incoming => (CopyTruth::Arriving, None),
        CopyState::Paused => (CopyTruth::Whole, None),
        CopyState::Running => (CopyTruth::Runs, None),
        CopyState::Crashed | CopyState::ShutDown => (CopyTruth::Ended, None),
        CopyState::HostSilent if evidence.destination_host_fenced => (CopyTruth::Ended, None),
        CopyState::HostSilent => (CopyTruth::Nothing, Some(CopyTruth::Whole)),
    };
    std::iter::once(one).chain(two)
}

/// What is true decides the verdict.
fn truth(source: SourceTruth, copy: CopyTruth, leaves_a_trace: bool) -> Allowed {
    match (source, copy) {
        // A second runner with the source's guest merely paused, or its end unproven: row "arrived and running".
        (SourceTruth::Has | SourceTruth::Lost, CopyTruth::Runs) => INDETERMINATE,
        (SourceTruth::Has, CopyTruth::Nothing | CopyTruth::Arriving | CopyTruth::Whole | CopyTruth::Ended) => {
            NOT_MIGRATED
        }
        (SourceTruth::LetGo, CopyTruth::Whole) => HANDED_OVER,
        (SourceTruth::LetGo, CopyTruth::Runs) => FULLY_MIGRATED,
        (SourceTruth::LetGo, CopyTruth::Nothing) if leaves_a_trace => INDETERMINATE,
        (SourceTruth::LetGo, CopyTruth::Nothing | CopyTruth::Ended) => MEMORY_LOST,
        // Nothing is let go before all of it has arrived.
        (SourceTruth::LetGo, CopyTruth::Arriving) => NONE,
        (SourceTruth::Lost, CopyTruth::Nothing | CopyTruth::Arriving | CopyTruth::Whole | CopyTruth::Ended) => {
            MEMORY_LOST
        }
    }
}

/// Where the design leaves more than one reading of an attempt without event.
fn open_readings(evidence: &Evidence, at: &DestinationEvidence, mode: Mode, only: Allowed) -> Allowed {
    let shows = source_shows(evidence);
    let source_has_it = matches!(shows, SourceShows::Runs | SourceShows::Paused);
    let abandoned = matches!(at.record, Record::Abandoned { .. });
    let arrived = matches!(at.copy, CopyState::Paused | CopyState::Running | CopyState::Crashed | CopyState::ShutDown);
    let nothing_whole = matches!(at.copy, CopyState::Absent | CopyState::Placeholder | CopyState::Incoming);
    let nothing_here = matches!(at.copy, CopyState::Absent | CopyState::Placeholder);
    let host_unknown = at.copy == CopyState::HostSilent && !evidence.destination_host_fenced;
    let given_back = matches!(seal(evidence), Some(Seal::Closed | Seal::NotOnRoll));
    let never_begun = matches!(seal(evidence), Some(Seal::Unsealed | Seal::Sealed(TransferTrace::NotBegun)));
    let failed = seal(evidence) == Some(Seal::Sealed(TransferTrace::Failed));
    let cold_start = matches!(at.record, Record::Started { kind: ArrivalKind::ColdStart, .. });
    let source_runs = shows == SourceShows::Runs;
    let unsure = is_busy(evidence) || (shows == SourceShows::Nothing && !evidence.source_fenced);
    let let_go_before = has_gone_proof(evidence) && !is_gone(evidence);
    only
        // A job or call under way: what the other side shows says nothing yet. A source that runs while nothing whole
        // is at the destination is beyond doubt all the same.
        .or_if(is_busy(evidence) && !(shows == SourceShows::Runs && nothing_whole), INDETERMINATE)
        .or_if(is_busy(evidence) && nothing_whole, NOT_MIGRATED)
        // A copy of another attempt with memory, or a stranger: may be the guest, unless the source shows it.
        .or_if(matches!(at.other, OtherCopy::HoldsMemory | OtherCopy::Foreign) && !source_has_it, INDETERMINATE)
        // The direction "back" is recorded: the paused pair is the source's, though the hypervisor may still finish.
        .or_if(abandoned && shows == SourceShows::Paused && at.copy != CopyState::Running, NOT_MIGRATED)
        // Arrived, yet never sent, or sent in vain: the two sides contradict each other.
        .or_if(arrived && (never_begun || failed) && shows != SourceShows::Runs, INDETERMINATE)
        // The last of it may be on its way: handover isn't ruled out.
        .or_if(at.copy == CopyState::Incoming && shows == SourceShows::Paused, INDETERMINATE)
        // Memory is arriving from a source that can't be seen.
        .or_if(at.copy == CopyState::Incoming && shows == SourceShows::Nothing, NOT_MIGRATED.or(INDETERMINATE))
        // Let go by another attempt than the one that arrived.
        .or_if(arrived && has_gone_proof(evidence) && !is_gone(evidence), INDETERMINATE)
        // Without memory there is none to lose: off or silent and fenced, its disk is all there is.
        .or_if(mode != Mode::Live && only == MEMORY_LOST, NOT_MIGRATED)
        // Shut down before anything was sent, or after it was sent in vain: the guest's running state is gone, and so is
        // nothing that the move had touched.
        .or_if(mode == Mode::Live && shows == SourceShows::Off && !arrived && (never_begun || failed), NOT_MIGRATED)
        // Given up and unsealed: it was given back, and shut down by its owner since.
        .or_if(abandoned && seal(evidence) == Some(Seal::Unsealed) && shows == SourceShows::Off, NOT_MIGRATED)
        // The source's part is over: the VM was given back, and what it does there since is its owner's.
        .or_if(given_back, NOT_MIGRATED.or(INDETERMINATE).or_if(shows == SourceShows::Nothing, MEMORY_LOST))
        // Lost at the source; on a silent host it may have been resumed by somebody.
        .or_if(host_unknown && only == MEMORY_LOST && !(never_begun && shows == SourceShows::Off), INDETERMINATE)
        // The report of a failure can lose to an arrival.
        .or_if(host_unknown && failed && !source_runs, INDETERMINATE)
        // Let go by another attempt, its host silent: as good as any silent source.
        .or_if(let_go_before && shows == SourceShows::Nothing, NOT_MIGRATED.or(MEMORY_LOST).or(INDETERMINATE))
        // Without memory, and the direction "back" recorded: whole on both sides, and the source's.
        .or_if(abandoned && mode != Mode::Live && only == HANDED_OVER, NOT_MIGRATED)
        // A cold start was begun, so that memory was held lost; what the source shows now may say otherwise.
        .or_if(cold_start && !source_has_it, MEMORY_LOST)
        .or_if(cold_start && (arrived || !source_has_it), INDETERMINATE)
        .or_if(mode != Mode::Live && shows == SourceShows::Paused && !nothing_here, INDETERMINATE)
        .or_if(cold_start && source_has_it && at.copy != CopyState::Running, NOT_MIGRATED)
        .or_if(cold_start && unsure && at.copy != CopyState::Running, NOT_MIGRATED)
}

/// The event stands.
fn completed(evidence: &Evidence, at: &DestinationEvidence, mode: Mode, kind: ArrivalKind) -> Allowed {
    let source_again = match source_shows(evidence) {
        // One runner, and it is the source's: the event says it can't.
        SourceShows::Runs | SourceShows::Several => {
            return INDETERMINATE.or_if(is_busy(evidence), FULLY_MIGRATED);
        }
        // Open: an instance that doesn't run.
        SourceShows::Paused => true,
        SourceShows::Off | SourceShows::Nothing => false,
    };
    // Open: records that the event can't have followed from; still, "yes, yes, yes" is FullyMigrated.
    let odd = matches!(seal(evidence), Some(Seal::NotOnRoll | Seal::Unsealed)) || source_again;
    let elsewhere = at.other == OtherCopy::Running && at.copy != CopyState::Running;
    let by_copy = match at.copy {
        CopyState::Paused | CopyState::Running | CopyState::Crashed | CopyState::ShutDown | CopyState::HostSilent => {
            FULLY_MIGRATED
        }
        CopyState::Absent => return INDETERMINATE.or_if(elsewhere, FULLY_MIGRATED),
        // What came without memory is run from its inert copy, after the event.
        CopyState::Placeholder if mode != Mode::Live || kind == ArrivalKind::ColdStart => FULLY_MIGRATED,
        // Open: the inert VM is there, the memory that the event speaks of is not.
        CopyState::Placeholder | CopyState::Incoming => FULLY_MIGRATED.or(INDETERMINATE),
    };
    by_copy.or_if(odd || elsewhere, INDETERMINATE)
}

fn closed(outcome: Outcome) -> Allowed {
    // Open: what the evidence shows after the end may belong to a later life; only two runners are an alarm.
    match outcome {
        Outcome::Migrated => FULLY_MIGRATED.or(INDETERMINATE),
        Outcome::StayedAtSource => NOT_MIGRATED.or(NOT_STARTED).or(INDETERMINATE),
    }
}

/// Only the source can speak.
fn destination_silent(evidence: &Evidence, mode: Mode) -> Allowed {
    let Some(at) = source(evidence) else { return INDETERMINATE };
    match (at.seal, at.instance) {
        // Open: seen to run after all.
        (Seal::Gone { .. }, SourceInstance::Running) if !at.busy => INDETERMINATE.or(NOT_MIGRATED),
        (Seal::Gone { .. } | Seal::Retired, SourceInstance::Running | SourceInstance::Paused) => INDETERMINATE,
        // Retiring follows the event and nothing else.
        (
            Seal::Retired,
            SourceInstance::Stopped | SourceInstance::ShutDown | SourceInstance::HostSilent | SourceInstance::Several,
        ) => FULLY_MIGRATED,
        // It may have been handed over, retired or given back: the destination knows.
        (
            Seal::Gone { .. },
            SourceInstance::Stopped | SourceInstance::ShutDown | SourceInstance::HostSilent | SourceInstance::Several,
        ) => INDETERMINATE,
        (Seal::Closed, SourceInstance::Running | SourceInstance::Paused) => NOT_MIGRATED.or(INDETERMINATE),
        (
            Seal::Closed,
            SourceInstance::Stopped | SourceInstance::ShutDown | SourceInstance::HostSilent | SourceInstance::Several,
        ) => INDETERMINATE,
        // Where the source runs it, it is the source's; whether a record was started is for the destination to say.
        (Seal::NotOnRoll | Seal::Unsealed, SourceInstance::Running | SourceInstance::Paused) => {
            // Open: a seal that somebody broke shows as unsealed, too.
            NOT_STARTED.or(NOT_MIGRATED).or_if(at.instance == SourceInstance::Paused, INDETERMINATE)
        }
        (Seal::Sealed(_), SourceInstance::Running) => NOT_MIGRATED,
        // No event comes before the proof that the source is gone, and a job keeps that from being written.
        (Seal::Sealed(_), SourceInstance::Paused) if at.busy => NOT_MIGRATED.or(INDETERMINATE),
        (Seal::Sealed(_), SourceInstance::Stopped | SourceInstance::ShutDown) if at.busy && mode != Mode::Live => {
            NOT_MIGRATED.or(INDETERMINATE)
        }
        // Paused by a transfer whose other end can't be seen. The trace speaks of an attempt that only the destination
        // can name, so that it rules nothing out (open for the two that would).
        (Seal::Sealed(TransferTrace::NotBegun | TransferTrace::Failed), SourceInstance::Paused) => {
            INDETERMINATE.or(NOT_MIGRATED)
        }
        (Seal::Sealed(TransferTrace::Begun), SourceInstance::Paused) => INDETERMINATE,
        (
            Seal::NotOnRoll | Seal::Unsealed | Seal::Sealed(_),
            SourceInstance::Stopped | SourceInstance::ShutDown | SourceInstance::HostSilent | SourceInstance::Several,
        ) => {
            // Open: never sealed, or off anyway and never begun, it can't have left.
            let never = matches!(at.seal, Seal::NotOnRoll | Seal::Unsealed);
            let inert = mode != Mode::Live && matches!(at.instance, SourceInstance::Stopped | SourceInstance::ShutDown);
            let untouched = never || (inert && at.seal == Seal::Sealed(TransferTrace::NotBegun));
            INDETERMINATE.or_if(untouched, NOT_STARTED.or(NOT_MIGRATED))
        }
    }
}

/// Whether a doubt's sentence is true of the evidence.
pub(crate) fn is_true(doubt: Doubt, evidence: &Evidence) -> bool {
    let at = destination(evidence);
    let copy_is = |wanted: &[CopyState]| at.is_some_and(|at| wanted.contains(&at.copy));
    let event = at.is_some_and(|at| super::has_event(at.record));
    let instance = matches!(source_shows(evidence), SourceShows::Runs | SourceShows::Paused | SourceShows::Several);
    match doubt {
        Doubt::SourceSilent => source_shows(evidence) == SourceShows::Nothing && !is_gone(evidence),
        Doubt::DestinationSilent => at.is_none(),
        Doubt::DestinationHostSilent => copy_is(&[CopyState::HostSilent]),
        Doubt::HandoverUnderWay => {
            let without_memory =
                at.is_some_and(|at| at.disk != DiskEvidence::Partial) && copy_is(&[CopyState::Placeholder]);
            let ended = is_busy(evidence) && copy_is(&[CopyState::Crashed, CopyState::ShutDown]);
            let here = copy_is(&[CopyState::Incoming, CopyState::Paused, CopyState::Running]);
            !event && (here || without_memory || ended)
        }
        Doubt::RunsWithoutEvent => {
            !event && copy_is(&[CopyState::Running]) && (!is_gone(evidence) || is_busy(evidence))
        }
        Doubt::EventWithoutVm => event && copy_is(&[CopyState::Absent, CopyState::Placeholder, CopyState::Incoming]),
        Doubt::SourceAfterEvent => (event || seal(evidence) == Some(Seal::Retired)) && instance,
        Doubt::ForeignCopy => at.is_some_and(|at| {
            let unrecorded = matches!(at.record, Record::NotOnRoll | Record::Enrolled | Record::Closed(_));
            matches!(at.other, OtherCopy::Foreign | OtherCopy::Running) || (unrecorded && at.copy != CopyState::Absent)
        }),
        Doubt::AbandonedCopyRuns => at.is_some_and(|at| {
            let abandoned = matches!(at.record, Record::Abandoned { .. });
            at.other == OtherCopy::Running || (abandoned && at.copy == CopyState::Running)
        }),
        Doubt::RecordsDisagree => records_disagree(evidence),
    }
}

/// The two sides' durable words, and what is seen, can't all be true.
pub(crate) fn records_disagree(evidence: &Evidence) -> bool {
    let at = destination(evidence);
    // Memory of an attempt that was never started, or that a cold start can't have brought.
    let unaccounted = at.is_some_and(|at| match at.record {
        Record::NotOnRoll | Record::Enrolled => at.copy != CopyState::Absent || at.other == OtherCopy::HoldsMemory,
        Record::Started { kind: ArrivalKind::ColdStart, .. } => {
            !matches!(at.copy, CopyState::Absent | CopyState::Placeholder | CopyState::HostSilent)
        }
        Record::Started { kind: ArrivalKind::Transfer, .. }
        | Record::Abandoned { .. }
        | Record::Completed { .. }
        | Record::Closed(_) => false,
    });
    if unaccounted {
        return true;
    }
    let (Some(at), Some(from)) = (at, source(evidence)) else {
        // One side alone can contradict itself: a guest where the ledger says that it was let go.
        return has_gone_proof(evidence) && !is_gone(evidence) || seal(evidence) == Some(Seal::Retired);
    };
    let instance = matches!(from.instance, SourceInstance::Running | SourceInstance::Paused | SourceInstance::Several);
    let arrived = matches!(at.copy, CopyState::Paused | CopyState::Running | CopyState::Crashed | CopyState::ShutDown);
    let never_sent =
        matches!(from.seal, Seal::Unsealed | Seal::Sealed(TransferTrace::NotBegun | TransferTrace::Failed));
    let by_records = match (at.record, from.seal) {
        (Record::NotOnRoll | Record::Enrolled, Seal::Sealed(_) | Seal::Gone { .. } | Seal::Retired) => true,
        (Record::NotOnRoll | Record::Enrolled, Seal::NotOnRoll | Seal::Unsealed | Seal::Closed) => false,
        (Record::Started { .. } | Record::Abandoned { .. }, Seal::NotOnRoll | Seal::Retired) => true,
        (Record::Started { .. } | Record::Completed { .. }, Seal::Closed) => true,
        (Record::Abandoned { .. }, Seal::Closed) => true,
        (Record::Started { .. } | Record::Abandoned { .. }, Seal::Gone { of_this_attempt }) => {
            !of_this_attempt || !matches!(at.copy, CopyState::Paused | CopyState::Running)
        }
        (Record::Started { .. } | Record::Abandoned { .. }, Seal::Unsealed | Seal::Sealed(_)) => arrived && never_sent,
        (Record::Completed { .. }, Seal::NotOnRoll | Seal::Unsealed | Seal::Sealed(_)) => true,
        (Record::Completed { .. }, Seal::Gone { .. } | Seal::Retired) => instance,
        (Record::Closed(Outcome::Migrated), _) => from.seal != Seal::Closed || instance,
        (Record::Closed(Outcome::StayedAtSource), _) => from.seal != Seal::Closed,
    };
    by_records || (instance && matches!(from.seal, Seal::Gone { .. } | Seal::Retired))
}
