//! What a line of the journal has in common with others of any kind: its name, and the attempt, token and outcome that it
//! tells of. For listings and exports; nothing is decided by it.

use super::JournalKind;
use crate::evidence::Outcome;
use crate::token::Token;

/// What a line tells of, where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The attempt, from 1; of a move that is over, how many it took.
    pub attempt: Option<u32>,
    /// The command's token.
    pub token: Option<Token>,
    /// What came of it: `done`, `failed`, `held`, `migrated` or `stayed_at_source`.
    pub outcome: Option<&'static str>,
}

impl JournalKind {
    /// The names of all kinds, in no order that means anything.
    pub const NAMES: [&str; 27] = [
        "ordered",
        "move_planned",
        "planned",
        "claimed",
        "roll_written",
        "paused",
        "resumed",
        "cancelled",
        "retry_ordered",
        "cold_start_ordered",
        "recovery_ordered",
        "release_ordered",
        "released",
        "release_failed",
        "adjusted",
        "transfer_adjusted",
        "rung_taken",
        "alarm_raised",
        "step_intended",
        "step_failed",
        "attempt_failed",
        "held",
        "settled",
        "command_intended",
        "command_done",
        "command_failed",
        "finished",
    ];

    /// Its name, as it is stored: stable, for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            JournalKind::Ordered { .. } => "ordered",
            JournalKind::MovePlanned { .. } => "move_planned",
            JournalKind::Planned { .. } => "planned",
            JournalKind::Claimed { .. } => "claimed",
            JournalKind::RollWritten => "roll_written",
            JournalKind::Paused { .. } => "paused",
            JournalKind::Resumed => "resumed",
            JournalKind::Cancelled => "cancelled",
            JournalKind::RetryOrdered => "retry_ordered",
            JournalKind::ColdStartOrdered => "cold_start_ordered",
            JournalKind::RecoveryOrdered { .. } => "recovery_ordered",
            JournalKind::ReleaseOrdered { .. } => "release_ordered",
            JournalKind::Released { .. } => "released",
            JournalKind::ReleaseFailed { .. } => "release_failed",
            JournalKind::Adjusted { .. } => "adjusted",
            JournalKind::TransferAdjusted { .. } => "transfer_adjusted",
            JournalKind::RungTaken { .. } => "rung_taken",
            JournalKind::AlarmRaised { .. } => "alarm_raised",
            JournalKind::StepIntended { .. } => "step_intended",
            JournalKind::StepFailed { .. } => "step_failed",
            JournalKind::AttemptFailed { .. } => "attempt_failed",
            JournalKind::Held { .. } => "held",
            JournalKind::Settled { .. } => "settled",
            JournalKind::CommandIntended { .. } => "command_intended",
            JournalKind::CommandDone { .. } => "command_done",
            JournalKind::CommandFailed { .. } => "command_failed",
            JournalKind::Finished => "finished",
        }
    }

    /// What it tells of. A step that was intended has no outcome of its own: see [`JournalKind::StepIntended`].
    #[must_use]
    pub fn facts(&self) -> Facts {
        let nothing = Facts::default();
        match self {
            JournalKind::Claimed { .. } | JournalKind::RollWritten | JournalKind::CommandDone { .. } => {
                Facts { outcome: Some("done"), ..nothing }
            }
            JournalKind::Released { token } => Facts { token: Some(*token), outcome: Some("done"), ..nothing },
            JournalKind::TransferAdjusted { token, error, .. } => {
                let outcome = if error.is_none() { "done" } else { "failed" };
                Facts { token: Some(*token), outcome: Some(outcome), ..nothing }
            }
            JournalKind::StepIntended { token, attempt, .. } => {
                Facts { token: Some(*token), attempt: *attempt, ..nothing }
            }
            JournalKind::StepFailed { token, attempt, .. } => {
                Facts { token: *token, attempt: *attempt, outcome: Some("failed") }
            }
            JournalKind::AttemptFailed { attempt, .. } => {
                Facts { attempt: Some(*attempt), outcome: Some("failed"), ..nothing }
            }
            JournalKind::CommandFailed { .. } | JournalKind::ReleaseFailed { .. } => {
                Facts { outcome: Some("failed"), ..nothing }
            }
            JournalKind::Held { .. } => Facts { outcome: Some("held"), ..nothing },
            JournalKind::Settled { outcome, attempts, .. } => {
                let outcome = match outcome {
                    Outcome::Migrated => "migrated",
                    Outcome::StayedAtSource => "stayed_at_source",
                };
                Facts { attempt: Some(*attempts), outcome: Some(outcome), ..nothing }
            }
            JournalKind::RungTaken { attempt, .. } => Facts { attempt: Some(*attempt), ..nothing },
            JournalKind::Ordered { .. }
            | JournalKind::MovePlanned { .. }
            | JournalKind::Planned { .. }
            | JournalKind::Paused { .. }
            | JournalKind::Resumed
            | JournalKind::Cancelled
            | JournalKind::RetryOrdered
            | JournalKind::ColdStartOrdered
            | JournalKind::RecoveryOrdered { .. }
            | JournalKind::ReleaseOrdered { .. }
            | JournalKind::Adjusted { .. }
            | JournalKind::AlarmRaised { .. }
            | JournalKind::CommandIntended { .. }
            | JournalKind::Finished => nothing,
        }
    }
}
