//! Invariant 5, Silent is not absent: nothing is destroyed, started or retried on missing data.
//!
//! By the trace: the source's worker makes nothing run, or runnable, before the destination's worker has answered it; with
//! that one out of its reach for as long as such a question may take, no such call may be made. What roll calls make of
//! silence the oracle judges.

use super::{Doing, Story};
use crate::weather::Weather;
use muster_core::ids::VmId;
use muster_core::ledger::command::EventKind;
use muster_core::step::Side;
use muster_tests::Process;
use muster_worker::hypervisor::VmChange;
use muster_worker::peers::PEER_DEADLINE;
use std::collections::BTreeMap;

/// Between the answer and the intent that rests on it, in milliseconds.
const SLACK_MS: u64 = 1_000;

pub(super) fn breaches(story: &Story<'_>, weather: &Weather) -> Vec<String> {
    let deadline_ms = u64::try_from(PEER_DEADLINE.as_millis()).unwrap_or(u64::MAX) + SLACK_MS;
    // It asks before it writes its intent; what it calls then may take its time.
    let mut intended_ms: BTreeMap<(Process, VmId), u64> = BTreeMap::new();
    let mut breaches = Vec::new();
    for step in story.steps() {
        let of = (step.entry.process, step.vm);
        let call = match step.doing {
            Doing::Writes(event) => {
                if let EventKind::MutationBegun { .. } = event.kind {
                    intended_ms.insert(of, step.entry.at_ms);
                }
                continue;
            }
            Doing::Calls(call) => call,
            Doing::IsAnswered => continue,
        };
        let makes_run = matches!(call.change, VmChange::Start | VmChange::Resume | VmChange::DefineReal { .. });
        let Some(destination) = story.worker(step.evacuation, Side::Destination) else { continue };
        let until_ms = intended_ms.get(&of).copied().unwrap_or(step.entry.at_ms);
        let since_ms = until_ms.saturating_sub(deadline_ms);
        if makes_run
            && step.side == Side::Source
            && weather.apart_throughout(step.entry.process, destination, since_ms, until_ms)
        {
            breaches.push(format!("the destination's worker was out of reach since {since_ms} ms: {}", step.entry));
        }
    }
    breaches
}
