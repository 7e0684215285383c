//! The moves of a claimed evacuation: which are under way, which wait for what, and what starts next.
//!
//! Two ways lead into a task. The schedule *admits* a move: it may open one attempt, within all limits. An *errand*
//! goes on with what was begun, or undoes it, and may open none; errands don't wait for the schedule, for what was begun holds
//! room at both sites already, and they are started again by evidence, never by a clock alone.
//!
//! ```text
//!            admit                   Over
//!   Waiting ───────▶ Settling ───────────────▶ Over
//!      ▲                │  ▲ errand
//!      │ BetweenAttempts│  │ evidence changed, retry ordered, cancelled
//!      └────────────────┼──┴──── Held
//!                       └──────────▲
//! ```

use super::gate::Gate;
use super::held::{Held, View};
use super::settling::{Done, Needs, Task, settle};
use super::turns::Turns;
use super::{Driver, Way, all_moves, is_over};
use crate::error::OrchestratorError;
use crate::parts::Pair;
use crate::seats::Windows;
use muster_core::decide::{ColdStart, Goal, Leftovers, MoveOrder};
use muster_core::evacuation::{EvacuationState, EvacuationStatus, MoveState, MoveStatus, PlannedMove};
use muster_core::ids::{HostName, VmId};
use muster_core::runbook::{Runbook, Wave};
use muster_core::schedule::{MoveStanding, Schedule, ScheduleError, ScheduledMove};
use muster_core::step::Hold;
use muster_core::terms::{Adjustment, Terms};
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Sequence};
use muster_recovery::settle::{Move, Opening, Scribe, Settler, TermsInForce};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Most errands at once.
pub(crate) const ERRANDS_MAX: usize = 256;

/// The moves, driven under one claim.
pub(super) struct Moves<'d> {
    pub(super) driver: &'d mut Driver,
    pub(super) pair: Pair,
    pub(super) runbook: Runbook,
    pub(super) schedule: Schedule,
    pub(super) moves: BTreeMap<VmId, Tracked>,
    pub(super) tasks: JoinSet<Done>,
    pub(super) state: EvacuationState,
    pub(super) cancelled: bool,
    pub(super) turns: Turns,
    /// Moves that aren't over.
    pub(super) open: usize,
    /// When the schedule is to be asked again.
    pub(super) wake_at: Option<Timestamp>,
    /// Held moves that are due for another look, by when.
    pub(super) looks: BTreeSet<(Timestamp, VmId)>,
    pub(super) room: Arc<Notify>,
    settler: Arc<Settler>,
    gate: Arc<Gate>,
    errands: BTreeSet<VmId>,
    errands_running: usize,
}

/// One move.
pub(super) struct Tracked {
    pub(super) planned: PlannedMove,
    pub(super) destination_host: HostName,
    pub(super) sequence: Sequence,
    /// Both sites have raised its floor under this claim.
    pub(super) is_fenced: bool,
    pub(super) retries_ordered: u32,
    pub(super) cold_start_ordered: bool,
    /// Its next attempts slow the guest down.
    pub(super) auto_converge: bool,
    /// What was adjusted for it alone.
    pub(super) adjustment: Adjustment,
    pub(super) doing: Doing,
    /// When its attempt under way began.
    pub(super) begun_at: Option<Timestamp>,
    /// The last error its site told while it was under way.
    pub(super) error: Option<String>,
}

/// What a move is doing.
pub(super) enum Doing {
    /// Waits for the schedule.
    Waiting,
    /// Waits for its errand.
    Errand(Option<Held>),
    /// Is being settled.
    Settling {
        /// Turns it back.
        stop: CancellationToken,
        /// It is an errand.
        errand: bool,
        /// What it is settled towards.
        goal: Goal,
        /// The hold it came from.
        held: Option<Held>,
    },
    /// Is held.
    Held(Held),
    /// Is over.
    Over,
}

impl Driver {
    /// Drives the moves until they are over, the claim is lost, or the orchestrator stops.
    pub(super) async fn moves(
        &mut self,
        pair: &Pair,
        runbook: &Runbook,
        epoch: Epoch,
    ) -> Result<Way, OrchestratorError> {
        let mut moves = Moves::load(self, pair.clone(), runbook.clone(), epoch).await?;
        let way = Box::pin(moves.run()).await;
        moves.stop_all().await;
        way
    }
}

impl<'d> Moves<'d> {
    async fn load(
        driver: &'d mut Driver,
        pair: Pair,
        runbook: Runbook,
        epoch: Epoch,
    ) -> Result<Self, OrchestratorError> {
        // What was ordered up to here stands in the journal that is read now.
        let _read_below = driver.seat.take();
        let status = driver.status().await?;
        let mut statuses = all_moves(driver.house.journal().as_ref(), driver.evacuation).await?;
        // As the plan has them; where it says nothing, the largest first.
        statuses.sort_by_key(|a_move| {
            let PlannedMove { wave, memory_mib, vm, expected, .. } = &a_move.planned;
            let start_at = expected.map(|expected| expected.start_at);
            (*wave, start_at.is_none(), start_at, Reverse(*memory_mib), *vm)
        });
        let turns = Turns::load(&runbook, &statuses);
        let settler = Arc::new(settler(driver, &pair, &runbook, epoch));
        let gate = Gate::new(Arc::clone(&driver.house), driver.evacuation, runbook.clone(), pair.clone());
        let mut moves = Moves {
            room: driver.house.loads.enter(driver.evacuation),
            schedule: Schedule::new(&runbook),
            driver,
            pair,
            runbook,
            moves: BTreeMap::new(),
            tasks: JoinSet::new(),
            state: status.state,
            cancelled: status.cancelled,
            turns,
            open: 0,
            wake_at: None,
            looks: BTreeSet::new(),
            settler,
            gate: Arc::new(gate),
            errands: BTreeSet::new(),
            errands_running: 0,
        };
        for a_move in &statuses {
            moves.insert(a_move)?;
        }
        moves.set_state(&status)?;
        moves.set_terms(&status);
        Ok(moves)
    }

    fn insert(&mut self, status: &MoveStatus) -> Result<(), OrchestratorError> {
        let vm = status.planned.vm;
        let (doing, standing) = match status.state {
            MoveState::Migrated => (Doing::Over, MoveStanding::Done),
            MoveState::StayedAtSource if self.cancelled => (Doing::Over, MoveStanding::Cancelled),
            MoveState::StayedAtSource => (Doing::Over, MoveStanding::Failed),
            MoveState::Waiting if !self.cancelled => (Doing::Waiting, MoveStanding::Waiting { not_before: None }),
            // What is on no roll stays held until a person orders a retry, or calls it off.
            MoveState::Held(Hold::NotOnRoll) if !self.cancelled => {
                let seen = View::of(self.driver.evacuation, vm, &self.pair.source, &self.pair.destination);
                (Doing::Held(Held::new(None, Hold::NotOnRoll, seen)), MoveStanding::Held)
            }
            MoveState::Held(_) | MoveState::Waiting => (Doing::Errand(None), MoveStanding::Held),
            // It was under way when its driver ended, and holds its room.
            MoveState::Moving(_) => (Doing::Errand(None), MoveStanding::Running),
        };
        if matches!(doing, Doing::Errand(_)) {
            self.errands.insert(vm);
        }
        self.open += usize::from(!is_over(status.state));
        let scheduled = ScheduledMove::from(&status.planned);
        self.schedule.insert(&scheduled, standing).map_err(flaw)?;
        let tracked = Tracked {
            destination_host: status.planned.destination_host.clone(),
            planned: status.planned.clone(),
            sequence: Sequence(0),
            is_fenced: false,
            retries_ordered: status.retries_ordered,
            cold_start_ordered: status.cold_start_ordered,
            auto_converge: status.auto_converge,
            adjustment: status.adjustment.clone(),
            doing,
            begun_at: None,
            error: None,
        };
        self.moves.insert(vm, tracked);
        Ok(())
    }

    /// Takes over what was adjusted, for the moves under way as well.
    pub(super) fn set_terms(&mut self, status: &EvacuationStatus) {
        let limits = status.adjustment.limits.over(self.runbook.limits);
        self.schedule.set_limits(limits);
        self.turns.set_limits(limits);
        let common = Terms::of(&self.runbook).adjusted(&status.adjustment);
        let has_own = |tracked: &&Tracked| !tracked.adjustment.is_empty();
        let own: Vec<(VmId, Terms)> = self
            .moves
            .values()
            .filter(has_own)
            .map(|tracked| (tracked.planned.vm, common.clone().adjusted(&tracked.adjustment)))
            .collect();
        self.settler.terms.replace(common, own);
    }

    /// Takes over what the journal says of the evacuation. Going on after failures acknowledges these.
    pub(super) fn set_state(&mut self, status: &EvacuationStatus) -> Result<(), OrchestratorError> {
        let paused = match status.state {
            EvacuationState::Paused(_) => true,
            EvacuationState::Planning
            | EvacuationState::Planned
            | EvacuationState::Running
            | EvacuationState::Finished => false,
        };
        self.schedule.set_paused(false);
        if !paused && self.schedule.brake().is_some() {
            let failed = |vm: &VmId| self.schedule.standing(*vm) == Some(MoveStanding::Failed);
            let failed: Vec<VmId> = self.moves.keys().copied().filter(failed).collect();
            for vm in failed {
                self.schedule.set(vm, MoveStanding::Cancelled).map_err(flaw)?;
            }
        }
        self.schedule.set_paused(paused);
        self.state = status.state;
        if status.cancelled && !self.cancelled {
            self.cancelled = true;
            self.undo_all()?;
        }
        Ok(())
    }

    /// Turns every move that isn't over to its way back.
    fn undo_all(&mut self) -> Result<(), OrchestratorError> {
        let vms: Vec<VmId> = self.moves.keys().copied().collect();
        for vm in vms {
            let is_settling = match self.moves.get(&vm).map(|tracked| &tracked.doing) {
                Some(Doing::Settling { stop, .. }) => {
                    // It comes back as stopped, and then becomes an errand.
                    stop.cancel();
                    true
                }
                Some(Doing::Over) | None => true,
                Some(Doing::Waiting | Doing::Errand(_) | Doing::Held(_)) => false,
            };
            if !is_settling {
                self.send(vm)?;
            }
        }
        Ok(())
    }

    /// Puts a move among the errands. It goes on with what was begun, or back.
    pub(super) fn send(&mut self, vm: VmId) -> Result<(), OrchestratorError> {
        let Some(tracked) = self.moves.get_mut(&vm) else { return Ok(()) };
        let held = match &tracked.doing {
            Doing::Held(held) | Doing::Errand(Some(held)) => Some(held.clone()),
            Doing::Waiting | Doing::Errand(None) => None,
            Doing::Settling { .. } | Doing::Over => return Ok(()),
        };
        let look_at = held.as_ref().and_then(|held| held.look_at);
        tracked.doing = Doing::Errand(held);
        self.errands.insert(vm);
        if let Some(at) = look_at {
            self.looks.remove(&(at, vm));
        }
        match self.schedule.standing(vm) {
            Some(MoveStanding::Running) => Ok(()),
            Some(_) | None => self.schedule.set(vm, MoveStanding::Held).map_err(flaw),
        }
    }

    /// Starts what may start: errands first, they hold room already; then what the schedule admits.
    pub(super) fn start(&mut self) -> Result<(), OrchestratorError> {
        while self.errands_running < ERRANDS_MAX
            && let Some(vm) = self.errands.pop_first()
        {
            self.schedule.set(vm, MoveStanding::Running).map_err(flaw)?;
            self.start_one(vm, Opening::Never);
        }
        let now = self.driver.house.env().now();
        let admission = self.driver.house.loads.admit(self.driver.evacuation, &mut self.schedule, now);
        for vm in admission.start {
            self.start_one(vm, Opening::Once);
        }
        self.wake_at = admission.wake_at;
        self.driver.seat.windows(match self.schedule.opens_at(now) {
            _ if self.schedule.counts().waiting == 0 => Windows::Open,
            Some(at) if at == now => Windows::Open,
            Some(at) => Windows::ClosedUntil(at),
            None => Windows::ClosedForGood,
        });
        if self.errands.is_empty() && self.errands_running == 0 {
            self.driver.seat.is_quiet();
        }
        Ok(())
    }

    fn start_one(&mut self, vm: VmId, opening: Opening) {
        let order = match self.moves.get(&vm) {
            Some(tracked) => self.order(tracked),
            None => return,
        };
        let (now, others) = (self.driver.house.env().now(), self.hosts_of_others(vm));
        let Some(tracked) = self.moves.get_mut(&vm) else { return };
        let errand = opening == Opening::Never;
        self.errands_running += usize::from(errand);
        let stop = CancellationToken::new();
        let held = match std::mem::replace(&mut tracked.doing, Doing::Waiting) {
            Doing::Errand(held) => held,
            Doing::Waiting | Doing::Settling { .. } | Doing::Held(_) | Doing::Over => None,
        };
        tracked.doing = Doing::Settling { stop: stop.clone(), errand, goal: order.goal, held };
        tracked.begun_at = (!errand).then_some(now);
        tracked.error = None;
        let subject = Move {
            vm,
            order,
            destination_host: tracked.destination_host.clone(),
            opening,
            sequence: tracked.sequence,
            is_fenced: tracked.is_fenced,
            auto_converge: tracked.auto_converge,
        };
        let wave = usize::try_from(tracked.planned.wave).ok().and_then(|wave| self.runbook.waves.get(wave)).cloned();
        let may_go_to = move |host: &HostName| {
            let is_allowed = |wave: &Wave| wave.selections.iter().all(|selection| selection.may_go_to(host));
            wave.as_ref().is_some_and(is_allowed) && !others.contains(host)
        };
        let needs = Needs { memory_mib: tracked.planned.memory_mib, may_go_to: Box::new(may_go_to) };
        let (settler, pair) = (Arc::clone(&self.settler), self.pair.clone());
        let gate = (!errand).then(|| (Arc::clone(&self.gate), tracked.planned.clone()));
        self.tasks.spawn(settle(Task { settler, pair, subject, stop, needs, gate }));
    }

    fn order(&self, tracked: &Tracked) -> MoveOrder {
        MoveOrder {
            mode: tracked.planned.mode,
            goal: if self.cancelled { Goal::Undo } else { Goal::Finish },
            attempts_max: self.runbook.retry.attempts.saturating_mul(tracked.retries_ordered.saturating_add(1)),
            cold_start: if tracked.cold_start_ordered {
                ColdStart::Ordered
            } else {
                self.runbook.recovery.cold_start.into()
            },
            refused: None,
            leftovers: Leftovers::AreDiscarded,
        }
    }

    /// Notes that a task has ended: what it was settled towards, and the hold it had come from.
    pub(super) fn ended(&mut self, vm: VmId) -> Option<(Goal, Option<Held>)> {
        let tracked = self.moves.get_mut(&vm)?;
        match std::mem::replace(&mut tracked.doing, Doing::Waiting) {
            Doing::Settling { errand, goal, held, .. } => {
                self.errands_running -= usize::from(errand);
                Some((goal, held))
            }
            Doing::Waiting | Doing::Errand(_) | Doing::Held(_) | Doing::Over => None,
        }
    }

    async fn stop_all(&mut self) {
        for tracked in self.moves.values() {
            match &tracked.doing {
                Doing::Settling { stop, .. } => stop.cancel(),
                Doing::Waiting | Doing::Errand(_) | Doing::Held(_) | Doing::Over => {}
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

fn settler(driver: &Driver, pair: &Pair, runbook: &Runbook, epoch: Epoch) -> Settler {
    let (journal, env) = (Arc::clone(driver.house.journal()), Arc::clone(driver.house.env()));
    Settler {
        evacuation: driver.evacuation,
        source: Some(Arc::clone(&pair.source)),
        destination: Arc::clone(&pair.destination),
        epoch,
        scribe: Scribe::new(Some(journal), driver.evacuation, driver.house.name(), Arc::clone(&env)),
        env,
        terms: TermsInForce::common(Terms::of(runbook)),
    }
}

/// A schedule refuses only what it doesn't know or knows already, or what no plan could hold.
pub(super) fn flaw(error: ScheduleError) -> OrchestratorError {
    OrchestratorError::OutOfOrder {
        reason: "SCHEDULE",
        what: error.to_string(),
        mend: "start the orchestrator again and report this",
    }
}
