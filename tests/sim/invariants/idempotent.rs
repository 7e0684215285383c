//! Invariant 7, Idempotent: every step can be repeated, every reply lost. So there is one event a move, each attempt is opened
//! once, each order taken once. That recovering twice changes nothing, the play itself tries.

use super::{Doing, Story};
use muster_core::ids::{Attempt, EvacuationId, RequestId, VmId};
use muster_core::ledger::command::EventKind;
use muster_tests::trace::What;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn breaches(story: &Story<'_>) -> Vec<String> {
    let mut completed: BTreeSet<(EvacuationId, VmId)> = BTreeSet::new();
    let mut opened: BTreeMap<(EvacuationId, VmId), Attempt> = BTreeMap::new();
    let mut breaches = Vec::new();
    for step in story.steps() {
        let Doing::Writes(event) = step.doing else { continue };
        let of = (step.evacuation, step.vm);
        if let EventKind::Completed { .. } = event.kind
            && !completed.insert(of)
        {
            breaches.push(format!("a second event: {}", step.entry));
        }
        if let EventKind::AttemptOpened { attempt, .. } = event.kind {
            let before = opened.insert(of, attempt);
            if before.is_some_and(|before| before >= attempt) {
                breaches.push(format!("an attempt is opened twice: {}", step.entry));
            }
        }
    }
    let mut requests: BTreeSet<RequestId> = BTreeSet::new();
    for entry in story.entries {
        if let What::Journaled(_, record) = &entry.what
            && let Some(request) = record.request
            && !requests.insert(request)
        {
            breaches.push(format!("an order is taken twice: {entry}"));
        }
    }
    breaches
}
