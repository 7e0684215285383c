//! Roll calls in the middle of it all, as `muster recover` makes them, with the world's truth written down meanwhile.

use crate::fault::Side;
use crate::oracle::{self, Seen};
use crate::play::Game;
use muster_core::env::Env;
use muster_core::evidence::Outcome;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::EventKind;
use muster_recovery::error::RecoveryError;
use muster_recovery::recover::{RecoverOrder, Recovered, Sites, recover};
use muster_tests::Process;
use muster_tests::trace::{Trace, What};
use muster_worker::hypervisor::sim::engine::WorldHandle;
use muster_worker::hypervisor::sim::world::Truth;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often the truth is looked at meanwhile.
const LOOKED_EVERY: Duration = Duration::from_millis(25);
/// How often it is written down at most; a roll call that takes longer is judged by its beginning.
const LOOKS_MAX: usize = 4_000;
/// How long a roll call is waited for.
const LOOK_LONGEST: Duration = Duration::from_secs(90);

/// Links to the workers as a person's tool has them, and its time and ids.
pub(crate) struct Links {
    pub(crate) sites: Sites,
    pub(crate) env: Arc<dyn Env>,
}

/// A roll call, and what was true while it was made.
#[derive(Debug)]
pub(crate) struct Look {
    evacuation: EvacuationId,
    alone: bool,
    begin_ms: u64,
    end_ms: u64,
    truths: Vec<BTreeMap<VmId, Truth>>,
    outcome: Result<Recovered, RecoveryError>,
}

impl Game {
    pub(crate) async fn links(&mut self, alone: bool) -> Links {
        let (from, to) = (self.worker(Side::From), self.worker(Side::To));
        let destination = self.stage.link(to).await;
        let source = if alone { None } else { Some(self.stage.link(from).await) };
        Links { sites: Sites { destination, source }, env: self.stage.caller_env() }
    }

    /// Has the roll called, in a task of its own. It is judged when all is over.
    pub(crate) async fn look(&mut self, alone: bool) {
        let Some(evacuation) = self.evacuation else { return };
        let links = self.links(alone).await;
        let mut order = self.stage.recover_order(false);
        order.evacuation = Some(evacuation);
        let (world, trace) = (self.stage.world.clone(), self.trace.clone());
        self.looks.push(tokio::spawn(looked(links, order, evacuation, alone, world, trace)));
    }

    /// Judges every roll call that was made since this was last asked.
    pub(crate) async fn judge_looks(&mut self) {
        for look in std::mem::take(&mut self.looks) {
            match look.await {
                Ok(look) => self.judge_look(&look),
                Err(error) => self.is_wrong("silent_is_not_absent", format!("a roll call panicked: {error}")),
            }
        }
    }

    fn judge_look(&mut self, look: &Look) {
        let recovered = match &look.outcome {
            Ok(recovered) => recovered,
            Err(_) => {
                self.figures.unanswered += 1;
                return;
            }
        };
        self.figures.roll_calls += 1;
        let (from, to) = (self.worker(Side::From), self.worker(Side::To));
        let (source, destination) = (self.site(Side::From), self.site(Side::To));
        for line in &recovered.lines {
            let vm = line.entry.vm;
            let seen = Seen {
                mode: line.entry.mode,
                truths: look.truths.iter().filter_map(|truths| truths.get(&vm)).collect(),
                event_before: self.is_completed(look.evacuation, vm, look.begin_ms),
                event_by_then: self.is_completed(look.evacuation, vm, look.end_ms),
                source_may_be_hidden: look.alone || self.weather.may_hide(from, look.begin_ms, look.end_ms),
                destination_may_be_hidden: self.weather.may_hide(to, look.begin_ms, look.end_ms),
                source: &source,
                destination: &destination,
            };
            self.figures.count_verdict(line.decision.verdict);
            if let Some(how) = oracle::wrong(line.decision.verdict, &seen) {
                self.figures.wrong_verdicts += 1;
                let when = format!("the roll call of {} to {} ms", look.begin_ms, look.end_ms);
                let explained = muster_recovery::explain::explain(line).join("\n");
                let what = format!("{when}: {} ({vm}): {how}\n{explained}", line.entry.definition.name);
                self.is_wrong("silent_is_not_absent", what);
            }
        }
    }

    /// Whether the completion event stood at the destination by then.
    fn is_completed(&self, evacuation: EvacuationId, vm: VmId, by_ms: u64) -> bool {
        let is_event = |kind: &EventKind| {
            matches!(kind, EventKind::Completed { .. } | EventKind::DestinationClosed { outcome: Outcome::Migrated })
        };
        let is_its_event = |process: Process, what: &What| match what {
            What::Wrote(_, event) => {
                let is_its = event.vm == Some(vm) && event.evacuation == Some(evacuation);
                is_its && process == self.worker(Side::To) && is_event(&event.kind)
            }
            What::Journaled(..) | What::Called(_) | What::Answered(..) | What::Noted(_) => false,
        };
        self.trace.read(|entries| {
            let by_then = entries.iter().take_while(|entry| entry.at_ms <= by_ms);
            by_then.into_iter().any(|entry| is_its_event(entry.process, &entry.what))
        })
    }
}

async fn looked(
    links: Links,
    order: RecoverOrder,
    evacuation: EvacuationId,
    alone: bool,
    world: WorldHandle,
    trace: Trace,
) -> Look {
    let begin_ms = trace.now_ms();
    let mut truths = vec![truth(&world).await];
    let calling = tokio::time::timeout(LOOK_LONGEST, recover(&links.sites, &links.env, &order));
    let mut calling = std::pin::pin!(calling);
    let outcome = loop {
        tokio::select! {
            biased;
            outcome = &mut calling => break outcome,
            () = tokio::time::sleep(LOOKED_EVERY), if truths.len() < LOOKS_MAX => {
                let now = truth(&world).await;
                if truths.last() != Some(&now) {
                    truths.push(now);
                }
            }
        }
    };
    truths.push(truth(&world).await);
    let silent = |_| RecoveryError::NoEvacuation { evacuation: Some(evacuation) };
    let outcome = outcome.map_err(silent).and_then(|outcome| outcome);
    Look { evacuation, alone, begin_ms, end_ms: trace.now_ms(), truths, outcome }
}

async fn truth(world: &WorldHandle) -> BTreeMap<VmId, Truth> {
    // A world that has ended has no truth left; nothing is judged by it then.
    let truths = world.truth().await.unwrap_or_default();
    truths.into_iter().map(|truth| (truth.vm, truth)).collect()
}
