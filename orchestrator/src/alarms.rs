//! The sites' alarms, into the journal: one task a site reads them from its ledger's history, in order, and goes on after
//! the newest one that stands in the journal. So none is lost while nobody listens, and none is written twice.
//!
//! The feed only rings. What it tells may be missed, the history may not.

use crate::error::OrchestratorError;
use crate::evacuate::{AGAIN_AFTER_MAX, AGAIN_AFTER_MIN};
use crate::parts::Orchestrator;
use muster_core::evacuation::{ALARMS_JOURNALED_MAX, JournalKind};
use muster_core::ids::{EvacuationId, SiteName, VmId, clip};
use muster_proto::convert::LedgerLine;
use muster_recovery::link::{Connection, FeedChange, SiteLink};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// The name of an alarm in a ledger's history.
const ALARMED: &str = "alarmed";

impl Orchestrator {
    /// Listens to a site's alarms until the orchestrator stops.
    pub(crate) async fn hear_alarms(self: Arc<Self>, site: SiteName) {
        let stop = self.stop.clone();
        let listening = async {
            let mut wait = AGAIN_AFTER_MIN;
            loop {
                // It ends with an error alone.
                if let Err(error) = self.hear_on(&site, &mut wait).await {
                    tracing::warn!(%site, %error, "a site's alarms can't be heard");
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN_AFTER_MAX);
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = listening => {}
        }
    }

    async fn hear_on(&self, site: &SiteName, wait: &mut Duration) -> Result<(), OrchestratorError> {
        let link = self.link(site).await?;
        // Before anything is read, so that nothing falls in between.
        let mut changes = link.feed().changes();
        let mut read = self.alarms_read(site).await?;
        loop {
            if link.feed().connection() == Connection::Up {
                read = self.read_alarms(&link, read).await?;
                *wait = AGAIN_AFTER_MIN;
            }
            until_rung(&mut changes).await;
        }
    }

    /// The number of the newest alarm of a site that stands in the journal.
    async fn alarms_read(&self, site: &SiteName) -> Result<u64, OrchestratorError> {
        let evacuations = self.journal().evacuations().await?;
        Ok(evacuations.iter().filter_map(|one| one.alarms_read.get(site)).copied().max().unwrap_or(0))
    }

    async fn read_alarms(&self, link: &SiteLink, after: u64) -> Result<u64, OrchestratorError> {
        let mut read = after;
        loop {
            let (lines, read_to) = link.history(read, ALARMED).await?;
            for line in lines {
                self.journal_alarm(link.site(), line).await?;
            }
            if read_to <= read {
                return Ok(read);
            }
            read = read_to;
        }
    }

    async fn journal_alarm(&self, site: &SiteName, line: LedgerLine) -> Result<(), OrchestratorError> {
        let (Some(evacuation), Some(vm)) = (line.evacuation, line.vm) else { return Ok(()) };
        if !self.has_room_for_alarm(evacuation, vm).await? {
            return Ok(());
        }
        let detail: Value = serde_json::from_str(&line.detail_json).unwrap_or_default();
        let word = |name: &str| detail.get(name).and_then(Value::as_str).map(clip);
        let (Some(reason), Some(message)) = (word("reason"), word("message")) else {
            tracing::error!(%site, sequence = line.sequence, "nonsense in the place of an alarm");
            return Ok(());
        };
        let raised = JournalKind::AlarmRaised {
            site: site.clone(),
            sequence: line.sequence,
            raised_at: line.at,
            reason,
            message,
        };
        let pen = self.pen(evacuation);
        Ok(pen.write(vec![pen.about(vm, raised)]).await?)
    }

    /// Whether it is about a move of this journal, and that move has not been told of too often.
    async fn has_room_for_alarm(&self, evacuation: EvacuationId, vm: VmId) -> Result<bool, OrchestratorError> {
        let status = self.journal().a_move(evacuation, vm).await?;
        Ok(status.is_some_and(|status| status.alarms_journaled < ALARMS_JOURNALED_MAX))
    }
}

/// Waits until the site has raised an alarm, is heard again, or may have told either.
async fn until_rung(changes: &mut Receiver<FeedChange>) {
    loop {
        match changes.recv().await {
            Ok(FeedChange::Alarm | FeedChange::Connection(Connection::Up)) | Err(RecvError::Lagged(_)) => return,
            Ok(FeedChange::Vm(_) | FeedChange::Claims(_) | FeedChange::Connection(Connection::Down(_))) => {}
            // The link lives as long as whoever listens: its feed can't end before.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
