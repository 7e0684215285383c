//! Whether both sites are fit for the moves of a plan: each VM against its host to be, and the plan's sums against what a
//! host or an owner allows. Pure.
//!
//! [`crate::plan`] asks it while it places VMs, so that a VM goes to a host that can take it where there is one. It must
//! never take what nobody could find out for a yes: that is a warning of its own.

mod obstacle;
pub mod survey;
mod totals;

pub use obstacle::Obstacle;

use crate::definition::Mode;
use crate::guardian::Guardian;
use crate::ids::{CommandName, HostName, SiteName, VmId, VmName};
use crate::plan::{PlannedMove, Severity};
use std::collections::{BTreeMap, BTreeSet};
use survey::{HostSurvey, ProcessorFit, SiteSurvey, VmNeeds};

/// A tag `product:NAME` says that the VM runs something that is licensed.
pub const PRODUCT_TAG_PREFIX: &str = "product:";

/// A migration link below this is told of: what a 1 Gbit/s card brings is what pre-copy of busy VMs takes at least.
pub const LINK_SLOW_BELOW_MBIT_S: u64 = 1_000;

/// A clock further off than this is told of.
pub const CLOCK_OFF_MAX_MS: u64 = 5_000;

/// What preflight rests on: both sites' own words, gathered a moment ago, and what the orchestrator can do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preflight {
    /// The source's.
    pub source: SiteSurvey,
    /// The destination's.
    pub destination: SiteSurvey,
    /// What the source's VMs need.
    pub needs: BTreeMap<VmId, VmNeeds>,
    /// Which of these processors which host of the destination can run.
    pub processors: BTreeMap<(String, HostName), ProcessorFit>,
    /// The commands that the orchestrator has.
    pub commands: BTreeSet<CommandName>,
}

/// A VM that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The VM.
    pub vm: VmId,
    /// Its name.
    pub name: &'a VmName,
    /// The host that has it.
    pub source_host: &'a HostName,
    /// How it is to be moved.
    pub mode: Mode,
}

impl Preflight {
    /// What stands between a VM and any host at all. `guardians`: those that the runbook knows how to deal with.
    #[must_use]
    pub fn of_vm(&self, subject: Subject<'_>, guardians: &[Guardian]) -> Vec<Obstacle> {
        let Some(needs) = self.needs.get(&subject.vm) else { return vec![Obstacle::NeedsUnknown] };
        let mut found = Vec::new();
        found.extend(needs.host_devices.iter().map(|device| Obstacle::HostDevice { device: device.clone() }));
        if needs.snapshots > 0 {
            found.push(Obstacle::Snapshots { count: needs.snapshots });
        }
        let uncopyable = needs.disks.iter().filter_map(|disk| disk.uncopyable.clone().map(|because| (disk, because)));
        found.extend(uncopyable.map(|(disk, because)| Obstacle::DiskNotCopyable { path: disk.path.clone(), because }));
        if needs.has_saved_memory {
            found.push(Obstacle::SavedMemory);
        }
        if let Some(guardian) = &needs.guardian
            && !guardians.iter().any(|known| known.name == *guardian)
        {
            found.push(Obstacle::Guarded { guardian: guardian.clone() });
        }
        for nic in &needs.nics {
            let residents = self.destination.hosts.iter().flat_map(|host| &host.residents);
            let mut others = residents.filter(|resident| resident.vm != subject.vm && resident.macs.contains(&nic.mac));
            if let Some(other) = others.next() {
                found.push(Obstacle::MacTaken { mac: nic.mac.clone(), by: other.name.clone() });
            }
        }
        found
    }

    /// What stands between a VM and one host.
    #[must_use]
    pub fn on_host(&self, subject: Subject<'_>, host: &HostName) -> Vec<Obstacle> {
        let Some(offer) = survey_of(&self.destination, host) else {
            return vec![Obstacle::NotSurveyed { host: host.clone() }];
        };
        let mut found = Vec::new();
        let is_other_of_name =
            |resident: &&survey::Resident| resident.vm != subject.vm && resident.name == *subject.name;
        if let Some(other) = offer.residents.iter().find(is_other_of_name) {
            found.push(Obstacle::NameTaken { host: host.clone(), name: other.name.clone() });
        }
        if let Some(needs) = self.needs.get(&subject.vm) {
            found.extend(self.processor(needs, host));
            found.extend(machine(needs, offer));
            found.extend(self.networks(needs, subject.source_host, offer));
            found.extend(disks(needs, subject.mode, offer));
        }
        found.extend(self.versions(subject, offer));
        found
    }

    /// What keeps a VM from this host, now.
    #[must_use]
    pub fn keeps_from(&self, subject: Subject<'_>, host: &HostName, guardians: &[Guardian]) -> Vec<Obstacle> {
        let found = self.of_vm(subject, guardians).into_iter().chain(self.on_host(subject, host));
        found.filter(|obstacle| obstacle.severity() == Severity::Blocking).collect()
    }

    /// What is wrong with the sites themselves: their clocks, and the path from worker to worker.
    #[must_use]
    pub fn of_sites(&self, source: &SiteName, destination: &SiteName) -> Vec<Obstacle> {
        let mut found = Vec::new();
        match self.source.peers.iter().find(|peer| peer.site == *destination) {
            None => found.push(Obstacle::PeerUnknown { site: destination.clone() }),
            Some(peer) => {
                found.extend(peer.trouble.clone().map(|trouble| Obstacle::PathBroken { trouble }));
            }
        }
        for (site, survey) in [(source, &self.source), (destination, &self.destination)] {
            if let Some(ahead_ms) = survey.clock_ahead_ms.filter(|ahead| ahead.unsigned_abs() > CLOCK_OFF_MAX_MS) {
                found.push(Obstacle::ClockOff { site: site.clone(), ahead_ms });
            }
        }
        found
    }

    /// What there is to say of the runbook's guardians: the commands that are missing, and those that will be run for the VMs of
    /// the plan.
    #[must_use]
    pub fn of_guardians(&self, guardians: &[Guardian], moves: &[PlannedMove]) -> Vec<Obstacle> {
        let mut found = Vec::new();
        for guardian in guardians {
            let missing =
                [&guardian.hands_off, &guardian.give_back].into_iter().filter(|name| !self.commands.contains(*name));
            let missing: BTreeSet<&CommandName> = missing.collect();
            let of = |command: &CommandName| Obstacle::CommandMissing {
                guardian: guardian.name.clone(),
                command: command.clone(),
            };
            found.extend(missing.into_iter().map(of));
            let is_its = |planned: &&PlannedMove| planned.guardian.as_deref() == Some(guardian.name.as_str());
            let vms = moves.iter().filter(is_its).count();
            if vms > 0 {
                let Guardian { name, hands_off, give_back, timeout_ms: _ } = guardian.clone();
                found.push(Obstacle::CommandsAreRun { guardian: name, hands_off, give_back, vms });
            }
        }
        found
    }

    fn processor(&self, needs: &VmNeeds, host: &HostName) -> Option<Obstacle> {
        let processor = needs.processor.as_ref()?;
        let host = host.clone();
        match self.processors.get(&(processor.clone(), host.clone())) {
            Some(ProcessorFit::Fits) => None,
            Some(ProcessorFit::Lacks { what }) => Some(Obstacle::ProcessorUnfit { host, lacks: what.clone() }),
            Some(ProcessorFit::Unknown { because }) => {
                Some(Obstacle::ProcessorUnknown { host, because: because.clone() })
            }
            None => Some(Obstacle::ProcessorUnknown { host, because: "it was not asked".to_owned() }),
        }
    }

    fn networks(&self, needs: &VmNeeds, source_host: &HostName, offer: &HostSurvey) -> Vec<Obstacle> {
        let at_source = survey_of(&self.source, source_host);
        let mut found = Vec::new();
        for wanted in needs.nics.iter().filter_map(|nic| nic.network.as_ref()) {
            let (host, network) = (offer.host.clone(), wanted.clone());
            let Some(there) = offer.networks.iter().find(|there| there.name == *wanted) else {
                found.push(Obstacle::NetworkMissing { host, network });
                continue;
            };
            let here = at_source.and_then(|survey| survey.networks.iter().find(|here| here.name == *wanted));
            let subnets = (here.and_then(|here| here.subnet.clone()), there.subnet.clone());
            if !there.active {
                found.push(Obstacle::NetworkDown { host, network });
            } else if let (Some(source), Some(destination)) = subnets
                && source != destination
            {
                found.push(Obstacle::SubnetDiffers { host, network, source, destination });
            }
        }
        // Two cards on one network are one obstacle.
        found.dedup();
        found
    }

    /// Memory is understood by versions as new as the sender's; what starts from its disk is built anew.
    fn versions(&self, subject: Subject<'_>, offer: &HostSurvey) -> Vec<Obstacle> {
        let Some(from) = survey_of(&self.source, subject.source_host).filter(|_| subject.mode == Mode::Live) else {
            return Vec::new();
        };
        let host = &offer.host;
        let emulator = older(from.emulator, offer.emulator).map(|(source, destination)| Obstacle::EmulatorOlder {
            host: host.clone(),
            source,
            destination,
        });
        let library = older(from.library, offer.library).map(|(source, destination)| Obstacle::LibraryOlder {
            host: host.clone(),
            source,
            destination,
        });
        emulator.into_iter().chain(library).collect()
    }
}

fn older<V: Ord>(source: Option<V>, destination: Option<V>) -> Option<(V, V)> {
    source.zip(destination).filter(|(source, destination)| destination < source)
}

fn survey_of<'s>(site: &'s SiteSurvey, host: &HostName) -> Option<&'s HostSurvey> {
    site.hosts.iter().find(|survey| survey.host == *host)
}

fn machine(needs: &VmNeeds, offer: &HostSurvey) -> Vec<Obstacle> {
    let host = &offer.host;
    let kind = needs.domain_type.iter().filter(|kind| !offer.domain_types.contains(*kind));
    let machine = needs.machine.iter().filter(|machine| !offer.machines.contains(*machine));
    kind.map(|kind| Obstacle::DomainTypeMissing { host: host.clone(), domain_type: kind.clone() })
        .chain(machine.map(|machine| Obstacle::MachineMissing { host: host.clone(), machine: machine.clone() }))
        .collect()
}

fn disks(needs: &VmNeeds, mode: Mode, offer: &HostSurvey) -> Vec<Obstacle> {
    let host = &offer.host;
    let mut found = Vec::new();
    for disk in needs.disks.iter().filter(|disk| disk.uncopyable.is_none()) {
        let path = disk.path.clone();
        if disk.shared {
            if !storage_of(offer, &disk.path).is_some_and(|place| place.shared) {
                found.push(Obstacle::StorageUnreachable { host: host.clone(), path });
            }
        } else if place_for_copy(offer, &disk.path).is_none() {
            found.push(Obstacle::NoPlaceForDisk { host: host.clone(), path });
        }
    }
    let is_reached = |path: &str| storage_of(offer, path).is_some_and(|place| place.shared);
    // A medium matters to a guest that comes up with it; all modes but the one that never starts.
    if mode != Mode::Off {
        let unreached = needs.media.iter().filter(|path| !is_reached(path));
        found.extend(unreached.map(|path| Obstacle::MediumUnreachable { host: host.clone(), path: path.clone() }));
    }
    found
}

/// The place on a host that a path is in: the deepest one that contains it.
fn storage_of<'s>(offer: &'s HostSurvey, path: &str) -> Option<&'s survey::StorageOffer> {
    let contains = |place: &&survey::StorageOffer| {
        let folder = place.path.trim_end_matches('/');
        path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    };
    offer.storage.iter().filter(contains).max_by_key(|place| place.path.len())
}

/// The place on a host that a disk's copy goes to: the one with its very folder.
fn place_for_copy<'s>(offer: &'s HostSurvey, path: &str) -> Option<&'s survey::StorageOffer> {
    let (folder, _) = path.rsplit_once('/')?;
    offer.storage.iter().find(|place| place.path.trim_end_matches('/') == folder)
}

/// The products that a VM is licensed for, by its tags.
pub fn products(tags: &[String]) -> impl Iterator<Item = &str> {
    tags.iter().filter_map(|tag| tag.strip_prefix(PRODUCT_TAG_PREFIX))
}
