//! What is tried: enumerated from the points that a dry run has passed.

use crate::play::Planned;
use muster_core::definition::{Disk, Mode};
use muster_tests::Process;
use muster_tests::life::{Hit, Moment};
use std::collections::BTreeMap;

/// Which move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Running, its disk on shared storage.
    Live,
    /// Shut down, copied with its local disk, started.
    Cold,
    /// Powered off, copied with its local disk.
    Off,
}

/// How it goes on after the hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Whoever died comes back, and the orchestrator goes on by itself.
    GoesOn,
    /// The orchestrator never comes back; the move is recovered without it.
    Recovered,
}

/// What else happens at the moment of the hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Besides {
    /// Nothing.
    Nothing,
    /// The hypervisor daemon of the source's host restarts: it cancels its job, and resumes a guest that was paused for it.
    DaemonRestarts,
}

/// The names of each process's points, in order.
pub(crate) type Points = BTreeMap<Process, Vec<&'static str>>;

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) way: Way,
    pub(crate) besides: Besides,
    pub(crate) process: Process,
    pub(crate) hit: Hit,
    pub(crate) point: &'static str,
}

impl Kind {
    pub(crate) fn mode(self) -> Mode {
        match self {
            Kind::Live => Mode::Live,
            Kind::Cold => Mode::Cold,
            Kind::Off => Mode::Off,
        }
    }

    pub(crate) fn disk(self) -> Disk {
        match self {
            Kind::Live => Disk::Shared,
            Kind::Cold | Kind::Off => Disk::Local { size_mib: 2_048 },
        }
    }
}

impl Case {
    /// Its hit, in the first life of its process.
    pub(crate) fn planned(&self) -> Planned {
        Planned { process: self.process, life: 1, hit: self.hit }
    }

    /// Its name, by which it can be tried alone.
    pub(crate) fn name(&self) -> String {
        let kind = format!("{:?}", self.kind).to_lowercase();
        let (process, Hit { point, moment }) = (self.process.word(), self.hit);
        let besides = match self.besides {
            Besides::Nothing => "",
            Besides::DaemonRestarts => "/DaemonRestarts",
        };
        format!("{kind}/{process}/{point}/{moment:?}/{:?}{besides}", self.way)
    }
}

/// Every process × point × moment.
pub(crate) fn enumerate(kind: Kind, way: Way, besides: Besides, points: &Points) -> Vec<Case> {
    let mut cases = Vec::new();
    for (process, names) in points {
        for (point, name) in (1..).zip(names) {
            cases.extend(hits(point, name).map(|hit| Case { kind, way, besides, process: *process, hit, point: name }));
        }
    }
    cases
}

/// Every way to be hit at a point. A write has no reply of its own to lose.
pub(crate) fn hits(point: u64, name: &str) -> impl Iterator<Item = Hit> + use<> {
    let moments: &[Moment] = if is_write(name) {
        &[Moment::Before, Moment::After]
    } else {
        &[Moment::Before, Moment::After, Moment::ReplyLost]
    };
    moments.iter().map(move |moment| Hit { point, moment: *moment })
}

/// Whether a point is durable: a write to a ledger or a journal.
pub(crate) fn is_write(name: &str) -> bool {
    name.starts_with("ledger") || name.starts_with("journal")
}
