//! Preflight once more, right before a move: what held when it was planned may not hold any more. Reads only.
//!
//! What can't be asked now keeps no move back by itself: settling meets a silent site, and has its own words and waits for that.

use crate::parts::Pair;
use muster_core::env::Env;
use muster_core::evacuation::PlannedMove;
use muster_core::guardian::Guardian;
use muster_core::ids::HostName;
use muster_core::plan::{Finding, Problem};
use muster_core::preflight::survey::SiteSurvey;
use muster_core::preflight::{Preflight, Subject};
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_recovery::error::LinkError;
use muster_recovery::link::SurveyAnswer;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

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

/// What a look right before a move has shown.
pub(super) enum Rechecked {
    /// Nothing blocks it.
    Clear {
        /// What else starts and stops the VM, now.
        guardian: Option<String>,
    },
    /// Something does.
    Blocked {
        /// What, in words.
        found: String,
    },
    /// A site could not say, or not in time.
    Unasked {
        /// Which.
        side: Side,
        /// Why, in words.
        why: String,
    },
}

impl Recheck {
    pub(super) fn new(pair: Pair, env: Arc<dyn Env>) -> Self {
        Recheck { pair, env, destination: Mutex::new(None) }
    }

    /// Looks whether the move to this host is blocked. `guardians`: those that the runbook knows how to deal with.
    pub(super) async fn look(&self, planned: &PlannedMove, host: &HostName, guardians: &[Guardian]) -> Rechecked {
        let preflight = match self.gather(planned, host).await {
            Ok(preflight) => preflight,
            Err((side, why)) => {
                tracing::warn!(vm = %planned.vm, why, "preflight could not be made again before the move");
                return Rechecked::Unasked { side, why };
            }
        };
        let subject =
            Subject { vm: planned.vm, name: &planned.name, source_host: &planned.source_host, mode: planned.mode };
        let found: Vec<String> = preflight
            .keeps_from(subject, host, guardians)
            .into_iter()
            .map(|obstacle| Finding { vm: None, name: None, problem: Problem::Preflight { obstacle } }.to_string())
            .collect();
        if !found.is_empty() {
            return Rechecked::Blocked { found: found.join(". ") };
        }
        match preflight.needs.get(&planned.vm) {
            Some(needs) => Rechecked::Clear { guardian: needs.guardian.clone() },
            None => Rechecked::Unasked { side: Side::Source, why: "its host could not be asked about it".to_owned() },
        }
    }

    async fn gather(&self, planned: &PlannedMove, host: &HostName) -> Result<Preflight, (Side, String)> {
        let deadline = Instant::now() + RECHECK_WITHIN;
        let at_source = in_time(Side::Source, timeout_at(deadline, self.at_source(planned)).await)?;
        let processor: Vec<String> = at_source.needs.values().filter_map(|needs| needs.processor.clone()).collect();
        let at_destination = timeout_at(deadline, async {
            let destination = self.at_destination().await?;
            if processor.is_empty() {
                return Ok((destination, BTreeMap::new()));
            }
            let hosts = std::slice::from_ref(host);
            let asked = self.pair.destination.survey(hosts, &[], &processor).await?;
            Ok::<_, LinkError>((destination, asked.processors))
        });
        let (destination, processors) = in_time(Side::Destination, at_destination.await)?;
        // Whether there are the commands was asked when it was planned; one that is missing now fails when it is run.
        let commands = BTreeSet::new();
        Ok(Preflight { source: at_source.site, destination, needs: at_source.needs, processors, commands })
    }
}

impl Recheck {
    /// What the VM needs now, asked of its own host alone: a site has thousands. Of all only if it isn't there any more.
    async fn at_source(&self, planned: &PlannedMove) -> Result<SurveyAnswer, LinkError> {
        let vms = [planned.vm];
        let answer = self.pair.source.survey(std::slice::from_ref(&planned.source_host), &vms, &[]).await?;
        if answer.needs.is_empty() { self.pair.source.survey(&[], &vms, &[]).await } else { Ok(answer) }
    }

    /// The whole destination, since a VM's addresses must be nobody else's there; as it was a moment ago.
    async fn at_destination(&self) -> Result<SiteSurvey, LinkError> {
        // One at a time: those that wait take what the first one brings.
        let mut known = self.destination.lock().await;
        if let Some((at, survey)) = known.as_ref()
            && self.env.now().since_ms(*at) < DESTINATION_COUNTS_MS
        {
            return Ok(survey.clone());
        }
        let answer = self.pair.destination.survey(&[], &[], &[]).await?;
        *known = Some((self.env.now(), answer.site.clone()));
        Ok(answer.site)
    }
}

fn in_time<T, Late>(side: Side, answer: Result<Result<T, impl Display>, Late>) -> Result<T, (Side, String)> {
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err((side, error.to_string())),
        Err(_) => Err((side, format!("the {side} has not answered preflight in time"))),
    }
}
