//! Carries the faults of a plan out, and ends them.

use crate::fault::{At, Kind, Part, Path, Place, Point, Side, Store, Trouble, Write, Wrong};
use crate::play::Game;
use crate::weather::{Hindrance, SpanId};
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::Phase;
use muster_store::memory::Failure;
use muster_tests::Process;
use muster_tests::life::Moment;
use muster_tests::network::{PathTrouble, TroubleId};
use muster_tests::post::CallTrouble;
use muster_worker::hypervisor::sim::world::{
    Deed, Fault as WorldFault, HostFault, LinkFault, Rule, RuleKind, SiteFault, Timing, Trap, Twist,
};
use std::time::Duration;

/// What the sites' link carries while nothing is wrong with it, in MiB per second.
const LINK_MIB_S: u64 = 1_192;
/// How often a stubborn VM's transfer fails: always.
const STUBBORN_TIMES: u32 = 1_000_000;
/// The processes that faults are about.
pub(crate) const PROCESSES: [Process; 3] = [Process::Source, Process::Destination, Process::Orchestrator];

/// The end of a fault.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    Paths(Vec<TroubleId>),
    Born(Process),
    /// What it had written and was never synced is gone, but for the oldest so many writes.
    Dies {
        process: Process,
        kept: usize,
        for_ms: u64,
    },
    HostReturns(SiteName, HostName),
    PluggedIn(SiteName, Vec<TroubleId>),
    SiteReturns(SiteName, Process),
    Link(LinkFault),
    Released(VmId),
    ClockIsRight(Process),
    DiskIsCalm(Process),
    Nothing,
}

impl Game {
    /// Makes it go wrong. False where there was nothing left that it could happen to.
    pub(crate) async fn strike(&mut self, kind: &Kind) -> bool {
        match kind {
            Kind::Path(path) => self.strike_path(path),
            Kind::Link { rate_mib_s, for_ms } => {
                let (fault, ending) = match rate_mib_s {
                    None => (LinkFault::Cut, LinkFault::Restored),
                    Some(rate_mib_s) => {
                        (LinkFault::Rate { rate_mib_s: *rate_mib_s }, LinkFault::Rate { rate_mib_s: LINK_MIB_S })
                    }
                };
                self.stage.link_is(fault).await;
                self.ends_after(*for_ms, Ending::Link(ending), None);
                true
            }
            Kind::Killed { part, at: None, for_ms } => self.dies(self.process(*part), 0, *for_ms),
            Kind::Killed { part, at: Some(point), for_ms } => self.arm(self.process(*part), point, *for_ms),
            Kind::Place(side, place) => self.strike_place(*side, place).await,
            Kind::Store(part, store) => self.strike_store(self.process(*part), store),
            Kind::Clock { part, error, for_ms } => {
                let clock = &self.stage.clocks[&self.process(*part)];
                match error {
                    Wrong::Jumps { by_ms } => clock.jump(*by_ms),
                    Wrong::RunsOff { gains_per_thousand } => clock.run_off(*gains_per_thousand),
                }
                self.ends_after(*for_ms, Ending::ClockIsRight(self.process(*part)), None);
                true
            }
            Kind::Vm(number, trouble) => self.strike_vm(self.vm(*number), trouble).await,
        }
    }

    fn strike_path(&mut self, path: &Path) -> bool {
        let port = |part: Part| self.process(part).port();
        let milliseconds = Duration::from_millis;
        let (trouble, between, for_ms) = match path {
            Path::Cut { between: (one, other), for_ms } => {
                (PathTrouble::Cut(port(*one), port(*other)), (*one, *other), *for_ms)
            }
            Path::OneWay { from, to, for_ms } => (PathTrouble::Stalled(port(*from), port(*to)), (*from, *to), *for_ms),
            Path::Slow { between: (one, other), each_ms, for_ms } => {
                (PathTrouble::Slow(port(*one), port(*other), milliseconds(*each_ms)), (*one, *other), *for_ms)
            }
            Path::Late { from, to, by_ms } => {
                let late = CallTrouble::Late(milliseconds(*by_ms));
                self.stage.network.trouble_call(port(*from), port(*to), late);
                return true;
            }
            Path::Twice { from, to, after_ms } => {
                let twice = CallTrouble::Twice(milliseconds(*after_ms));
                self.stage.network.trouble_call(port(*from), port(*to), twice);
                return true;
            }
        };
        // What is only slow comes through.
        let comes_through = matches!(trouble, PathTrouble::Slow(..));
        let what = Hindrance::Path(self.process(between.0), self.process(between.1));
        let id = self.stage.network.trouble(trouble);
        self.ends_after(for_ms, Ending::Paths(vec![id]), (!comes_through).then_some(what));
        true
    }

    /// Killed at once; born again so much later.
    pub(crate) fn dies(&mut self, process: Process, kept: usize, for_ms: u64) -> bool {
        if self.is_dead(process) {
            return false;
        }
        self.stage.kill_keeping(process, kept);
        self.disk_is(process, Disk::Calm);
        self.ends_after(for_ms, Ending::Born(process), Some(Hindrance::Dead(process)));
        true
    }

    fn arm(&mut self, process: Process, point: &Point, for_ms: u64) -> bool {
        let Some(life) = self.stage.life(process).filter(|life| !life.has_ended()).cloned() else { return false };
        let moment = match point.at {
            At::Before => Moment::Before,
            At::After => Moment::After,
        };
        life.arm(point.ahead, moment);
        let fallen = self.fallen.0.clone();
        tokio::spawn(async move {
            life.until_struck().await;
            // The game may be over.
            let _ = fallen.send((process, for_ms));
        });
        true
    }

    async fn strike_place(&mut self, side: Side, place: &Place) -> bool {
        let (site, process) = (self.site(side), self.worker(side));
        let host = |number: u32| -> HostName {
            format!("{site}-{}", number % self.plan.hosts + 1).parse().expect("a host's name")
        };
        let at_host = |number: u32, fault: HostFault| WorldFault::Host(site.clone(), host(number), fault);
        let (fault, for_ms, ending, what) = match place {
            Place::HostDies { host: number, for_ms } => {
                let ending = Ending::HostReturns(site.clone(), host(*number));
                (at_host(*number, HostFault::PowerLoss), *for_ms, ending, Hindrance::Hosts(process))
            }
            Place::DaemonRestarts { host } => {
                let for_ms = Timing::default().daemon_restart_ms;
                (at_host(*host, HostFault::DaemonRestart), for_ms, Ending::Nothing, Hindrance::Hosts(process))
            }
            Place::HostSilent { host, for_ms } => {
                let fault = at_host(*host, HostFault::Silent { for_ms: *for_ms });
                (fault, *for_ms, Ending::Nothing, Hindrance::Hosts(process))
            }
            Place::Unplugged { for_ms } => {
                let others = PROCESSES.into_iter().chain([Process::Caller]).filter(|other| *other != process);
                let cuts = others.map(|other| PathTrouble::Cut(process.port(), other.port()));
                let ending = Ending::PluggedIn(site.clone(), cuts.map(|cut| self.stage.network.trouble(cut)).collect());
                (WorldFault::Site(site, SiteFault::Unplugged), *for_ms, ending, Hindrance::Unplugged(process))
            }
            Place::SiteDies { for_ms } => {
                self.stage.kill(process);
                let ending = Ending::SiteReturns(site.clone(), process);
                (WorldFault::Site(site, SiteFault::PowerLoss), *for_ms, ending, Hindrance::Dead(process))
            }
        };
        self.memory_may_be_lost |= matches!(place, Place::HostDies { .. } | Place::SiteDies { .. });
        self.stage.inject(fault).await;
        self.ends_after(for_ms, ending, Some(what));
        true
    }

    fn strike_store(&mut self, process: Process, store: &Store) -> bool {
        if self.is_dead(process) {
            return false;
        }
        let hindrance = Some(Hindrance::Store(process));
        match store {
            Store::WriteFails { how, for_ms } => {
                let (failure, kept) = match how {
                    Write::Busy => (Failure::Busy, None),
                    Write::Full => (Failure::Full, Some(0)),
                    Write::InDoubt { survives } => (Failure::Sync, Some(usize::from(*survives))),
                };
                self.disk_is(process, Disk::FailsNext(failure));
                if let Some(kept) = kept {
                    // Whoever looks after the processes starts one anew whose store has stopped.
                    self.ends_after(*for_ms, Ending::Dies { process, kept, for_ms: *for_ms }, hindrance);
                }
            }
            Store::WritesLost { held_ms, kept, for_ms } => {
                self.disk_is(process, Disk::Held);
                self.ends_after(*held_ms, Ending::Dies { process, kept: *kept, for_ms: *for_ms }, hindrance);
            }
            Store::Slow { each_ms, for_ms } => {
                self.disk_is(process, Disk::Slow(Duration::from_millis(*each_ms)));
                self.ends_after(*for_ms, Ending::DiskIsCalm(process), hindrance);
            }
        }
        true
    }

    async fn strike_vm(&mut self, vm: VmId, trouble: &Trouble) -> bool {
        let rule = match trouble {
            Trouble::CallHangs { call, for_ms } => RuleKind::Call(Some(*call), Twist::Hang(*for_ms)),
            Trouble::CallFails { call } => RuleKind::Call(Some(*call), Twist::Fail("not today".to_owned())),
            Trouble::CallRefused { call } => RuleKind::Call(Some(*call), Twist::Refuse("not here".to_owned())),
            Trouble::ReplyLost { call } => RuleKind::Call(Some(*call), Twist::LoseReply),
            Trouble::TransferFails { phase } => RuleKind::Phase(*phase, Trap::Fail("a broken cable".to_owned())),
            Trouble::TransferStands { phase, for_ms } => {
                self.ends_after(*for_ms, Ending::Released(vm), None);
                RuleKind::Phase(*phase, Trap::Hold)
            }
            Trouble::GuestCrashes => return self.crash(vm).await,
            Trouble::Stubborn => {
                self.stubborn.insert(vm);
                self.lay_stubborn_rules().await;
                return true;
            }
        };
        self.stage.rule(vm, 1, rule).await;
        true
    }

    pub(crate) async fn lay_stubborn_rules(&mut self) {
        for vm in self.stubborn.clone() {
            for phase in [Phase::Setup, Phase::DiskCopy] {
                let kind = RuleKind::Phase(phase, Trap::Fail("never".to_owned()));
                self.stage.inject(WorldFault::Rule(Rule { vm: Some(vm), times: STUBBORN_TIMES, kind })).await;
            }
        }
    }

    async fn crash(&mut self, vm: VmId) -> bool {
        let truth = self.stage.truth_of(vm).await;
        let Some((site, host)) = truth.runs_on().into_iter().next() else { return false };
        self.memory_may_be_lost = true;
        self.stage.world.inject(WorldFault::ByHand(site, host, vm, Deed::Crash)).await.is_ok()
    }

    pub(crate) async fn end(&mut self, ending: Ending, span: Option<SpanId>) {
        if let Some(span) = span {
            self.weather.end(span, self.trace.now_ms());
        }
        match ending {
            Ending::Paths(ids) => ids.into_iter().for_each(|id| self.stage.network.end(id)),
            Ending::Born(process) => self.is_born(process).await,
            Ending::Dies { process, kept, for_ms } => {
                self.dies(process, kept, for_ms);
            }
            Ending::HostReturns(site, host) => {
                self.stage.inject(WorldFault::Host(site, host, HostFault::PowerReturn)).await;
            }
            Ending::PluggedIn(site, cuts) => {
                cuts.into_iter().for_each(|id| self.stage.network.end(id));
                self.stage.inject(WorldFault::Site(site, SiteFault::PluggedIn)).await;
            }
            Ending::SiteReturns(site, process) => {
                self.stage.inject(WorldFault::Site(site, SiteFault::PowerReturn)).await;
                self.is_born(process).await;
            }
            Ending::Link(fault) => self.stage.link_is(fault).await,
            Ending::Released(vm) => self.stage.inject(WorldFault::ReleaseTransfers(Some(vm))).await,
            Ending::ClockIsRight(process) => self.stage.clocks[&process].put_right(),
            Ending::DiskIsCalm(process) => self.disk_is(process, Disk::Calm),
            Ending::Nothing => {}
        }
    }

    /// Starts a dead process, unless it is the orchestrator that is not to come back.
    pub(crate) async fn is_born(&mut self, process: Process) {
        if !self.is_dead(process) || (process == Process::Orchestrator && self.succeeded) {
            return;
        }
        self.weather.is_back(process, self.trace.now_ms());
        match process {
            Process::Source | Process::Destination => drop(self.stage.begin_worker(process, None).await),
            Process::Orchestrator => drop(self.stage.start_orchestrator(None).await),
            Process::Caller => {}
        }
    }

    /// Everything that goes wrong ends: the world and the processes are as they should be.
    pub(crate) async fn heal(&mut self) {
        self.note("everything that was wrong ends");
        self.agenda.clear();
        self.stage.network.mend();
        for site in [self.stage.source.clone(), self.stage.destination.clone()] {
            self.stage.inject(WorldFault::Site(site.clone(), SiteFault::PluggedIn)).await;
            self.stage.inject(WorldFault::Site(site, SiteFault::PowerReturn)).await;
        }
        self.stage.link_is(LinkFault::Restored).await;
        self.stage.link_is(LinkFault::Rate { rate_mib_s: LINK_MIB_S }).await;
        self.stage.inject(WorldFault::ClearRules).await;
        self.lay_stubborn_rules().await;
        for process in PROCESSES {
            self.stage.clocks[&process].put_right();
            // One whose store has stopped, or that was to die at a point to come, is started anew.
            if self.is_doomed(process) {
                self.stage.kill(process);
            }
            self.disk_is(process, Disk::Calm);
            self.is_born(process).await;
        }
        // Whoever fell up to here lives again.
        while self.fallen.1.try_recv().is_ok() {}
        self.weather.end_all(self.trace.now_ms());
    }

    pub(crate) fn is_dead(&self, process: Process) -> bool {
        self.stage.life(process).is_none_or(muster_tests::life::Life::has_ended)
    }

    fn is_doomed(&self, process: Process) -> bool {
        let has_stopped = match process {
            Process::Orchestrator => self.stage.journal.has_stopped(),
            Process::Source | Process::Destination => self.stage.ledgers[&process].has_stopped(),
            Process::Caller => false,
        };
        has_stopped || self.stage.life(process).is_some_and(muster_tests::life::Life::is_armed)
    }

    fn disk_is(&self, process: Process, what: Disk) {
        macro_rules! doing {
            ($disk:expr) => {
                match what {
                    Disk::Calm => $disk.calm(),
                    Disk::Held => $disk.hold(),
                    Disk::Slow(each) => $disk.set_sync_delay(each),
                    Disk::FailsNext(failure) => $disk.fail_next(failure),
                }
            };
        }
        match process {
            Process::Orchestrator => doing!(self.stage.journal),
            Process::Source | Process::Destination => doing!(self.stage.ledgers[&process]),
            Process::Caller => {}
        }
    }

    fn process(&self, part: Part) -> Process {
        match part {
            Part::From => self.worker(Side::From),
            Part::To => self.worker(Side::To),
            Part::Orchestrator => Process::Orchestrator,
        }
    }
}

/// What a disk is to do.
#[derive(Debug, Clone, Copy)]
enum Disk {
    Calm,
    Held,
    Slow(Duration),
    FailsNext(Failure),
}
