//! The orchestrator's history of an evacuation: orders, plans and what came of them, and the status folded from them.
//!
//! It holds no second copy of a VM's state that `decide` could trust: what is here is for people, for going on after
//! a restart (which evacuations, which orders stand), and for the audit trail. Pure: the store keeps it.

mod facts;
mod move_status;

pub use facts::Facts;
pub use move_status::{ALARMS_SHOWN_MAX, MoveState, MoveStatus, Progress, RaisedAlarm};

use crate::claim::Fenced;
use crate::definition::Mode;
use crate::evidence::Outcome;
use crate::fingerprint::Fingerprint;
use crate::guardian::GuardianCall;
use crate::ids::{EvacuationId, HostName, RequestId, SiteName, VmId, VmName};
use crate::ladder::Rung;
use crate::runbook::selection::Turn;
use crate::step::{Action, Hold};
use crate::terms::Adjustment;
use crate::time::Timestamp;
use crate::token::{Epoch, Token};
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most alarms about one move that become lines of the journal. A site that raises more of them tells its own log alone.
pub const ALARMS_JOURNALED_MAX: u32 = 256;

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// When, by the orchestrator's clock.
    pub at: Timestamp,
    /// By whose order or doing.
    pub by: String,
    /// Where the order came from: the caller's address, like `127.0.0.1:40312`. None for what the orchestrator does by
    /// itself, and where nobody can tell. Older journals lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The mutating call that ordered it, where one did. No two records carry the same.
    pub request: Option<RequestId>,
    /// What that call was: a SHA-256 over its method and its message without the id. Stands where `request` does; older
    /// journals lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Fingerprint>,
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The VM, where it is about one.
    pub vm: Option<VmId>,
    /// What.
    pub kind: JournalKind,
}

/// What a line of the journal says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum JournalKind {
    /// An evacuation was ordered.
    Ordered {
        /// What people call it.
        name: String,
        /// The site to leave.
        source_site: SiteName,
        /// The site to go to.
        destination_site: SiteName,
        /// The runbook, to the letter.
        runbook: String,
        /// Whoever ordered it may touch VMs with one of these tags alone; empty for all. Older journals lack it.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        scope_tags: BTreeSet<String>,
    },
    /// One move was planned.
    MovePlanned {
        /// The move.
        planned: PlannedMove,
    },
    /// The plan is complete: all moves stand in the journal.
    Planned {
        /// What was expected of it. Older journals lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outlook: Option<Outlook>,
    },
    /// The evacuation was claimed.
    Claimed {
        /// The epoch.
        epoch: Epoch,
    },
    /// The roll is durable at the destination, and at the source.
    RollWritten,
    /// Nothing new is started until further notice.
    Paused {
        /// Why.
        reason: PauseReason,
    },
    /// New moves are started again.
    Resumed,
    /// What has not arrived goes back to the source.
    Cancelled,
    /// A VM gets further attempts, and is tried again if it was held or had failed.
    RetryOrdered,
    /// A VM may be brought up from its disk at the destination, by a person's order.
    ColdStartOrdered,
    /// What is held is to be looked at again, by a person's order, and by what that person has sworn to.
    RecoveryOrdered {
        /// What was sworn to.
        assertions: Vec<Sworn>,
    },
    /// A retired copy is to be made runnable again, by an admin's order.
    ReleaseOrdered {
        /// Why.
        reason: String,
    },
    /// Its site has made it so.
    Released {
        /// The command's token.
        token: Token,
    },
    /// It could not be made so, or nobody knows whether it was.
    ReleaseFailed {
        /// Why.
        error: String,
    },
    /// The terms were changed by a person: a VM's, or those of the whole evacuation.
    Adjusted {
        /// What was changed.
        adjustment: Adjustment,
    },
    /// A transfer under way was told other terms: after a rung, or since a person had adjusted them.
    TransferAdjusted {
        /// The command's token.
        token: Token,
        /// Most that it sends from now on, in MiB per second; none for all there is.
        bandwidth_mib_s: Option<u64>,
        /// How long its guest may stand still from now on, in milliseconds; none where that is left as it was.
        downtime_ms: Option<u64>,
        /// Why its site did not do it, or may not have; none where it did.
        error: Option<String>,
    },
    /// A transfer that doesn't converge went up a rung of the ladder.
    RungTaken {
        /// Which attempt, from 1.
        attempt: u32,
        /// Which rung.
        rung: Rung,
    },
    /// A site has raised an alarm about a VM.
    AlarmRaised {
        /// The site.
        site: SiteName,
        /// Its number in the history of that site's ledger: no two records carry the same of one site.
        sequence: u64,
        /// When, by that site's clock.
        raised_at: Timestamp,
        /// What kind of alarm. Stable, for programs.
        reason: String,
        /// For people.
        message: String,
    },
    /// A command is about to be sent to a site. Where it fails, or its answer never comes, a line says so. Where none does and
    /// the VM's next line follows under the same claim, its site has done it: nothing else is written in between. Under a newer
    /// claim nobody knows by the journal: the site's ledger says what was done under the token.
    StepIntended {
        /// What.
        action: Action,
        /// Its token.
        token: Token,
        /// What was proven when it was decided. Journals of before it was kept lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdict: Option<Verdict>,
        /// Which attempt, from 1; none where it is yet to be allocated. Older journals lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    /// A site refused or failed a command, or its answer never came.
    StepFailed {
        /// What.
        action: Action,
        /// Its token; none where the command came with the roll. Older journals lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<Token>,
        /// Which attempt, from 1; none as above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// Why.
        error: String,
    },
    /// A transfer ended without an arrival.
    AttemptFailed {
        /// Which attempt, from 1.
        attempt: u32,
        /// Why.
        error: String,
    },
    /// The move is held.
    Held {
        /// Why.
        hold: Hold,
        /// What is proven.
        verdict: Verdict,
        /// The error behind it, in words. Journals of before it was kept lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The move is over.
    Settled {
        /// Where the VM is.
        outcome: Outcome,
        /// What is proven.
        verdict: Verdict,
        /// How many attempts it took.
        attempts: u32,
        /// How long its guest stood still.
        downtime_ms: Option<u64>,
        /// The host that has it. Older journals lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<HostName>,
    },
    /// A guardian's command is about to be run. With no outcome behind it, it may or may not have been.
    CommandIntended {
        /// Which, and what for.
        call: GuardianCall,
    },
    /// A guardian's command has succeeded.
    CommandDone {
        /// Which, and what for.
        call: GuardianCall,
    },
    /// A guardian's command has failed, or took too long.
    CommandFailed {
        /// Which, and what for.
        call: GuardianCall,
        /// Why, with the last that it said.
        error: String,
    },
    /// Every move is over.
    Finished,
}

/// What a person has sworn to, with a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sworn {
    /// What can't be running.
    pub fenced: Fenced,
    /// Why that person is sure.
    pub reason: String,
}

/// Why nothing new is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PauseReason {
    /// A person wanted it.
    Order,
    /// More moves failed than the runbook's budget allows.
    FailureBudget,
    /// Somebody else holds the claim.
    ClaimLost,
}

/// A move as planned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedMove {
    /// The VM.
    pub vm: VmId,
    /// What people call it.
    pub name: VmName,
    /// How it is moved.
    pub mode: Mode,
    /// The wave it belongs to, from 0.
    pub wave: u32,
    /// The host it leaves.
    pub source_host: HostName,
    /// The host it goes to.
    pub destination_host: HostName,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// What else starts and stops it. Older journals lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardian: Option<String>,
    /// What is copied of its disk, in MiB; none where both sites reach it. Older journals lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_mib: Option<u64>,
    /// When it has its turn, and what it is worth. Older journals lack it.
    #[serde(default)]
    pub turn: Turn,
    /// What it is kept apart from, on hosts of their own. Older journals lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<String>,
    /// When it is expected to begin and how long it takes. Older journals lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// Its labels, at most [`crate::definition::TAGS_MAX`]. Older journals lack them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What is expected of an evacuation before it begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outlook {
    /// When the last move that is planned has arrived; none where none has a beginning.
    pub ends_at: Option<Timestamp>,
    /// What no order of its moves ends before; none as above.
    pub bound_at: Option<Timestamp>,
    /// What that hangs on, in words.
    pub bottleneck: Option<String>,
    /// How many moves don't end by the runbook's deadline.
    pub late: u32,
}

/// What is expected of a move before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expected {
    /// When it begins.
    pub start_at: Timestamp,
    /// From its beginning until its guest has arrived, in milliseconds.
    pub duration_ms: u64,
    /// How long its guest stands still, in milliseconds.
    pub downtime_ms: u64,
}

/// An evacuation's status, folded from the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvacuationStatus {
    /// The evacuation.
    pub id: EvacuationId,
    /// What people call it.
    pub name: String,
    /// The site it leaves.
    pub source_site: SiteName,
    /// The site it goes to.
    pub destination_site: SiteName,
    /// The runbook, to the letter.
    pub runbook: String,
    /// Where it stands.
    pub state: EvacuationState,
    /// The goal was turned to "undo".
    pub cancelled: bool,
    /// Who ordered it.
    pub by: String,
    /// The tags of the VMs that they may touch; empty for all. Older journals lack it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scope_tags: BTreeSet<String>,
    /// When it was ordered.
    pub ordered_at: Timestamp,
    /// When it was finished.
    pub finished_at: Option<Timestamp>,
    /// What was adjusted of the runbook's terms. Journals of before that could be lack it.
    #[serde(default)]
    pub adjustment: Adjustment,
    /// A guardian's hands were taken off one of its VMs, or that was begun: some may have to be given back. Older journals
    /// lack it.
    #[serde(default)]
    pub has_guardians: bool,
    /// What was expected of it when it was planned. Older journals lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlook: Option<Outlook>,
    /// How far each site's ledger was read for alarms that became lines of this evacuation: the newest one's number. Journals
    /// of before they were kept lack it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alarms_read: BTreeMap<SiteName, u64>,
}

/// Where an evacuation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EvacuationState {
    /// Ordered; the plan is not complete yet. After a restart such a plan is made anew.
    Planning,
    /// Planned; nothing has moved before the roll is written.
    Planned,
    /// Moves are started.
    Running,
    /// Running moves go on, nothing new is started.
    Paused(PauseReason),
    /// Every move is over.
    Finished,
}

impl EvacuationStatus {
    /// The status after the order alone. None if the record isn't an order.
    #[must_use]
    pub fn ordered(record: &JournalRecord) -> Option<Self> {
        match &record.kind {
            JournalKind::Ordered { name, source_site, destination_site, runbook, scope_tags } => {
                Some(EvacuationStatus {
                    id: record.evacuation,
                    name: name.clone(),
                    source_site: source_site.clone(),
                    destination_site: destination_site.clone(),
                    runbook: runbook.clone(),
                    state: EvacuationState::Planning,
                    cancelled: false,
                    by: record.by.clone(),
                    scope_tags: scope_tags.clone(),
                    ordered_at: record.at,
                    finished_at: None,
                    adjustment: Adjustment::default(),
                    has_guardians: false,
                    outlook: None,
                    alarms_read: BTreeMap::new(),
                })
            }
            JournalKind::MovePlanned { .. }
            | JournalKind::Planned { .. }
            | JournalKind::Claimed { .. }
            | JournalKind::RollWritten
            | JournalKind::Paused { .. }
            | JournalKind::Resumed
            | JournalKind::Cancelled
            | JournalKind::RetryOrdered
            | JournalKind::ColdStartOrdered
            | JournalKind::RecoveryOrdered { .. }
            | JournalKind::ReleaseOrdered { .. }
            | JournalKind::Released { .. }
            | JournalKind::ReleaseFailed { .. }
            | JournalKind::TransferAdjusted { .. }
            | JournalKind::Adjusted { .. }
            | JournalKind::RungTaken { .. }
            | JournalKind::AlarmRaised { .. }
            | JournalKind::StepIntended { .. }
            | JournalKind::StepFailed { .. }
            | JournalKind::AttemptFailed { .. }
            | JournalKind::Held { .. }
            | JournalKind::Settled { .. }
            | JournalKind::CommandIntended { .. }
            | JournalKind::CommandDone { .. }
            | JournalKind::CommandFailed { .. }
            | JournalKind::Finished => None,
        }
    }

    /// Folds one record in.
    pub fn apply(&mut self, record: &JournalRecord) {
        match &record.kind {
            JournalKind::Planned { outlook } => {
                self.state = EvacuationState::Planned;
                self.outlook.clone_from(outlook);
            }
            JournalKind::RollWritten if self.state == EvacuationState::Planned => self.state = EvacuationState::Running,
            JournalKind::Paused { reason } => self.state = EvacuationState::Paused(*reason),
            JournalKind::Resumed => self.state = EvacuationState::Running,
            JournalKind::Cancelled => self.cancelled = true,
            // One that found nothing to try again is about no VM.
            JournalKind::RetryOrdered if self.state == EvacuationState::Finished && record.vm.is_some() => {
                self.state = EvacuationState::Running;
                self.finished_at = None;
            }
            JournalKind::Finished => {
                self.state = EvacuationState::Finished;
                self.finished_at = Some(record.at);
            }
            JournalKind::Adjusted { adjustment } if record.vm.is_none() => {
                self.adjustment = std::mem::take(&mut self.adjustment).and(adjustment);
            }
            JournalKind::CommandIntended { .. } => self.has_guardians = true,
            JournalKind::AlarmRaised { site, sequence, .. } => {
                let read = self.alarms_read.entry(site.clone()).or_default();
                *read = (*read).max(*sequence);
            }
            JournalKind::Ordered { .. }
            | JournalKind::MovePlanned { .. }
            | JournalKind::Claimed { .. }
            | JournalKind::RollWritten
            | JournalKind::RetryOrdered
            | JournalKind::ColdStartOrdered
            | JournalKind::RecoveryOrdered { .. }
            | JournalKind::ReleaseOrdered { .. }
            | JournalKind::Released { .. }
            | JournalKind::ReleaseFailed { .. }
            | JournalKind::TransferAdjusted { .. }
            | JournalKind::Adjusted { .. }
            | JournalKind::RungTaken { .. }
            | JournalKind::StepIntended { .. }
            | JournalKind::StepFailed { .. }
            | JournalKind::AttemptFailed { .. }
            | JournalKind::Held { .. }
            | JournalKind::Settled { .. }
            | JournalKind::CommandDone { .. }
            | JournalKind::CommandFailed { .. } => {}
        }
    }
}
