//! Which moves start now. Pure and driven by events: whoever runs the moves says what became of each, and asks.
//!
//! A schedule belongs to one evacuation and holds all of its moves. What an event costs grows with the number of hosts and of ways
//! between them, not with the number of moves that wait: those that a full host or link keeps from starting aren't looked at, nor those
//! that come after others. Their order is told from outside, as a timetable has it; what fits starts at once, in that order. It must never read a clock, never start
//! anything itself, and never let one VM's failure keep another waiting, unless the failure budget says so.
//!
//! ```text
//!             admit                    the attempt failed, another is due
//!   Waiting ─────────▶ Running ──┬───────────────────────────────────────▶ Waiting, not before …
//!      ▲                         ├─▶ Finishing ─▶ Done
//!      └──── ordered again ──────┴─▶ Held, Failed, Cancelled
//! ```

mod groups;
mod load;
mod queue;
mod standing;
#[cfg(test)]
mod tests;

pub use load::{HostLoad, Load};
pub use standing::{Counts, MoveStanding, ScheduledMove};

use crate::calendar::Calendar;
use crate::class::Class;
use crate::ids::{HostName, SiteName, VmId};
use crate::route::Routes;
use crate::runbook::{FailureBudget, Limits, Runbook};
use crate::time::Timestamp;
use groups::{Group, Groups};
use queue::{Lane, Queue};
use std::collections::{BTreeMap, BTreeSet};

/// Most moves that a schedule holds.
pub const MOVES_MAX: usize = 1_000_000;

/// Most moves that have arrived and take no room while they are tidied up after.
pub const FINISHING_MAX: usize = 64;

/// What may start, and when to ask again if nothing happens before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admission {
    /// The moves to start, in order. They count as running from now on: whoever can't start one says so with
    /// [`Schedule::set`].
    pub start: Vec<VmId>,
    /// When the next wait after a failed attempt ends. None while there is none, or a brake is on.
    pub wake_at: Option<Timestamp>,
}

/// Why nothing new is started, though moves wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Brake {
    /// Somebody has paused the evacuation.
    Paused,
    /// The orchestrator is about to stop.
    Draining,
    /// More moves have failed for good than the runbook allows.
    FailureBudgetSpent,
}

/// What a schedule refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It doesn't hold the VM.
    #[error("VM {vm} is not in this schedule")]
    Unknown {
        /// The VM.
        vm: VmId,
    },
    /// It holds the VM already.
    #[error("VM {vm} is in this schedule already")]
    Known {
        /// The VM.
        vm: VmId,
    },
    /// It holds [`MOVES_MAX`] moves.
    #[error("a schedule holds {MOVES_MAX} moves at most; VM {vm} is one too many")]
    Full {
        /// The VM.
        vm: VmId,
    },
}

impl ScheduleError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            ScheduleError::Unknown { .. } | ScheduleError::Known { .. } => Class::Bug,
            ScheduleError::Full { .. } => Class::Refused,
        }
    }
}

/// The moves of one evacuation, and which of them may start.
#[derive(Debug, Clone)]
pub struct Schedule {
    source: SiteName,
    destination: SiteName,
    limits: Limits,
    calendar: Calendar,
    failure_budget: FailureBudget,
    paused: bool,
    draining: bool,
    moves: BTreeMap<VmId, Entry>,
    queue: Queue,
    groups: Groups,
    /// The rank that was last given.
    last_rank: usize,
    /// Those that wait for a time, by it.
    sleeping: BTreeSet<(Timestamp, VmId)>,
    /// How many moves of each wave wait, run or finish; a wave that has none isn't there.
    unfinished: BTreeMap<usize, usize>,
    counts: Counts,
}

/// A move and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    lane: Lane,
    /// Its place in the order; no other move has it.
    rank: usize,
    standing: MoveStanding,
    group: Option<Group>,
}

impl Entry {
    /// Whether those that come after its group wait for it: as a wave does, for what is to be started or under way.
    fn keeps_its_group(&self) -> bool {
        match self.standing {
            MoveStanding::Waiting { .. } | MoveStanding::Running => true,
            MoveStanding::Finishing
            | MoveStanding::Held
            | MoveStanding::Failed
            | MoveStanding::Done
            | MoveStanding::Cancelled => false,
        }
    }
}

impl Schedule {
    /// A schedule without moves, under the runbook's limits and failure budget.
    #[must_use]
    pub fn new(runbook: &Runbook) -> Self {
        Schedule {
            source: runbook.source.clone(),
            destination: runbook.destination.clone(),
            limits: runbook.limits,
            calendar: runbook.calendar.clone(),
            failure_budget: runbook.failure_budget,
            paused: false,
            draining: false,
            moves: BTreeMap::new(),
            queue: Queue::new(&runbook.limits, Routes::of(runbook)),
            groups: Groups::default(),
            last_rank: 0,
            sleeping: BTreeSet::new(),
            unfinished: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Adds a move where it stands; of one wave, those added first start first, until they are given another order.
    ///
    /// # Errors
    /// `Known` if the VM is there already, `Full` past [`MOVES_MAX`].
    pub fn insert(&mut self, scheduled: &ScheduledMove, standing: MoveStanding) -> Result<(), ScheduleError> {
        let vm = scheduled.vm;
        if self.moves.contains_key(&vm) {
            return Err(ScheduleError::Known { vm });
        }
        if self.moves.len() >= MOVES_MAX {
            return Err(ScheduleError::Full { vm });
        }
        let ScheduledMove { source_host, destination_host, copies_disk, .. } = scheduled;
        let lane = self.queue.lane(scheduled.wave, source_host, destination_host, *copies_disk);
        let group = scheduled.group.as_deref().map(|name| self.groups.named(name));
        for name in &scheduled.after {
            let before = self.groups.named(name);
            self.groups.wait(vm, before);
        }
        let entry = Entry { lane, rank: self.next_rank(), standing, group };
        self.moves.insert(vm, entry);
        self.enter(vm, entry);
        Ok(())
    }

    /// Gives moves the order in which they start from now on, of one wave, as far as there is room for each. Those that aren't named stand
    /// before them; a VM that isn't there is passed over.
    pub fn reorder(&mut self, order: impl IntoIterator<Item = VmId>) {
        for vm in order {
            self.put_last(vm);
        }
    }

    /// Gives a move the last place, as after a failed attempt: whatever else goes its way has its turn before. A VM that isn't there is
    /// passed over.
    pub fn put_last(&mut self, vm: VmId) {
        let rank = self.next_rank();
        if let Some(entry) = self.moves.get(&vm).copied() {
            self.replace(vm, entry, Entry { rank, ..entry });
        }
    }

    /// From when on moves may start: `now` where they may, if nothing else is in the way. None where the runbook's windows never
    /// open again.
    #[must_use]
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.calendar.opens_at(now)
    }

    /// Says that the guest of a move that runs has arrived, and gives its room to others. Past [`FINISHING_MAX`] such moves
    /// it keeps its room: where nothing gets tidied up, nothing more is begun.
    pub fn arrived(&mut self, vm: VmId) {
        let is_running = self.standing(vm) == Some(MoveStanding::Running);
        if is_running && self.counts.finishing < FINISHING_MAX {
            // It is there: it has a standing.
            let _ = self.set(vm, MoveStanding::Finishing);
        }
    }

    /// Says where a move stands now. Saying it twice changes nothing.
    ///
    /// # Errors
    /// `Unknown` if the VM isn't there.
    pub fn set(&mut self, vm: VmId, standing: MoveStanding) -> Result<(), ScheduleError> {
        let entry = self.entry(vm)?;
        self.replace(vm, entry, Entry { standing, ..entry });
        Ok(())
    }

    /// Sends a move to another destination host.
    ///
    /// # Errors
    /// `Unknown` if the VM isn't there.
    pub fn redirect(&mut self, vm: VmId, destination_host: &HostName) -> Result<(), ScheduleError> {
        let entry = self.entry(vm)?;
        let lane = self.queue.redirected(entry.lane, destination_host);
        self.replace(vm, entry, Entry { lane, ..entry });
        Ok(())
    }

    /// What may start now: waves strictly in order, in a wave in the order given, within every limit, while the runbook's windows are open.
    /// `elsewhere` is what all other evacuations have under way.
    pub fn admit(&mut self, now: Timestamp, elsewhere: &Load) -> Admission {
        self.wake(now);
        if self.brake().is_some() {
            return Admission::default();
        }
        let opens_at = self.opens_at(now);
        if opens_at != Some(now) {
            return Admission { start: Vec::new(), wake_at: opens_at };
        }
        let mut start = Vec::new();
        let wave = self.current_wave();
        let mut room = self.room(elsewhere);
        let mut after = None;
        // Within one call loads only grow, so what was passed over stays passed over.
        while let Some(wave) = wave.filter(|_| room > 0) {
            let Some((rank, vm)) = self.queue.first_open(wave, after, &self.source, &self.destination, elsewhere)
            else {
                break;
            };
            if self.set(vm, MoveStanding::Running).is_ok() {
                start.push(vm);
                room -= 1;
            }
            after = Some(rank);
        }
        Admission { start, wake_at: self.sleeping.first().map(|(at, _)| *at) }
    }

    /// Changes how many may be under way at once. What runs, runs on.
    pub fn set_limits(&mut self, limits: Limits) {
        if limits != self.limits {
            self.limits = limits;
            self.queue.set_limits(&limits);
        }
    }

    /// Pauses it, or lets it go on. What runs, runs on.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Starts nothing more, since the orchestrator is about to stop. What runs, runs on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Why nothing new is started, if something forbids it.
    #[must_use]
    pub fn brake(&self) -> Option<Brake> {
        if self.draining {
            Some(Brake::Draining)
        } else if self.paused {
            Some(Brake::Paused)
        } else if self.failure_budget.is_overdrawn(self.counts.failed, self.moves.len()) {
            Some(Brake::FailureBudgetSpent)
        } else {
            None
        }
    }

    /// The wave that moves are started of: the first that has any waiting, running or finishing. None once all is over.
    #[must_use]
    pub fn current_wave(&self) -> Option<usize> {
        self.unfinished.keys().next().copied()
    }

    /// Where a move stands; none if it isn't there.
    #[must_use]
    pub fn standing(&self, vm: VmId) -> Option<MoveStanding> {
        self.moves.get(&vm).map(|entry| entry.standing)
    }

    /// How many moves stand where.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What it has under way, for the other evacuations' schedules.
    #[must_use]
    pub fn load(&self) -> Load {
        self.queue.load(&self.source, &self.destination)
    }

    fn entry(&self, vm: VmId) -> Result<Entry, ScheduleError> {
        self.moves.get(&vm).copied().ok_or(ScheduleError::Unknown { vm })
    }

    fn replace(&mut self, vm: VmId, before: Entry, after: Entry) {
        if before == after {
            return;
        }
        // In before out, so that neither a wave nor a group is over for the moment between.
        *self.unfinished.entry(before.lane.wave).or_default() += 1;
        let both_keep = before.keeps_its_group() && after.keeps_its_group();
        if both_keep {
            self.keep_group(before.group);
        }
        self.leave(vm, before);
        self.moves.insert(vm, after);
        self.enter(vm, after);
        if both_keep {
            self.let_group(before.group);
        }
        self.finish_one(before.lane.wave);
    }

    fn enter(&mut self, vm: VmId, entry: Entry) {
        *self.counts.of(entry.standing) += 1;
        if entry.keeps_its_group() {
            self.keep_group(entry.group);
        }
        match entry.standing {
            MoveStanding::Waiting { not_before } => {
                *self.unfinished.entry(entry.lane.wave).or_default() += 1;
                match not_before {
                    Some(at) => {
                        self.sleeping.insert((at, vm));
                    }
                    None if self.groups.is_kept(vm) => {}
                    None => self.queue.add(entry.lane, entry.rank, vm),
                }
            }
            MoveStanding::Running => {
                *self.unfinished.entry(entry.lane.wave).or_default() += 1;
                self.queue.occupy(entry.lane);
            }
            MoveStanding::Finishing => *self.unfinished.entry(entry.lane.wave).or_default() += 1,
            MoveStanding::Held | MoveStanding::Failed | MoveStanding::Done | MoveStanding::Cancelled => {}
        }
    }

    fn leave(&mut self, vm: VmId, entry: Entry) {
        *self.counts.of(entry.standing) -= 1;
        match entry.standing {
            MoveStanding::Waiting { not_before } => {
                self.finish_one(entry.lane.wave);
                match not_before {
                    Some(at) => {
                        self.sleeping.remove(&(at, vm));
                    }
                    None => self.queue.remove(entry.lane, entry.rank),
                }
            }
            MoveStanding::Running => {
                self.finish_one(entry.lane.wave);
                self.queue.vacate(entry.lane);
            }
            MoveStanding::Finishing => self.finish_one(entry.lane.wave),
            MoveStanding::Held | MoveStanding::Failed | MoveStanding::Done | MoveStanding::Cancelled => {}
        }
        if entry.keeps_its_group() {
            self.let_group(entry.group);
        }
    }

    /// Counts a move that keeps those waiting that come after its group.
    fn keep_group(&mut self, group: Option<Group>) {
        let begun = group.map_or_else(Vec::new, |group| self.groups.keep(group));
        for entry in begun.into_iter().filter_map(|vm| self.moves.get(&vm).copied()) {
            // Out of the queue, if it stands there.
            if entry.standing == (MoveStanding::Waiting { not_before: None }) {
                self.queue.remove(entry.lane, entry.rank);
            }
        }
    }

    /// Counts it no more.
    fn let_group(&mut self, group: Option<Group>) {
        let free = group.map_or_else(Vec::new, |group| self.groups.let_go(group));
        for (vm, entry) in free.into_iter().filter_map(|vm| Some((vm, *self.moves.get(&vm)?))) {
            if entry.standing == (MoveStanding::Waiting { not_before: None }) {
                self.queue.add(entry.lane, entry.rank, vm);
            }
        }
    }

    fn next_rank(&mut self) -> usize {
        self.last_rank += 1;
        self.last_rank
    }

    fn finish_one(&mut self, wave: usize) {
        if let Some(count) = self.unfinished.get_mut(&wave) {
            *count -= 1;
            if *count == 0 {
                self.unfinished.remove(&wave);
            }
        }
    }

    /// Puts those whose time has come into the queue.
    fn wake(&mut self, now: Timestamp) {
        while let Some((at, vm)) = self.sleeping.first().copied() {
            let due = at <= now;
            if !due || self.set(vm, MoveStanding::Waiting { not_before: None }).is_err() {
                break;
            }
        }
    }

    /// How many more moves the limits that aren't a host's allow.
    fn room(&self, elsewhere: &Load) -> usize {
        let running = self.counts.running;
        let per_site = self.limits.per_site as usize;
        let site = |site: &SiteName| per_site.saturating_sub(running + elsewhere.of_site(site) as usize);
        (self.limits.total as usize).saturating_sub(running).min(site(&self.source)).min(site(&self.destination))
    }
}
