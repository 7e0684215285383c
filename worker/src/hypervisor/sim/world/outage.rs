//! What happens to hosts, sites and links: power, silence, isolation; and what hypervisors do about it by themselves.

use super::agenda::Event;
use super::config::FinishBreak;
use super::host::{Guest, HostId, Power, SiteId, Still};
use super::job::JobId;
use super::truth::Ended;
use super::{Output, World};
use crate::hypervisor::HypervisorError;
use muster_core::ids::VmId;
use muster_core::reading::{OffCause, Stored};

impl World {
    /// Every instance on the host is gone at once.
    pub(super) fn lose_host_power(&mut self, host: HostId) {
        if !self.hosts[host.0].has_power() {
            return;
        }
        self.hosts[host.0].power = Power::Off;
        self.lose_calls_of(host, "the host lost power");
        let vms: Vec<VmId> = self.hosts[host.0].entries.keys().copied().collect();
        for vm in vms {
            self.end_guest(host, vm, OffCause::Unknown, Ended::PowerLoss);
            // A host that comes back has forgotten how its guests ended.
            self.edit(host, vm, |entry| {
                entry.guest = Guest::Off(OffCause::Unknown);
                entry.still = Still::Never;
            });
        }
        for id in self.jobs_on(host) {
            self.break_job(id, "a host of the transfer lost power", None);
        }
        self.tell_everything(self.hosts[host.0].site);
    }

    /// The host boots and starts what has autostart, as far as there is room.
    pub(super) fn return_host_power(&mut self, host: HostId) {
        if self.hosts[host.0].has_power() || !self.sites[self.hosts[host.0].site.0].powered {
            return;
        }
        self.hosts[host.0].power = Power::On;
        let starts = |entry: &super::Entry| entry.stored == Stored::Real && entry.definition.autostart;
        let vms: Vec<VmId> =
            self.hosts[host.0].entries.iter().filter(|(_, entry)| starts(entry)).map(|(vm, _)| *vm).collect();
        for vm in vms {
            // What doesn't fit stays off: nobody is there to be told.
            let _refused = self.start(host, vm);
        }
        self.tell_everything(self.hosts[host.0].site);
    }

    /// The daemon cancels the jobs of its host, resumes what it had paused for them, and is silent for a while.
    pub(super) fn restart_daemon(&mut self, host: HostId) {
        if !self.hosts[host.0].has_power() {
            return;
        }
        self.lose_calls_of(host, "the host's daemon restarted");
        for id in self.jobs_on(host) {
            let is_source = self.jobs.get(&id).is_some_and(|job| job.source == host);
            let outcome = is_source.then_some(FinishBreak::Resumes);
            self.break_job(id, "a host daemon of the transfer restarted", outcome);
        }
        self.silence_host(host, self.timing.daemon_restart_ms);
    }

    /// The daemon doesn't answer for a while; jobs and guests go on.
    pub(super) fn silence_host(&mut self, host: HostId, for_ms: u64) {
        if !self.hosts[host.0].has_power() {
            return;
        }
        let until_ms = self.now_ms + for_ms;
        self.hosts[host.0].power = Power::DaemonSilent { until_ms };
        self.agenda.enter(until_ms, Event::DaemonAnswers(host));
        self.tell_everything(self.hosts[host.0].site);
    }

    pub(super) fn daemon_answers(&mut self, host: HostId) {
        match self.hosts[host.0].power {
            Power::DaemonSilent { until_ms } if until_ms <= self.now_ms => {
                self.hosts[host.0].power = Power::On;
                self.tell_everything(self.hosts[host.0].site);
            }
            Power::DaemonSilent { .. } | Power::On | Power::Off => {}
        }
    }

    pub(super) fn lose_site_power(&mut self, site: SiteId) {
        self.lose_site(site, |site| site.powered = false);
        for host in self.hosts_of(site) {
            self.lose_host_power(host);
        }
    }

    pub(super) fn return_site_power(&mut self, site: SiteId) {
        self.sites[site.0].powered = true;
        for host in self.hosts_of(site) {
            self.return_host_power(host);
        }
        self.tell_everything(site);
    }

    /// Nothing reaches the site, and nothing gets out. Its guests run on.
    pub(super) fn unplug_site(&mut self, site: SiteId) {
        self.lose_site(site, |site| site.plugged = false);
        let ids: Vec<JobId> = self.jobs.keys().copied().collect();
        for id in ids {
            if self.job_sites(id).is_some_and(|(from, to)| from == site || to == site) {
                self.break_job(id, "the other side can't be reached any more", None);
            }
        }
    }

    pub(super) fn plug_site_in(&mut self, site: SiteId) {
        self.sites[site.0].plugged = true;
        self.tell_everything(site);
    }

    /// Cuts, mends or throttles a link. False where there is none.
    pub(super) fn change_link(&mut self, a: SiteId, b: SiteId, change: impl FnOnce(&mut super::Link)) -> bool {
        let Some(link) = self.links.get_mut(&(a.min(b), a.max(b))) else { return false };
        change(link);
        let cut = link.cut;
        self.rates_are_old = true;
        if cut {
            let ids: Vec<JobId> = self.jobs.keys().copied().collect();
            for id in ids {
                if self.job_sites(id).is_some_and(|ends| ends == (a, b) || ends == (b, a)) {
                    self.break_job(id, "the link broke", None);
                }
            }
        }
        true
    }

    fn lose_site(&mut self, site: SiteId, change: impl FnOnce(&mut super::Site)) {
        let was_reachable = self.sites[site.0].is_reachable();
        self.lose_callers_of(site);
        change(&mut self.sites[site.0]);
        if was_reachable {
            let site = self.sites[site.0].name.clone();
            self.outputs.push(Output::SiteLost { site });
        }
    }

    fn hosts_of(&self, site: SiteId) -> Vec<HostId> {
        self.sites[site.0].hosts.values().copied().collect()
    }

    pub(super) fn jobs_on(&self, host: HostId) -> Vec<JobId> {
        let is_on = |job: &super::Job| job.source == host || job.destination == host;
        self.jobs.iter().filter(|(_, job)| is_on(job)).map(|(id, _)| *id).collect()
    }

    fn job_sites(&self, id: JobId) -> Option<(SiteId, SiteId)> {
        self.jobs.get(&id).map(|job| (self.hosts[job.source.0].site, self.hosts[job.destination.0].site))
    }

    fn tell_everything(&mut self, site: SiteId) {
        if self.sites[site.0].is_reachable() {
            let site = self.sites[site.0].name.clone();
            self.outputs.push(Output::EverythingChanged { site });
        }
    }

    /// Something done at the hypervisor itself ends what job there is, like a crash of the guest would.
    pub(super) fn crash_guest(&mut self, host: HostId, vm: VmId, cause: OffCause, how: Ended) {
        self.end_guest(host, vm, cause, how);
        if let Some(id) = self.entry(host, vm).and_then(|entry| entry.job) {
            self.break_job(id, "the guest ended in the transfer", None);
        }
    }

    pub(super) fn known_or_refused(&self, host: HostId, vm: VmId) -> Result<(), HypervisorError> {
        self.known(host, vm).map(|_| ())
    }
}
