//! What can go wrong in a plan. Data only; [`crate::strike`] carries it out.

use muster_core::reading::Phase;
use muster_worker::hypervisor::sim::world::CallKind;
use serde::{Deserialize, Serialize};

/// Whose process. The sides are those of the evacuation: a move back has them the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Part {
    /// The worker of the site that is left.
    From,
    /// The worker of the site that is moved to.
    To,
    Orchestrator,
}

/// A site of the evacuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Side {
    From,
    To,
}

/// When a process is killed at one of its writes or calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum At {
    /// Before it takes effect.
    Before,
    /// When it has, and nobody has heard so.
    After,
}

/// How a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Write {
    /// Nothing is written, and the store goes on.
    Busy,
    /// Nothing is written, and the store stops.
    Full,
    /// It is written and its sync fails: the store stops. Whether it survives is for the restart to find.
    InDoubt { survives: bool },
}

/// Something that goes wrong, so long after the evacuation was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) at_ms: u64,
    pub(crate) kind: Kind,
}

/// What goes wrong. VMs and hosts are numbers, counted round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Between two processes.
    Path(Path),
    /// Between the two sites' hosts: it is cut, or carries so much.
    Link { rate_mib_s: Option<u64>, for_ms: u64 },
    /// A process is killed: at once, or at one of its writes and calls.
    Killed { part: Part, at: Option<Point>, for_ms: u64 },
    /// A host, or all of a site.
    Place(Side, Place),
    /// Where a process keeps what it must not forget.
    Store(Part, Store),
    /// A process's clock.
    Clock { part: Part, error: Wrong, for_ms: u64 },
    /// A hypervisor, with one VM.
    Vm(u32, Trouble),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Path {
    Cut { between: (Part, Part), for_ms: u64 },
    OneWay { from: Part, to: Part, for_ms: u64 },
    Slow { between: (Part, Part), each_ms: u64, for_ms: u64 },
    Late { from: Part, to: Part, by_ms: u64 },
    Twice { from: Part, to: Part, after_ms: u64 },
}

/// So many writes and calls later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) ahead: u64,
    pub(crate) at: At,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    HostDies { host: u32, for_ms: u64 },
    DaemonRestarts { host: u32 },
    HostSilent { host: u32, for_ms: u64 },
    Unplugged { for_ms: u64 },
    SiteDies { for_ms: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Store {
    /// The next write fails; a store that stops is started anew so much later.
    WriteFails {
        how: Write,
        for_ms: u64,
    },
    /// Nothing is synced for a while, then the process dies: what it wrote is lost, but for the oldest few writes.
    WritesLost {
        held_ms: u64,
        kept: usize,
        for_ms: u64,
    },
    Slow {
        each_ms: u64,
        for_ms: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wrong {
    Jumps { by_ms: i64 },
    RunsOff { gains_per_thousand: i64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    CallHangs {
        call: CallKind,
        for_ms: u64,
    },
    CallFails {
        call: CallKind,
    },
    CallRefused {
        call: CallKind,
    },
    ReplyLost {
        call: CallKind,
    },
    TransferFails {
        phase: Phase,
    },
    TransferStands {
        phase: Phase,
        for_ms: u64,
    },
    GuestCrashes,
    /// Every transfer of this VM fails until all others of its evacuation are over.
    Stubborn,
}

impl Kind {
    /// Its name in the figures.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Path(Path::Cut { .. }) => "network: path cut",
            Kind::Path(Path::OneWay { .. }) => "network: path stalled one way",
            Kind::Path(Path::Slow { .. }) => "network: path slow",
            Kind::Path(Path::Late { .. }) => "network: call reordered",
            Kind::Path(Path::Twice { .. }) => "network: call duplicated",
            Kind::Link { rate_mib_s: None, .. } => "network: hosts' link cut",
            Kind::Link { rate_mib_s: Some(_), .. } => "network: hosts' link slow",
            Kind::Killed { at: None, .. } => "process: killed",
            Kind::Killed { at: Some(_), .. } => "process: killed at a write or call",
            Kind::Place(_, Place::HostDies { .. }) => "host: dies and boots",
            Kind::Place(_, Place::DaemonRestarts { .. }) => "host: daemon restarts",
            Kind::Place(_, Place::HostSilent { .. }) => "host: silent",
            Kind::Place(_, Place::Unplugged { .. }) => "site: unplugged",
            Kind::Place(_, Place::SiteDies { .. }) => "site: dies and boots",
            Kind::Store(_, Store::WriteFails { .. }) => "store: write fails",
            Kind::Store(_, Store::WritesLost { .. }) => "store: writes lost before sync",
            Kind::Store(_, Store::Slow { .. }) => "store: slow",
            Kind::Clock { error: Wrong::Jumps { .. }, .. } => "clock: jumps",
            Kind::Clock { error: Wrong::RunsOff { .. }, .. } => "clock: runs off",
            Kind::Vm(_, Trouble::CallHangs { .. }) => "hypervisor: call hangs, lands late",
            Kind::Vm(_, Trouble::CallFails { .. }) => "hypervisor: call fails",
            Kind::Vm(_, Trouble::CallRefused { .. }) => "hypervisor: call refused",
            Kind::Vm(_, Trouble::ReplyLost { .. }) => "hypervisor: reply lost",
            Kind::Vm(_, Trouble::TransferFails { .. }) => "hypervisor: transfer fails",
            Kind::Vm(_, Trouble::TransferStands { .. }) => "hypervisor: transfer stands still",
            Kind::Vm(_, Trouble::GuestCrashes) => "guest: crashes",
            Kind::Vm(_, Trouble::Stubborn) => "hypervisor: one VM's transfers all fail",
        }
    }
}
