//! The order of the moves that wait, as they run: what arrives tells how long the rest takes, and the rest is ordered anew by that. The schedule
//! starts what fits in that order at once; nothing waits here for a better one, and nothing is polled.

use super::moves::{Moves, Tracked};
use super::outlook::{Foretold, MovesAhead, foretell};
use futures::FutureExt;
use muster_core::evacuation::{MoveState, MoveStatus};
use muster_core::forecast::Forecaster;
use muster_core::ids::{HostName, VmId};
use muster_core::runbook::{Limits, Runbook};
use muster_core::schedule::MoveStanding;
use std::collections::BTreeSet;
use tokio::task::JoinSet;

/// The rest is ordered anew once one in so many of those learned from is new: often in the beginning, when each tells much.
const NEW_PART: usize = 16;

/// What is foretold of an evacuation's moves, and from what.
pub(super) struct Turns {
    /// None while it foretells on a thread of its own.
    forecaster: Option<Forecaster>,
    /// Moves that have arrived since it learned last, with how long that took in milliseconds.
    arrived: Vec<(VmId, u64)>,
    /// The limits that count now.
    limits: Option<Limits>,
    /// Limits have changed, or an attempt has failed: what is left is not what was planned.
    is_upset: bool,
    /// The forecast that is being made.
    pub(super) foretelling: JoinSet<Foretold>,
}

impl Turns {
    /// With what the moves tell that arrived under an earlier driver.
    pub(super) fn load(runbook: &Runbook, statuses: &[MoveStatus]) -> Self {
        let mut forecaster = Forecaster::new(runbook);
        let mut arrived: Vec<&MoveStatus> =
            statuses.iter().filter(|status| status.state == MoveState::Migrated).collect();
        arrived.sort_by_key(|status| status.ended_at);
        let durations = arrived.into_iter().filter(|status| status.attempts == 1).filter_map(|status| {
            let duration_ms = status.ended_at?.since_ms(status.started_at?);
            Some((&status.planned, duration_ms))
        });
        forecaster.learn(durations);
        Turns {
            forecaster: Some(forecaster),
            arrived: Vec::new(),
            limits: None,
            is_upset: false,
            foretelling: JoinSet::new(),
        }
    }

    /// Takes changed limits over: the rest is ordered anew by them.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.is_upset |= self.limits.replace(limits).is_some_and(|before| before != limits);
    }

    /// Whether the rest is worth ordering anew.
    fn is_due(&self) -> bool {
        if self.is_upset {
            return true;
        }
        let known = self.forecaster.as_ref().map_or(usize::MAX, Forecaster::learned_from);
        self.arrived.len() > known / NEW_PART
    }
}

impl Moves<'_> {
    /// Notes that a move's guest has arrived; by its first attempt, if it tells how long the others take.
    pub(super) fn note_duration(&mut self, vm: VmId, is_first_attempt: bool) {
        let now = self.driver.house.env().now();
        let Some(begun_at) = self.moves.get_mut(&vm).and_then(|tracked| tracked.begun_at.take()) else { return };
        if is_first_attempt {
            self.turns.arrived.push((vm, now.since_ms(begun_at)));
        }
    }

    /// Gives a move whose attempt has failed the last place, until the rest is ordered anew.
    pub(super) fn put_last(&mut self, vm: VmId) {
        self.schedule.put_last(vm);
        self.turns.is_upset = true;
    }

    /// Orders the rest anew, if enough has arrived since; what takes longer is taken over once it is there.
    pub(super) fn keep_order(&mut self) {
        if !self.turns.is_due() {
            return;
        }
        let Some(mut forecaster) = self.turns.forecaster.take() else { return };
        self.turns.is_upset = false;
        if let Some(limits) = self.turns.limits {
            forecaster.set_limits(limits);
        }
        let arrived = std::mem::take(&mut self.turns.arrived);
        let told = arrived.iter().filter_map(|(vm, duration_ms)| Some((&self.moves.get(vm)?.planned, *duration_ms)));
        forecaster.learn(told);
        let (moves, now) = (self.ahead(), self.driver.house.env().now());
        if moves.is_empty() {
            self.turns.forecaster = Some(forecaster);
            return;
        }
        let mut foretelling = foretell(forecaster, moves, now).boxed();
        match foretelling.as_mut().now_or_never() {
            Some(foretold) => self.take_order(foretold),
            None => drop(self.turns.foretelling.spawn(foretelling)),
        }
    }

    /// Takes a forecast over: what still waits has its turn as it says.
    pub(super) fn take_order(&mut self, (forecaster, forecast): Foretold) {
        self.turns.forecaster = Some(forecaster);
        let Some(forecast) = forecast else { return };
        self.driver.seat.expect(forecast.outlook());
        let waits = |vm: &VmId| matches!(self.schedule.standing(*vm), Some(MoveStanding::Waiting { .. }));
        let order: Vec<VmId> = forecast.moves.iter().map(|foreseen| foreseen.vm).filter(waits).collect();
        self.schedule.reorder(order);
    }

    /// What is under way, and what waits.
    fn ahead(&self) -> MovesAhead {
        let ahead = |tracked: &Tracked| match self.schedule.standing(tracked.planned.vm)? {
            MoveStanding::Waiting { .. } => Some((tracked.planned.clone(), None)),
            MoveStanding::Running => {
                let begun_at = tracked.begun_at.unwrap_or_else(|| self.driver.house.env().now());
                Some((tracked.planned.clone(), Some(begun_at)))
            }
            MoveStanding::Finishing
            | MoveStanding::Held
            | MoveStanding::Failed
            | MoveStanding::Done
            | MoveStanding::Cancelled => None,
        };
        self.moves.values().filter_map(ahead).collect()
    }

    /// What other hosts a move may not go to, since VMs are there, or going there, that it is kept apart from.
    pub(super) fn hosts_of_others(&self, vm: VmId) -> BTreeSet<HostName> {
        let apart = self.moves.get(&vm).and_then(|tracked| tracked.planned.apart.as_ref());
        let Some(apart) = apart else { return BTreeSet::new() };
        let others = self.moves.values().filter(|other| other.planned.vm != vm);
        let kept_apart = others.filter(|other| other.planned.apart.as_ref() == Some(apart));
        kept_apart.map(|other| other.destination_host.clone()).collect()
    }
}
