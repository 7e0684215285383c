//! Driving one evacuation, from its plan to its end. One task; it sleeps until something happens.
//!
//! ```text
//!   Planning ─▶ plan anew ─▶ claim ─▶ roll at the destination, then at the source ─▶ moves ─▶ finish, release
//!                              ▲                                                       │
//!                              └──── somebody newer acts: wait until they let go ◀─────┘
//! ```
//! What it keeps in memory is thrown away with every claim and read from the journal again, so going on after a restart
//! and going on after a lost claim are the same.

mod claim;
mod enrol;
mod gate;
mod held;
mod moves;
mod order;
mod outlook;
mod over;
mod preflight;
mod recheck;
mod results;
mod settling;
mod turns;

use order::SilentHosts;

pub(crate) use order::{EvacuationOrder, Ordered, all_moves, check, is_over, order, status_of};
pub(crate) use over::arrival_host;
pub(crate) use preflight::inventory;

use crate::error::OrchestratorError;
use crate::parts::{Orchestrator, Pair};
use crate::pen::Pen;
use crate::seats::{Driven, Seat};
use muster_core::class::Class;
use muster_core::evacuation::{EvacuationState, EvacuationStatus, JournalKind};
use muster_core::ids::{EvacuationId, VmId, clip};
use muster_core::ledger::RollEntry;
use muster_core::plan::Finding;
use muster_core::runbook::Runbook;
use muster_recovery::link::{Connection, FeedChange, SiteLink};
use muster_store::{JournalQuery, PAGE_MAX};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// First wait before a site that didn't answer is called again.
pub(crate) const AGAIN_AFTER_MIN: Duration = Duration::from_millis(250);
/// Longest wait; news of the site cuts it short.
pub(crate) const AGAIN_AFTER_MAX: Duration = Duration::from_secs(15);

/// Most findings that are told when an evacuation can't be planned anew.
const FINDINGS_SHOWN_MAX: usize = 8;

/// The task that drives one evacuation.
pub(crate) struct Driver {
    house: Arc<Orchestrator>,
    seat: Arc<Seat>,
    evacuation: EvacuationId,
    pen: Pen,
    stop: CancellationToken,
    /// The roll as the plan was made with it, until it is written.
    roll: Option<Vec<RollEntry>>,
    /// The whole roll stands at both sites.
    roll_is_written: bool,
    /// VMs that are to be put on the roll once more.
    to_enrol: BTreeSet<VmId>,
}

/// How a part of the driving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The next part begins.
    On,
    /// Somebody newer acts, or a newer claim is needed: claim again.
    ClaimAgain,
    /// Every move is over.
    Finished,
    /// The orchestrator is about to stop.
    Stopped,
}

impl Driver {
    pub(crate) fn new(house: Arc<Orchestrator>, evacuation: EvacuationId, roll: Option<Vec<RollEntry>>) -> Self {
        let (seat, pen, stop) = (house.seats.of(evacuation), house.pen(evacuation), house.stop.child_token());
        Driver { house, seat, evacuation, pen, stop, roll, roll_is_written: false, to_enrol: BTreeSet::new() }
    }

    /// Drives until it is over, the orchestrator stops, or its journal fails.
    pub(crate) async fn drive(mut self) {
        let trouble = match Box::pin(self.run()).await {
            // Its seat is free already: another driver may sit there by now.
            Ok(Way::Finished) => return,
            Ok(Way::On | Way::ClaimAgain | Way::Stopped) => None,
            Err(error) => {
                tracing::error!(evacuation = %self.evacuation, %error, "an evacuation is no longer driven");
                Some(format!("no longer driven: {error}; mend it and start the orchestrator again"))
            }
        };
        let mut driven = self.seat.driven.lock().await;
        self.leave(&mut driven, trouble);
    }

    /// Frees the seat.
    fn leave(&self, driven: &mut Driven, trouble: Option<String>) {
        self.house.loads.leave(self.evacuation);
        self.seat.claimed(None);
        self.seat.trouble(trouble);
        *driven = Driven::No;
    }

    async fn run(&mut self) -> Result<Way, OrchestratorError> {
        let mut status = status_of(self.house.journal().as_ref(), self.evacuation).await?;
        if status.state == EvacuationState::Planning {
            match self.plan_anew(&status).await? {
                Way::On => status = status_of(self.house.journal().as_ref(), self.evacuation).await?,
                way @ (Way::ClaimAgain | Way::Finished | Way::Stopped) => return Ok(way),
            }
        }
        let runbook = Runbook::parse(&status.runbook).map_err(|mistakes| OrchestratorError::Runbook { mistakes })?;
        let pair = self.house.pair(&status.source_site, &status.destination_site).await?;
        self.roll_is_written = self.roll_stands().await?;
        let mut way = Way::On;
        loop {
            let claimed = self.claim(&pair, way == Way::ClaimAgain).await?;
            let Some(epoch) = claimed else { return Ok(Way::Stopped) };
            way = self.enrol(&pair, epoch).await?;
            if way == Way::On {
                way = self.moves(&pair, &runbook, epoch).await?;
            }
            match way {
                Way::On | Way::ClaimAgain => way = Way::ClaimAgain,
                Way::Finished | Way::Stopped => return Ok(way),
            }
        }
    }

    /// Plans what was ordered and not completely planned. A silent site is waited for; what can't be planned is over.
    async fn plan_anew(&mut self, status: &EvacuationStatus) -> Result<Way, OrchestratorError> {
        let mut wait = AGAIN_AFTER_MIN;
        let began = self.house.env().now();
        loop {
            let waited_ms = self.house.env().now().since_ms(began);
            let patient = waited_ms < silence_ms(status);
            let silent_hosts = if patient { SilentHosts::AreWaitedFor } else { SilentHosts::AreLeftOut };
            let error = match order::plan_anew(&self.house, status, silent_hosts).await {
                Ok((_, roll)) => {
                    self.roll = Some(roll);
                    self.seat.trouble(None);
                    return Ok(Way::On);
                }
                Err(error @ (OrchestratorError::Journal(_) | OrchestratorError::Store(_))) => return Err(error),
                Err(error) => error,
            };
            match error.class() {
                // A host's restart is no reason to give up what was ordered.
                Class::Refused if patient && is_for_silence(&error) => {
                    self.seat.trouble(Some(format!("it can't be planned yet: {}", why(&error))));
                }
                Class::Refused => {
                    tracing::error!(evacuation = %self.evacuation, %error, "can't be planned any more: given up");
                    self.seat.warn(vec![format!("given up, for it can't be planned any more: {}", why(&error))]);
                    let mut driven = self.seat.driven.lock().await;
                    order::give_up(&self.house, self.evacuation).await?;
                    self.leave(&mut driven, None);
                    return Ok(Way::Finished);
                }
                Class::Retry | Class::Unknown | Class::Bug => self.seat.trouble(Some(error.to_string())),
            }
            if !self.sleep(&mut wait).await {
                return Ok(Way::Stopped);
            }
        }
    }

    /// Whether the journal says that the roll was written. It stands early in the history, right after the plan.
    async fn roll_stands(&self) -> Result<bool, OrchestratorError> {
        let mut query =
            JournalQuery { evacuation: Some(self.evacuation), vm: None, after_sequence: 0, limit: PAGE_MAX };
        loop {
            let page = self.house.journal().records(query).await?;
            let Some((last, _)) = page.last() else { return Ok(false) };
            query.after_sequence = *last;
            if page.iter().any(|(_, record)| matches!(record.kind, JournalKind::RollWritten)) {
                return Ok(true);
            }
        }
    }

    /// Sleeps, longer each time. False once the orchestrator stops.
    async fn sleep(&self, wait: &mut Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return false,
            () = tokio::time::sleep(*wait) => {}
        }
        *wait = (*wait * 2).min(AGAIN_AFTER_MAX);
        true
    }

    /// Sleeps, longer each time, or until an order was left or a site is back. False once the orchestrator stops.
    async fn sleep_or_news(&self, wait: &mut Duration, pair: &Pair) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return false,
            () = self.seat.bell.notified() => {}
            () = is_back(&pair.destination) => {}
            () = is_back(&pair.source) => {}
            () = tokio::time::sleep(*wait) => {}
        }
        *wait = (*wait * 2).min(AGAIN_AFTER_MAX);
        true
    }
}

/// How long the runbook lets a site be silent, in milliseconds.
fn silence_ms(status: &EvacuationStatus) -> u64 {
    let deadlines = Runbook::parse(&status.runbook).map(|runbook| runbook.deadlines).unwrap_or_default();
    deadlines.silence_ms
}

/// Whether what stands in the way may stand there only since a host doesn't answer.
fn is_for_silence(error: &OrchestratorError) -> bool {
    matches!(error, OrchestratorError::Blocked { findings } if findings.iter().any(Finding::is_silence))
}

/// The error with what was found, for people.
fn why(error: &OrchestratorError) -> String {
    if let OrchestratorError::Blocked { findings } = error {
        let shown: Vec<String> = findings.iter().take(FINDINGS_SHOWN_MAX).map(Finding::to_string).collect();
        clip(&shown.join(". "))
    } else {
        error.to_string()
    }
}

/// Waits until a site is heard again. For ever while its connection stays as it is.
async fn is_back(site: &SiteLink) {
    let mut changes = site.feed().changes();
    while let Some(change) = next(&mut changes).await {
        if change == FeedChange::Connection(Connection::Up) {
            return;
        }
    }
    std::future::pending().await
}

/// The next change of a feed; those that were missed are passed over. None once the feed has ended.
async fn next(changes: &mut Receiver<FeedChange>) -> Option<FeedChange> {
    loop {
        match changes.recv().await {
            Ok(change) => return Some(change),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
