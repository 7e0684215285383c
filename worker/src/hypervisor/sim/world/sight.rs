//! What a site's hypervisors show to whoever may ask: never more than the hosts that answer can know.

use super::World;
use super::host::{Entry, Host, ShuttingDown, SiteId};
use super::job::basis_points;
use crate::hypervisor::HypervisorError;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::{HostListing, Inventory, Job, Phase, Sight, Sighting, VmListing};

impl World {
    /// These hosts of a site and their VMs; all of them if none is named.
    ///
    /// # Errors
    /// `Unreachable` while the site is.
    pub fn inventory(&self, site: &SiteName, named: &[HostName]) -> Result<Inventory, HypervisorError> {
        let id = self.reach_site(site)?;
        let hosts = self.sites[id.0].hosts.values().map(|host| &self.hosts[host.0]);
        let hosts: Vec<&Host> = hosts.filter(|host| named.is_empty() || named.contains(&host.name)).collect();
        let listed = hosts.iter().map(|host| HostListing {
            host: host.name.clone(),
            answers: host.answers(),
            memory_mib: host.memory_mib,
            used_mib: host.used_mib,
            cores: host.cores,
        });
        let vms = hosts.iter().filter(|host| host.answers()).flat_map(|host| {
            host.entries.iter().map(|(vm, entry)| VmListing {
                vm: *vm,
                host: host.name.clone(),
                definition: entry.told_definition(),
                instance: entry.guest.instance(),
                stored: entry.stored,
                seal: entry.kept.as_ref().map(|kept| kept.seal.clone()),
            })
        });
        Ok(Inventory { hosts: listed.collect(), vms: vms.collect() })
    }

    /// What a site's hosts show of these VMs, in the order asked.
    ///
    /// # Errors
    /// `Unreachable` while the site is.
    pub fn look(&self, site: &SiteName, vms: &[VmId]) -> Result<Vec<Sight>, HypervisorError> {
        let id = self.reach_site(site)?;
        let hosts = self.sites[id.0].hosts.values().map(|host| &self.hosts[host.0]);
        let silent: Vec<_> = hosts.filter(|host| !host.answers()).map(|host| host.name.clone()).collect();
        let see = |vm: &VmId| Sight {
            sightings: self.sightings(id, *vm),
            silent_hosts: silent.clone(),
            call_under_way: self.calls_by_vm.contains_key(&(id, *vm)),
        };
        Ok(vms.iter().map(see).collect())
    }

    /// The definition that a host has stored for a VM.
    ///
    /// # Errors
    /// As a call: `Unreachable`, `HostSilent`, or `Refused` where there is none.
    pub fn definition(&self, site: &SiteName, host: &HostName, vm: VmId) -> Result<Definition, HypervisorError> {
        let (_, host) = self.reach(site, host)?;
        self.known(host, vm).map(|entry| entry.definition.clone())
    }

    /// The definitions of these VMs that these hosts of a site have stored, or all of its hosts if none is named, each VM's first;
    /// those on hosts that don't answer are left out.
    ///
    /// # Errors
    /// `Unreachable` while the site is.
    pub fn definitions(
        &self,
        site: &SiteName,
        vms: &[VmId],
        named: &[HostName],
    ) -> Result<Vec<(VmId, Definition)>, HypervisorError> {
        let id = self.reach_site(site)?;
        let stored = |vm: &VmId| {
            let places = &self.lives.get(vm)?.places;
            let hosts = places.iter().map(|host| &self.hosts[host.0]);
            let mut hosts = hosts.filter(|host| named.is_empty() || named.contains(&host.name));
            let entry = hosts.find_map(|host| host.entries.get(vm).filter(|_| host.site == id && host.answers()))?;
            Some((*vm, entry.definition.clone()))
        };
        Ok(vms.iter().filter_map(stored).collect())
    }

    fn sightings(&self, site: SiteId, vm: VmId) -> Vec<Sighting> {
        let Some(life) = self.lives.get(&vm) else { return Vec::new() };
        let hosts = life.places.iter().map(|host| &self.hosts[host.0]);
        hosts
            .filter(|host| host.site == site && host.answers())
            .filter_map(|host| host.entries.get(&vm).map(|entry| self.sighting(host, entry)))
            .collect()
    }

    fn sighting(&self, host: &Host, entry: &Entry) -> Sighting {
        let job = entry.job.and_then(|id| self.jobs.get(&id)).map(|job| job.shown(self.now_ms));
        let shutdown = entry.shutting_down.map(|shutting| shown_shutdown(shutting, self.now_ms));
        Sighting {
            host: host.name.clone(),
            instance: entry.guest.instance(),
            stored: entry.stored,
            mark: entry.mark,
            job: job.or(shutdown),
            disk_complete: entry.disk_complete(),
            job_error: entry.failure.clone(),
            stood_still_ms: entry.still.ms(self.now_ms),
            autostart: entry.definition.autostart,
        }
    }
}

fn shown_shutdown(shutting: ShuttingDown, now_ms: u64) -> Job {
    let done = now_ms.saturating_sub(shutting.since_ms) as f64;
    let whole = shutting.until_ms.saturating_sub(shutting.since_ms) as f64;
    Job { done_basis_points: basis_points(done, whole), ..Job::in_phase(Phase::ShutDown) }
}
