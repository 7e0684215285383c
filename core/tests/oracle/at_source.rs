//! What must be true for a command to the source to be safe.

use super::permission::first;
use super::{
    SourceShows, attempts_left, has_event, is_back, is_ended_by_its_owner, is_gone, is_refused, is_started_by, seal,
    source_shows,
};
use muster_core::decide::{Goal, MoveOrder};
use muster_core::definition::Mode;
use muster_core::evidence::{
    ArrivalKind, CopyState, DestinationEvidence, Evidence, OtherCopy, Record, Seal, TransferTrace,
};
use muster_core::step::Action;

/// The first rule that a command to the source breaks.
pub(super) fn at_source(
    order: &MoveOrder,
    evidence: &Evidence,
    at: &DestinationEvidence,
    action: Action,
) -> Option<&'static str> {
    let shows = source_shows(evidence);
    let seal = seal(evidence)?;
    let runs_elsewhere = at.copy == CopyState::Running || at.other == OtherCopy::Running;
    let answers = shows != SourceShows::Nothing;
    match action {
        Action::Seal if has_event(at.record) => {
            first(&[(shows == SourceShows::Off, "seals an instance after the event")])
        }
        Action::Seal => {
            forward(order, evidence, at).or(first(&[(seal == Seal::Unsealed, "seals what isn't unsealed")]))
        }
        Action::Transfer => forward(order, evidence, at).or(first(&[(
            seal == Seal::Sealed(TransferTrace::NotBegun)
                || (seal == Seal::Gone { of_this_attempt: false } && shows == SourceShows::Off),
            "transfers unsealed, or twice in one attempt (3)",
        )])),
        Action::AbortTransfer => first(&[
            (matches!(seal, Seal::Sealed(TransferTrace::Begun)), "aborts a transfer that isn't"),
            (answers, "needs the source's silent host (5)"),
            (!runs_elsewhere, "frees the source beside a running copy (1)"),
        ]),
        Action::ResumeSource => first(&[
            (is_back(at.record), "runs the source while an event can come (1)"),
            (shows == SourceShows::Paused, "resumes what isn't paused"),
            (matches!(seal, Seal::Sealed(_)), "resumes what no transfer paused"),
            (!runs_elsewhere, "runs the source beside a running copy (1)"),
        ]),
        Action::StartSource => startable(order, evidence, at).or(first(&[
            (shows == SourceShows::Off, "starts what isn't off (1)"),
            (matches!(seal, Seal::Sealed(_) | Seal::Gone { .. }), "starts what was never sealed"),
            (order.mode != Mode::Off, "starts a VM that was to stay off"),
            (!is_ended_by_its_owner(evidence, order.mode), "starts what its owner has shut down"),
        ])),
        Action::Unseal => startable(order, evidence, at).or(first(&[
            (matches!(seal, Seal::Sealed(_) | Seal::Gone { .. }), "unseals what isn't sealed"),
            (
                shows != SourceShows::Off || order.mode == Mode::Off || is_ended_by_its_owner(evidence, order.mode),
                "gives a VM back that has died, without starting it (2)",
            ),
        ])),
        Action::Retire => first(&[
            (has_event(at.record), "retires without an event (2)"),
            (matches!(seal, Seal::Unsealed | Seal::Sealed(_) | Seal::Gone { .. }), "retires what is retired"),
            (!matches!(shows, SourceShows::Runs | SourceShows::Several), "retires a running source"),
            (answers, "needs the source's silent host (5)"),
            (matches!(at.record, Record::Closed(_)) || at.copy != CopyState::Paused, "retires before it runs (3)"),
            (matches!(at.record, Record::Closed(_)) || at.copy != CopyState::Absent, "acts on an event without its VM"),
        ]),
        Action::CloseSource => first(&[
            (
                match seal {
                    Seal::Retired => has_event(at.record),
                    Seal::Unsealed => is_back(at.record) || at.record == Record::NotOnRoll,
                    Seal::NotOnRoll | Seal::Sealed(_) | Seal::Gone { .. } | Seal::Closed => false,
                },
                "closes a source that is neither back nor retired (3)",
            ),
            (has_event(at.record) || is_giving_up(order, at.record), "gives up a move that could go on"),
        ]),
        Action::OpenAttempt(_)
        | Action::MakePlaceholder
        | Action::Commit
        | Action::Run
        | Action::Abandon
        | Action::Reopen
        | Action::Discard
        | Action::CloseDestination(_) => None,
    }
}

/// What every step towards the destination needs.
fn forward(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> Option<&'static str> {
    let shows = source_shows(evidence);
    first(&[
        (is_started_by(at.record, ArrivalKind::Transfer), "forward without a started record (3)"),
        (order.goal == Goal::Finish, "forward though undo is wanted"),
        (!is_refused(order, at.record), "goes on with a refused attempt (8)"),
        (shows != SourceShows::Nothing, "needs the source's silent host (5)"),
        (at.copy == CopyState::Placeholder, "forward without its placeholder (3)"),
        (!matches!(at.other, OtherCopy::Foreign | OtherCopy::Running), "forward beside a stranger"),
        (is_movable(order.mode, shows), "the guest is not as its mode wants it"),
    ])
}

pub(super) fn is_giving_up(order: &MoveOrder, record: Record) -> bool {
    order.goal == Goal::Undo || !attempts_left(order, record) || matches!(record, Record::Closed(_) | Record::NotOnRoll)
}

pub(super) fn is_movable(mode: Mode, shows: SourceShows) -> bool {
    match mode {
        Mode::Live => shows == SourceShows::Runs,
        // A cold move shuts the guest down itself; a guest that is off already only spares it that.
        Mode::Cold => matches!(shows, SourceShows::Runs | SourceShows::Off),
        Mode::Off => shows == SourceShows::Off,
    }
}

/// What giving the source its real definition back needs: from then on anybody may start it.
fn startable(order: &MoveOrder, evidence: &Evidence, at: &DestinationEvidence) -> Option<&'static str> {
    // Shut down in order it can't have left: that speaks for the source as loudly as a guest that runs there.
    let proven_off = source_shows(evidence) == SourceShows::Off
        && order.mode == Mode::Live
        && !is_ended_by_its_owner(evidence, order.mode)
        && matches!(at.record, Record::Abandoned { .. });
    let sent = !matches!(seal(evidence), Some(Seal::Sealed(TransferTrace::NotBegun)));
    first(&[
        (is_back(at.record), "frees the source while an event can come (1)"),
        (source_shows(evidence) != SourceShows::Nothing, "needs the source's silent host (5)"),
        (at.copy != CopyState::Running && at.other != OtherCopy::Running, "frees the source beside a running copy (1)"),
        (
            !(proven_off && at.copy == CopyState::HostSilent && sent && !evidence.destination_host_fenced),
            "frees the source while the copy's host is silent (5)",
        ),
        (
            !(is_gone(evidence) && at.copy == CopyState::Paused),
            "frees the source while the memory is whole at the destination (2)",
        ),
    ])
}
