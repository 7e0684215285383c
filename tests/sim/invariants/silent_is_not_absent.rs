//! Invariant 5, Silent is not absent: nothing is destroyed, started or retried on missing data.
//!
//! By the trace: the source's worker makes nothing run, or runnable, before the destination's worker has answered it; with
//! that one out of its reach for as long as such a question may take, no such call may be made. What roll calls make of
//! silence the oracle judges.

use super::{Doing, Story};
use crate::weather::Weather;
use muster_core::step::Side;
use muster_worker::hypervisor::VmChange;
use muster_worker::peers::PEER_DEADLINE;

/// Between the answer and the call that rests on it, in milliseconds.
const SLACK_MS: u64 = 1_000;

pub(super) fn breaches(story: &Story<'_>, weather: &Weather) -> Vec<String> {
    let deadline_ms = u64::try_from(PEER_DEADLINE.as_millis()).unwrap_or(u64::MAX) + SLACK_MS;
    let mut breaches = Vec::new();
    for step in story.steps() {
        let Doing::Calls(call) = step.doing else { continue };
        let makes_run = matches!(call.change, VmChange::Start | VmChange::Resume | VmChange::DefineReal { .. });
        let Some(destination) = story.worker(step.evacuation, Side::Destination) else { continue };
        let (since_ms, at_ms) = (step.entry.at_ms.saturating_sub(deadline_ms), step.entry.at_ms);
        if makes_run
            && step.side == Side::Source
            && weather.apart_throughout(step.entry.process, destination, since_ms, at_ms)
        {
            breaches.push(format!("the destination's worker was out of reach since {since_ms} ms: {}", step.entry));
        }
    }
    breaches
}
