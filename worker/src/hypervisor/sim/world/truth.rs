//! What is really so, whatever anybody can see of it. For a judge outside; nothing of muster may read it to decide.

use super::World;
use super::host::{Guest, HostId};
use muster_core::definition::{Definition, Disk};
use muster_core::ids::{HostName, SiteName, VmId, VmName};
use muster_core::reading::{Instance, Mark, Stored};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The truth about one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// The VM.
    pub vm: VmId,
    /// What people call it.
    pub name: VmName,
    /// It ran when it was made, or has run since.
    pub has_run: bool,
    /// Every host that holds anything of it, powered or not.
    pub places: Vec<Place>,
    /// Its newest memory: counts its starts from disk; a live move carries the number along.
    pub memory_generation: u64,
    /// Two of its instances ran at once, at any time. Sticky.
    pub ran_twice: bool,
    /// The most instances that ever had its one shared disk open for writing at once; 1 for local disks, which are
    /// each instance's own.
    pub disk_writers_max: u32,
    /// An instance ran on memory or disk that was older than what had run elsewhere meanwhile. Sticky.
    pub ran_stale: bool,
    /// An instance was started from a disk copy that was not complete. Sticky.
    pub ran_on_partial_disk: bool,
    /// How its last whole instance ended, if none is whole now and it wasn't let go after a move.
    pub ended: Option<Ended>,
    /// It ran, no whole instance is left, and no dead host, crash or shutdown explains that; or nothing is left of it at
    /// all.
    pub lost: bool,
    /// Every real definition of it that is stored is the one it was made with, autostart aside.
    pub definition_intact: bool,
}

/// One host's part in a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The site.
    pub site: SiteName,
    /// The host.
    pub host: HostName,
    /// The host has power.
    pub powered: bool,
    /// The site can be reached.
    pub reachable: bool,
    /// What kind of definition is stored.
    pub stored: Stored,
    /// The next boot of this host would start it.
    pub autostarts: bool,
    /// The instance.
    pub instance: Instance,
    /// Whose it is.
    pub mark: Option<Mark>,
    /// A job is on it.
    pub job: bool,
    /// Its memory's generation, where an instance is whole.
    pub generation: Option<u64>,
    /// Its whole memory is older than what has run elsewhere since.
    pub stale: bool,
    /// Its disk here is complete (always so on shared storage).
    pub disk_complete: bool,
    /// Its local disk is older than what has run elsewhere since.
    pub disk_stale: bool,
    /// Why the last job on it failed.
    pub failure: Option<String>,
}

/// How an instance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// It was removed by a call.
    Removed,
    /// Its host lost power.
    PowerLoss,
    /// It crashed.
    Crashed,
    /// It was shut down: by a call, or from inside.
    ShutDown,
}

impl Truth {
    /// Where it runs.
    #[must_use]
    pub fn runs_on(&self) -> Vec<(SiteName, HostName)> {
        self.places_with(|place| place.instance == Instance::Running)
    }

    /// Where it is whole and paused.
    #[must_use]
    pub fn paused_on(&self) -> Vec<(SiteName, HostName)> {
        self.places_with(|place| place.instance == Instance::Paused)
    }

    /// Whether a whole, paused copy that is not stale is at this site.
    #[must_use]
    pub fn has_good_paused_copy_at(&self, site: &SiteName) -> bool {
        self.places.iter().any(|place| place.site == *site && place.instance == Instance::Paused && !place.stale)
    }

    /// Its memory is gone and a dead host or a crash is why.
    #[must_use]
    pub fn memory_lost(&self) -> bool {
        matches!(self.ended, Some(Ended::PowerLoss | Ended::Crashed))
    }

    fn places_with(&self, fits: impl Fn(&Place) -> bool) -> Vec<(SiteName, HostName)> {
        self.places.iter().filter(|place| fits(place)).map(|place| (place.site.clone(), place.host.clone())).collect()
    }
}

/// What the world remembers of a VM beyond what its hosts hold.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) original: Definition,
    pub(super) places: BTreeSet<HostId>,
    pub(super) generation: u64,
    running: BTreeSet<HostId>,
    has_run: bool,
    ran_twice: bool,
    disk_writers_max: u32,
    ran_stale: bool,
    ran_on_partial_disk: bool,
    ended: Option<Ended>,
}

impl Life {
    fn new(original: Definition) -> Life {
        Life {
            original,
            places: BTreeSet::new(),
            generation: 0,
            running: BTreeSet::new(),
            has_run: false,
            ran_twice: false,
            disk_writers_max: 0,
            ran_stale: false,
            ran_on_partial_disk: false,
            ended: None,
        }
    }
}

impl World {
    /// The truth about every VM there ever was, in the order of their ids.
    #[must_use]
    pub fn truth(&self) -> Vec<Truth> {
        self.lives.keys().filter_map(|vm| self.truth_of(*vm)).collect()
    }

    /// The truth about one VM; none if there never was one.
    #[must_use]
    pub fn truth_of(&self, vm: VmId) -> Option<Truth> {
        let life = self.lives.get(&vm)?;
        let places: Vec<Place> = life.places.iter().filter_map(|host| self.place(*host, vm)).collect();
        let is_whole = places.iter().any(|place| place.generation.is_some());
        let explained = match life.ended {
            Some(Ended::PowerLoss | Ended::Crashed | Ended::ShutDown) => true,
            Some(Ended::Removed) | None => false,
        };
        Some(Truth {
            vm,
            name: life.original.name.clone(),
            has_run: life.has_run,
            memory_generation: life.generation,
            ran_twice: life.ran_twice,
            disk_writers_max: life.disk_writers_max,
            ran_stale: life.ran_stale,
            ran_on_partial_disk: life.ran_on_partial_disk,
            ended: if is_whole { None } else { life.ended },
            lost: places.is_empty() || (life.has_run && !is_whole && !explained),
            definition_intact: self.definition_intact(vm, &life.original),
            places,
        })
    }

    fn place(&self, host: HostId, vm: VmId) -> Option<Place> {
        let on = &self.hosts[host.0];
        let entry = on.entries.get(&vm)?;
        let site = &self.sites[on.site.0];
        let memory = entry.guest.memory();
        let is_local = matches!(entry.definition.disk, Disk::Local { .. });
        Some(Place {
            site: site.name.clone(),
            host: on.name.clone(),
            powered: on.has_power(),
            reachable: site.is_reachable(),
            stored: entry.stored,
            autostarts: entry.stored == Stored::Real && entry.definition.autostart,
            instance: entry.guest.instance(),
            mark: entry.mark,
            job: entry.job.is_some(),
            generation: memory.map(|memory| memory.generation),
            stale: memory.is_some_and(|memory| memory.stale),
            disk_complete: entry.disk_complete(),
            disk_stale: is_local && entry.disk.complete && entry.disk.stale,
            failure: entry.failure.clone(),
        })
    }

    fn definition_intact(&self, vm: VmId, original: &Definition) -> bool {
        let Some(life) = self.lives.get(&vm) else { return true };
        life.places.iter().filter_map(|host| self.entry(*host, vm)).all(|entry| {
            entry.stored != Stored::Real
                || Definition { autostart: original.autostart, ..entry.definition.clone() } == *original
        })
    }

    pub(super) fn enter_place(&mut self, vm: VmId, host: HostId, definition: &Definition) {
        self.lives.entry(vm).or_insert_with(|| Life::new(definition.clone())).places.insert(host);
    }

    pub(super) fn leave_place(&mut self, vm: VmId, host: HostId) {
        if let Some(life) = self.lives.get_mut(&vm) {
            life.places.remove(&host);
        }
    }

    /// Notes how a whole instance ended. The end of a stale one, or of one of several, says nothing about the VM.
    pub(super) fn note_end(&mut self, vm: VmId, guest: Guest, how: Ended) {
        let Some(memory) = guest.memory() else { return };
        if let Some(life) = self.lives.get_mut(&vm)
            && !memory.stale
        {
            life.ended = Some(how);
        }
    }

    /// Looks at which instances of a VM run now. Called after every change of an entry.
    pub(super) fn witness(&mut self, vm: VmId) {
        let Some(life) = self.lives.get_mut(&vm) else { return };
        let runs = |host: &HostId| self.hosts[host.0].entries.get(&vm).is_some_and(|entry| entry.guest.is_running());
        let running: BTreeSet<HostId> = life.places.iter().copied().filter(runs).collect();
        let begun: Vec<HostId> = running.difference(&life.running).copied().collect();
        if !running.is_empty() {
            life.has_run = true;
            let writers = match life.original.disk {
                Disk::Shared => u32::try_from(running.len()).unwrap_or(u32::MAX),
                Disk::Local { .. } => 1,
            };
            life.disk_writers_max = life.disk_writers_max.max(writers);
        }
        life.ran_twice |= running.len() > 1;
        life.running = running;
        for host in begun {
            self.witness_run(vm, host);
        }
    }

    /// An instance begins to run, or runs on: whatever stands still elsewhere is old from now on.
    fn witness_run(&mut self, vm: VmId, host: HostId) {
        let Some(life) = self.lives.get_mut(&vm) else { return };
        life.ended = None;
        if let Some(entry) = self.hosts[host.0].entries.get(&vm) {
            let is_local = matches!(entry.definition.disk, Disk::Local { .. });
            life.ran_stale |= entry.guest.memory().is_some_and(|memory| memory.stale);
            life.ran_stale |= is_local && entry.disk.stale;
            life.ran_on_partial_disk |= is_local && !entry.disk.complete;
        }
        for other in life.places.iter().filter(|other| **other != host) {
            let Some(entry) = self.hosts[other.0].entries.get_mut(&vm) else { continue };
            entry.disk.stale = true;
            if let Guest::Paused(memory) = &mut entry.guest {
                memory.stale = true;
            }
        }
    }
}
