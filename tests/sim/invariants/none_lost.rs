//! Invariant 2, None lost: before the event nothing irreversible happens to the source's definition, memory or disk.
//!
//! By the truth: no VM is lost, runs on what is stale or partial, has another definition, or was started anew though nothing
//! had died. By the trace: before its event no command ends or removes anything of it at the source.

use super::{Doing, Story};
use muster_core::definition::Mode;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::EventKind;
use muster_core::step::Side;
use muster_worker::hypervisor::VmChange;
use muster_worker::hypervisor::sim::world::Truth;
use std::collections::BTreeSet;

/// What is wrong with a VM; none if nothing is.
pub(crate) fn breach(truth: &Truth) -> Option<&'static str> {
    let all = [
        (truth.lost, "is lost"),
        (!truth.definition_intact, "its definition is not what it was"),
        (truth.ran_stale, "ran on stale memory or a stale disk"),
        (truth.ran_on_partial_disk, "was started from a partial disk"),
    ];
    all.into_iter().find(|(is_so, _)| *is_so).map(|(_, what)| what)
}

/// Whether its memory went though nothing died: it was begun anew.
pub(crate) fn was_begun_anew(mode: Mode, before: &Truth, after: &Truth, something_died: bool) -> bool {
    mode == Mode::Live && !something_died && before.memory_generation != after.memory_generation
}

pub(super) fn breaches(story: &Story<'_>) -> Vec<String> {
    let mut completed: BTreeSet<(EvacuationId, VmId)> = BTreeSet::new();
    let mut breaches = Vec::new();
    for step in story.steps() {
        match step.doing {
            Doing::Writes(event) => {
                if let EventKind::Completed { .. } = event.kind {
                    completed.insert((step.evacuation, step.vm));
                }
            }
            Doing::Calls(call) => {
                let destroys = matches!(call.change, VmChange::Remove { .. } | VmChange::DefineRetired { .. });
                if destroys && step.side == Side::Source && !completed.contains(&(step.evacuation, step.vm)) {
                    breaches.push(format!("before its event: {}", step.entry));
                }
            }
            Doing::IsAnswered => {}
        }
    }
    breaches
}
