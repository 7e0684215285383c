//! Makes VMs: one as described, or a mixed fleet drawn from a seed.

use super::World;
use super::change::fresh_entry;
use super::host::{DiskCopy, HostId};
use super::workload::Workload;
use crate::hypervisor::HypervisorError;
use muster_core::class::Class;
use muster_core::definition::{Definition, Disk};
use muster_core::ids::{HostName, IdError, SiteName, VmId};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use uuid::Builder;

/// Most VMs of one fleet.
pub const FLEET_MAX: u32 = 100_000;

/// One VM to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmSpec {
    /// The VM.
    pub vm: VmId,
    /// Where.
    pub site: SiteName,
    /// On which host.
    pub host: HostName,
    /// Its definition; [`Workload::to_document`] makes a document that says how its guest behaves.
    pub definition: Definition,
    /// It runs.
    pub runs: bool,
}

/// A fleet to be drawn from a seed: the same spec makes the same fleet, ids included. Shares are in thousandths.
///
/// Each VM is tagged with how it is meant to be moved (`mode-live`, `mode-cold`, `mode-off`), its tier (`tier-web`, `tier-db`,
/// `tier-batch`) and a wave (`wave-1` to `wave-3`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSpec {
    /// What it is drawn from.
    pub seed: u64,
    /// The site it is on.
    pub site: SiteName,
    /// The hosts it is spread over, each VM where there is most room; all of the site's when empty.
    pub hosts: Vec<HostName>,
    /// How many VMs.
    pub vms: u32,
    /// The memory sizes to draw from, in MiB.
    pub memory_mib: Vec<u64>,
    /// VMs that run and are meant to be moved cold.
    pub cold: u16,
    /// VMs that are powered off.
    pub off: u16,
    /// VMs with a disk of their own, 1 to 8 GiB, which is copied.
    pub local_disk: u16,
    /// VMs that their host starts at boot.
    pub autostart: u16,
    /// VMs that dirty memory ten times as fast as the others do.
    pub busy: u16,
    /// VMs that dirty memory faster than any link carries: their pre-copy never ends by itself.
    pub endless: u16,
}

impl FleetSpec {
    /// A usual mix: live for the most part, some cold, a few off, half of them autostarted.
    #[must_use]
    pub fn mixed(seed: u64, site: SiteName, vms: u32) -> FleetSpec {
        FleetSpec {
            seed,
            site,
            hosts: Vec::new(),
            vms,
            memory_mib: vec![512, 1_024, 1_024, 2_048, 2_048, 4_096, 8_192],
            cold: 80,
            off: 50,
            local_disk: 100,
            autostart: 500,
            busy: 100,
            endless: 0,
        }
    }
}

/// A VM or fleet that can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum FleetError {
    /// No such place.
    #[error("no host {1} on a site {0}")]
    NoSuchHost(SiteName, String),
    /// No host has room for it.
    #[error("no host of site {site} has {memory_mib} MiB left for VM number {number}")]
    NoRoom {
        /// The site.
        site: SiteName,
        /// What it takes.
        memory_mib: u64,
        /// Which VM of the fleet, from 1.
        number: u32,
    },
    /// A VM with this id is there already.
    #[error("VM {0} exists already")]
    Exists(VmId),
    /// More than [`FLEET_MAX`] VMs, or no memory size to draw from.
    #[error("a fleet has at most {FLEET_MAX} VMs and at least one memory size")]
    Senseless,
    /// The host would not start it.
    #[error("the hypervisor would not: {0}")]
    Hypervisor(#[source] HypervisorError),
}

impl FleetError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            FleetError::NoSuchHost(..) | FleetError::NoRoom { .. } | FleetError::Exists(_) | FleetError::Senseless => {
                Class::Refused
            }
            FleetError::Hypervisor(error) => error.class(),
        }
    }
}

impl World {
    /// Makes one VM, with its disk, and starts it if it is to run.
    ///
    /// # Errors
    /// [`FleetError`] where it can't be; nothing is left of it then.
    pub fn create_vm(&mut self, spec: &VmSpec) -> Result<(), FleetError> {
        let no_host = |_| FleetError::NoSuchHost(spec.site.clone(), spec.host.to_string());
        let host = self.host_named(&spec.site, &spec.host).map_err(no_host)?;
        if self.lives.get(&spec.vm).is_some_and(|life| !life.places.is_empty()) {
            return Err(FleetError::Exists(spec.vm));
        }
        self.insert_entry(host, spec.vm, fresh_entry(spec.definition.clone(), DiskCopy::WHOLE));
        if spec.runs
            && let Err(error) = self.start(host, spec.vm)
        {
            self.delete_entry(host, spec.vm);
            self.lives.remove(&spec.vm);
            return Err(FleetError::Hypervisor(error));
        }
        Ok(())
    }

    /// Makes a fleet. Where one VM can't be made the ones before it stay.
    ///
    /// # Errors
    /// [`FleetError`] for the first that can't.
    pub fn create_fleet(&mut self, spec: &FleetSpec) -> Result<Vec<VmId>, FleetError> {
        if spec.vms > FLEET_MAX || spec.memory_mib.is_empty() {
            return Err(FleetError::Senseless);
        }
        let hosts = self.fleet_hosts(spec)?;
        let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
        let mut made = Vec::new();
        for number in 1..=spec.vms {
            let drawn = draw(&mut random, spec, number).map_err(|_| FleetError::Senseless)?;
            let memory_mib = drawn.definition.memory_mib;
            let roomiest =
                hosts.iter().copied().max_by_key(|host| (self.hosts[host.0].free_mib(), std::cmp::Reverse(*host)));
            let fits = roomiest.filter(|host| self.hosts[host.0].free_mib() >= memory_mib);
            let Some(host) = fits else {
                return Err(FleetError::NoRoom { site: spec.site.clone(), memory_mib, number });
            };
            let host = self.hosts[host.0].name.clone();
            let Drawn { vm, definition, runs } = drawn;
            self.create_vm(&VmSpec { vm, site: spec.site.clone(), host, definition, runs })?;
            made.push(vm);
        }
        Ok(made)
    }

    fn fleet_hosts(&self, spec: &FleetSpec) -> Result<Vec<HostId>, FleetError> {
        let Some(site) = self.site_ids.get(&spec.site) else {
            return Err(FleetError::NoSuchHost(spec.site.clone(), "at all".to_owned()));
        };
        if spec.hosts.is_empty() {
            return Ok(self.sites[site.0].hosts.values().copied().collect());
        }
        let find = |host: &HostName| {
            self.host_id(*site, host).ok_or_else(|| FleetError::NoSuchHost(spec.site.clone(), host.to_string()))
        };
        spec.hosts.iter().map(find).collect()
    }
}

struct Drawn {
    vm: VmId,
    definition: Definition,
    runs: bool,
}

fn draw(random: &mut ChaCha8Rng, spec: &FleetSpec, number: u32) -> Result<Drawn, IdError> {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    let vm = VmId(Builder::from_random_bytes(bytes).into_uuid());
    let memory_mib = pick(random, &spec.memory_mib);
    let mode = random.random_range(0..1000);
    let (runs, mode) = if mode < spec.off {
        (false, "mode-off")
    } else if mode < spec.off.saturating_add(spec.cold) {
        (true, "mode-cold")
    } else {
        (true, "mode-live")
    };
    let tier = pick(random, &["tier-web", "tier-db", "tier-batch"]);
    let wave = format!("wave-{}", random.random_range(1..=3));
    let has_local_disk = random.random_range(0..1000) < spec.local_disk;
    let size_mib = 1_024 * random.random_range(1..=8);
    let autostart = random.random_range(0..1000) < spec.autostart;
    let workload = draw_workload(random, spec, memory_mib);
    let definition = Definition {
        name: format!("{}-{number:05}", &tier[5..]).parse()?,
        memory_mib,
        vcpus: pick(random, &[1, 2, 2, 4, 8]),
        disk: if has_local_disk { Disk::Local { size_mib } } else { Disk::Shared },
        autostart,
        tags: vec![mode.to_owned(), tier.to_owned(), wave],
        document: workload.to_document(),
    };
    Ok(Drawn { vm, definition, runs })
}

fn draw_workload(random: &mut ChaCha8Rng, spec: &FleetSpec, memory_mib: u64) -> Workload {
    let speed = random.random_range(0..1000);
    let hot_mib = memory_mib * random.random_range(10..=50) / 1_000;
    let workload = Workload {
        hot_mib,
        hot_span_ms: random.random_range(1_000..=4_000),
        cold_kib_s: random.random_range(64..=4_096),
        shutdown_ms: random.random_range(500..=4_000),
    };
    if speed < spec.endless {
        // All of its memory within a tenth of a second: some 5 GiB/s for the smallest.
        Workload { hot_mib: memory_mib, hot_span_ms: 100, ..workload }
    } else if speed < spec.endless.saturating_add(spec.busy) {
        Workload { hot_span_ms: workload.hot_span_ms / 10, cold_kib_s: workload.cold_kib_s * 10, ..workload }
    } else {
        workload
    }
}

fn pick<T: Copy>(random: &mut ChaCha8Rng, from: &[T]) -> T {
    from[random.random_range(0..from.len())]
}
