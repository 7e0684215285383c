//! The VMs of an evacuation, drawn from its seed, and the runbook that moves them.

use crate::Outcome;
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::VmId;
use muster_worker::hypervisor::sim::world::{VmSpec, Workload};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use uuid::Builder;

/// The site that is left.
pub(crate) const SOURCE: &str = "paris";
/// The site that is moved to.
pub(crate) const DESTINATION: &str = "berlin";
/// VMs of an evacuation.
pub(crate) const VMS: u32 = 50;
/// Hosts of each site.
pub(crate) const HOSTS: u32 = 4;
/// Memory of each host, in MiB: twice what its share of the fleet can need.
pub(crate) const HOST_MEMORY_MIB: u64 = 262_144;
/// What a host's network card carries, in MiB per second: 10 Gbit/s.
pub(crate) const NIC_MIB_S: u64 = 1_192;
/// The runbook's deadline of a handover, in milliseconds.
pub(crate) const HANDOVER_MS: u64 = 1_000;
/// The runbook's patience with a silent site, in milliseconds.
pub(crate) const SILENCE_MS: u64 = 2_000;
/// Most moves at once from and to a host.
const MOVES_PER_HOST: u64 = 3;
/// The fastest that a guest dirties its memory, in MiB per second: well below a move's share of its host's network card.
const DIRTY_MIB_S_MAX: u64 = NIC_MIB_S / MOVES_PER_HOST * 2 / 3;
/// The memory sizes to draw from, in MiB.
const MEMORY_MIB: [u64; 6] = [512, 1_024, 2_048, 2_048, 4_096, 8_192];

/// A VM and how it is to be moved.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    pub(crate) spec: VmSpec,
    pub(crate) mode: Mode,
}

/// Live for the most part; a sixth cold and a tenth powered off, most of these with disks of their own; every second one
/// would be started by its host at boot.
pub(crate) fn draw(random: &mut ChaCha8Rng) -> Outcome<Vec<Ordered>> {
    (0..VMS).map(|number| one(random, number)).collect()
}

fn one(random: &mut ChaCha8Rng, number: u32) -> Outcome<Ordered> {
    let wrong = |error: &dyn std::fmt::Display| format!("a VM can't be made up: {error}");
    // One of each mode is in every fleet, whatever is drawn.
    let mode = match (number, random.random_range(0..30)) {
        (0, _) => Mode::Live,
        (1, _) => Mode::Cold,
        (2, _) => Mode::Off,
        (_, 0..5) => Mode::Cold,
        (_, 5..8) => Mode::Off,
        (_, _) => Mode::Live,
    };
    let memory_mib = MEMORY_MIB[random.random_range(0..MEMORY_MIB.len())];
    let has_local_disk = mode != Mode::Live && random.random_range(0..4) > 0;
    let size_mib = 1_024 * random.random_range(1..=4);
    // Slower than a move's share of the network in any case: a transfer that never ends is not what is tested here.
    let busy = random.random_range(0..10) == 0;
    let hot_mib = memory_mib * random.random_range(10..=50) / 1_000;
    let hot_mib_s = if busy { random.random_range(150..=DIRTY_MIB_S_MAX) } else { random.random_range(5..=100) };
    let workload = Workload {
        hot_mib,
        hot_span_ms: (hot_mib * 1_000).div_ceil(hot_mib_s),
        cold_kib_s: if busy { random.random_range(640..=40_960) } else { random.random_range(64..=4_096) },
        shutdown_ms: random.random_range(500..=4_000),
    };
    let definition = Definition {
        name: format!("{}-{number:02}", mode.word()).parse().map_err(|error| wrong(&error))?,
        memory_mib,
        vcpus: [1, 2, 4][random.random_range(0..3)],
        disk: if has_local_disk { Disk::Local { size_mib } } else { Disk::Shared },
        autostart: random.random(),
        tags: vec![format!("mode-{}", mode.word())],
        document: workload.to_document(),
    };
    let spec = VmSpec {
        vm: VmId(Builder::from_random_bytes(random.random()).into_uuid()),
        site: SOURCE.parse().map_err(|error| wrong(&error))?,
        host: format!("{SOURCE}-{}", number % HOSTS + 1).parse().map_err(|error| wrong(&error))?,
        definition,
        runs: mode != Mode::Off,
    };
    Ok(Ordered { spec, mode })
}

/// The runbook, with deadlines and backoffs that are short as the world's time is.
pub(crate) fn runbook() -> String {
    let mut text = format!(
        "name = \"processes\"\n\n[source]\nsite = \"{SOURCE}\"\n\n[destination]\nsite = \"{DESTINATION}\"\n\n\
         [limits]\nper_source_host = {MOVES_PER_HOST}\nper_destination_host = {MOVES_PER_HOST}\nper_site = 12\ntotal = 12\n\n\
         [retry]\nattempts = 10\nbackoff_ms = 50\nbackoff_max_ms = 400\n\n\
         [deadlines]\nhandover_ms = {HANDOVER_MS}\nsilence_ms = {SILENCE_MS}\n"
    );
    for mode in [Mode::Live, Mode::Cold, Mode::Off].map(Mode::word) {
        text.push_str(&format!("\n[[select]]\ntags = [\"mode-{mode}\"]\nmode = \"{mode}\"\n"));
    }
    text
}
