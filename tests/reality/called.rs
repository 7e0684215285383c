//! Roll calls and recoveries of a row: asked of whoever can be heard, each verdict held against what is seen.

use crate::Outcome;
use crate::row::{BY, HANDOVER_MS, Row, SILENCE_MS};
use crate::witness::{Heard, wrong_verdicts};
use muster_core::verdict::Verdict;
use muster_tests::daemon::{self, Ended, is_working};
use muster_tests::roll_call::RollCall;
use std::collections::BTreeMap;
use std::time::Duration;

/// The exit code of a recovery of what the destination's ledger does not know: no roll has been written.
const REFUSED: i32 = 4;
/// How often a roll call is tried again while a worker has nothing to say yet.
const CALLS_MAX: usize = 20;
/// Wait before it is.
const CALLED_AGAIN_AFTER: Duration = Duration::from_millis(300);

/// Whom a roll call asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Orchestrator,
    BothWorkers,
    DestinationAlone,
}

impl Row<'_> {
    /// Calls the roll, and judges it by what is seen before and after. Every guest's verdict has to be one of those
    /// `expected`, too, unless none are.
    pub(crate) async fn call_the_roll(&mut self, asked: Asked, expected: &[Verdict]) -> Outcome<RollCall> {
        let mut last = String::new();
        for _ in 0..CALLS_MAX {
            self.keep_up().await?;
            let before = self.look().await?;
            let (source, destination) = self.hear(asked).await;
            let ended = daemon::run(&self.recover_arguments(asked)).await?;
            let after = self.look().await?;
            let (source_then, destination_then) = self.hear(asked).await;
            let heard = Heard {
                source: source && source_then && before.source_answers && after.source_answers,
                destination: destination && destination_then && before.destination_answers && after.destination_answers,
            };
            if ended.code == REFUSED && [&before, &after].iter().all(|look| look.nothing_has_begun()) {
                self.note(&format!("roll call, {asked:?}: nothing has begun"));
                return Ok(RollCall { lines: BTreeMap::new(), settled: true, claim_kept: false, text: ended.stderr });
            }
            if !matches!(ended.code, 0 | 3) {
                last = format!("{ended:?}");
                tokio::time::sleep(CALLED_AGAIN_AFTER).await;
                continue;
            }
            let call = RollCall::read(&ended.stdout)?;
            self.figures.roll_calls += 1;
            self.figures.verdicts += u64::try_from(call.lines.len()).unwrap_or_default();
            self.note(&format!("roll call, {asked:?}, {heard:?}: {:?}", call.lines.values().collect::<Vec<_>>()));
            let mut wrong = wrong_verdicts(self.lab, &self.guests, &call, &[before, after], heard)?;
            let unexpected = |verdict: &&Verdict| !expected.is_empty() && !expected.contains(verdict);
            wrong
                .extend(call.lines.values().filter(unexpected).map(|verdict| format!("{verdict:?}, not {expected:?}")));
            if wrong.is_empty() {
                return Ok(call);
            }
            self.figures.wrong_verdicts += u64::try_from(wrong.len()).unwrap_or(u64::MAX);
            return Err(format!("WRONG VERDICT, {asked:?}: {}\n{}", wrong.join("\n"), call.text));
        }
        Err(format!("the roll can't be called, {asked:?}: {last}"))
    }

    /// Calls the roll until every guest's verdict is this one: a worker that has just come back may still be looking what
    /// became of the calls that it had sent. Each call is judged.
    pub(crate) async fn call_until(&mut self, asked: Asked, verdict: Verdict) -> Outcome<()> {
        let mut last = None;
        for _ in 0..CALLS_MAX {
            let call = self.call_the_roll(asked, &[]).await?;
            if call.lines.values().all(|called| *called == verdict) {
                return Ok(());
            }
            last = Some(call);
            tokio::time::sleep(CALLED_AGAIN_AFTER).await;
        }
        Err(format!("never {verdict:?}, {asked:?}: {last:?}"))
    }

    /// Who can be heard at all, of those that are asked.
    async fn hear(&self, asked: Asked) -> (bool, bool) {
        let source = asked != Asked::DestinationAlone && is_working(&self.muster.source_at).await;
        (source, is_working(&self.muster.destination_at).await)
    }

    /// Runs `muster recover --apply` without an orchestrator, with further arguments.
    pub(crate) async fn recover(&mut self, asked: Asked, further: &[&str]) -> Outcome<Ended> {
        let mut arguments = self.recover_arguments(asked);
        arguments.push("--apply".to_owned());
        arguments.push(format!("--handover-deadline-ms={HANDOVER_MS}"));
        arguments.push(format!("--silence-deadline-ms={SILENCE_MS}"));
        arguments.extend(further.iter().map(|word| (*word).to_owned()));
        let ended = daemon::run(&arguments).await?;
        self.note(&format!("recovered, {asked:?} {further:?}: exit code {}", ended.code));
        Ok(ended)
    }

    fn recover_arguments(&self, asked: Asked) -> Vec<String> {
        let mut arguments = vec!["recover".to_owned(), self.evacuation.clone()];
        arguments.extend(["--output=json", BY].map(str::to_owned));
        let destination = format!("--destination={}", self.muster.destination_at);
        match asked {
            Asked::Orchestrator => arguments.push(format!("--orchestrator={}", self.muster.orchestrator_at)),
            Asked::BothWorkers => arguments.extend([destination, format!("--source={}", self.muster.source_at)]),
            Asked::DestinationAlone => arguments.extend([destination, "--source-lost".to_owned()]),
        }
        arguments
    }
}
