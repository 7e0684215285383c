//! Where standing still is a failure (invariant 8, No endless wait): evidence under which a hold, or going round in
//! fenced observes, is wrong since both sides answer and the way is open.

use super::{
    SourceShows, attempts_left, destination, is_busy, is_ended_by_its_owner, is_gone, is_refused, is_source_fenced_out,
    is_started_by, is_whole, runners, seal, source_shows, verdict,
};
use muster_core::decide::{ColdStart, Goal, Leftovers, MoveOrder};
use muster_core::definition::Mode;
use muster_core::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, DiskEvidence, Evidence, Freshness, OtherCopy, Outcome, Record, Seal,
    TransferTrace,
};
use muster_core::step::{Action, Hold, Step};

/// The first rule of progress that the step breaks, given the verdicts that the evidence allows.
pub(crate) fn stuck(
    order: &MoveOrder,
    evidence: &Evidence,
    allowed: verdict::Allowed,
    step: Step,
) -> Option<&'static str> {
    let over = destination(evidence).is_some_and(|at| matches!(at.record, Record::Closed(_)));
    if runners(evidence) >= 2 && !is_busy(evidence) && !over {
        let stands = matches!(step, Step::Hold(Hold::SplitBrain) | Step::ObserveFenced);
        return (!stands).then_some("a split brain is held as what it is");
    }
    let Some(at) = destination(evidence) else {
        let stays = step != Step::Act(Action::AbortTransfer) && step != Step::ObserveFenced;
        return (stays && is_sent_to_a_lost_ledger(order, evidence))
            .then_some("a transfer goes on though nobody could take its arrival");
    };
    if matches!(at.other, OtherCopy::Foreign | OtherCopy::Running) {
        return None;
    }
    if let Some(wanted) = forward_on_stream(order, evidence, &at)
        && step != Step::Act(wanted)
    {
        return Some("the ordinary next line of §2 doesn't come");
    }
    if is_busy(evidence) {
        return None;
    }
    let held = matches!(step, Step::Hold(_));
    let rules = [
        (held && event_rows(order, evidence, &at), "holds what the event lets go on (6)"),
        (held && handover_row(order, evidence, &at), "holds a handover that only needs its commit"),
        (held && back_rows(order, evidence, &at, allowed), "holds what is the source's and can go on or back"),
        (held && start_rows(order, evidence, &at), "holds what was never begun and can be, or closed"),
        (held && lost_rows(order, evidence, &at, allowed), "holds lost memory though a good disk may be started"),
        (
            evidence.freshness == Freshness::Fenced && matches!(step, Step::Wait(_)) && !may_wait(order, evidence, &at),
            "waits for what can't change by itself",
        ),
    ];
    rules.iter().find(|(broken, _)| *broken).map(|(_, rule)| *rule)
}

/// The guest is being sent to where no ledger has answered for too long: arrived, it would stand still.
fn is_sent_to_a_lost_ledger(order: &MoveOrder, evidence: &Evidence) -> bool {
    order.mode == Mode::Live
        && evidence.past_deadline
        && is_busy(evidence)
        && seal(evidence) == Some(Seal::Sealed(TransferTrace::Begun))
        && matches!(source_shows(evidence), SourceShows::Runs | SourceShows::Paused)
}

/// The lines of §2 that streamed evidence carries forward without a fence, on a clean path.
fn forward_on_stream(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> Option<Action> {
    let in_the_way = match order.leftovers {
        Leftovers::AreDiscarded => at.other != OtherCopy::Absent,
        // What holds no memory and can't be removed is walked past.
        Leftovers::AreLeft => !matches!(at.other, OtherCopy::Absent | OtherCopy::Inert),
    };
    let clean = !in_the_way && !is_busy(evidence) && !is_refused(order, at.record);
    let ready = match order.mode {
        Mode::Live => source_shows(evidence) == SourceShows::Runs,
        Mode::Cold => matches!(source_shows(evidence), SourceShows::Runs),
        Mode::Off => source_shows(evidence) == SourceShows::Off,
    };
    let seal = seal(evidence)?;
    let off = source_shows(evidence) == SourceShows::Off;
    let transfer = is_started_by(at.record, ArrivalKind::Transfer);
    if !clean {
        return None;
    }
    match (at.record, at.copy, seal) {
        (Record::Enrolled, CopyState::Absent, Seal::Unsealed)
            if ready && order.goal == Goal::Finish && attempts_left(order, at.record) =>
        {
            Some(Action::OpenAttempt(ArrivalKind::Transfer))
        }
        (Record::Started { .. }, CopyState::Absent, Seal::Unsealed)
            if transfer && ready && order.goal == Goal::Finish =>
        {
            Some(Action::MakePlaceholder)
        }
        (Record::Started { .. }, CopyState::Placeholder, Seal::Unsealed)
            if transfer && ready && order.goal == Goal::Finish =>
        {
            Some(Action::Seal)
        }
        (Record::Started { .. }, CopyState::Placeholder, Seal::Sealed(TransferTrace::NotBegun))
            if transfer && ready && order.goal == Goal::Finish =>
        {
            Some(Action::Transfer)
        }
        (
            Record::Completed { kind: ArrivalKind::Transfer, .. },
            CopyState::Paused,
            Seal::Gone { of_this_attempt: true },
        ) if off => Some(Action::Run),
        (
            Record::Completed { kind: ArrivalKind::Transfer, .. },
            CopyState::Running,
            Seal::Gone { of_this_attempt: true },
        ) if off => Some(Action::Retire),
        (Record::Completed { .. }, CopyState::Running, Seal::Retired) if off => Some(Action::CloseSource),
        (Record::Completed { .. }, CopyState::Running, Seal::Closed) if off => {
            Some(Action::CloseDestination(Outcome::Migrated))
        }
        _ => None,
    }
}

/// Event rows: paused or crashed is run, running is retired and closed, whatever is wanted.
fn event_rows(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> bool {
    let Record::Completed { kind, .. } = at.record else { return false };
    let source_off = matches!(source_shows(evidence), SourceShows::Off | SourceShows::Nothing);
    let inert = at.copy == CopyState::Placeholder && (order.mode == Mode::Cold || kind == ArrivalKind::ColdStart);
    let to_run = matches!(at.copy, CopyState::Paused | CopyState::Crashed) || inert;
    let to_retire = at.copy == CopyState::Running
        && source_shows(evidence) == SourceShows::Off
        && matches!(seal(evidence), Some(Seal::Sealed(_) | Seal::Gone { .. } | Seal::Retired | Seal::Closed));
    source_off && order.mode != Mode::Off && (to_run || to_retire)
}

/// Arrived, source gone, no event: commit, or take the abandonment back first.
fn handover_row(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> bool {
    let open = is_started_by(at.record, ArrivalKind::Transfer) || matches!(at.record, Record::Abandoned { .. });
    open && is_gone(evidence) && is_whole(at, order.mode)
}

/// `NotMigrated` and nothing else, both sides answering: go on, or go back.
fn back_rows(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence, allowed: verdict::Allowed) -> bool {
    let only_source = allowed == verdict::NOT_MIGRATED || allowed == verdict::NOT_MIGRATED.or(verdict::MEMORY_LOST);
    let begun = matches!(at.record, Record::Started { .. } | Record::Abandoned { .. });
    let answers = !matches!(source_shows(evidence), SourceShows::Nothing | SourceShows::Several);
    let has_part = matches!(seal(evidence), Some(Seal::Unsealed | Seal::Sealed(_)));
    // Somebody paused it or shut it down before it was sealed: that is a person's to say.
    let as_ordered = match order.mode {
        Mode::Live | Mode::Cold => {
            source_shows(evidence) == SourceShows::Runs
                || (source_shows(evidence) == SourceShows::Paused && is_sent(evidence))
                // Sealed it can't stay: its owner is to have it back, off as it is.
                || (is_ended_by_its_owner(evidence, order.mode) && matches!(seal(evidence), Some(Seal::Sealed(_))))
        }
        Mode::Off => source_shows(evidence) == SourceShows::Off,
    };
    only_source && begun && answers && has_part && as_ordered
}

fn is_sent(evidence: &Evidence) -> bool {
    matches!(seal(evidence), Some(Seal::Sealed(TransferTrace::Begun | TransferTrace::Failed)))
}

fn start_rows(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> bool {
    let clean = at.record == Record::Enrolled && at.copy == CopyState::Absent;
    let ready = match order.mode {
        Mode::Live | Mode::Cold => source_shows(evidence) == SourceShows::Runs,
        Mode::Off => source_shows(evidence) == SourceShows::Off,
    };
    let goal = (order.goal == Goal::Finish && ready && attempts_left(order, at.record)) || order.goal == Goal::Undo;
    clean
        && goal
        && seal(evidence) == Some(Seal::Unsealed)
        && at.other == OtherCopy::Absent
        && source_shows(evidence) != SourceShows::Nothing
        && source_shows(evidence) != SourceShows::Several
}

/// Lost on both sides: the source's disk where it can be reached, a good disk at the destination where that is allowed.
fn lost_rows(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence, allowed: verdict::Allowed) -> bool {
    let lost = allowed == verdict::MEMORY_LOST;
    let begun = matches!(at.record, Record::Started { .. } | Record::Abandoned { .. });
    let host_answers = at.copy != CopyState::HostSilent || evidence.destination_host_fenced;
    let at_source = source_shows(evidence) == SourceShows::Off
        && matches!(seal(evidence), Some(Seal::Sealed(TransferTrace::Begun) | Seal::Gone { .. }));
    let permitted = match order.cold_start {
        ColdStart::Never => false,
        ColdStart::Policy | ColdStart::Ordered => order.goal == Goal::Finish,
    };
    let cold = is_source_fenced_out(evidence) && at.disk == DiskEvidence::Shared && permitted;
    // A whole copy whose source ended for a reason that nobody knows may be all that is left of the memory: only who
    // allows a start from the disk has it thrown away.
    let may_be_newest = at.copy == CopyState::Paused
        && order.mode == Mode::Live
        && order.cold_start == ColdStart::Never
        && !is_gone(evidence);
    let kept = may_be_newest && matches!(at.record, Record::Started { .. });
    lost && begun && host_answers && at.other == OtherCopy::Absent && (at_source || cold) && !kept
}

/// A wait needs something that moves by itself: a hypervisor that has not settled a handover.
fn may_wait(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> bool {
    let undecided = matches!(source_shows(evidence), SourceShows::Paused | SourceShows::Runs)
        && matches!(at.copy, CopyState::Paused | CopyState::Incoming | CopyState::Running | CopyState::HostSilent);
    // Off already, and its worker about to write the proof down.
    let may_be_proven = source_shows(evidence) == SourceShows::Off && !is_ended_by_its_owner(evidence, order.mode);
    let between = may_be_proven && is_whole_ish(at);
    // Its own hypervisor drops what no longer arrives.
    !evidence.past_deadline && (undecided || between || at.copy == CopyState::Incoming)
}

fn is_whole_ish(at: &DestinationEvidence) -> bool {
    matches!(at.copy, CopyState::Paused | CopyState::Placeholder)
}
