//! Preflight once more, right before a move: what held when it was planned may not hold any more. Reads only.
//!
//! What can't be asked now keeps no move back: settling meets a silent site itself, and has its own words and waits for that.

use crate::error::OrchestratorError;
use crate::parts::Pair;
use muster_core::env::Env;
use muster_core::evacuation::PlannedMove;
use muster_core::ids::HostName;
use muster_core::plan::{Finding, Problem};
use muster_core::preflight::survey::SiteSurvey;
use muster_core::preflight::{Preflight, Subject};
use muster_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Longest that a move waits for it.
pub(crate) const RECHECK_WITHIN: Duration = Duration::from_secs(5);
/// How long what the destination said of itself counts for the moves that come next, in milliseconds.
pub(crate) const DESTINATION_COUNTS_MS: u64 = 2_000;

/// What both sites say right before a move.
pub(super) struct Recheck {
    pair: Pair,
    env: Arc<dyn Env>,
    destination: Mutex<Option<(Timestamp, SiteSurvey)>>,
}

impl Recheck {
    pub(super) fn new(pair: Pair, env: Arc<dyn Env>) -> Self {
        Recheck { pair, env, destination: Mutex::new(None) }
    }

    /// What blocks the move to this host, in words; none if nothing does, or nobody could say in time.
    pub(super) async fn in_the_way(&self, planned: &PlannedMove, host: &HostName) -> Option<String> {
        let preflight = match tokio::time::timeout(RECHECK_WITHIN, self.gather(planned)).await {
            Ok(Ok(preflight)) => preflight,
            Ok(Err(error)) => {
                tracing::warn!(vm = %planned.vm, %error, "preflight could not be made again before the move");
                return None;
            }
            Err(_) => {
                tracing::warn!(vm = %planned.vm, "preflight before the move has not ended in time");
                return None;
            }
        };
        let subject =
            Subject { vm: planned.vm, name: &planned.name, source_host: &planned.source_host, mode: planned.mode };
        let found: Vec<String> = preflight
            .keeps_from(subject, host)
            .into_iter()
            .map(|obstacle| Finding { vm: None, name: None, problem: Problem::Preflight { obstacle } }.to_string())
            .collect();
        (!found.is_empty()).then(|| found.join(". "))
    }

    async fn gather(&self, planned: &PlannedMove) -> Result<Preflight, OrchestratorError> {
        let at_source = self.pair.source.survey(&[planned.vm], &[]).await?;
        let processor: Vec<String> = at_source.needs.values().filter_map(|needs| needs.processor.clone()).collect();
        // One at a time: those that wait take what the first one brings.
        let mut known = self.destination.lock().await;
        let counts = |at: Timestamp| self.env.now().since_ms(at) < DESTINATION_COUNTS_MS;
        let (destination, processors) = match known.as_ref() {
            Some((at, survey)) if counts(*at) && processor.is_empty() => (survey.clone(), Default::default()),
            Some(_) | None => {
                let answer = self.pair.destination.survey(&[], &processor).await?;
                *known = Some((self.env.now(), answer.site.clone()));
                (answer.site, answer.processors)
            }
        };
        Ok(Preflight { source: at_source.site, destination, needs: at_source.needs, processors })
    }
}
