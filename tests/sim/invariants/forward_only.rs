//! Invariant 6, Forward only: after the event nothing makes the source's copy run, or runnable; and none of what could was
//! still under way when the event was written.

use super::{Doing, Story};
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::EventKind;
use muster_core::step::Side;
use muster_tests::trace::Entry;
use muster_worker::hypervisor::VmChange;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn breaches(story: &Story<'_>) -> Vec<String> {
    let mut completed: BTreeSet<(EvacuationId, VmId)> = BTreeSet::new();
    let mut under_way: BTreeMap<VmId, &Entry> = BTreeMap::new();
    let mut breaches = Vec::new();
    for step in story.steps() {
        match (step.doing, step.side) {
            (Doing::Writes(event), Side::Destination) => {
                if let EventKind::Completed { .. } = event.kind {
                    completed.insert((step.evacuation, step.vm));
                    let late = under_way.get(&step.vm);
                    breaches.extend(late.map(|late| format!("{late} was under way at the event: {}", step.entry)));
                }
            }
            (Doing::Calls(call), Side::Source) => {
                let makes_run = matches!(
                    call.change,
                    VmChange::Start | VmChange::Resume | VmChange::DefineReal { .. } | VmChange::BeginTransfer { .. }
                );
                if makes_run {
                    under_way.insert(step.vm, step.entry);
                    if completed.contains(&(step.evacuation, step.vm)) {
                        breaches.push(format!("after the event: {}", step.entry));
                    }
                }
            }
            (Doing::IsAnswered, Side::Source) => {
                under_way.remove(&step.vm);
            }
            (Doing::Writes(_), Side::Source) | (Doing::Calls(_) | Doing::IsAnswered, Side::Destination) => {}
        }
    }
    breaches
}
