//! One move's status, folded from the journal's lines about its VM. For people and for going on; no evidence.

use super::{JournalKind, JournalRecord, PlannedMove};
use crate::evidence::Outcome;
use crate::guardian::Custody;
use crate::ids::{EvacuationId, HostName, SiteName};
use crate::ladder::Rung;
use crate::reading::Phase;
use crate::step::{Action, Hold};
use crate::terms::Adjustment;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// Most alarms that a move's status keeps. The journal has the others.
pub const ALARMS_SHOWN_MAX: usize = 8;

/// A move's status, folded from the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveStatus {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The plan.
    pub planned: PlannedMove,
    /// Where it stands.
    pub state: MoveState,
    /// What was last proven.
    pub verdict: Verdict,
    /// Attempts opened so far, as far as the journal knows.
    pub attempts: u32,
    /// Further attempts granted by orders to retry: how many such orders there were.
    pub retries_ordered: u32,
    /// A person has ordered that it may be brought up from its disk.
    pub cold_start_ordered: bool,
    /// The last error, in words.
    pub error: Option<String>,
    /// Who ordered the evacuation.
    pub by: String,
    /// When its first step was taken.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// How long its guest stood still, in milliseconds.
    pub downtime_ms: Option<u64>,
    /// What was adjusted for it alone; counts before what was adjusted for all. Older journals lack it.
    #[serde(default)]
    pub adjustment: Adjustment,
    /// A transfer of it didn't converge: its attempts slow the guest down from now on. Older journals lack it.
    #[serde(default)]
    pub auto_converge: bool,
    /// The host that has it now that its move is over. Older journals lack it.
    #[serde(default)]
    pub host: Option<HostName>,
    /// How it stands with its guardian, once anything was begun about that. Older journals lack it.
    #[serde(default)]
    pub custody: Option<Custody>,
    /// The newest alarms that a site raised about it, the newest last, at most [`ALARMS_SHOWN_MAX`]. Older journals lack it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<RaisedAlarm>,
    /// How many alarms about it stand in the journal. Older journals lack it.
    #[serde(default)]
    pub alarms_journaled: u32,
}

/// An alarm that a site raised about a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaisedAlarm {
    /// The site.
    pub site: SiteName,
    /// When, by that site's clock.
    pub raised_at: Timestamp,
    /// What kind of alarm. Stable, for programs.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// Where a move stands, by the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MoveState {
    /// Not begun, or between attempts.
    Waiting,
    /// Under way; the last step taken.
    Moving(Action),
    /// Waits for a person or a returning site.
    Held(Hold),
    /// At the destination; the source's copy is Not Runnable.
    Migrated,
    /// At the source, as before: cancelled, or its attempts were used up.
    StayedAtSource,
}

/// Live progress of a move's transfer, as its site last told. Never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// How much of the phase is done, in hundredths of a percent.
    pub done_basis_points: u16,
}

impl MoveStatus {
    /// The status of a move that was just planned.
    #[must_use]
    pub fn planned(evacuation: EvacuationId, planned: PlannedMove, by: &str) -> Self {
        MoveStatus {
            evacuation,
            planned,
            state: MoveState::Waiting,
            verdict: Verdict::NotStarted,
            attempts: 0,
            retries_ordered: 0,
            cold_start_ordered: false,
            error: None,
            by: by.to_owned(),
            started_at: None,
            ended_at: None,
            downtime_ms: None,
            adjustment: Adjustment::default(),
            auto_converge: false,
            host: None,
            custody: None,
            alarms: Vec::new(),
            alarms_journaled: 0,
        }
    }

    /// Folds one record about this VM in.
    pub fn apply(&mut self, record: &JournalRecord) {
        self.custody = Custody::after(self.custody.take(), &record.kind);
        match &record.kind {
            JournalKind::StepIntended { action, verdict, token: _, attempt: _ } => {
                self.state = MoveState::Moving(*action);
                self.verdict = verdict.unwrap_or(self.verdict);
                self.started_at.get_or_insert(record.at);
                if matches!(action, Action::OpenAttempt(_)) {
                    self.attempts = self.attempts.saturating_add(1);
                }
            }
            JournalKind::StepFailed { error, .. } => self.error = Some(error.clone()),
            JournalKind::AttemptFailed { attempt, error } => {
                self.attempts = *attempt;
                self.error = Some(error.clone());
                self.state = MoveState::Waiting;
            }
            JournalKind::Held { hold, verdict, error } => {
                self.state = MoveState::Held(*hold);
                self.verdict = *verdict;
                // Without one the last error stands: it may still be why.
                if error.is_some() {
                    self.error.clone_from(error);
                }
            }
            JournalKind::Settled { outcome, verdict, attempts, downtime_ms, host } => {
                // What failed on the way and came right would read as a fault of what has arrived. The journal keeps it.
                (self.state, self.error) = match outcome {
                    Outcome::Migrated => (MoveState::Migrated, None),
                    Outcome::StayedAtSource => (MoveState::StayedAtSource, self.error.take()),
                };
                self.verdict = *verdict;
                self.attempts = *attempts;
                self.downtime_ms = *downtime_ms;
                self.host.clone_from(host);
                self.ended_at = Some(record.at);
            }
            JournalKind::RetryOrdered => {
                self.retries_ordered = self.retries_ordered.saturating_add(1);
                self.state = MoveState::Waiting;
                self.ended_at = None;
            }
            JournalKind::ColdStartOrdered => self.cold_start_ordered = true,
            JournalKind::Adjusted { adjustment } if record.vm.is_some() => {
                self.adjustment = std::mem::take(&mut self.adjustment).and(adjustment);
            }
            JournalKind::RungTaken { rung, .. } => match rung {
                Rung::AutoConverge => self.auto_converge = true,
                Rung::LongerDowntime(_) => {}
            },
            JournalKind::AlarmRaised { site, sequence: _, raised_at, reason, message } => {
                let (site, reason, message) = (site.clone(), reason.clone(), message.clone());
                self.raise(RaisedAlarm { site, raised_at: *raised_at, reason, message });
            }
            JournalKind::Adjusted { .. }
            | JournalKind::Ordered { .. }
            | JournalKind::MovePlanned { .. }
            | JournalKind::Planned { .. }
            | JournalKind::Claimed { .. }
            | JournalKind::RollWritten
            | JournalKind::Paused { .. }
            | JournalKind::Resumed
            | JournalKind::Cancelled
            | JournalKind::RecoveryOrdered { .. }
            | JournalKind::ReleaseOrdered { .. }
            | JournalKind::Released { .. }
            | JournalKind::ReleaseFailed { .. }
            | JournalKind::TransferAdjusted { .. }
            // What these say of the guardian is folded above.
            | JournalKind::CommandIntended { .. }
            | JournalKind::CommandDone { .. }
            | JournalKind::CommandFailed { .. }
            | JournalKind::Finished => {}
        }
    }

    fn raise(&mut self, alarm: RaisedAlarm) {
        self.alarms_journaled = self.alarms_journaled.saturating_add(1);
        self.alarms.push(alarm);
        self.alarms.drain(..self.alarms.len().saturating_sub(ALARMS_SHOWN_MAX));
    }
}
