//! Invariant 4, Fenced: a worker refuses what is below its floor, also after its restart. So the tokens that stand in a ledger
//! for a VM never go back, and neither do the epochs of an evacuation.

use super::Story;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::EventKind;
use muster_core::token::{Epoch, Token};
use muster_tests::Process;
use muster_tests::trace::What;
use std::collections::BTreeMap;

pub(super) fn breaches(story: &Story<'_>) -> Vec<String> {
    let mut floors: BTreeMap<(Process, VmId), Token> = BTreeMap::new();
    let mut epochs: BTreeMap<(Process, EvacuationId), Epoch> = BTreeMap::new();
    let mut breaches = Vec::new();
    for entry in story.entries {
        let What::Wrote(_, event) = &entry.what else { continue };
        if let (Some(vm), Some(token)) = (event.vm, event.token) {
            let floor = floors.entry((entry.process, vm)).or_insert(token);
            if token < *floor {
                breaches.push(format!("below the floor {floor}: {entry}"));
            }
            *floor = token.max(*floor);
        }
        if let (Some(evacuation), EventKind::Claimed { epoch, .. }) = (event.evacuation, &event.kind) {
            let before = epochs.insert((entry.process, evacuation), *epoch);
            if before.is_some_and(|before| before >= *epoch) {
                breaches.push(format!("claimed again under an epoch that isn't newer: {entry}"));
            }
        }
    }
    breaches
}
