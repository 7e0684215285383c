//! A world of sites, hosts, links and guests: pure, event-driven, the same for the same seed and the same calls.
//!
//! It touches nothing: no clock, no I/O, no runtime. Time is told by [`World::advance`], calls come in by
//! [`World::begin_call`] and faults by [`World::inject`]; what comes of them is fetched with [`World::take_outputs`]. It knows
//! nothing of muster's rules: it does what hypervisors do, lets two copies run if that is what it is told, and keeps
//! the [`Truth`] about it for an outside judge.

mod agenda;
mod call;
mod change;
mod config;
mod fault;
mod fleet;
mod host;
mod job;
mod network;
mod outage;
mod pace;
mod rules;
mod sight;
#[cfg(test)]
mod tests;
mod truth;
mod workload;

pub use call::{CallId, CallKind};
pub use config::{Clock, FinishBreak, HOSTS_MAX, HostConfig, LinkConfig, SiteConfig, Timing, WorldConfig};
pub use fault::{
    Deed, Fault, FaultError, FaultRates, HostFault, LinkFault, RULES_MAX, Rule, RuleKind, SiteFault, Trap, Twist,
};
pub use fleet::{FLEET_MAX, FleetError, FleetSpec, VmSpec};
pub use job::PROGRESS_EVERY_MS;
pub use truth::{Ended, Place, Truth};
pub use workload::Workload;

use crate::hypervisor::HypervisorError;
use agenda::{Agenda, Event};
use call::PendingCall;
use host::{Entry, Host, HostId, Power, Site, SiteId};
use job::{Job, JobId};
use muster_core::class::Class;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::Phase;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use truth::Life;

/// The simulated world.
#[derive(Debug)]
pub struct World {
    now_ms: u64,
    timing: Timing,
    finish_break: FinishBreak,
    random: ChaCha8Rng,
    sites: Vec<Site>,
    site_ids: BTreeMap<SiteName, SiteId>,
    hosts: Vec<Host>,
    links: BTreeMap<(SiteId, SiteId), Link>,
    agenda: Agenda,
    numbers: u64,
    jobs: BTreeMap<JobId, Job>,
    flowing: BTreeSet<JobId>,
    rates_are_old: bool,
    calls: BTreeMap<CallId, PendingCall>,
    calls_by_vm: BTreeMap<(SiteId, VmId), CallId>,
    rules: VecDeque<Rule>,
    rates: FaultRates,
    drawn_failures: BTreeMap<VmId, Phase>,
    failed_faults: u64,
    lives: BTreeMap<VmId, Life>,
    outputs: Vec<Output>,
}

/// What comes out of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A call has ended, as its caller sees it.
    CallEnded {
        /// The call.
        call: CallId,
        /// What came of it.
        result: Result<(), HypervisorError>,
    },
    /// A VM of this site looks different now.
    Changed {
        /// The site.
        site: SiteName,
        /// The VM.
        vm: VmId,
    },
    /// Anything of this site may look different now.
    EverythingChanged {
        /// The site.
        site: SiteName,
    },
    /// Nobody can reach this site's hypervisors any more.
    SiteLost {
        /// The site.
        site: SiteName,
    },
}

/// A world that can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// Two sites, or two hosts of one site, have one name.
    #[error("{0} stands twice in the world's configuration")]
    Twice(String),
    /// A link's end is no site.
    #[error("a link ends at {0}, which is no site of this world")]
    NoSuchSite(SiteName),
    /// A link joins a site with itself.
    #[error("a link joins {0} with itself")]
    LinkToItself(SiteName),
    /// More hosts than [`HOSTS_MAX`].
    #[error("more than {HOSTS_MAX} hosts")]
    TooManyHosts,
}

impl WorldError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            WorldError::Twice(_)
            | WorldError::NoSuchSite(_)
            | WorldError::LinkToItself(_)
            | WorldError::TooManyHosts => Class::Refused,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Link {
    rate_mib_s: u64,
    cut: bool,
}

impl World {
    /// A world as configured, at time 0, without VMs.
    ///
    /// # Errors
    /// [`WorldError`] where the configuration contradicts itself.
    pub fn new(config: &WorldConfig) -> Result<World, WorldError> {
        let mut world = World {
            now_ms: 0,
            timing: config.timing,
            finish_break: config.finish_break,
            random: ChaCha8Rng::seed_from_u64(config.seed),
            sites: Vec::new(),
            site_ids: BTreeMap::new(),
            hosts: Vec::new(),
            links: BTreeMap::new(),
            agenda: Agenda::default(),
            numbers: 0,
            jobs: BTreeMap::new(),
            flowing: BTreeSet::new(),
            rates_are_old: false,
            calls: BTreeMap::new(),
            calls_by_vm: BTreeMap::new(),
            rules: VecDeque::new(),
            rates: FaultRates::default(),
            drawn_failures: BTreeMap::new(),
            failed_faults: 0,
            lives: BTreeMap::new(),
            outputs: Vec::new(),
        };
        for site in &config.sites {
            world.add_site(site)?;
        }
        for link in &config.links {
            world.add_link(link)?;
        }
        Ok(world)
    }

    /// The simulated time, in milliseconds since the world began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// When something happens next by itself, if nothing comes in before.
    #[must_use]
    pub fn next_event_ms(&self) -> Option<u64> {
        self.agenda.next_ms()
    }

    /// Lets time pass until `to_ms`, with everything that happens on the way. A time that is past changes nothing.
    pub fn advance(&mut self, to_ms: u64) {
        while let Some((at_ms, event)) = self.agenda.take_until(to_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.happen(event);
            self.share_wires();
        }
        self.now_ms = self.now_ms.max(to_ms);
    }

    /// What has come out since this was last asked, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::CallLands(call) => self.land(call),
            Event::PhaseOver(job) => self.phase_over(job),
            Event::FlowOver(job) => self.flow_over(job),
            Event::Progress(job) => self.progress(job),
            Event::GuestShutDown(host, vm) => self.guest_has_shut_down(host, vm),
            Event::DaemonAnswers(host) => self.daemon_answers(host),
        }
    }

    fn add_site(&mut self, config: &SiteConfig) -> Result<(), WorldError> {
        let id = SiteId(self.sites.len());
        if self.site_ids.insert(config.name.clone(), id).is_some() {
            return Err(WorldError::Twice(config.name.to_string()));
        }
        let mut hosts = BTreeMap::new();
        for host in &config.hosts {
            let host_id = HostId(self.hosts.len());
            if host_id.0 >= HOSTS_MAX {
                return Err(WorldError::TooManyHosts);
            }
            if hosts.insert(host.name.clone(), host_id).is_some() {
                return Err(WorldError::Twice(format!("{}/{}", config.name, host.name)));
            }
            self.hosts.push(Host {
                name: host.name.clone(),
                site: id,
                memory_mib: host.memory_mib,
                cores: host.cores,
                nic_mib_s: host.nic_mib_s,
                power: Power::On,
                used_mib: 0,
                entries: BTreeMap::new(),
            });
        }
        self.sites.push(Site { name: config.name.clone(), powered: true, plugged: true, hosts });
        Ok(())
    }

    fn add_link(&mut self, config: &LinkConfig) -> Result<(), WorldError> {
        let (a, b) = &config.between;
        let id = |name: &SiteName| self.site_ids.get(name).copied().ok_or_else(|| WorldError::NoSuchSite(name.clone()));
        let (first, second) = (id(a)?, id(b)?);
        if first == second {
            return Err(WorldError::LinkToItself(a.clone()));
        }
        let link = Link { rate_mib_s: config.rate_mib_s, cut: false };
        if self.links.insert((first.min(second), first.max(second)), link).is_some() {
            return Err(WorldError::Twice(format!("the link between {a} and {b}")));
        }
        Ok(())
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn host_id(&self, site: SiteId, host: &HostName) -> Option<HostId> {
        self.sites[site.0].hosts.get(host).copied()
    }

    fn link(&self, a: SiteId, b: SiteId) -> Option<&Link> {
        self.links.get(&(a.min(b), a.max(b)))
    }

    /// Whether a host's daemon can be spoken to from another site.
    fn is_path_open(&self, from: HostId, to: HostId) -> bool {
        let (from, to) = (&self.hosts[from.0], &self.hosts[to.0]);
        let linked = self.link(from.site, to.site).is_some_and(|link| !link.cut);
        linked && [from, to].iter().all(|host| host.answers() && self.sites[host.site.0].is_reachable())
    }

    fn entry(&self, host: HostId, vm: VmId) -> Option<&Entry> {
        self.hosts[host.0].entries.get(&vm)
    }

    /// Changes what a host holds of a VM, and keeps room, truth and readers in step. The only way to change an entry.
    fn edit(&mut self, host: HostId, vm: VmId, change: impl FnOnce(&mut Entry)) {
        let on = &mut self.hosts[host.0];
        let Some(entry) = on.entries.get_mut(&vm) else { return };
        let before_mib = entry.held_mib();
        change(entry);
        on.used_mib = on.used_mib.saturating_sub(before_mib).saturating_add(entry.held_mib());
        self.witness(vm);
        self.tell(host, vm);
    }

    fn insert_entry(&mut self, host: HostId, vm: VmId, entry: Entry) {
        self.delete_entry(host, vm);
        let on = &mut self.hosts[host.0];
        on.used_mib = on.used_mib.saturating_add(entry.held_mib());
        let definition = entry.definition.clone();
        on.entries.insert(vm, entry);
        self.enter_place(vm, host, &definition);
        self.witness(vm);
        self.tell(host, vm);
    }

    fn delete_entry(&mut self, host: HostId, vm: VmId) {
        let on = &mut self.hosts[host.0];
        let Some(entry) = on.entries.remove(&vm) else { return };
        on.used_mib = on.used_mib.saturating_sub(entry.held_mib());
        self.leave_place(vm, host);
        self.witness(vm);
        self.tell(host, vm);
    }

    /// Says that a VM looks different, unless that was the last thing said.
    fn tell(&mut self, host: HostId, vm: VmId) {
        let site = &self.sites[self.hosts[host.0].site.0];
        let told = matches!(self.outputs.last(), Some(Output::Changed { site: last, vm: of }) if *of == vm && *last == site.name);
        if site.is_reachable() && !told {
            self.outputs.push(Output::Changed { site: site.name.clone(), vm });
        }
    }
}
