//! Carries faults out, and rules when what they wait for comes to pass.

use super::World;
use super::call::CallKind;
use super::change::fresh_entry;
use super::config::FinishBreak;
use super::fault::{
    Deed, Fault, FaultError, FaultRates, HostFault, LinkFault, RULES_MAX, Rule, RuleKind, SiteFault, Trap, Twist,
};
use super::host::{DiskCopy, Guest, HostId, SiteId};
use super::job::JobId;
use super::truth::Ended;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::{OffCause, Phase, Stored};
use rand::RngExt;

/// What the rules make of a job that enters a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hook {
    GoOn,
    Hold,
    Fail(String),
}

impl World {
    /// Makes something go wrong, or lays down the rule by which it will.
    ///
    /// # Errors
    /// [`FaultError`] where there is nothing it could happen to.
    pub fn inject(&mut self, fault: &Fault) -> Result<(), FaultError> {
        let result = self.inject_one(fault);
        self.share_wires();
        result
    }

    /// How many faults that a rule had prepared could not be made when their time came.
    #[must_use]
    pub fn failed_faults(&self) -> u64 {
        self.failed_faults
    }

    fn inject_one(&mut self, fault: &Fault) -> Result<(), FaultError> {
        match fault {
            Fault::Host(site, host, what) => {
                let host = self.host_named(site, host)?;
                match what {
                    HostFault::PowerLoss => self.lose_host_power(host),
                    HostFault::PowerReturn => self.return_host_power(host),
                    HostFault::DaemonRestart => self.restart_daemon(host),
                    HostFault::Silent { for_ms } => self.silence_host(host, *for_ms),
                }
            }
            Fault::Site(site, what) => {
                let site = self.site_named(site)?;
                match what {
                    SiteFault::PowerLoss => self.lose_site_power(site),
                    SiteFault::PowerReturn => self.return_site_power(site),
                    SiteFault::Unplugged => self.unplug_site(site),
                    SiteFault::PluggedIn => self.plug_site_in(site),
                }
            }
            Fault::Link(a, b, what) => return self.at_link(a, b, *what),
            Fault::ByHand(site, host, vm, deed) => {
                let host = self.host_named(site, host)?;
                return self.do_by_hand(host, *vm, deed);
            }
            Fault::Rule(rule) => return self.lay_rule(rule),
            Fault::ReleaseTransfers(vm) => self.release(*vm),
            Fault::Rates(rates) => self.rates = *rates,
            Fault::ClearRules => {
                self.rules.clear();
                self.rates = FaultRates::default();
                self.drawn_failures.clear();
                self.release(None);
            }
        }
        Ok(())
    }

    fn lay_rule(&mut self, rule: &Rule) -> Result<(), FaultError> {
        if self.rules.len() >= RULES_MAX {
            return Err(FaultError::TooManyRules);
        }
        if rule.times > 0 {
            self.rules.push_back(rule.clone());
        }
        Ok(())
    }

    fn site_named(&self, site: &SiteName) -> Result<SiteId, FaultError> {
        self.site_ids.get(site).copied().ok_or_else(|| FaultError::NoSuchSite(site.clone()))
    }

    pub(super) fn host_named(&self, site: &SiteName, host: &HostName) -> Result<HostId, FaultError> {
        let id = self.site_named(site)?;
        self.host_id(id, host).ok_or_else(|| FaultError::NoSuchHost(site.clone(), host.clone()))
    }

    fn at_link(&mut self, a: &SiteName, b: &SiteName, what: LinkFault) -> Result<(), FaultError> {
        let ends = (self.site_named(a)?, self.site_named(b)?);
        let changed = self.change_link(ends.0, ends.1, |link| match what {
            LinkFault::Cut => link.cut = true,
            LinkFault::Restored => link.cut = false,
            LinkFault::Rate { rate_mib_s } => link.rate_mib_s = rate_mib_s,
        });
        if changed { Ok(()) } else { Err(FaultError::NoSuchLink(a.clone(), b.clone())) }
    }

    fn do_by_hand(&mut self, host: HostId, vm: VmId, deed: &Deed) -> Result<(), FaultError> {
        if !self.hosts[host.0].has_power() {
            return Err(FaultError::Hypervisor(self.refused(host, "the host has no power")));
        }
        let done = match deed {
            Deed::Start => self.start(host, vm).map(|_| ()),
            Deed::Resume => self.resume(host, vm).map(|_| ()),
            Deed::Pause => self.known_or_refused(host, vm).map(|()| {
                self.edit(host, vm, |entry| {
                    if let Guest::Running(memory) = entry.guest {
                        entry.guest = Guest::Paused(memory);
                    }
                });
            }),
            Deed::Crash => self.known_or_refused(host, vm).map(|()| {
                self.crash_guest(host, vm, OffCause::Crashed, Ended::Crashed);
            }),
            Deed::ShutDown => self.known_or_refused(host, vm).map(|()| {
                self.crash_guest(host, vm, OffCause::ShutDown, Ended::ShutDown);
            }),
            Deed::Delete => self.known_or_refused(host, vm).map(|()| self.delete(host, vm)),
            Deed::Store(definition) => {
                self.store_by_hand(host, vm, definition);
                Ok(())
            }
            Deed::Edit(definition) => self.known_or_refused(host, vm).map(|()| {
                self.edit(host, vm, |entry| {
                    entry.stored = Stored::Real;
                    entry.definition = definition.as_ref().clone();
                });
            }),
            Deed::Autostart(autostart) => self.known_or_refused(host, vm).map(|()| {
                if let Some(entry) = self.hosts[host.0].entries.get_mut(&vm) {
                    entry.definition.autostart = *autostart;
                }
            }),
        };
        done.map_err(FaultError::Hypervisor)
    }

    fn store_by_hand(&mut self, host: HostId, vm: VmId, definition: &Definition) {
        let fresh = fresh_entry(definition.clone(), DiskCopy::WHOLE);
        if self.entry(host, vm).is_none() {
            self.insert_entry(host, vm, fresh);
        } else {
            self.edit(host, vm, |entry| {
                entry.stored = fresh.stored;
                entry.definition = fresh.definition;
                entry.mark = None;
            });
        }
    }

    fn release(&mut self, vm: Option<VmId>) {
        let held: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.held && vm.is_none_or(|vm| vm == job.vm))
            .map(|(id, _)| *id)
            .collect();
        for id in held {
            self.proceed(id);
        }
    }

    /// Carries out what rules say of this moment. Each match uses a rule up, so this ends.
    pub(super) fn meet_rules(&mut self, job: JobId, vm: VmId, phase: Phase) -> Hook {
        if self.drawn_failures.get(&vm) == Some(&phase) {
            self.drawn_failures.remove(&vm);
            return Hook::Fail("failed at random".to_owned());
        }
        loop {
            let matched = self.take_rule(vm, |kind| match kind {
                RuleKind::Phase(of, trap) if *of == phase => Some(trap.clone()),
                RuleKind::Phase(..) | RuleKind::Call(..) | RuleKind::Finish(_) => None,
            });
            match matched {
                None => return Hook::GoOn,
                Some(Trap::Hold) => return Hook::Hold,
                Some(Trap::Fail(message)) => return Hook::Fail(message),
                Some(Trap::Inject(fault)) => {
                    if self.inject_one(&fault).is_err() {
                        self.failed_faults += 1;
                    }
                    if !self.jobs.contains_key(&job) {
                        return Hook::GoOn;
                    }
                }
            }
        }
    }

    /// The first rule that fits is used once.
    fn take_rule<T>(&mut self, vm: VmId, fits: impl Fn(&RuleKind) -> Option<T>) -> Option<T> {
        let is_for = |rule: &Rule| rule.vm.is_none_or(|of| of == vm);
        let (at, found) = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| is_for(rule))
            .find_map(|(at, rule)| fits(&rule.kind).map(|found| (at, found)))?;
        let rule = self.rules.get_mut(at)?;
        rule.times = rule.times.saturating_sub(1);
        if rule.times == 0 {
            self.rules.remove(at);
        }
        Some(found)
    }

    pub(super) fn draw_twist(&mut self, vm: VmId, kind: CallKind) -> Option<Twist> {
        let ruled = self.take_rule(vm, |rule| match rule {
            RuleKind::Call(of, twist) if of.is_none_or(|of| of == kind) => Some(twist.clone()),
            RuleKind::Call(..) | RuleKind::Phase(..) | RuleKind::Finish(_) => None,
        });
        if ruled.is_some() {
            return ruled;
        }
        let rates = self.rates;
        if self.happens(rates.call_fails) {
            Some(Twist::Fail("failed at random".to_owned()))
        } else if self.happens(rates.reply_lost) {
            Some(Twist::LoseReply)
        } else if self.happens(rates.call_hangs) {
            Some(Twist::Hang(rates.hang_ms))
        } else {
            None
        }
    }

    pub(super) fn draw_transfer_failure(&mut self, vm: VmId, is_live: bool) {
        self.drawn_failures.remove(&vm);
        if is_live && self.happens(self.rates.transfer_fails) {
            let phases = [Phase::Setup, Phase::PreCopy, Phase::Handover, Phase::Finish];
            let phase = phases[self.random.random_range(0..phases.len())];
            self.drawn_failures.insert(vm, phase);
        }
    }

    pub(super) fn draw_finish_break(&mut self, vm: VmId) -> FinishBreak {
        let ruled = self.take_rule(vm, |rule| match rule {
            RuleKind::Finish(outcome) => Some(*outcome),
            RuleKind::Call(..) | RuleKind::Phase(..) => None,
        });
        match ruled.unwrap_or(self.finish_break) {
            FinishBreak::BySeed => {
                let outcomes = [FinishBreak::LetGo, FinishBreak::StaysPaused, FinishBreak::Resumes];
                outcomes[self.random.random_range(0..outcomes.len())]
            }
            outcome @ (FinishBreak::LetGo | FinishBreak::StaysPaused | FinishBreak::Resumes) => outcome,
        }
    }

    /// Draws nothing for a rate of 0, so that a world without faults stays as it was.
    fn happens(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.random.random_range(0..1000) < per_mille
    }
}
