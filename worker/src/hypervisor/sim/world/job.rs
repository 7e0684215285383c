//! Jobs: live transfers and disk copies, phase by phase.
//!
//! ```text
//! live:  Setup ─▶ (DiskCopy, local disks) ─▶ PreCopy ⟲ rounds ─▶ Handover ─▶ Finish ─▶ source let go
//!                                                                paused      whole at the destination, paused
//! disk:  DiskCopy ─▶ DiskVerify ─▶ complete
//! ```
//! Until Finish a job that breaks leaves the source running and the placeholder as it was. In Finish the copy at the
//! destination is whole and stays, and [`FinishBreak`] says what the source's hypervisor makes of it.

use super::World;
use super::agenda::{Event, EventKey};
use super::config::FinishBreak;
use super::host::{DiskCopy, Guest, HostId, SiteId, Still};
use super::network::{Path, fair_rates};
use super::pace::Pace;
use super::rules::Hook;
use super::workload::Workload;
use muster_core::definition::{Definition, Disk};
use muster_core::ids::VmId;
use muster_core::reading::{Job as ShownJob, Mark, OffCause, Phase, Stored};
use muster_core::terms::Tuning;

/// How often a job's progress is told, in simulated milliseconds.
pub const PROGRESS_EVERY_MS: u64 = 250;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobId(pub(super) u64);

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) vm: VmId,
    pub(super) source: HostId,
    pub(super) destination: HostId,
    pub(super) kind: JobKind,
    pub(super) phase: Phase,
    /// Stopped by a rule at the beginning of its phase.
    pub(super) held: bool,
    /// The phase that only takes time: from, until.
    timed: (u64, u64),
    timer: Option<EventKey>,
    ticker: Option<EventKey>,
    flow: Flow,
    pub(super) pace: Pace,
    round: u32,
    round_since_ms: u64,
    sent_mib: f64,
}

#[derive(Debug, Clone)]
pub(super) enum JobKind {
    Live { definition: Definition, mark: Mark, workload: Workload },
    Disk { size_mib: u64 },
}

/// What is being sent now.
#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    total_mib: f64,
    left_mib: f64,
    rate_mib_s: f64,
    since_ms: u64,
}

impl Flow {
    fn of(total_mib: f64, now_ms: u64) -> Flow {
        Flow { total_mib, left_mib: total_mib, rate_mib_s: 0.0, since_ms: now_ms }
    }

    fn left_at(&self, now_ms: u64) -> f64 {
        let span_s = now_ms.saturating_sub(self.since_ms) as f64 / 1000.0;
        (self.left_mib - self.rate_mib_s * span_s).max(0.0)
    }

    /// When all is sent, to the millisecond above.
    fn over_ms(&self, now_ms: u64) -> Option<u64> {
        if self.left_mib <= 0.0 {
            Some(now_ms)
        } else if self.rate_mib_s > 0.0 {
            Some(now_ms.saturating_add((self.left_mib / self.rate_mib_s * 1000.0).ceil().max(1.0) as u64))
        } else {
            None
        }
    }
}

/// A wire that flows share: a host's card in one direction, or a link in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wire {
    Sends(HostId),
    Receives(HostId),
    Link(SiteId, SiteId),
    Cap(JobId),
}

impl World {
    pub(super) fn begin_job(&mut self, vm: VmId, source: HostId, destination: HostId, kind: JobKind, tuning: Tuning) {
        let id = JobId(self.next_number());
        let first = match kind {
            JobKind::Live { .. } => Phase::Setup,
            JobKind::Disk { .. } => Phase::DiskCopy,
        };
        let is_live = first == Phase::Setup;
        let job = Job {
            vm,
            source,
            destination,
            kind,
            phase: first,
            held: false,
            timed: (self.now_ms, self.now_ms),
            timer: None,
            ticker: Some(self.agenda.enter(self.now_ms + PROGRESS_EVERY_MS, Event::Progress(id))),
            flow: Flow::default(),
            pace: Pace::of(tuning, self.timing.downtime_max_ms),
            round: 0,
            round_since_ms: self.now_ms,
            sent_mib: 0.0,
        };
        self.jobs.insert(id, job);
        self.edit(source, vm, |entry| {
            entry.job = Some(id);
            entry.failure = None;
            entry.still = Still::Never;
        });
        self.edit(destination, vm, |entry| {
            entry.job = Some(id);
            entry.failure = None;
            entry.disk = if entry.disk_complete() && is_live { entry.disk } else { DiskCopy::NONE };
            if is_live {
                entry.guest = Guest::Incoming;
            }
        });
        self.draw_transfer_failure(vm, is_live);
        self.enter_phase(id, first);
    }

    fn enter_phase(&mut self, id: JobId, phase: Phase) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.phase = phase;
        job.flow.rate_mib_s = 0.0;
        let (vm, source, destination) = (job.vm, job.source, job.destination);
        self.agenda.cancel(job.timer.take());
        self.flowing.remove(&id);
        self.rates_are_old = true;
        if phase == Phase::Handover {
            self.pause_for_handover(vm, source);
        }
        if phase == Phase::Finish {
            self.arrive_whole(id);
        }
        self.tell(source, vm);
        self.tell(destination, vm);
        match self.meet_rules(id, vm, phase) {
            Hook::GoOn => self.proceed(id),
            Hook::Hold => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.held = true;
                }
            }
            Hook::Fail(message) => self.break_job(id, &message, None),
        }
    }

    /// Lets a job go on in its phase: after the phase was entered, or when a hold is lifted.
    pub(super) fn proceed(&mut self, id: JobId) {
        let now_ms = self.now_ms;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.held = false;
        let memory_mib = match &job.kind {
            JobKind::Live { definition, .. } => definition.memory_mib,
            JobKind::Disk { .. } => 0,
        };
        let disk_mib = job.disk_mib();
        match job.phase {
            Phase::Setup => self.take_time(id, self.timing.setup_ms),
            Phase::Finish => self.take_time(id, self.timing.finish_ms),
            Phase::DiskVerify => self.take_time(id, disk_mib * 1000 / self.timing.verify_mib_s.max(1)),
            Phase::DiskCopy => self.send(id, disk_mib as f64),
            Phase::PreCopy => {
                job.round = 1;
                job.round_since_ms = now_ms;
                self.send(id, memory_mib as f64);
            }
            Phase::Handover => {
                let left_mib = job.flow.left_mib;
                self.send(id, left_mib);
            }
            // A guest's shutdown is no job of its own; see `call`.
            Phase::ShutDown => {}
        }
    }

    fn take_time(&mut self, id: JobId, span_ms: u64) {
        let until_ms = self.now_ms + span_ms;
        let timer = self.agenda.enter(until_ms, Event::PhaseOver(id));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.timed = (self.now_ms, until_ms);
            job.timer = Some(timer);
        }
    }

    fn send(&mut self, id: JobId, total_mib: f64) {
        let now_ms = self.now_ms;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.flow = Flow::of(total_mib, now_ms);
            self.flowing.insert(id);
            self.rates_are_old = true;
        }
    }

    pub(super) fn phase_over(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.timer = None;
        let has_disk = job.disk_mib() > 0;
        match job.phase {
            Phase::Setup if has_disk => self.enter_phase(id, Phase::DiskCopy),
            Phase::Setup => self.enter_phase(id, Phase::PreCopy),
            Phase::Finish => self.complete_transfer(id),
            Phase::DiskVerify => self.complete_disk_copy(id),
            Phase::ShutDown | Phase::PreCopy | Phase::Handover | Phase::DiskCopy => {}
        }
    }

    pub(super) fn flow_over(&mut self, id: JobId) {
        let now_ms = self.now_ms;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.timer = None;
        job.sent_mib += job.flow.left_mib;
        job.flow.left_mib = 0.0;
        let next = match (job.phase, &job.kind) {
            (Phase::DiskCopy, JobKind::Live { .. }) => Phase::PreCopy,
            (Phase::DiskCopy, JobKind::Disk { .. }) => Phase::DiskVerify,
            (Phase::Handover, _) => Phase::Finish,
            (Phase::PreCopy, JobKind::Live { definition, workload, .. }) => {
                let span_ms = now_ms.saturating_sub(job.round_since_ms) as f64;
                let full_mib = workload.dirtied_mib(span_ms, definition.memory_mib);
                let dirtied_mib = job.pace.dirtied_mib(full_mib, job.flow.total_mib);
                let rate_mib_s = job.flow.rate_mib_s;
                job.flow = Flow { rate_mib_s, ..Flow::of(dirtied_mib, now_ms) };
                job.round_since_ms = now_ms;
                if dirtied_mib * 1000.0 > rate_mib_s * job.pace.downtime_max_ms as f64 {
                    job.round = job.round.saturating_add(1);
                    self.schedule_flow(id);
                    return;
                }
                Phase::Handover
            }
            (Phase::Setup | Phase::ShutDown | Phase::Finish | Phase::DiskVerify | Phase::PreCopy, _) => return,
        };
        self.enter_phase(id, next);
    }

    fn pause_for_handover(&mut self, vm: VmId, source: HostId) {
        let now_ms = self.now_ms;
        self.edit(source, vm, |entry| {
            if let Guest::Running(memory) = entry.guest {
                entry.guest = Guest::Paused(memory);
                entry.still = Still::Since(now_ms);
            }
        });
    }

    /// All is sent: the destination's copy is whole, paused, and stored in an inert form.
    fn arrive_whole(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let JobKind::Live { definition, mark, .. } = job.kind.clone() else { return };
        let (vm, source, destination) = (job.vm, job.source, job.destination);
        let from = self.entry(source, vm).map(|entry| (entry.guest.memory(), entry.still));
        let Some((Some(memory), still)) = from else { return };
        self.edit(destination, vm, |entry| {
            entry.stored = Stored::Arrived;
            entry.definition = Definition { autostart: false, ..definition };
            entry.reason = format!("arrived-by-evacuation-{}-and-not-committed", mark.evacuation);
            entry.mark = Some(mark);
            entry.guest = Guest::Paused(memory);
            entry.disk = DiskCopy::WHOLE;
            entry.still = still;
        });
    }

    fn complete_transfer(&mut self, id: JobId) {
        let Some(job) = self.end_job(id) else { return };
        self.let_source_go(job.source, job.vm);
    }

    fn let_source_go(&mut self, source: HostId, vm: VmId) {
        let now_ms = self.now_ms;
        self.edit(source, vm, |entry| {
            if let Guest::Paused(_) = entry.guest {
                entry.guest = Guest::Off(OffCause::Migrated);
                entry.still = entry.still.ended(now_ms);
            }
        });
    }

    fn complete_disk_copy(&mut self, id: JobId) {
        let Some(job) = self.end_job(id) else { return };
        let stale = self.entry(job.source, job.vm).is_some_and(|entry| entry.disk.stale);
        self.edit(job.destination, job.vm, |entry| entry.disk = DiskCopy { complete: true, stale });
    }

    /// Takes a job off both of its ends.
    fn end_job(&mut self, id: JobId) -> Option<Job> {
        let job = self.jobs.remove(&id)?;
        self.agenda.cancel(job.timer);
        self.agenda.cancel(job.ticker);
        self.flowing.remove(&id);
        self.rates_are_old = true;
        for host in [job.source, job.destination] {
            self.edit(host, job.vm, |entry| entry.job = None);
        }
        Some(job)
    }

    /// A job ends without success: by an abort, a broken link, a dead host or a rule. In the finish phase `outcome` says
    /// what becomes of the source; none leaves that to the rules and the configuration.
    pub(super) fn break_job(&mut self, id: JobId, why: &str, outcome: Option<FinishBreak>) {
        let Some(job) = self.end_job(id) else { return };
        for host in [job.source, job.destination] {
            self.edit(host, job.vm, |entry| entry.failure = Some(why.to_owned()));
        }
        match (job.kind, job.phase) {
            (JobKind::Disk { .. }, _) => {}
            (JobKind::Live { .. }, Phase::Finish) => self.settle_broken_finish(job.source, job.vm, outcome),
            (
                JobKind::Live { .. },
                Phase::Setup | Phase::ShutDown | Phase::PreCopy | Phase::Handover | Phase::DiskCopy | Phase::DiskVerify,
            ) => {
                self.edit(job.destination, job.vm, |entry| {
                    if entry.guest == Guest::Incoming {
                        entry.guest = Guest::Off(OffCause::ShutDown);
                        entry.disk = DiskCopy::NONE;
                    }
                });
                self.resume_by_itself(job.source, job.vm);
            }
        }
    }

    fn settle_broken_finish(&mut self, source: HostId, vm: VmId, outcome: Option<FinishBreak>) {
        let outcome = outcome.unwrap_or_else(|| self.draw_finish_break(vm));
        match outcome {
            FinishBreak::LetGo => self.let_source_go(source, vm),
            FinishBreak::StaysPaused => {}
            FinishBreak::Resumes | FinishBreak::BySeed => self.resume_by_itself(source, vm),
        }
    }

    fn resume_by_itself(&mut self, host: HostId, vm: VmId) {
        let now_ms = self.now_ms;
        self.edit(host, vm, |entry| {
            if let Guest::Paused(memory) = entry.guest {
                entry.guest = Guest::Running(memory);
                entry.still = entry.still.ended(now_ms);
            }
        });
    }

    pub(super) fn progress(&mut self, id: JobId) {
        let next_ms = self.now_ms + PROGRESS_EVERY_MS;
        let ticker = self.agenda.enter(next_ms, Event::Progress(id));
        match self.jobs.get_mut(&id) {
            Some(job) => {
                job.ticker = Some(ticker);
                let (vm, source, destination) = (job.vm, job.source, job.destination);
                self.tell(source, vm);
                self.tell(destination, vm);
            }
            None => self.agenda.cancel(Some(ticker)),
        }
    }

    /// Shares the wires out anew, after flows have begun or ended or a wire has changed.
    pub(super) fn share_wires(&mut self) {
        if !std::mem::take(&mut self.rates_are_old) {
            return;
        }
        let ids: Vec<JobId> = self.flowing.iter().copied().collect();
        let paths: Vec<Path<Wire>> = ids.iter().map(|id| self.path_of(*id)).collect();
        let rates = fair_rates(&paths, |wire| self.capacity(wire));
        let now_ms = self.now_ms;
        for (id, rate_mib_s) in ids.into_iter().zip(rates) {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            if job.flow.rate_mib_s == rate_mib_s && job.timer.is_some() {
                continue;
            }
            let left_mib = job.flow.left_at(now_ms);
            job.sent_mib += job.flow.left_mib - left_mib;
            job.flow = Flow { left_mib, rate_mib_s, since_ms: now_ms, ..job.flow };
            self.schedule_flow(id);
        }
    }

    fn schedule_flow(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        self.agenda.cancel(job.timer.take());
        job.timer = job.flow.over_ms(self.now_ms).map(|at_ms| self.agenda.enter(at_ms, Event::FlowOver(id)));
    }

    /// Changes the live transfer on it, if there is one.
    pub(super) fn adjust_job(&mut self, host: HostId, vm: VmId, cap_mib_s: Option<u64>, downtime_ms: Option<u64>) {
        let Some(id) = self.entry(host, vm).and_then(|entry| entry.job) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.pace.cap_mib_s = cap_mib_s;
        job.pace.downtime_max_ms = downtime_ms.unwrap_or(job.pace.downtime_max_ms);
        self.rates_are_old = true;
    }

    fn path_of(&self, id: JobId) -> Path<Wire> {
        let wires = self.jobs.get(&id).map_or_else(Vec::new, |job| {
            let (source_site, destination_site) = (self.hosts[job.source.0].site, self.hosts[job.destination.0].site);
            let cap = job.pace.cap_mib_s.map(|_| Wire::Cap(id));
            let way =
                [Wire::Sends(job.source), Wire::Link(source_site, destination_site), Wire::Receives(job.destination)];
            way.into_iter().chain(cap).collect()
        });
        Path { wires }
    }

    fn capacity(&self, wire: Wire) -> f64 {
        match wire {
            Wire::Sends(host) | Wire::Receives(host) => self.hosts[host.0].nic_mib_s as f64,
            Wire::Link(from, to) => self.link(from, to).map_or(0.0, |link| link.rate_mib_s as f64),
            Wire::Cap(id) => self.jobs.get(&id).and_then(|job| job.pace.cap_mib_s).unwrap_or(u64::MAX) as f64,
        }
    }
}

impl Job {
    fn disk_mib(&self) -> u64 {
        match &self.kind {
            JobKind::Live { definition, .. } => match definition.disk {
                Disk::Shared => 0,
                Disk::Local { size_mib } => size_mib,
            },
            JobKind::Disk { size_mib } => *size_mib,
        }
    }

    /// How long what is left in this round takes.
    fn expected_downtime_ms(&self, left_mib: f64) -> Option<u64> {
        let is_known = self.phase == Phase::PreCopy && self.flow.rate_mib_s > 0.0;
        is_known.then(|| (left_mib * 1000.0 / self.flow.rate_mib_s) as u64)
    }

    /// The job as its hosts show it.
    pub(super) fn shown(&self, now_ms: u64) -> ShownJob {
        let left_mib = self.flow.left_at(now_ms);
        let (done, whole) = match self.phase {
            Phase::Setup | Phase::Finish | Phase::DiskVerify | Phase::ShutDown => {
                let (since_ms, until_ms) = self.timed;
                (now_ms.saturating_sub(since_ms) as f64, until_ms.saturating_sub(since_ms) as f64)
            }
            Phase::PreCopy | Phase::Handover | Phase::DiskCopy => (self.flow.total_mib - left_mib, self.flow.total_mib),
        };
        let dirty_rate_mib_s = match &self.kind {
            JobKind::Live { workload, .. } => workload.dirty_rate_mib_s(),
            JobKind::Disk { .. } => 0,
        };
        ShownJob {
            phase: self.phase,
            done_basis_points: basis_points(done, whole),
            sent_mib: (self.sent_mib + self.flow.left_mib - left_mib) as u64,
            left_mib: left_mib.ceil() as u64,
            dirty_rate_mib_s,
            round: self.round.max(1),
            expected_downtime_ms: self.expected_downtime_ms(left_mib),
        }
    }
}

/// `done` of `whole` in hundredths of a percent, 0 to 10,000.
pub(super) fn basis_points(done: f64, whole: f64) -> u16 {
    if whole <= 0.0 { 0 } else { (done / whole * 10_000.0).clamp(0.0, 10_000.0) as u16 }
}
