//! The source's side of a handover: the proof that the guest has gone, durable, and only then `CommitArrival`.
//!
//! ```text
//!  job ends ─┬─ off because migrated, sealed ─▶ Gone (durable) ─▶ CommitArrival with the transfer's own token, repeated
//!            ├─ runs here                     ─▶ TransferFailed
//!            ├─ off, sealed, a cold move      ─▶ ask the destination whether its disk is complete ─▶ Gone or TransferFailed
//!            └─ paused                        ─▶ nothing: the hypervisor may still resume it
//! ```
//! Invariants 1 and 3 (One runner, Order). It must never take "paused" or "off" for "gone", and never commit with any token but the transfer's.

use super::Site;
use super::alarms::Alarm;
use crate::error::SiteError;
use crate::peers::PeerError;
use backon::{ExponentialBuilder, Retryable};
use muster_core::class::Class;
use muster_core::definition::Mode;
use muster_core::ids::{Attempt, EvacuationId, RequestId, SiteName, VmId};
use muster_core::ledger::command::FactKind;
use muster_core::ledger::{AtSource, Enrolled, SourceState, Standing, Transfer, VmRow};
use muster_core::reading::{Instance, Mark, OffCause, Sight, Stored};
use muster_core::token::Token;
use muster_proto::convert::CommitArrival;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// First wait before a commit or a question to the destination is repeated.
pub const FOLLOW_UP_WAIT_MIN: Duration = Duration::from_millis(50);
/// Longest wait before it is repeated.
pub const FOLLOW_UP_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often it is repeated before it is left to whoever settles, and to the next look.
pub const FOLLOW_UP_TRIES: usize = 60;

/// How often a commit is tried without an answer until somebody is told that it waits.
pub const COMMIT_ALARM_TRIES: usize = 4;

/// What a row and a sight prove about a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing new.
    Nothing,
    /// The guest was handed over.
    Gone(Transfer),
    /// The guest is still this side's.
    Failed(Transfer, String),
    /// A cold move's job has ended; only the destination knows whether its disk is complete.
    AskDestination(Transfer),
    /// The proof stands already; the commit may still be missing.
    Commit(Transfer),
}

/// What the sight proves about the transfer that the row remembers. Pure.
pub(super) fn proven(row: &VmRow, sight: &Sight) -> Seen {
    let Some(Enrolled { standing: Standing::Source(at @ AtSource { closed: false, .. }), .. }) = &row.enrolled else {
        return Seen::Nothing;
    };
    match &at.state {
        SourceState::Gone { transfer } => Seen::Commit(transfer.clone()),
        SourceState::Sealed { transfer: Some(transfer) } if transfer.failed.is_none() => {
            job_ended(row, at.mode, transfer, sight)
        }
        SourceState::Sealed { .. } | SourceState::Unsealed | SourceState::Retired => Seen::Nothing,
    }
}

fn job_ended(row: &VmRow, mode: Mode, transfer: &Transfer, sight: &Sight) -> Seen {
    let under_way =
        sight.call_under_way || row.intent.is_some() || sight.sightings.iter().any(|seen| seen.job.is_some());
    let [seen] = sight.sightings.as_slice() else {
        // Absent, or on several hosts: neither proves anything.
        return Seen::Nothing;
    };
    if under_way {
        return Seen::Nothing;
    }
    let error = || seen.job_error.clone().unwrap_or_else(|| "the transfer was interrupted".to_owned());
    match (seen.instance, mode) {
        (Instance::Running, Mode::Live | Mode::Cold | Mode::Off) => Seen::Failed(transfer.clone(), error()),
        (Instance::Off(OffCause::Migrated), Mode::Live) if seen.stored == Stored::Sealed => {
            Seen::Gone(transfer.clone())
        }
        (Instance::Off(_), Mode::Cold | Mode::Off) if seen.job_error.is_some() => {
            Seen::Failed(transfer.clone(), error())
        }
        // A start would go on from its image, past the seal; and nothing of muster's has migrated it away.
        (Instance::Off(OffCause::Saved | OffCause::Migrated), Mode::Cold | Mode::Off) => Seen::Nothing,
        (Instance::Off(_), Mode::Cold | Mode::Off) if seen.stored == Stored::Sealed => {
            Seen::AskDestination(transfer.clone())
        }
        // Somebody could start it, and perhaps somebody has: it is sealed again first.
        (Instance::Off(_), Mode::Cold | Mode::Off) => Seen::Nothing,
        // Off and not because of a handover: it crashed. That is no proof, and no failure that a retry could mend.
        (Instance::Off(_), Mode::Live) => Seen::Nothing,
        (Instance::Paused | Instance::Incoming, Mode::Live | Mode::Cold | Mode::Off) => Seen::Nothing,
    }
}

/// How far the follow-up of a handover is, in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// A task is at it.
    UnderWay,
    /// The commit of this token was answered, yes or no: nothing more to be done here.
    Answered(Token),
}

/// Whether the sight proves something that the row doesn't say yet: the transfer still counts as under way.
pub(super) fn is_unwritten(row: &VmRow, sight: &Sight) -> bool {
    match proven(row, sight) {
        Seen::Gone(_) | Seen::Failed(..) | Seen::AskDestination(_) => true,
        Seen::Nothing | Seen::Commit(_) => false,
    }
}

impl Site {
    /// Writes down what a sight proves, and starts the follow-up that it calls for. The sight must be newer than the row:
    /// of an older one, "no job" could mean "not yet". Returns both anew if something was written.
    pub(super) async fn write_what_is_seen(
        self: &Arc<Self>,
        row: VmRow,
        sight: Sight,
    ) -> Result<(VmRow, Sight), SiteError> {
        let vm = row.vm;
        let fact = match proven(&row, &sight) {
            Seen::Nothing => return Ok((row, sight)),
            Seen::Gone(transfer) => Some(FactKind::Gone { attempt: transfer.attempt }),
            Seen::Failed(transfer, error) => Some(FactKind::TransferFailed { attempt: transfer.attempt, error }),
            Seen::AskDestination(_) | Seen::Commit(_) => None,
        };
        let (row, sight) = match fact {
            Some(fact) => {
                self.write_fact(vm, fact).await?;
                (self.records.row(vm).await?, self.look_one(vm).await?)
            }
            None => (row, sight),
        };
        self.follow_up(&row, &sight);
        Ok((row, sight))
    }

    fn follow_up(self: &Arc<Self>, row: &VmRow, sight: &Sight) {
        let Some(Enrolled { entry, .. }) = &row.enrolled else { return };
        let (vm, destination) = (row.vm, entry.destination_site.clone());
        let what = proven(row, sight);
        let answered = match &what {
            Seen::AskDestination(transfer) | Seen::Commit(transfer) => FollowUp::Answered(transfer.token),
            Seen::Nothing | Seen::Gone(_) | Seen::Failed(..) => return,
        };
        {
            let mut followed_up = self.followed_up.lock().unwrap_or_else(PoisonError::into_inner);
            match followed_up.get(&vm) {
                Some(now) if *now == FollowUp::UnderWay || *now == answered => return,
                Some(_) | None => followed_up.insert(vm, FollowUp::UnderWay),
            };
        }
        let (site, evacuation) = (Arc::clone(self), entry.evacuation);
        self.tasks.spawn(async move {
            let follow = async {
                match what {
                    Seen::Commit(transfer) => {
                        let (request, source_site) = (RequestId(site.env.new_id()), site.name.clone());
                        let Transfer { attempt, token, .. } = transfer;
                        let arrival = CommitArrival { request, evacuation, vm, attempt, token, source_site };
                        site.commit_until_answered(&destination, &arrival).await
                    }
                    Seen::AskDestination(transfer) => {
                        site.ask_about_disk(&destination, evacuation, vm, &transfer).await;
                        false
                    }
                    Seen::Nothing | Seen::Gone(_) | Seen::Failed(..) => false,
                }
            };
            let is_answered = tokio::select! {
                biased;
                () = site.stop.cancelled() => false,
                is_answered = follow => is_answered,
            };
            {
                let mut followed_up = site.followed_up.lock().unwrap_or_else(PoisonError::into_inner);
                if is_answered {
                    followed_up.insert(vm, answered);
                } else {
                    followed_up.remove(&vm);
                }
            }
            site.touch(vm);
        });
    }

    /// Repeats the commit until it is answered, and says whether it was. A refusal is an answer: somebody newer has
    /// taken over, and settles it.
    async fn commit_until_answered(self: &Arc<Self>, destination: &SiteName, arrival: &CommitArrival) -> bool {
        let call = || self.peers.commit_arrival(destination, arrival);
        let mut tries: usize = 0;
        let outcome = call
            .retry(follow_up_waits())
            .when(|error| !is_answer(error))
            .notify(|error, _| {
                tries += 1;
                if tries == COMMIT_ALARM_TRIES {
                    let message = format!("VM {} was handed over and waits for its commit: {error}", arrival.vm);
                    self.alarm(arrival.vm, Alarm::CommitWaits, message);
                }
            })
            .await;
        match outcome {
            Ok(()) => true,
            Err(error) => {
                tracing::info!(vm = %arrival.vm, %error, "the commit is left to whoever settles");
                is_answer(&error)
            }
        }
    }

    /// A cold move's job has ended here without an error; whether the copy is complete stands at the destination.
    async fn ask_about_disk(
        self: &Arc<Self>,
        destination: &SiteName,
        evacuation: EvacuationId,
        vm: VmId,
        transfer: &Transfer,
    ) {
        let mark = (evacuation, transfer.attempt);
        let ask = || async move {
            let reading = self.peers.observe(destination, evacuation, vm).await?;
            is_disk_complete(&reading.sight, mark).ok_or(NotTold::NotYet)
        };
        let is_complete = match ask.retry(follow_up_waits()).await {
            Ok(is_complete) => is_complete,
            Err(error) => {
                let message = format!("whether the copy of VM {vm}'s disk is complete can't be learnt: {error}");
                return self.alarm(vm, Alarm::DiskUnproven, message);
            }
        };
        // The answer may have taken long: by now somebody could have unsealed and started it here.
        match self.still_asks(vm, transfer).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::warn!(%vm, %error, "what came of a cold move is left to the next look"),
        }
        let attempt = transfer.attempt;
        let fact = if is_complete {
            FactKind::Gone { attempt }
        } else {
            FactKind::TransferFailed { attempt, error: "the copy of its disk is not complete".to_owned() }
        };
        if let Err(error) = self.write_fact(vm, fact).await {
            tracing::error!(%vm, %error, "what came of a cold move could not be written down");
        }
    }

    async fn still_asks(&self, vm: VmId, transfer: &Transfer) -> Result<bool, SiteError> {
        let row = self.records.row(vm).await?;
        let sight = self.look_one(vm).await?;
        Ok(proven(&row, &sight) == Seen::AskDestination(transfer.clone()))
    }
}

/// Why the destination hasn't told about a disk.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("its host does not answer, or still works on it")]
    NotYet,
}

/// Whether the destination's word on a commit can't change any more: it refused, or broke over it. All else is silence.
fn is_answer(error: &PeerError) -> bool {
    match error {
        PeerError::Answer { .. } | PeerError::Fault { .. } => match error.class() {
            Class::Refused | Class::Bug => true,
            Class::Retry | Class::Unknown => false,
        },
        PeerError::NoAddress { .. }
        | PeerError::Dial(_)
        | PeerError::Nonsense { .. }
        | PeerError::AnotherSite { .. } => false,
    }
}

/// Whether the destination's copy of the disk is complete; none while it can't be known. Pure.
fn is_disk_complete(sight: &Sight, (evacuation, attempt): (EvacuationId, Attempt)) -> Option<bool> {
    let is_ours = |mark: Mark| mark.evacuation == evacuation && mark.attempt == attempt;
    let copy = sight.sightings.iter().find(|seen| seen.mark.is_some_and(is_ours));
    match copy {
        Some(copy) if copy.disk_complete => Some(true),
        Some(copy) if copy.job.is_some() || sight.call_under_way => None,
        Some(_) => Some(false),
        // A silent host's copy is not an absent one.
        None if sight.silent_hosts.is_empty() => Some(false),
        None => None,
    }
}

fn follow_up_waits() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(FOLLOW_UP_WAIT_MIN)
        .with_max_delay(FOLLOW_UP_WAIT_MAX)
        .with_max_times(FOLLOW_UP_TRIES)
}
