//! Anybody's migrations, looked at from outside: who runs where, what runs twice, what nobody runs. Pure.
//!
//! It rests on what hypervisors show now and on nothing of muster's: no roll, no record, no ledger. So it proves less than
//! a verdict does, and says what to look at next rather than what to do. It must never call a VM well because a host was silent.

mod advice;

use crate::ids::VmId;
use crate::reading::{OffCause, Stored};
use crate::step::Side;
use serde::Serialize;
use std::collections::BTreeMap;

/// What one hypervisor shows of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The VM.
    pub vm: VmId,
    /// What it is called there.
    pub name: String,
    /// The side that the hypervisor is on.
    pub side: Side,
    /// How the hypervisor was reached.
    pub host: String,
    /// Its instance.
    pub state: SeenState,
    /// The state in the hypervisor's own words, like `paused (migration)`.
    pub words: String,
    /// What is stored there; [`Stored::Nothing`] for a transient one.
    pub stored: Stored,
    /// The host starts it at boot.
    pub autostart: bool,
    /// A migration is under way on it.
    pub migrating: bool,
}

/// An instance, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenState {
    /// It runs, or may.
    Running,
    /// It holds memory that is not whole.
    Incoming,
    /// Paused by or after a migration.
    PausedByMigration,
    /// Paused for any other reason.
    Paused,
    /// No instance.
    Off(OffCause),
}

/// How a VM stands, seen over both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It runs more than once.
    RunsTwice,
    /// Nobody runs it, and its last host says that it was given away.
    Lost,
    /// Nobody runs it, and more than one copy holds memory.
    PausedTwice,
    /// Nobody runs it; one copy holds memory that is whole.
    PausedOnce,
    /// Nobody runs it; what is there of its memory is not whole.
    Incomplete,
    /// Nobody runs it, and it has crashed or nobody knows why.
    Stopped,
    /// A migration is under way.
    Migrating,
    /// It runs once.
    RunsOnce,
    /// It is shut down.
    ShutDown,
    /// Only inert copies of muster's are there.
    Inert,
}

/// How much a person should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Now: data is, or is about to be, lost.
    Alarm,
    /// Soon: something is left that can do harm.
    Attention,
    /// Not at all.
    Fine,
}

/// One VM, inspected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The VM.
    pub vm: VmId,
    /// What it is called.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// How much a person should care.
    pub urgency: Urgency,
    /// What to look at next, the most urgent first.
    pub next: Vec<String>,
    /// Everything that was seen of it.
    pub seen: Vec<Seen>,
}

/// Inspects all that was seen; the most urgent first, then by name. With `some_silent`, a hypervisor did not answer: what
/// it has is unknown, so nothing is said to be fine that it could spoil.
#[must_use]
pub fn inspect(seen: Vec<Seen>, some_silent: bool) -> Vec<Inspection> {
    let mut by_vm: BTreeMap<VmId, Vec<Seen>> = BTreeMap::new();
    for one in seen {
        by_vm.entry(one.vm).or_default().push(one);
    }
    let mut all: Vec<Inspection> = by_vm.into_iter().map(|(vm, seen)| one(vm, seen, some_silent)).collect();
    all.sort_by(|a, b| (a.urgency, a.standing, &a.name, a.vm).cmp(&(b.urgency, b.standing, &b.name, b.vm)));
    all
}

fn one(vm: VmId, seen: Vec<Seen>, some_silent: bool) -> Inspection {
    let standing = standing(&seen);
    let advice = advice::of(standing, &seen, some_silent);
    let urgency = advice.iter().map(|advice| advice.urgency).min().unwrap_or(Urgency::Fine);
    let mut next: Vec<(Urgency, String)> = advice.into_iter().map(|advice| (advice.urgency, advice.text)).collect();
    next.sort_by_key(|(urgency, _)| *urgency);
    let name = seen.first().map(|seen| seen.name.clone()).unwrap_or_default();
    Inspection { vm, name, standing, urgency, next: next.into_iter().map(|(_, text)| text).collect(), seen }
}

fn standing(seen: &[Seen]) -> Standing {
    let count = |is: fn(&Seen) -> bool| seen.iter().filter(|seen| is(seen)).count();
    let running = count(Seen::runs);
    let whole = count(Seen::is_paused);
    if running > 1 {
        Standing::RunsTwice
    } else if seen.iter().any(|seen| seen.migrating) {
        Standing::Migrating
    } else if running == 1 {
        Standing::RunsOnce
    } else if whole > 1 {
        Standing::PausedTwice
    } else if whole == 1 {
        Standing::PausedOnce
    } else if seen.iter().any(|seen| seen.state == SeenState::Incoming) {
        Standing::Incomplete
    } else {
        off(seen)
    }
}

/// Nothing holds any memory: why not, by those that could be started. What was given away and is nowhere is lost.
fn off(seen: &[Seen]) -> Standing {
    let causes = || seen.iter().filter(|seen| !seen.is_inert()).filter_map(Seen::off_cause);
    if causes().any(|cause| cause == OffCause::Migrated) {
        Standing::Lost
    } else if causes().any(|cause| matches!(cause, OffCause::Crashed | OffCause::Unknown)) {
        Standing::Stopped
    } else if causes().next().is_some() {
        Standing::ShutDown
    } else {
        Standing::Inert
    }
}

impl Seen {
    fn runs(&self) -> bool {
        self.state == SeenState::Running
    }

    fn is_paused(&self) -> bool {
        matches!(self.state, SeenState::Paused | SeenState::PausedByMigration)
    }

    fn holds_memory(&self) -> bool {
        self.off_cause().is_none_or(|cause| cause == OffCause::Saved)
    }

    fn off_cause(&self) -> Option<OffCause> {
        match self.state {
            SeenState::Off(cause) => Some(cause),
            SeenState::Running | SeenState::Incoming | SeenState::PausedByMigration | SeenState::Paused => None,
        }
    }

    /// Its definition is one of muster's that can't be started.
    fn is_inert(&self) -> bool {
        match self.stored {
            Stored::Placeholder | Stored::Arrived | Stored::Sealed | Stored::Retired => !self.holds_memory(),
            Stored::Nothing | Stored::Real => false,
        }
    }
}
