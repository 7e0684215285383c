//! The invariants of the design, one file each, over what a play left: its trace in the true order, and the world's truth.

mod explained;
mod fenced;
mod forward_only;
mod idempotent;
pub(crate) mod isolated;
mod no_endless_wait;
pub(crate) mod none_lost;
pub(crate) mod one_runner;
mod order;
mod silent_is_not_absent;

use crate::weather::Weather;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::{EventKind, LedgerEvent};
use muster_core::step::Side;
use muster_tests::Process;
use muster_tests::trace::{Entry, What};
use muster_worker::hypervisor::Call;
use std::collections::BTreeMap;

/// Most breaches of one invariant that are told.
const TOLD_MAX: usize = 8;

/// An invariant that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

impl Wrong {
    pub(crate) fn new(invariant: &'static str, what: String) -> Self {
        Wrong { invariant, what }
    }
}

/// Everything that a trace breaks.
pub(crate) fn of_the_trace(entries: &[Entry], weather: &Weather) -> Vec<Wrong> {
    let story = Story::of(entries);
    let all = [
        ("order", order::breaches(&story)),
        ("none_lost", none_lost::breaches(&story)),
        ("fenced", fenced::breaches(&story)),
        ("silent_is_not_absent", silent_is_not_absent::breaches(&story, weather)),
        ("forward_only", forward_only::breaches(&story)),
        ("idempotent", idempotent::breaches(&story)),
        ("no_endless_wait", no_endless_wait::breaches(&story)),
        ("explained", explained::breaches(&story)),
    ];
    let told = |(invariant, breaches): (&'static str, Vec<String>)| {
        breaches.into_iter().take(TOLD_MAX).map(move |what| Wrong::new(invariant, what))
    };
    all.into_iter().flat_map(told).collect()
}

/// A trace, with who is whose side in each evacuation.
pub(crate) struct Story<'a> {
    pub(crate) entries: &'a [Entry],
    sides: BTreeMap<EvacuationId, BTreeMap<Process, Side>>,
}

impl<'a> Story<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut sides: BTreeMap<EvacuationId, BTreeMap<Process, Side>> = BTreeMap::new();
        for entry in entries {
            if let What::Wrote(_, event) = &entry.what
                && let (Some(evacuation), EventKind::Enrolled { side }) = (event.evacuation, &event.kind)
            {
                sides.entry(evacuation).or_default().insert(entry.process, *side);
            }
        }
        Story { entries, sides }
    }

    /// Which side this worker is in an evacuation; none if it never had its roll.
    fn side(&self, evacuation: EvacuationId, process: Process) -> Option<Side> {
        self.sides.get(&evacuation)?.get(&process).copied()
    }

    /// Which worker is this side of an evacuation.
    fn worker(&self, evacuation: EvacuationId, side: Side) -> Option<Process> {
        self.sides.get(&evacuation)?.iter().find(|(_, of)| **of == side).map(|(process, _)| *process)
    }

    /// Lines of ledgers and calls to hypervisors that are about a VM, each with the evacuation that has it by then.
    fn steps(&self) -> impl Iterator<Item = Step<'a>> + '_ {
        let mut present: BTreeMap<VmId, EvacuationId> = BTreeMap::new();
        self.entries.iter().filter_map(move |entry| {
            let (vm, doing) = match &entry.what {
                What::Wrote(_, event) => {
                    let vm = event.vm?;
                    if let (Some(evacuation), EventKind::Enrolled { .. }) = (event.evacuation, &event.kind) {
                        present.insert(vm, evacuation);
                    }
                    (vm, Doing::Writes(event))
                }
                What::Called(call) => (call.vm, Doing::Calls(call)),
                What::Answered(vm, _) => (*vm, Doing::IsAnswered),
                What::Journaled(..) | What::Noted(_) => return None,
            };
            let evacuation = match doing {
                Doing::Writes(LedgerEvent { evacuation: Some(evacuation), .. }) => *evacuation,
                Doing::Writes(_) | Doing::Calls(_) | Doing::IsAnswered => *present.get(&vm)?,
            };
            let side = self.side(evacuation, entry.process)?;
            Some(Step { entry, vm, evacuation, side, doing })
        })
    }
}

/// Something that a worker did to a VM, or heard of it.
struct Step<'a> {
    entry: &'a Entry,
    vm: VmId,
    evacuation: EvacuationId,
    /// As which side.
    side: Side,
    doing: Doing<'a>,
}

#[derive(Clone, Copy)]
enum Doing<'a> {
    Writes(&'a LedgerEvent),
    Calls(&'a Call),
    IsAnswered,
}
