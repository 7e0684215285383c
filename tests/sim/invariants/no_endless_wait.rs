//! Invariant 8, No endless wait: every wait has a deadline, every retry a budget, every move a terminal state or a visible
//! hold. That all is over in time once nothing is wrong any more, the play itself sees; here: no mutation is left open, and
//! what was held says why.

use super::{Doing, Story};
use muster_core::ids::VmId;
use muster_core::ledger::Mutation;
use muster_core::ledger::command::EventKind;
use muster_tests::Process;
use muster_tests::trace::Entry;
use std::collections::BTreeMap;

pub(super) fn breaches(story: &Story<'_>) -> Vec<String> {
    let mut open: BTreeMap<(Process, VmId), (Mutation, &Entry)> = BTreeMap::new();
    for step in story.steps() {
        let Doing::Writes(event) = step.doing else { continue };
        let of = (step.entry.process, step.vm);
        if let EventKind::MutationBegun { mutation } = event.kind {
            open.insert(of, (mutation, step.entry));
        } else if let EventKind::MutationEnded { .. } = event.kind {
            open.remove(&of);
        }
    }
    open.into_values().map(|(mutation, entry)| format!("{mutation:?} has never ended: {entry}")).collect()
}
