//! The demonstration's fleet, drawn from its seed, and the runbook that moves it.

use crate::error::CliError;
use muster_core::definition::{Definition, Disk};
use muster_core::ids::{HostName, SiteName, VmId};
use muster_worker::hypervisor::sim::world::{VmSpec, Workload};
use std::collections::BTreeSet;
use uuid::Builder;

/// The memory sizes to draw from, in MiB.
const MEMORY_MIB: [u64; 7] = [512, 1_024, 1_024, 2_048, 2_048, 4_096, 8_192];
/// The mean of these, rounded up.
const MEMORY_MEAN_MIB: u64 = 2_706;
/// Every so many-th VM is moved cold.
const COLD_EVERY: u32 = 11;
/// Every so many-th VM is powered off.
const OFF_EVERY: u32 = 16;
/// VMs that a host has, about.
const VMS_PER_HOST: u32 = 25;
/// Fewest and most hosts of a site.
const HOSTS: (u32, u32) = (4, 80);
/// Most moves at once from and to one host.
const MOVES_PER_HOST: u32 = 3;
/// Most moves at once.
const MOVES_MAX: u32 = 64;
/// Live VMs whose transfers wait for what is to be broken.
pub(super) const WAITING: u32 = 2;
/// Fewest VMs that leave something to be broken on the way: a third, more than half and all but the waiting ones are
/// three different moments.
pub(crate) const BREAKABLE_VMS_MIN: u32 = 5;

/// What the world is to be made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Hosts of each site.
    pub(super) hosts: u32,
    /// Memory of each host, in MiB.
    pub(super) host_memory_mib: u64,
}

impl Size {
    /// Enough for so many VMs, with room to spare: placing is a packing problem.
    pub(super) fn of(vms: u32) -> Size {
        let hosts = vms.div_ceil(VMS_PER_HOST).clamp(HOSTS.0, HOSTS.1);
        let share_mib = u64::from(vms) * MEMORY_MEAN_MIB / u64::from(hosts);
        Size { hosts, host_memory_mib: share_mib * 3 / 2 + 32 * 1_024 }
    }
}

/// The fleet: live for the most part and on shared storage; some to be moved cold, some powered off, both in part with
/// disks of their own; every second one started by its host at boot.
pub(super) fn draw(seed: u64, vms: u32, site: &SiteName, size: Size) -> Result<Vec<VmSpec>, CliError> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut free_mib = vec![size.host_memory_mib; size.hosts as usize];
    (1..=vms)
        .map(|number| {
            let memory_mib = MEMORY_MIB[random.usize(..MEMORY_MIB.len())];
            let roomiest = (0..free_mib.len()).max_by_key(|host| (free_mib[*host], usize::MAX - host)).unwrap_or(0);
            free_mib[roomiest] = free_mib[roomiest].saturating_sub(memory_mib);
            let host: HostName = format!("{site}-{}", roomiest + 1).parse()?;
            let vm = VmId(Builder::from_random_bytes(random.u128(..).to_le_bytes()).into_uuid());
            let (runs, mode) = mode(number);
            let has_local_disk = mode != "live" && random.bool();
            let size_mib = 1_024 * random.u64(1..=4);
            let tier = ["web", "db", "batch"][random.usize(..3)];
            let definition = Definition {
                name: format!("{tier}-{number:04}").parse()?,
                memory_mib,
                vcpus: [1, 2, 2, 4, 8][random.usize(..5)],
                disk: if has_local_disk { Disk::Local { size_mib } } else { Disk::Shared },
                autostart: random.bool(),
                tags: vec![format!("mode-{mode}"), format!("tier-{tier}")],
                document: workload(&mut random, memory_mib).to_document(),
            };
            Ok(VmSpec { vm, site: site.clone(), host, definition, runs })
        })
        .collect()
}

fn mode(number: u32) -> (bool, &'static str) {
    if number % OFF_EVERY == 7 {
        (false, "off")
    } else if number % COLD_EVERY == 5 {
        (true, "cold")
    } else {
        (true, "live")
    }
}

/// Every tenth guest dirties its memory ten times as fast as the others.
fn workload(random: &mut fastrand::Rng, memory_mib: u64) -> Workload {
    let workload = Workload {
        hot_mib: memory_mib * random.u64(10..=50) / 1_000,
        hot_span_ms: random.u64(1_000..=4_000),
        cold_kib_s: random.u64(64..=4_096),
        shutdown_ms: random.u64(500..=4_000),
    };
    if random.u32(..10) == 0 {
        Workload { hot_span_ms: workload.hot_span_ms / 10, cold_kib_s: workload.cold_kib_s * 10, ..workload }
    } else {
        workload
    }
}

/// Those that are moved with their memory.
pub(super) fn live(fleet: &[VmSpec]) -> BTreeSet<VmId> {
    let is_live = |vm: &&VmSpec| vm.definition.tags.iter().any(|tag| tag == "mode-live");
    fleet.iter().filter(is_live).map(|vm| vm.vm).collect()
}

/// The runbook that moves the fleet, as a person would write it for a world whose time is scaled.
pub(super) fn runbook(fleet: &[VmSpec], source: &SiteName, destination: &SiteName, size: Size) -> String {
    let total = (size.hosts * MOVES_PER_HOST).min(MOVES_MAX);
    let mut text = format!(
        "name = \"demo\"\ndescription = \"Everything at {source} goes to {destination}.\"\n\n\
         [source]\nsite = \"{source}\"\n\n[destination]\nsite = \"{destination}\"\n"
    );
    for mode in ["live", "cold", "off"] {
        let tag = format!("mode-{mode}");
        if fleet.iter().any(|vm| vm.definition.tags.contains(&tag)) {
            text.push_str(&format!("\n[[select]]\ntags = [\"{tag}\"]\nmode = \"{mode}\"\n"));
        }
    }
    text.push_str(&format!(
        "\n[limits]\nper_source_host = {MOVES_PER_HOST}\nper_destination_host = {MOVES_PER_HOST}\n\
         per_site = {total}\ntotal = {total}\n\n\
         [retry]\nattempts = 8\nbackoff_ms = 100\nbackoff_max_ms = 1_000\n\n\
         [deadlines]\nhandover_ms = {HANDOVER_MS}\nsilence_ms = {SILENCE_MS}\n"
    ));
    text
}

/// The runbook's deadline of a handover, in milliseconds.
pub(super) const HANDOVER_MS: u64 = 1_500;
/// The runbook's patience with a silent site, in milliseconds.
pub(super) const SILENCE_MS: u64 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::runbook::Runbook;
    use std::collections::BTreeMap;

    fn site(name: &str) -> SiteName {
        name.parse().unwrap()
    }

    #[test]
    fn a_seed_draws_one_fleet_that_fits_its_hosts_and_is_mixed() {
        for vms in [10, 200, 2_000] {
            let size = Size::of(vms);
            let fleet = draw(7, vms, &site("paris"), size).unwrap();
            assert_eq!(fleet, draw(7, vms, &site("paris"), size).unwrap());
            let mut used: BTreeMap<&str, u64> = BTreeMap::new();
            for vm in &fleet {
                *used.entry(vm.host.as_str()).or_default() += vm.definition.memory_mib;
                let is_live = vm.definition.tags.iter().any(|tag| tag == "mode-live");
                assert!(!is_live || (vm.runs && vm.definition.disk == Disk::Shared));
            }
            assert!(used.values().all(|used| *used < size.host_memory_mib));
            assert!(fleet.iter().any(|vm| !vm.runs) && fleet.iter().any(|vm| vm.definition.autostart));
        }
    }

    #[test]
    fn the_runbook_has_no_mistakes() {
        for vms in [1, 2_000] {
            let size = Size::of(vms);
            let fleet = draw(1, vms, &site("paris"), size).unwrap();
            Runbook::parse(&runbook(&fleet, &site("paris"), &site("berlin"), size)).unwrap();
        }
    }
}
