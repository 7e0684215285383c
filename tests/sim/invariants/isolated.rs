//! Invariant 10, Isolated: one VM's failure never stops the others.
//!
//! A stubborn VM, whose every transfer fails, fails until all others are over: if they never are, that is its doing. And in an
//! evacuation in which only single VMs had trouble, every other one arrives by its first attempt.

use crate::fault::Kind;
use crate::plan::Evacuation;
use crate::play::End;
use muster_core::ids::VmId;
use std::collections::{BTreeMap, BTreeSet};

/// Which invariant it breaks that an evacuation is never over.
pub(crate) fn of_an_endless_one(stubborn: &BTreeSet<VmId>) -> &'static str {
    if stubborn.is_empty() { "no_endless_wait" } else { "isolated" }
}

/// The VMs that had no trouble of their own, where nothing else went wrong, and yet did not arrive by their first attempt.
pub(crate) fn held_up(
    evacuation: &Evacuation,
    troubled: impl Fn(u32) -> VmId,
    ends: &BTreeMap<VmId, End>,
    attempts: &BTreeMap<VmId, u32>,
) -> Vec<VmId> {
    if evacuation.succession.is_some() {
        return Vec::new();
    }
    let mut theirs = BTreeSet::new();
    for fault in &evacuation.faults {
        match fault.kind {
            Kind::Vm(number, _) => {
                theirs.insert(troubled(number));
            }
            Kind::Path(_)
            | Kind::Link { .. }
            | Kind::Killed { .. }
            | Kind::Place(..)
            | Kind::Store(..)
            | Kind::Clock { .. } => {
                return Vec::new();
            }
        }
    }
    let held_up = |(vm, end): (&VmId, &End)| {
        let others = !theirs.contains(vm);
        let once = attempts.get(vm).is_none_or(|count| *count == 1);
        (others && (*end != End::Migrated || !once)).then_some(*vm)
    };
    ends.iter().filter_map(held_up).collect()
}
