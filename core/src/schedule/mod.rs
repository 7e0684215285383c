//! Which moves start now. Pure and driven by events: whoever runs the moves says what became of each, and asks.
//!
//! A schedule belongs to one evacuation and holds all of its moves. What an event costs grows with the number of hosts,
//! not with the number of moves that wait: those that a full host keeps from starting aren't looked at. It must never read a clock, never start
//! anything itself, and never let one VM's failure keep another waiting, unless the failure budget says so.
//!
//! ```text
//!             admit                    the attempt failed, another is due
//!   Waiting ─────────▶ Running ──┬───────────────────────────────────────▶ Waiting, not before …
//!      ▲                         ├─▶ Finishing ─▶ Done
//!      └──── ordered again ──────┴─▶ Held, Failed, Cancelled
//! ```

mod load;
mod queue;
#[cfg(test)]
mod tests;

pub use load::Load;

use crate::class::Class;
use crate::ids::{HostName, SiteName, VmId};
use crate::plan::PlannedMove;
use crate::runbook::{FailureBudget, Limits, Runbook};
use crate::time::Timestamp;
use queue::{Lane, Queue};
use std::collections::{BTreeMap, BTreeSet};

/// Most moves that a schedule holds.
pub const MOVES_MAX: usize = 1_000_000;

/// Most moves that have arrived and take no room while they are tidied up after.
pub const FINISHING_MAX: usize = 64;

/// A move as far as scheduling it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScheduledMove {
    /// The VM.
    pub vm: VmId,
    /// Its wave. Lower ones go first.
    pub wave: usize,
    /// The host it leaves.
    pub source_host: HostName,
    /// The host it goes to.
    pub destination_host: HostName,
}

impl From<&PlannedMove> for ScheduledMove {
    fn from(planned: &PlannedMove) -> Self {
        ScheduledMove {
            vm: planned.vm,
            wave: planned.wave,
            source_host: planned.source_host.clone(),
            destination_host: planned.destination_host.clone(),
        }
    }
}

/// Where a move stands, as scheduling sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoveStanding {
    /// To be started.
    Waiting {
        /// Not before this, as after a failed attempt.
        not_before: Option<Timestamp>,
    },
    /// Under way: counts against every limit.
    Running,
    /// Its guest runs at the destination, and what is left is to retire the source's copy and to close the records: keeps its
    /// wave, and no room, since nothing of it is on the link any more.
    Finishing,
    /// Waits for a person or a returning site. Keeps neither room nor its wave.
    Held,
    /// Failed for good: counts against the failure budget until it is set to wait again.
    Failed,
    /// Arrived.
    Done,
    /// Called off.
    Cancelled,
}

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

/// How many moves stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// To be started, those included that wait after a failed attempt.
    pub waiting: usize,
    /// Under way.
    pub running: usize,
    /// Arrived, and being tidied up after.
    pub finishing: usize,
    /// Waiting for a person or a returning site.
    pub held: usize,
    /// Failed for good.
    pub failed: usize,
    /// Arrived.
    pub done: usize,
    /// Called off.
    pub cancelled: usize,
}

impl Counts {
    fn of(&mut self, standing: MoveStanding) -> &mut usize {
        match standing {
            MoveStanding::Waiting { .. } => &mut self.waiting,
            MoveStanding::Running => &mut self.running,
            MoveStanding::Finishing => &mut self.finishing,
            MoveStanding::Held => &mut self.held,
            MoveStanding::Failed => &mut self.failed,
            MoveStanding::Done => &mut self.done,
            MoveStanding::Cancelled => &mut self.cancelled,
        }
    }
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
    failure_budget: FailureBudget,
    paused: bool,
    draining: bool,
    moves: BTreeMap<VmId, Entry>,
    queue: Queue,
    /// Those that wait for a time, by it.
    sleeping: BTreeSet<(Timestamp, VmId)>,
    /// How many moves of each wave wait, run or finish; a wave that has none isn't there.
    unfinished: BTreeMap<usize, usize>,
    counts: Counts,
}

/// A move and its place.
#[derive(Debug, Clone, Copy)]
struct Entry {
    lane: Lane,
    /// Its place in the order: the order of insertion.
    rank: usize,
    standing: MoveStanding,
}

impl Schedule {
    /// A schedule without moves, under the runbook's limits and failure budget.
    #[must_use]
    pub fn new(runbook: &Runbook) -> Self {
        Schedule {
            source: runbook.source.clone(),
            destination: runbook.destination.clone(),
            limits: runbook.limits,
            failure_budget: runbook.failure_budget,
            paused: false,
            draining: false,
            moves: BTreeMap::new(),
            queue: Queue::new(runbook.limits.per_source_host, runbook.limits.per_destination_host),
            sleeping: BTreeSet::new(),
            unfinished: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Adds a move where it stands; of one wave, those added first start first. A plan's order is a good one.
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
        let lane = self.queue.lane(scheduled.wave, &scheduled.source_host, &scheduled.destination_host);
        let entry = Entry { lane, rank: self.moves.len(), standing };
        self.moves.insert(vm, entry);
        self.enter(vm, entry);
        Ok(())
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

    /// What may start now: waves strictly in order, in a wave the first inserted first, within every limit.
    /// `elsewhere` is what all other evacuations have under way.
    pub fn admit(&mut self, now: Timestamp, elsewhere: &Load) -> Admission {
        self.wake(now);
        if self.brake().is_some() {
            return Admission::default();
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
        if before.standing == after.standing && before.lane == after.lane {
            return;
        }
        // In before out, so that a wave isn't over for the moment between.
        *self.unfinished.entry(before.lane.wave).or_default() += 1;
        self.leave(vm, before);
        self.moves.insert(vm, after);
        self.enter(vm, after);
        self.finish_one(before.lane.wave);
    }

    fn enter(&mut self, vm: VmId, entry: Entry) {
        *self.counts.of(entry.standing) += 1;
        match entry.standing {
            MoveStanding::Waiting { not_before } => {
                *self.unfinished.entry(entry.lane.wave).or_default() += 1;
                match not_before {
                    Some(at) => {
                        self.sleeping.insert((at, vm));
                    }
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
