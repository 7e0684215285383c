//! A plan: the fleet, the evacuations, and what goes wrong when. Drawn from a seed, pure, and written as JSON, so that it can
//! be printed, shrunk and kept.

use crate::fault::{At, Fault, Kind, Part, Path, Place, Point, Side, Store, Trouble, Write, Wrong};
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::reading::Phase;
use muster_worker::hypervisor::sim::world::{CallKind, Workload};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Most hosts of a site.
const HOSTS_MAX: u32 = 3;
/// How long things go wrong, counted from an evacuation's order, in milliseconds.
const SAFETY_MS: RangeInclusive<u64> = 3_000..=12_000;
/// How long a trouble lasts, in milliseconds: most are short, some longer than the runbook's patience.
const SHORT_MS: RangeInclusive<u64> = 30..=1_500;
const LONG_MS: RangeInclusive<u64> = 3_000..=9_000;
/// One in so many is long.
const LONG_EVERY: u32 = 5;
/// The memory sizes to draw from, in MiB.
const MEMORY_MIB: [u64; 5] = [128, 256, 512, 1_024, 2_048];
/// How fast guests write, in MiB a second: slower than a move's share of the sites' link in any case, for a transfer that never
/// converges is not what is tested here.
const HOT_MIB_S: RangeInclusive<u64> = 5..=60;
/// The calls that a move is made of.
const CALLS: [CallKind; 10] = [
    CallKind::DefinePlaceholder,
    CallKind::DefineSealed,
    CallKind::DefineRetired,
    CallKind::DefineReal,
    CallKind::BeginTransfer,
    CallKind::BeginDiskCopy,
    CallKind::ShutDown,
    CallKind::Start,
    CallKind::Resume,
    CallKind::Remove,
];
const PHASES: [Phase; 6] =
    [Phase::Setup, Phase::PreCopy, Phase::Handover, Phase::Finish, Phase::DiskCopy, Phase::DiskVerify];
const PARTS: [Part; 3] = [Part::From, Part::To, Part::Orchestrator];

/// How much a plan holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// For every test run.
    Small,
    /// For the long run.
    Large,
}

/// The plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// What the world and the processes' ids are drawn from.
    pub(crate) seed: u64,
    /// Hosts of each site.
    pub(crate) hosts: u32,
    pub(crate) vms: Vec<Vm>,
    /// One after the other, over the same fleet: each leaves the site that has the most VMs then.
    pub(crate) evacuations: Vec<Evacuation>,
}

/// A VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vm {
    pub(crate) mode: Mode,
    pub(crate) memory_mib: u64,
    /// Its disk is its host's own, so large.
    pub(crate) disk_mib: Option<u64>,
    pub(crate) autostart: bool,
    /// What it writes over and over, in MiB a second.
    pub(crate) hot_mib_s: u64,
}

/// An evacuation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evacuation {
    /// A VM whose memory is lost may be started from its disk without asking.
    pub(crate) cold_start: bool,
    /// After so long everything that went wrong ends.
    pub(crate) safety_ms: u64,
    pub(crate) faults: Vec<Fault>,
    /// When the roll is called, and judged; by the destination alone where so marked.
    pub(crate) looks: Vec<(u64, bool)>,
    /// The orchestrator is killed and doesn't come back before a recovery has done its work.
    pub(crate) succession: Option<Succession>,
}

/// The end of an orchestrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Succession {
    pub(crate) at_ms: u64,
    /// Its journal is lost with it.
    pub(crate) with_journal: bool,
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn draw(seed: u64, size: Size) -> Plan {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (vms, evacuations) = match size {
            Size::Small => (random.random_range(2..=7), random.random_range(1..=3)),
            Size::Large => (random.random_range(12..=24), random.random_range(4..=8)),
        };
        let vms: Vec<Vm> = (0..vms).map(|_| draw_vm(&mut random)).collect();
        let hosts = random.random_range(1..=HOSTS_MAX);
        let evacuations = (0..evacuations).map(|_| draw_evacuation(&mut random, vms.len())).collect();
        Plan { seed, hosts, vms, evacuations }
    }

    /// How many faults it holds.
    pub(crate) fn faults(&self) -> usize {
        self.evacuations.iter().map(|evacuation| evacuation.faults.len()).sum()
    }
}

impl Vm {
    /// Its definition; `number` tells it from the others.
    pub(crate) fn definition(&self, number: usize) -> Definition {
        let hot_mib = (self.memory_mib / 20).max(1);
        let workload = Workload {
            hot_mib,
            hot_span_ms: (hot_mib * 1_000).div_ceil(self.hot_mib_s.max(1)),
            cold_kib_s: 256,
            shutdown_ms: 700,
        };
        Definition {
            name: format!("{}-{number:02}", self.mode.word()).parse().expect("a VM's name"),
            memory_mib: self.memory_mib,
            vcpus: 1,
            disk: self.disk_mib.map_or(Disk::Shared, |size_mib| Disk::Local { size_mib }),
            autostart: self.autostart,
            tags: vec![format!("mode-{}", self.mode.word())],
            document: workload.to_document(),
        }
    }
}

fn draw_vm(random: &mut ChaCha8Rng) -> Vm {
    let mode = match random.random_range(0..10) {
        0..2 => Mode::Cold,
        2 => Mode::Off,
        _ => Mode::Live,
    };
    let has_local_disk = mode != Mode::Live && random.random_range(0..3) > 0;
    Vm {
        mode,
        memory_mib: MEMORY_MIB[random.random_range(0..MEMORY_MIB.len())],
        disk_mib: has_local_disk.then(|| random.random_range(256..=2_048)),
        autostart: random.random(),
        hot_mib_s: random.random_range(HOT_MIB_S),
    }
}

fn draw_evacuation(random: &mut ChaCha8Rng, vms: usize) -> Evacuation {
    let safety_ms = random.random_range(SAFETY_MS);
    // Seven faults for ten moves in the mean.
    let count = random.random_range(vms.div_ceil(3)..=vms.max(2) + 1);
    // Now and then only single VMs have trouble: the others must not be held up by it.
    let only_vms = random.random_range(0..8) == 0;
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| {
            let at_ms = random.random_range(0..safety_ms * 2 / 3);
            let kind = if only_vms { draw_vm_trouble(random, vms) } else { draw_kind(random, vms) };
            Fault { at_ms, kind }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at_ms);
    let looks = (0..random.random_range(1..=3))
        .map(|_| (random.random_range(0..safety_ms), random.random_range(0..3) == 0))
        .collect();
    Evacuation {
        cold_start: random.random_range(0..3) > 0,
        safety_ms,
        faults,
        looks,
        succession: (random.random_range(0..5) == 0)
            .then(|| Succession { at_ms: random.random_range(500..safety_ms), with_journal: random.random() }),
    }
}

fn draw_kind(random: &mut ChaCha8Rng, vms: usize) -> Kind {
    match random.random_range(0..100) {
        0..22 => draw_network(random),
        22..42 => draw_process(random),
        42..56 => draw_place(random),
        56..66 => draw_store(random),
        66..72 => draw_clock(random),
        _ => draw_vm_trouble(random, vms),
    }
}

fn draw_network(random: &mut ChaCha8Rng) -> Kind {
    let from = PARTS[random.random_range(0..3)];
    let to = PARTS.into_iter().filter(|part| *part != from).nth(random.random_range(0..2)).expect("three parts");
    // The orchestrator is called by no worker.
    let called = if to == Part::Orchestrator { (to, from) } else { (from, to) };
    let for_ms = lasting(random);
    match random.random_range(0..9) {
        0 | 1 => Kind::Path(Path::Cut { between: (from, to), for_ms }),
        2 => Kind::Path(Path::OneWay { from, to, for_ms }),
        3 => Kind::Path(Path::Slow { between: (from, to), each_ms: random.random_range(5..=400), for_ms }),
        4 | 5 => Kind::Path(Path::Late { from: called.0, to: called.1, by_ms: lasting(random) }),
        6 => Kind::Path(Path::Twice { from: called.0, to: called.1, after_ms: lasting(random) }),
        7 => Kind::Link { rate_mib_s: None, for_ms },
        _ => Kind::Link { rate_mib_s: Some(random.random_range(0..=100)), for_ms },
    }
}

fn draw_process(random: &mut ChaCha8Rng) -> Kind {
    let part = PARTS[random.random_range(0..3)];
    let at = if random.random() { At::Before } else { At::After };
    let point = Point { ahead: random.random_range(1..=40), at };
    Kind::Killed { part, at: (random.random_range(0..3) > 0).then_some(point), for_ms: lasting(random) }
}

fn draw_place(random: &mut ChaCha8Rng) -> Kind {
    let side = if random.random() { Side::From } else { Side::To };
    let host = random.random_range(0..HOSTS_MAX);
    let for_ms = lasting(random);
    let place = match random.random_range(0..10) {
        0..3 => Place::HostDies { host, for_ms },
        3..6 => Place::DaemonRestarts { host },
        6 | 7 => Place::HostSilent { host, for_ms },
        8 => Place::Unplugged { for_ms },
        _ => Place::SiteDies { for_ms },
    };
    Kind::Place(side, place)
}

fn draw_store(random: &mut ChaCha8Rng) -> Kind {
    let part = PARTS[random.random_range(0..3)];
    let for_ms = random.random_range(SHORT_MS);
    let store = match random.random_range(0..6) {
        0 => Store::WriteFails { how: Write::Busy, for_ms },
        1 => Store::WriteFails { how: Write::Full, for_ms },
        2 => Store::WriteFails { how: Write::InDoubt { survives: random.random() }, for_ms },
        3 | 4 => {
            let held_ms = random.random_range(1..=600);
            Store::WritesLost { held_ms, kept: random.random_range(0..3), for_ms }
        }
        _ => Store::Slow { each_ms: random.random_range(1..=250), for_ms },
    };
    Kind::Store(part, store)
}

fn draw_clock(random: &mut ChaCha8Rng) -> Kind {
    let part = PARTS[random.random_range(0..3)];
    let by_ms = random.random_range(500..=600_000_i64);
    let error = match random.random_range(0..4) {
        0 => Wrong::Jumps { by_ms },
        1 => Wrong::Jumps { by_ms: -by_ms },
        _ => Wrong::RunsOff { gains_per_thousand: random.random_range(-900..=4_000) },
    };
    Kind::Clock { part, error, for_ms: lasting(random) }
}

fn draw_vm_trouble(random: &mut ChaCha8Rng, vms: usize) -> Kind {
    let vm = random.random_range(0..u32::try_from(vms).unwrap_or(u32::MAX));
    let call = CALLS[random.random_range(0..CALLS.len())];
    let phase = PHASES[random.random_range(0..PHASES.len())];
    let trouble = match random.random_range(0..28) {
        0..6 => Trouble::CallHangs { call, for_ms: lasting(random) },
        6..10 => Trouble::CallFails { call },
        10..12 => Trouble::CallRefused { call },
        12..17 => Trouble::ReplyLost { call },
        17..22 => Trouble::TransferFails { phase },
        22..26 => Trouble::TransferStands { phase, for_ms: lasting(random) },
        26 => Trouble::GuestCrashes,
        _ => Trouble::Stubborn,
    };
    Kind::Vm(vm, trouble)
}

fn lasting(random: &mut ChaCha8Rng) -> u64 {
    let range = if random.random_range(0..LONG_EVERY) == 0 { LONG_MS } else { SHORT_MS };
    random.random_range(range)
}
