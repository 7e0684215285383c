//! What must be true for a step to be safe: DESIGN §4's invariants and §3's table, as conditions on the evidence.
//!
//! Necessary conditions only. Each broken one is named, so that a failing run reads as a list of broken rules.

use super::at_source::{at_source, is_giving_up, is_movable};
use super::standstill::{broken_by_hold, broken_by_settling, broken_by_wait};
use super::{
    SourceShows, attempts_left, destination, has_event, has_gone_proof, is_busy, is_busy_at, is_ended_by_its_owner,
    is_gone, is_open, is_refused, is_source_fenced_out, is_source_unknown, is_started_by, is_whole, runners, seal,
    source, source_shows,
};
use muster_core::decide::{ColdStart, Goal, Leftovers, MoveOrder};
use muster_core::definition::Mode;
use muster_core::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, DiskEvidence, Evidence, Freshness, OtherCopy, Outcome, Record, Seal,
    TransferTrace,
};
use muster_core::step::{Action, Side, Step};
use muster_core::verdict::Verdict;

/// The first rule that the step breaks.
pub(crate) fn broken_rule(
    order: &MoveOrder,
    evidence: &Evidence,
    verdict: Verdict,
    step: Step,
) -> Option<&'static str> {
    let two_run = runners(evidence) >= 2;
    match step {
        Step::ObserveFenced if evidence.freshness == Freshness::Fenced => Some("a fenced observe after a fenced one"),
        Step::ObserveFenced => None,
        Step::Act(_) if two_run => Some("touches a split brain"),
        Step::Act(action) => broken_by_action(order, evidence, action),
        Step::Wait(wait) => broken_by_wait(evidence, wait),
        Step::Hold(hold) => broken_by_hold(order, evidence, verdict, hold),
        Step::Settled(outcome) => broken_by_settling(evidence, outcome),
    }
}

pub(super) fn first(rules: &[(bool, &'static str)]) -> Option<&'static str> {
    rules.iter().find(|(kept, _)| !kept).map(|(_, rule)| *rule)
}

fn broken_by_action(order: &MoveOrder, evidence: &Evidence, action: Action) -> Option<&'static str> {
    if action.needs_fence() && evidence.freshness == Freshness::Streamed {
        return Some("irreversible on streamed evidence (§3)");
    }
    if is_busy(evidence) && action != Action::AbortTransfer {
        return Some("acts while a job or call is under way (§2)");
    }
    let answers = match action.side() {
        Side::Source => source(evidence).is_some(),
        Side::Destination => destination(evidence).is_some(),
    };
    if !answers {
        return Some("commands a silent site (5)");
    }
    let Some(at) = destination(evidence) else {
        return without_the_ledger(order, evidence, action);
    };
    if has_event(at.record) && !is_after_event(action) {
        return Some("not forward after the event (6)");
    }
    match action.side() {
        Side::Source => at_source(order, evidence, &at, action),
        Side::Destination => at_destination(order, evidence, &at, action),
    }
}

/// "Ledger unreachable: start nothing new, abort what is in pre-copy." All else needs the ledger's word.
fn without_the_ledger(order: &MoveOrder, evidence: &Evidence, action: Action) -> Option<&'static str> {
    first(&[
        (action == Action::AbortTransfer, "acts without the destination's ledger (5)"),
        (evidence.past_deadline, "a moment's silence of a worker that only restarts costs a transfer"),
        (order.mode == Mode::Live, "aborts what no guest waits for"),
        (seal(evidence) == Some(Seal::Sealed(TransferTrace::Begun)), "aborts a transfer that isn't"),
        (is_busy_at(evidence, Side::Source), "aborts where no job is"),
        (
            matches!(source_shows(evidence), SourceShows::Runs | SourceShows::Paused),
            "aborts where the source doesn't have the guest",
        ),
    ])
}

fn is_after_event(action: Action) -> bool {
    match action {
        Action::Run
        | Action::Retire
        | Action::CloseSource
        | Action::CloseDestination(Outcome::Migrated)
        | Action::Seal
        | Action::Discard => true,
        Action::OpenAttempt(_)
        | Action::MakePlaceholder
        | Action::Transfer
        | Action::AbortTransfer
        | Action::Commit
        | Action::Abandon
        | Action::Reopen
        | Action::ResumeSource
        | Action::StartSource
        | Action::Unseal
        | Action::CloseDestination(Outcome::StayedAtSource) => false,
    }
}

fn at_destination(
    order: &MoveOrder,
    evidence: &Evidence,
    at: &DestinationEvidence,
    action: Action,
) -> Option<&'static str> {
    match action {
        Action::OpenAttempt(kind) => open_attempt(order, evidence, at, kind),
        Action::MakePlaceholder => make_placeholder(order, evidence, at),
        Action::Commit => commit(order, evidence, at),
        Action::Run => run(order, evidence, at),
        Action::Abandon => abandon(order, evidence, at),
        Action::Reopen => first(&[
            (matches!(at.record, Record::Abandoned { .. }), "takes back what wasn't given up"),
            (is_gone(evidence), "takes an arrival back without proof that the source is gone (1)"),
            (is_whole(at, order.mode) || at.copy == CopyState::Running, "takes back what isn't whole"),
            (at.other != OtherCopy::Running, "takes back beside a running copy (1)"),
        ]),
        Action::Discard => discard(order, evidence, at),
        Action::CloseDestination(Outcome::Migrated) => first(&[
            (matches!(at.record, Record::Completed { .. }), "closes as migrated without an event"),
            (matches!(seal(evidence), Some(Seal::Retired | Seal::Closed)), "closes before the source is retired (3)"),
            (
                matches!(at.copy, CopyState::Running | CopyState::ShutDown)
                    || (order.mode == Mode::Off && matches!(at.copy, CopyState::Placeholder | CopyState::Crashed)),
                "closes before it runs (3)",
            ),
        ]),
        Action::CloseDestination(Outcome::StayedAtSource) => first(&[
            (matches!(at.record, Record::Enrolled | Record::Abandoned { .. }), "closes while an event can come"),
            (
                matches!(seal(evidence), Some(Seal::Unsealed | Seal::Closed | Seal::NotOnRoll)),
                "closes before the source is free again",
            ),
            (
                // What is left after the VM was given back is cleaned up by itself.
                !matches!(at.copy, CopyState::Incoming | CopyState::Paused | CopyState::Running)
                    || matches!(seal(evidence), Some(Seal::Closed | Seal::NotOnRoll)),
                "closes over a copy with memory",
            ),
            (
                is_giving_up(order, at.record) || seal(evidence) == Some(Seal::Closed),
                "gives up a move that could go on",
            ),
        ]),
        Action::Seal
        | Action::Transfer
        | Action::AbortTransfer
        | Action::Retire
        | Action::ResumeSource
        | Action::StartSource
        | Action::Unseal
        | Action::CloseSource => None,
    }
}

fn make_placeholder(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> Option<&'static str> {
    let clean = !matches!(at.other, OtherCopy::Foreign | OtherCopy::Running);
    first(&[
        (is_open(at.record), "a placeholder without a started record (3)"),
        (at.copy == CopyState::Absent, "a placeholder over something"),
        (clean, "a placeholder beside a stranger"),
        (!is_refused(order, at.record), "goes on with a refused attempt (8)"),
        (
            is_started_by(at.record, ArrivalKind::ColdStart) || order.goal == Goal::Finish,
            "forward though undo is wanted",
        ),
        (
            is_started_by(at.record, ArrivalKind::ColdStart) || !is_source_unknown(evidence),
            "starts something new with the source silent (5)",
        ),
    ])
}

fn run(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> Option<&'static str> {
    first(&[
        (matches!(at.record, Record::Completed { .. }), "runs without an event (3)"),
        (
            matches!(at.copy, CopyState::Paused | CopyState::Crashed | CopyState::Placeholder),
            "runs what isn't there, or was shut down on purpose",
        ),
        (at.copy != CopyState::Crashed || order.mode != Mode::Off, "starts anew what a person had started"),
        (
            at.copy != CopyState::Placeholder
                || order.mode != Mode::Live
                || is_started_by_event(at.record, ArrivalKind::ColdStart),
            "starts without memory what came with memory",
        ),
        (
            matches!(source_shows(evidence), SourceShows::Off | SourceShows::Nothing),
            "runs beside the source's instance (1)",
        ),
        (at.other != OtherCopy::Running, "runs beside a running copy (1)"),
    ])
}

fn is_started_by_event(record: Record, wanted: ArrivalKind) -> bool {
    matches!(record, Record::Completed { kind, .. } if kind == wanted)
}

fn open_attempt(
    order: &MoveOrder,
    evidence: &Evidence,
    at: &DestinationEvidence,
    kind: ArrivalKind,
) -> Option<&'static str> {
    let both = first(&[
        (matches!(at.record, Record::Enrolled | Record::Abandoned { .. }), "an attempt beside an open one"),
        (!matches!(at.other, OtherCopy::Foreign | OtherCopy::Running), "an attempt beside a stranger"),
        (at.copy != CopyState::Running, "an attempt beside a running copy (1)"),
        (!is_handed_over(order, evidence, at), "an attempt over a whole handover (2)"),
    ]);
    let own = match kind {
        ArrivalKind::Transfer => first(&[
            (order.goal == Goal::Finish, "forward though undo is wanted"),
            (attempts_left(order, at.record), "an attempt beyond the budget (8)"),
            (source(evidence).is_some(), "starts something new with the source silent (5)"),
            (is_movable(order.mode, source_shows(evidence)), "the guest is not as its mode wants it"),
            (
                match seal(evidence) {
                    Some(Seal::Unsealed | Seal::Sealed(_)) => true,
                    // Only what is off all the time can be let go and be sent again.
                    Some(Seal::Gone { .. }) => order.mode != Mode::Live && source_shows(evidence) == SourceShows::Off,
                    Some(Seal::NotOnRoll | Seal::Retired | Seal::Closed) | None => false,
                },
                "an attempt from a source that has no part in it",
            ),
        ]),
        ArrivalKind::ColdStart => first(&[
            (is_out(evidence), "a cold start while the source may run (1)"),
            (at.disk != DiskEvidence::Partial, "a cold start from a partial disk"),
            (is_cold_start_allowed(order, at.record), "a cold start that nobody allowed"),
            (order.goal == Goal::Finish || order.cold_start == ColdStart::Ordered, "forward though undo is wanted"),
            (
                at.record == Record::Enrolled || at.copy != CopyState::HostSilent || evidence.destination_host_fenced,
                "a cold start while the copy's host is silent (5)",
            ),
        ]),
    };
    both.or(own)
}

/// The source can't run any more: proven gone, or silent and sworn to be fenced.
fn is_out(evidence: &Evidence) -> bool {
    let gone = has_gone_proof(evidence) && matches!(source_shows(evidence), SourceShows::Off | SourceShows::Nothing);
    gone || is_source_fenced_out(evidence)
}

fn is_cold_start_allowed(order: &MoveOrder, record: Record) -> bool {
    match order.cold_start {
        ColdStart::Never => false,
        // Left behind, nothing begun: only by an explicit order.
        ColdStart::Policy => record != Record::Enrolled,
        ColdStart::Ordered => true,
    }
}

/// With memory in it: to be lost if the copy isn't taken.
fn is_handed_over(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> bool {
    order.mode == Mode::Live && is_gone(evidence) && at.copy == CopyState::Paused
}

fn commit(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> Option<&'static str> {
    let arrived = is_whole(at, order.mode) || at.copy == CopyState::Running;
    let handover = is_started_by(at.record, ArrivalKind::Transfer) && is_gone(evidence) && arrived;
    let cold = is_started_by(at.record, ArrivalKind::ColdStart)
        && is_out(evidence)
        && at.disk != DiskEvidence::Partial
        && at.copy == CopyState::Placeholder
        && order.cold_start != ColdStart::Never;
    // "with a disk copied complete at handover, commit by explicit order"
    let ordered = is_started_by(at.record, ArrivalKind::Transfer)
        && is_source_fenced_out(evidence)
        && is_whole(at, order.mode)
        && at.disk == DiskEvidence::Complete
        && order.cold_start == ColdStart::Ordered;
    let late_cold = is_started_by(at.record, ArrivalKind::ColdStart) && is_gone(evidence) && arrived;
    first(&[
        (is_open(at.record), "an event without a started record (3)"),
        (handover || cold || ordered || late_cold, "an event without handover, permitted cold start or order (1)"),
        (at.other != OtherCopy::Running, "an event beside a running copy (1)"),
    ])
}

fn abandon(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> Option<&'static str> {
    let shows = source_shows(evidence);
    let may_be_whole = match at.copy {
        CopyState::Paused | CopyState::Incoming => true,
        CopyState::HostSilent => !evidence.destination_host_fenced,
        CopyState::Absent | CopyState::Placeholder | CopyState::Running | CopyState::Crashed | CopyState::ShutDown => {
            false
        }
    };
    let healthy = order.goal == Goal::Finish
        && is_started_by(at.record, ArrivalKind::Transfer)
        && !is_refused(order, at.record)
        && matches!(at.copy, CopyState::Absent | CopyState::Placeholder)
        && matches!(seal(evidence), Some(Seal::Unsealed | Seal::Sealed(TransferTrace::NotBegun)))
        && is_movable(order.mode, shows)
        && !matches!(at.other, OtherCopy::Foreign | OtherCopy::HoldsMemory);
    // A person's order for this VM, which nothing stands in the way of.
    let ordered = is_started_by(at.record, ArrivalKind::ColdStart)
        && order.cold_start == ColdStart::Ordered
        && !is_refused(order, at.record)
        && is_source_fenced_out(evidence)
        && matches!(at.copy, CopyState::Absent | CopyState::Placeholder);
    let transfer = is_started_by(at.record, ArrivalKind::Transfer);
    let undecided = transfer
        && shows == SourceShows::Paused
        && seal(evidence) == Some(Seal::Sealed(TransferTrace::Begun))
        && at.copy == CopyState::Paused;
    first(&[
        (is_open(at.record), "gives up what isn't open"),
        (at.copy != CopyState::Running, "gives up a running copy"),
        (!transfer || !is_handed_over(order, evidence, at), "gives up a whole handover (2)"),
        (
            !(transfer
                && is_gone(evidence)
                && order.mode == Mode::Live
                && at.copy == CopyState::HostSilent
                && may_be_whole),
            "gives up what may be whole on a silent host (5)",
        ),
        (
            !(is_source_unknown(evidence) && !evidence.source_fenced && may_be_whole),
            "gives up what may be whole while the source is silent (5)",
        ),
        (!undecided || evidence.past_deadline, "gives up a handover before its deadline"),
        (!healthy, "gives up a healthy attempt"),
        (!ordered, "gives up a cold start that a person ordered"),
    ])
}

/// Memory is left of what was given up. More than a leftover: it is not walked past.
fn holds_memory(at: &DestinationEvidence) -> bool {
    let own = !is_open(at.record) && !has_event(at.record);
    at.other == OtherCopy::HoldsMemory || (own && matches!(at.copy, CopyState::Incoming | CopyState::Paused))
}

fn discard(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> Option<&'static str> {
    // It runs there, or it ran on there to its own end in order: any other memory of it is older than its disk.
    let source_runs = source_shows(evidence) == SourceShows::Runs || is_ended_by_its_owner(evidence, order.mode);
    // Shut down in order after its event, it had run: what an older attempt left is older.
    let event_runs = has_event(at.record)
        && (matches!(at.copy, CopyState::Running | CopyState::ShutDown)
            || (order.mode == Mode::Off && at.copy == CopyState::Crashed));
    let only_disk = !matches!(source_shows(evidence), SourceShows::Runs | SourceShows::Paused | SourceShows::Off)
        && at.disk == DiskEvidence::Complete
        && matches!(at.copy, CopyState::Placeholder | CopyState::Crashed | CopyState::ShutDown | CopyState::Paused);
    let own = matches!(at.record, Record::Abandoned { .. });
    let lost_and_shared = is_source_fenced_out(evidence)
        && !is_gone(evidence)
        && at.disk == DiskEvidence::Shared
        && order.cold_start != ColdStart::Never;
    let own_kept = match at.copy {
        CopyState::Paused => source_runs || lost_and_shared,
        // Not whole, so nothing but a running or lost source has more; a paused one is resumed first.
        CopyState::Incoming => {
            source_runs || is_source_fenced_out(evidence) || source_shows(evidence) == SourceShows::Off
        }
        CopyState::Running => false,
        CopyState::HostSilent => evidence.destination_host_fenced || at.other != OtherCopy::Absent,
        CopyState::Absent | CopyState::Placeholder | CopyState::Crashed | CopyState::ShutDown => true,
    };
    first(&[
        (
            matches!(
                at.record,
                Record::Enrolled | Record::Started { .. } | Record::Abandoned { .. } | Record::Completed { .. }
            ),
            "discards outside a move",
        ),
        (!own || own_kept, "destroys memory without proof that the other copy runs (2)"),
        (!own || !only_disk, "destroys the one good disk while the source is silent (2)"),
        (
            at.other != OtherCopy::HoldsMemory || source_runs || event_runs || lost_and_shared,
            "destroys an older copy's memory without proof (2)",
        ),
        (at.other != OtherCopy::Running, "destroys beside a running copy"),
        (
            order.leftovers == Leftovers::AreDiscarded || holds_memory(at),
            "a cleanup that keeps failing stops the move (outcome and cleanup are separate)",
        ),
        (
            (at.copy != CopyState::Absent && !is_open(at.record) && !has_event(at.record))
                || matches!(at.other, OtherCopy::Inert | OtherCopy::HoldsMemory),
            "discards where nothing is left",
        ),
    ])
}
