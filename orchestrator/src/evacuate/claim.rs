//! Claiming, and waiting for whoever else acts. An orchestrator never claims over a recovery; over another orchestrator
//! only when it begins, never after it was itself superseded.

use super::{AGAIN_AFTER_MIN, Driver, status_of};
use crate::error::OrchestratorError;
use crate::parts::Pair;
use muster_core::evacuation::{EvacuationState, EvacuationStatus, JournalKind, PauseReason};
use muster_core::ids::VmId;
use muster_core::token::Epoch;
use muster_recovery::claim::{ClaimRequest, claim};
use muster_recovery::error::RecoveryError;
use muster_recovery::link::{Connection, FeedChange};
use std::time::Duration;

/// How long, without any news of it, until somebody else's claim is looked at again.
pub(crate) const CLAIM_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Least wait between two claims, so that two that fence each other don't do so without end and without pause.
pub(crate) const CLAIM_PAUSE: Duration = Duration::from_millis(500);

/// What a try came to.
enum Tried {
    Claimed(Epoch),
    /// Somebody else's.
    NotOurs(String),
    Failed(RecoveryError),
}

impl Driver {
    /// Claims the evacuation, however long that takes. None once the orchestrator stops.
    pub(super) async fn claim(&mut self, pair: &Pair, superseded: bool) -> Result<Option<Epoch>, OrchestratorError> {
        let moves = super::all_moves(self.house.journal().as_ref(), self.evacuation).await?;
        let vms: Vec<VmId> = moves.into_iter().map(|a_move| a_move.planned.vm).collect();
        let mut wait = AGAIN_AFTER_MIN;
        let mut careful = superseded;
        if superseded {
            let mut pause = CLAIM_PAUSE;
            if !self.sleep(&mut pause).await {
                return Ok(None);
            }
        }
        loop {
            match self.try_to_claim(pair, &vms, careful).await {
                Tried::Claimed(epoch) => {
                    self.claimed(epoch).await?;
                    return Ok(Some(epoch));
                }
                Tried::NotOurs(holder) => {
                    careful = true;
                    self.claim_lost(&holder).await?;
                    if !self.claim_may_be_free(pair).await {
                        return Ok(None);
                    }
                }
                Tried::Failed(error) => {
                    self.seat.trouble(Some(format!("the evacuation can't be claimed: {error}")));
                    if !self.sleep_or_news(&mut wait, pair).await {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn try_to_claim(&self, pair: &Pair, vms: &[VmId], careful: bool) -> Tried {
        let holder = self.house.holder();
        // Evidence of the wrong site is worse than none: both have to be who they should be, or silent.
        if let Err(error) = pair.destination.status().await {
            return Tried::Failed(error.into());
        }
        if let Err(error @ muster_recovery::error::LinkError::AnotherSite { .. }) = pair.source.status().await {
            return Tried::Failed(error.into());
        }
        if careful {
            match pair.destination.claims(self.evacuation).await {
                Ok(claims) => match claims.holder {
                    Some(other) if other != holder => return Tried::NotOurs(other.name),
                    Some(_) | None => {}
                },
                Err(error) => return Tried::Failed(error.into()),
            }
        }
        let request = ClaimRequest { evacuation: self.evacuation, holder, vms, take_over: None };
        match claim(&pair.destination, Some(&pair.source), self.house.env().as_ref(), &request).await {
            Ok(epoch) => Tried::Claimed(epoch),
            Err(RecoveryError::NotOurs { holder, .. }) => Tried::NotOurs(holder),
            Err(error) => Tried::Failed(error),
        }
    }

    async fn claimed(&self, epoch: Epoch) -> Result<(), OrchestratorError> {
        let _orders = self.seat.driven.lock().await;
        let mut records = vec![self.pen.line(JournalKind::Claimed { epoch })];
        if self.status().await?.state == EvacuationState::Paused(PauseReason::ClaimLost) {
            records.push(self.pen.line(JournalKind::Resumed));
        }
        self.pen.write(records).await?;
        self.seat.claimed(Some(epoch));
        self.seat.trouble(None);
        Ok(())
    }

    /// Makes it visible. A pause that a person ordered stays theirs.
    async fn claim_lost(&self, holder: &str) -> Result<(), OrchestratorError> {
        self.seat.claimed(None);
        self.seat
            .trouble(Some(format!("the claim is somebody else's: {holder}; it goes on once they have released it")));
        let _orders = self.seat.driven.lock().await;
        match self.status().await?.state {
            EvacuationState::Planned | EvacuationState::Running => {
                let lost = JournalKind::Paused { reason: PauseReason::ClaimLost };
                self.pen.write(vec![self.pen.line(lost)]).await?;
            }
            EvacuationState::Planning | EvacuationState::Paused(_) | EvacuationState::Finished => {}
        }
        Ok(())
    }

    /// Waits until the claim may be free: it was released, the destination is back, or nothing was heard for long.
    async fn claim_may_be_free(&self, pair: &Pair) -> bool {
        let mut changes = pair.destination.feed().changes();
        let news = async {
            while let Some(change) = super::next(&mut changes).await {
                let worth_a_look = match change {
                    FeedChange::Claims(evacuation) => evacuation == self.evacuation,
                    FeedChange::Connection(Connection::Up) => true,
                    FeedChange::Connection(Connection::Down(_)) | FeedChange::Vm(_) | FeedChange::Alarm => false,
                };
                if worth_a_look {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return false,
            () = self.seat.bell.notified() => {}
            () = news => {}
            () = tokio::time::sleep(CLAIM_AGAIN_AFTER) => {}
        }
        let mut pause = CLAIM_PAUSE;
        self.sleep(&mut pause).await
    }

    pub(super) async fn status(&self) -> Result<EvacuationStatus, OrchestratorError> {
        status_of(self.house.journal().as_ref(), self.evacuation).await
    }
}
