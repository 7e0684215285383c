//! What people see: statuses from the journal, with what the sites told last about what is under way.

use crate::evacuate::{arrival_host, is_over};
use crate::parts::Pair;
use crate::seats::{Live, Windows};
use muster_core::evacuation::{EvacuationState, EvacuationStatus, MoveState, MoveStatus, PauseReason, RaisedAlarm};
use muster_core::guardian::{Custody, CustodyState};
use muster_core::ledger::{RetiredCopy, SourceState, Standing};
use muster_core::reading::{Job, Sighting, SiteReading, Stored};
use muster_proto::v1 as pb;

/// An evacuation.
pub(super) fn evacuation(status: &EvacuationStatus, counts: pb::MoveCounts, live: Live) -> pb::Evacuation {
    let (state, paused_because) = state(status.state);
    let mut warnings = live.warnings;
    warnings.extend(live.trouble);
    let opens_at = match live.windows {
        Windows::Open => None,
        Windows::ClosedUntil(at) => Some(at),
        Windows::ClosedForGood => {
            warnings.push("moves wait for the runbook's windows, and these never open again".to_owned());
            None
        }
    };
    let (planned, now) = (status.outlook.as_ref(), live.outlook.as_ref().or(status.outlook.as_ref()));
    pb::Evacuation {
        evacuation: status.id.to_string(),
        name: status.name.clone(),
        source_site: status.source_site.to_string(),
        destination_site: status.destination_site.to_string(),
        state: state.into(),
        paused_because: paused_because.to_owned(),
        cancelled: status.cancelled,
        ordered_by: status.by.clone(),
        ordered_at_ms: status.ordered_at.0,
        finished_at_ms: status.finished_at.map(|at| at.0),
        counts: Some(counts),
        warnings,
        expected_end_at_ms: now.and_then(|outlook| outlook.ends_at).map(|at| at.0),
        late_moves: now.map_or(0, |outlook| outlook.late),
        planned_end_at_ms: planned.and_then(|outlook| outlook.ends_at).map(|at| at.0),
        bound_at_ms: planned.and_then(|outlook| outlook.bound_at).map(|at| at.0),
        bottleneck: planned.and_then(|outlook| outlook.bottleneck.clone()).unwrap_or_default(),
        opens_at_ms: opens_at.map(|at| at.0),
    }
}

fn state(state: EvacuationState) -> (pb::EvacuationState, &'static str) {
    match state {
        EvacuationState::Planning => (pb::EvacuationState::Planning, ""),
        EvacuationState::Planned => (pb::EvacuationState::Planned, ""),
        EvacuationState::Running => (pb::EvacuationState::Running, ""),
        EvacuationState::Paused(reason) => (pb::EvacuationState::Paused, because(reason)),
        EvacuationState::Finished => (pb::EvacuationState::Finished, ""),
    }
}

fn because(reason: PauseReason) -> &'static str {
    match reason {
        PauseReason::Order => "somebody ordered it",
        PauseReason::FailureBudget => {
            "more moves failed than the runbook's budget allows; resume to go on all the same"
        }
        PauseReason::ClaimLost => "somebody else holds the claim; it goes on once they have released it",
    }
}

/// What of a move is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    state: MoveState,
    give_back_owed: bool,
}

impl From<&MoveStatus> for Counted {
    fn from(status: &MoveStatus) -> Self {
        Counted { state: status.state, give_back_owed: status.custody.as_ref().is_some_and(Custody::is_owed) }
    }
}

/// Counts one move, or with `-1` takes it out again.
pub(super) fn count(counts: &mut pb::MoveCounts, counted: Counted, by: i32) {
    if counted.give_back_owed {
        counts.give_back_owed = counts.give_back_owed.saturating_add_signed(by);
    }
    let place = match counted.state {
        MoveState::Waiting => &mut counts.waiting,
        MoveState::Moving(_) => &mut counts.moving,
        MoveState::Held(_) => &mut counts.held,
        MoveState::Migrated => &mut counts.migrated,
        MoveState::StayedAtSource => &mut counts.stayed_at_source,
    };
    *place = place.saturating_add_signed(by);
}

/// A move. Without the sites' links only what the journal knows is shown.
pub(super) fn a_move(evacuation: &EvacuationStatus, status: &MoveStatus, sites: Option<&Pair>) -> pb::Move {
    let planned = &status.planned;
    let source = sites.and_then(|pair| pair.source.feed().last_reading(planned.vm));
    let destination = sites.and_then(|pair| pair.destination.feed().last_reading(planned.vm));
    let job = source.as_deref().filter(|_| is_under_way(status.state)).and_then(job);
    let words = Words::of(status);
    let custody = status.custody.as_ref();
    let shown_host = destination.as_deref().and_then(|reading| arrival_host(evacuation.id, reading));
    // Without the site's word, where it ended.
    let ended_on = status.host.as_ref().filter(|_| status.state == MoveState::Migrated);
    let arrival_host = shown_host.as_ref().or(ended_on);
    pb::Move {
        evacuation: status.evacuation.to_string(),
        vm: planned.vm.to_string(),
        name: planned.name.as_str().to_owned(),
        mode: planned.mode.word().to_owned(),
        wave: planned.wave,
        source_site: evacuation.source_site.to_string(),
        source_host: planned.source_host.to_string(),
        destination_site: evacuation.destination_site.to_string(),
        destination_host: arrival_host.unwrap_or(&planned.destination_host).to_string(),
        memory_mib: planned.memory_mib,
        state: words.state.into(),
        verdict: status.verdict.name().to_owned(),
        step: words.step.to_owned(),
        phase: job.map(|job| job.phase.word().to_owned()).unwrap_or_default(),
        phase_done_basis_points: job.map_or(0, |job| job.done_basis_points.into()),
        attempts: status.attempts,
        error: status.error.clone().unwrap_or_default(),
        held_because: words.held_because.to_owned(),
        remedy: words.remedy.to_owned(),
        ordered_by: status.by.clone(),
        started_at_ms: status.started_at.map(|at| at.0),
        ended_at_ms: status.ended_at.map(|at| at.0),
        downtime_ms: status.downtime_ms,
        dirty_rate_mib_s: job.map_or(0, |job| job.dirty_rate_mib_s),
        sent_mib: job.map_or(0, |job| job.sent_mib),
        round: job.map_or(0, |job| job.round),
        left_mib: job.map_or(0, |job| job.left_mib),
        expected_downtime_ms: job.and_then(|job| job.expected_downtime_ms),
        auto_converge: status.auto_converge,
        guardian: custody.map(|custody| custody.guardian.clone()).unwrap_or_default(),
        guardian_state: custody.map_or(pb::GuardianState::Unspecified, guardian_state).into(),
        guardian_error: custody.and_then(|custody| custody.error.clone()).unwrap_or_default(),
        source_copy: source_copy(status, source.as_deref()).to_owned(),
        source_copy_kept_until_ms: source.as_deref().and_then(|reading| kept_until(status, reading)),
        alarms: status.alarms.iter().rev().map(alarm).collect(),
        planned_start_at_ms: planned.expected.map(|expected| expected.start_at.0),
        planned_duration_ms: planned.expected.map(|expected| expected.duration_ms),
        planned_downtime_ms: planned.expected.map(|expected| expected.downtime_ms),
        priority: planned.turn.priority,
        group: planned.turn.group.clone().unwrap_or_default(),
        tags: planned.tags.clone(),
    }
}

fn alarm(raised: &RaisedAlarm) -> pb::Alarm {
    pb::Alarm {
        at_ms: raised.raised_at.0,
        site: raised.site.to_string(),
        reason: raised.reason.clone(),
        message: raised.message.clone(),
    }
}

/// A state in words.
struct Words {
    state: pb::MoveState,
    step: &'static str,
    held_because: &'static str,
    remedy: &'static str,
}

impl Words {
    fn of(status: &MoveStatus) -> Self {
        let plain = |state| Words { state, step: "", held_because: "", remedy: "" };
        let custody = status.custody.as_ref().map(|custody| custody.state);
        match status.state {
            MoveState::Waiting if custody == Some(CustodyState::TakingOff) => {
                Words { step: "take its guardian's hands off it", ..plain(pb::MoveState::Waiting) }
            }
            MoveState::Waiting => plain(pb::MoveState::Waiting),
            MoveState::Moving(action) => Words { step: action.words(), ..plain(pb::MoveState::Moving) },
            MoveState::Held(hold) => {
                Words { held_because: hold.sentence(), remedy: hold.remedy(), ..plain(pb::MoveState::Held) }
            }
            MoveState::Migrated => plain(pb::MoveState::Migrated),
            MoveState::StayedAtSource => plain(pb::MoveState::StayedAtSource),
        }
    }
}

fn guardian_state(custody: &Custody) -> pb::GuardianState {
    match custody.state {
        CustodyState::TakingOff => pb::GuardianState::TakingOff,
        CustodyState::HandsOff => pb::GuardianState::HandsOff,
        CustodyState::Owed => pb::GuardianState::GiveBackOwed,
        CustodyState::GivenBack => pb::GuardianState::GivenBack,
    }
}

/// Whether what is shown of a move may change, or may have, without a record of the journal that says so.
pub(super) fn changes_unrecorded(status: &MoveStatus, sites: Option<&Pair>) -> bool {
    let is_deleted = || {
        let source = sites.and_then(|pair| pair.source.feed().last_reading(status.planned.vm));
        source.is_some_and(|reading| match &reading.standing {
            Some(Standing::Source(at)) => matches!(at.retired_copy, RetiredCopy::Deleted { .. }),
            Some(Standing::Destination(_)) | None => false,
        })
    };
    // Until it begins, its source's copy is as it always was, and its site has nothing else to tell of it.
    let is_untouched = status.state == MoveState::Waiting && status.started_at.is_none();
    !is_untouched && (!is_over(status.state) || is_deleted())
}

fn is_under_way(state: MoveState) -> bool {
    match state {
        MoveState::Moving(_) | MoveState::Held(_) => true,
        MoveState::Waiting | MoveState::Migrated | MoveState::StayedAtSource => false,
    }
}

fn job(reading: &SiteReading) -> Option<Job> {
    reading.sight.sightings.iter().find_map(|sighting| sighting.job)
}

/// When the source deletes its retired copy.
fn kept_until(status: &MoveStatus, source: &SiteReading) -> Option<u64> {
    match &source.standing {
        Some(Standing::Source(at)) if at.evacuation == status.evacuation => match at.retired_copy {
            RetiredCopy::KeptUntil { at, .. } => Some(at.0),
            RetiredCopy::Kept | RetiredCopy::Deleted { .. } => None,
        },
        Some(Standing::Source(_) | Standing::Destination(_)) | None => None,
    }
}

/// What the source's copy is: what its hypervisors show, else what its ledger says, else what the move's end proves.
fn source_copy(status: &MoveStatus, source: Option<&SiteReading>) -> &'static str {
    const RUNNABLE: &str = "Runnable";
    const SEALED: &str = "Sealed";
    const NOT_RUNNABLE: &str = "Not Runnable";
    const DELETED: &str = "Deleted";
    let stored = |sighting: &Sighting| match sighting.stored {
        Stored::Real => Some(RUNNABLE),
        Stored::Sealed => Some(SEALED),
        Stored::Retired => Some(NOT_RUNNABLE),
        Stored::Nothing | Stored::Placeholder | Stored::Arrived => None,
    };
    if let Some(shown) = source.and_then(|reading| reading.sight.sightings.iter().find_map(stored)) {
        return shown;
    }
    match source.and_then(|reading| reading.standing.as_ref()) {
        Some(Standing::Source(at)) if at.evacuation == status.evacuation => match (&at.state, at.retired_copy) {
            (SourceState::Unsealed, _) => RUNNABLE,
            (SourceState::Sealed { .. } | SourceState::Gone { .. }, _) => SEALED,
            (SourceState::Retired, RetiredCopy::Deleted { .. }) => DELETED,
            (SourceState::Retired, RetiredCopy::Kept | RetiredCopy::KeptUntil { .. }) => NOT_RUNNABLE,
        },
        Some(Standing::Source(_) | Standing::Destination(_)) | None => match status.state {
            MoveState::Migrated => NOT_RUNNABLE,
            MoveState::StayedAtSource => RUNNABLE,
            MoveState::Waiting | MoveState::Moving(_) | MoveState::Held(_) if status.started_at.is_none() => RUNNABLE,
            MoveState::Waiting | MoveState::Moving(_) | MoveState::Held(_) => "",
        },
    }
}
