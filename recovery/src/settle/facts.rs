//! What a run reads from what was seen: whose turn a commit is, which attempt is open, how a move has ended. Pure.

use super::Settled;
use super::observe::Seen;
use muster_core::evidence::{Evidence, Heard, Outcome, Record};
use muster_core::ids::Attempt;
use muster_core::ledger::{ArrivalRecord, SourceState, Standing};
use muster_core::step::Decision;

/// Whether the source's worker can't commit any more: it does so under its transfer's token and no other, and the
/// destination's floor has passed that. Then nobody else will, and the guest stands still.
pub(super) fn commit_is_fenced_out(seen: &Seen) -> bool {
    match (&seen.source, &seen.destination) {
        (Heard::Answer(source), Heard::Answer(destination)) => match &source.standing {
            Some(Standing::Source(at)) => match &at.state {
                SourceState::Gone { transfer } => transfer.token < destination.floor,
                SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Retired => false,
            },
            Some(Standing::Destination(_)) | None => false,
        },
        (Heard::Silent, _) | (_, Heard::Silent) => false,
    }
}

pub(super) fn over(outcome: Outcome, decision: &Decision, seen: &Seen, last_error: Option<String>) -> Settled {
    let mut attempts = 0;
    let mut downtime_ms = None;
    if let Heard::Answer(reading) = &seen.destination
        && let Some(Standing::Destination(at)) = &reading.standing
        && let ArrivalRecord::Closed(closed) = &at.record
    {
        attempts = closed.attempts;
        downtime_ms = closed.downtime_ms;
    }
    let error = match outcome {
        Outcome::Migrated => None,
        Outcome::StayedAtSource => last_error,
    };
    Settled::Over { outcome, verdict: decision.verdict, attempts, downtime_ms, error }
}

pub(super) fn attempt_of(evidence: &Evidence) -> Option<Attempt> {
    match evidence.destination {
        Heard::Silent => None,
        Heard::Answer(destination) => match destination.record {
            Record::Started { attempt, .. } => Some(attempt),
            Record::NotOnRoll
            | Record::Enrolled
            | Record::Abandoned { .. }
            | Record::Completed { .. }
            | Record::Closed(_) => None,
        },
    }
}

pub(super) fn attempts_of(evidence: &Evidence) -> u32 {
    match evidence.destination {
        Heard::Silent => 0,
        Heard::Answer(destination) => match destination.record {
            Record::Started { attempt, .. } | Record::Abandoned { attempt } | Record::Completed { attempt, .. } => {
                attempt.count()
            }
            Record::NotOnRoll | Record::Enrolled | Record::Closed(_) => 0,
        },
    }
}
