//! When it may be waited, held or settled: nothing waits for what can't come, and every hold gives a reason that is true
//! of the evidence (invariants 8, No endless wait, and 9, Explained).

use super::permission::first;
use super::verdict::records_disagree;
use super::{SourceShows, destination, has_event, is_busy, is_gone, is_open, runners, seal, source_shows};
use muster_core::decide::{ColdStart, MoveOrder};
use muster_core::definition::Mode;
use muster_core::evidence::{CopyState, DiskEvidence, Evidence, Freshness, OtherCopy, Outcome, Record, Seal};
use muster_core::step::{Hold, Wait};
use muster_core::verdict::Verdict;

pub(super) fn broken_by_wait(evidence: &Evidence, wait: Wait) -> Option<&'static str> {
    let at = destination(evidence);
    let busy = is_busy(evidence);
    match wait {
        Wait::Job => first(&[(busy, "waits for a job that isn't (8)")]),
        Wait::Handover => first(&[
            (!evidence.past_deadline || busy, "waits past the deadline (8)"),
            (at.is_some_and(|at| !has_event(at.record)), "waits for a handover that is over"),
        ]),
        Wait::Commit => first(&[
            (!evidence.past_deadline || busy, "waits past the deadline (8)"),
            (at.is_some_and(|at| is_open(at.record)) && is_gone(evidence), "waits for a commit that can't come"),
            (evidence.freshness == Freshness::Streamed || busy, "waits for a commit that the raised floor refuses (8)"),
        ]),
    }
}

pub(super) fn broken_by_hold(
    order: &MoveOrder,
    evidence: &Evidence,
    verdict: Verdict,
    hold: Hold,
) -> Option<&'static str> {
    let at = destination(evidence);
    let source_silent = source_shows(evidence) == SourceShows::Nothing;
    let doubtful = matches!(verdict, Verdict::Indeterminate(_));
    let kept = match hold {
        Hold::SourceSilent => source_silent,
        Hold::DestinationSilent => at.is_none(),
        Hold::DestinationHostSilent => at.is_some_and(|at| at.copy == CopyState::HostSilent),
        Hold::RetireOwed => source_silent && at.is_some_and(|at| has_event(at.record)),
        Hold::LeftBehind => {
            // What is off and was only to be moved is left behind all the same when its move had begun.
            let unbegun = at.is_some_and(|at| matches!(at.record, Record::Enrolled | Record::NotOnRoll));
            let off = at.is_some_and(|at| !has_event(at.record)) && order.mode == Mode::Off;
            source_silent && evidence.source_fenced && (unbegun || off)
        }
        Hold::ColdStartNotAllowed => order.cold_start != ColdStart::Ordered && at.is_some(),
        Hold::NoGoodDisk => at.is_some_and(|at| at.disk != DiskEvidence::Shared),
        Hold::SplitBrain => runners(evidence) >= 2,
        Hold::Contradiction => doubtful || records_disagree(evidence),
        Hold::NotRunning => order.mode != Mode::Off && !source_silent && source_shows(evidence) != SourceShows::Runs,
        Hold::NotOff => order.mode == Mode::Off && !source_silent && source_shows(evidence) != SourceShows::Off,
        // Only whoever settles can know these.
        Hold::StepFails | Hold::Overdue | Hold::NotReady | Hold::HandsOffFails => false,
        Hold::NotOnRoll => {
            at.is_some_and(|at| at.record == Record::NotOnRoll) || seal(evidence) == Some(Seal::NotOnRoll)
        }
        Hold::ForeignCopy => at.is_some_and(|at| {
            let unrecorded = !is_open(at.record) && !has_event(at.record) && at.copy == CopyState::Running;
            matches!(at.other, OtherCopy::Foreign | OtherCopy::Running) || unrecorded
        }),
    };
    (!kept).then_some("holds for a reason that isn't true (9)")
}

pub(super) fn broken_by_settling(evidence: &Evidence, outcome: Outcome) -> Option<&'static str> {
    // The destination's record is the last to be closed, after the source's part: it alone says that all is over.
    let recorded = destination(evidence).is_some_and(|at| at.record == Record::Closed(outcome));
    first(&[(recorded, "settled though not closed")])
}
