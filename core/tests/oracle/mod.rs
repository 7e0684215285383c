//! An oracle for `decide`, written from the design's tables and invariants and not from `decide`'s code.
//!
//! Three layers: [`verdict`] folds the worlds that fit the evidence into the verdicts allowed, [`permission`] says for each
//! step what must be true for it to be safe, [`progress`] says where holding would be a failure. This file reads the
//! evidence in the few plain facts that all three need.

pub(crate) mod at_source;
pub(crate) mod permission;
pub(crate) mod progress;
pub(crate) mod standstill;
pub(crate) mod values;
pub(crate) mod verdict;

use muster_core::decide::MoveOrder;
use muster_core::definition::Mode;
use muster_core::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, Evidence, Heard, OtherCopy, Outcome, Record, Seal, SourceEvidence,
    SourceInstance,
};
use muster_core::step::Side;

/// The destination's answer, if there is one.
pub(crate) fn destination(evidence: &Evidence) -> Option<DestinationEvidence> {
    match evidence.destination {
        Heard::Silent => None,
        Heard::Answer(answer) => Some(answer),
    }
}

/// The source's answer, if there is one.
pub(crate) fn source(evidence: &Evidence) -> Option<SourceEvidence> {
    match evidence.source {
        Heard::Silent => None,
        Heard::Answer(answer) => Some(answer),
    }
}

/// What the source's hypervisors show, in the one question that matters: does it have the VM?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceShows {
    /// It runs there, once.
    Runs,
    /// Several run there.
    Several,
    /// It stands still there, with its memory.
    Paused,
    /// No instance.
    Off,
    /// The site or the host is silent.
    Nothing,
}

pub(crate) fn source_shows(evidence: &Evidence) -> SourceShows {
    match source(evidence).map(|source| source.instance) {
        Some(SourceInstance::Running) => SourceShows::Runs,
        Some(SourceInstance::Several) => SourceShows::Several,
        Some(SourceInstance::Paused) => SourceShows::Paused,
        Some(SourceInstance::Stopped | SourceInstance::ShutDown) => SourceShows::Off,
        Some(SourceInstance::HostSilent) | None => SourceShows::Nothing,
    }
}

pub(crate) fn seal(evidence: &Evidence) -> Option<Seal> {
    source(evidence).map(|source| source.seal)
}

/// The durable proof of this attempt's handover, not contradicted by an instance.
pub(crate) fn is_gone(evidence: &Evidence) -> bool {
    seal(evidence) == Some(Seal::Gone { of_this_attempt: true })
        && matches!(source_shows(evidence), SourceShows::Off | SourceShows::Nothing)
}

/// The guest was to be moved running, and its owner has shut it down in order while it was the source's: off by somebody's
/// wish, with nothing lost. In the other modes muster shuts it down itself, or it was off all along.
pub(crate) fn is_ended_by_its_owner(evidence: &Evidence, mode: Mode) -> bool {
    let in_order = source(evidence).is_some_and(|source| source.instance == SourceInstance::ShutDown);
    in_order && mode == Mode::Live && !matches!(seal(evidence), Some(Seal::Gone { .. } | Seal::Retired))
}

/// A durable proof that the source had let the VM go, in whichever attempt.
pub(crate) fn has_gone_proof(evidence: &Evidence) -> bool {
    matches!(seal(evidence), Some(Seal::Gone { .. }))
}

/// The source is silent, site or host, and no durable proof speaks for it.
pub(crate) fn is_source_unknown(evidence: &Evidence) -> bool {
    source_shows(evidence) == SourceShows::Nothing
        && !matches!(seal(evidence), Some(Seal::Gone { .. } | Seal::Retired | Seal::Closed))
}

/// Silent, and sworn to be unable to run.
pub(crate) fn is_source_fenced_out(evidence: &Evidence) -> bool {
    source_shows(evidence) == SourceShows::Nothing && evidence.source_fenced
}

pub(crate) fn is_busy_at(evidence: &Evidence, side: Side) -> bool {
    match side {
        Side::Source => source(evidence).is_some_and(|source| source.busy),
        Side::Destination => destination(evidence).is_some_and(|destination| destination.busy),
    }
}

pub(crate) fn is_busy(evidence: &Evidence) -> bool {
    is_busy_at(evidence, Side::Source) || is_busy_at(evidence, Side::Destination)
}

/// How many copies are seen to run.
pub(crate) fn runners(evidence: &Evidence) -> u32 {
    let at_source = match source_shows(evidence) {
        SourceShows::Runs => 1,
        SourceShows::Several => 2,
        SourceShows::Paused | SourceShows::Off | SourceShows::Nothing => 0,
    };
    let at_destination = destination(evidence).map_or(0, |destination| {
        u32::from(destination.copy == CopyState::Running) + u32::from(destination.other == OtherCopy::Running)
    });
    at_source + at_destination
}

pub(crate) fn is_open(record: Record) -> bool {
    matches!(record, Record::Started { .. })
}

pub(crate) fn is_started_by(record: Record, wanted: ArrivalKind) -> bool {
    matches!(record, Record::Started { kind, .. } if kind == wanted)
}

/// The completion event stands, or stood when the move was closed.
pub(crate) fn has_event(record: Record) -> bool {
    matches!(record, Record::Completed { .. } | Record::Closed(Outcome::Migrated))
}

/// No event can be written any more, or none yet: the only records under which the source may be made to run.
pub(crate) fn is_back(record: Record) -> bool {
    matches!(record, Record::Enrolled | Record::Abandoned { .. } | Record::Closed(Outcome::StayedAtSource))
}

/// What the recorded attempt was to bring is whole at the destination, by the mode's measure.
pub(crate) fn is_whole(destination: &DestinationEvidence, mode: Mode) -> bool {
    use muster_core::evidence::DiskEvidence::{Complete, Partial, Shared};
    match (mode, destination.copy) {
        (Mode::Live | Mode::Cold | Mode::Off, CopyState::Paused) => true,
        // Without memory to bring, the disk is all there is; the inert copy is then what the event lets run.
        (Mode::Cold | Mode::Off, CopyState::Placeholder) => match destination.disk {
            Shared | Complete => true,
            Partial => false,
        },
        (Mode::Live, CopyState::Placeholder)
        | (
            Mode::Live | Mode::Cold | Mode::Off,
            CopyState::Absent
            | CopyState::Incoming
            | CopyState::Running
            | CopyState::Crashed
            | CopyState::ShutDown
            | CopyState::HostSilent,
        ) => false,
    }
}

pub(crate) fn attempts_left(order: &MoveOrder, record: Record) -> bool {
    match record {
        Record::Started { attempt, .. } | Record::Abandoned { attempt } | Record::Completed { attempt, .. } => {
            attempt.count() < order.attempts_max
        }
        Record::NotOnRoll | Record::Enrolled | Record::Closed(_) => order.attempts_max > 0,
    }
}

pub(crate) fn is_refused(order: &MoveOrder, record: Record) -> bool {
    match record {
        Record::Started { attempt, .. } | Record::Abandoned { attempt } | Record::Completed { attempt, .. } => {
            order.refused == Some(attempt)
        }
        Record::NotOnRoll | Record::Enrolled | Record::Closed(_) => false,
    }
}
