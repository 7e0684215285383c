//! The loop over the moves: it sleeps until something happens, writes down what came of it, and starts what may start.

use super::gate::Barred;
use super::held::{Held, View};
use super::moves::{Doing, Moves, flaw};
use super::outlook::Foretold;
use super::over::is_end;
use super::settling::{Done, End};
use super::{Way, status_of};
use crate::error::OrchestratorError;
use muster_core::decide::Goal;
use muster_core::evacuation::{EvacuationState, JournalKind, JournalRecord, MoveState, PauseReason};
use muster_core::evidence::Outcome;
use muster_core::ids::{Attempt, VmId, clip};
use muster_core::ledger::{ArrivalRecord, SourceState, Standing};
use muster_core::schedule::{Brake, MoveStanding};
use muster_core::step::Hold;
use muster_core::time::Timestamp;
use muster_core::verdict::Verdict;
use muster_recovery::claim::release;
use muster_recovery::link::{Connection, FeedChange};
use muster_recovery::settle::Settled;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Most results that are journaled together.
pub(crate) const RESULTS_BATCH_MAX: usize = 256;
/// Most changes of a feed that are looked at before anything else is.
pub(crate) const CHANGES_BATCH_MAX: usize = 1024;
/// Longest sleep; everything that matters wakes earlier.
pub(crate) const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// What woke the loop.
enum Event {
    Stop,
    Orders,
    Done(Box<Done>),
    /// A task was lost with its result. A flaw of muster's own, for tasks catch their panics.
    Lost,
    /// An order of the rest has been made.
    Foretold(Box<Foretold>),
    Room,
    News(Side, Result<FeedChange, RecvError>),
    Time,
}

/// A hold as settling found it.
struct Found {
    hold: Hold,
    verdict: Verdict,
    error: Option<String>,
}

/// Whose feed.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

type Changes = Receiver<FeedChange>;

impl Moves<'_> {
    pub(super) async fn run(&mut self) -> Result<Way, OrchestratorError> {
        let mut source = self.pair.source.feed().changes();
        let mut destination = self.pair.destination.feed().changes();
        loop {
            if self.take_orders().await? {
                return Ok(Way::ClaimAgain);
            }
            self.look_again()?;
            self.keep_order();
            self.start()?;
            if self.open == 0 && self.finish().await? {
                return Ok(Way::Finished);
            }
            match self.next_event(&mut source, &mut destination).await {
                Event::Stop => return Ok(Way::Stopped),
                Event::Orders | Event::Room | Event::Time => {}
                Event::Lost => return Ok(Way::ClaimAgain),
                Event::Foretold(foretold) => self.take_order(*foretold),
                Event::Done(done) => {
                    if self.take_results(*done).await? {
                        return Ok(Way::ClaimAgain);
                    }
                }
                Event::News(side, change) => {
                    let changes = match side {
                        Side::Source => &mut source,
                        Side::Destination => &mut destination,
                    };
                    if self.hear(change, changes)? {
                        return Ok(Way::ClaimAgain);
                    }
                }
            }
        }
    }

    async fn next_event(&mut self, source: &mut Changes, destination: &mut Changes) -> Event {
        let now = self.driver.house.env().now();
        let next = [self.wake_at, self.looks.first().map(|(at, _)| *at)].into_iter().flatten().min();
        let sleep = next.map_or(SLEEP_MAX, |at| Duration::from_millis(at.since_ms(now))).min(SLEEP_MAX);
        tokio::select! {
            biased;
            () = self.driver.stop.cancelled() => Event::Stop,
            () = self.driver.seat.bell.notified() => Event::Orders,
            Some(done) = self.tasks.join_next() => match done {
                Ok(done) => Event::Done(Box::new(done)),
                Err(error) => {
                    tracing::error!(%error, "a move's task was lost");
                    Event::Lost
                }
            },
            () = self.room.notified() => Event::Room,
            Some(foretold) = self.turns.foretelling.join_next() => match foretold {
                Ok(foretold) => Event::Foretold(Box::new(foretold)),
                Err(error) => {
                    tracing::error!(%error, "ordering the moves was lost");
                    Event::Lost
                }
            },
            change = destination.recv() => Event::News(Side::Destination, change),
            change = source.recv() => Event::News(Side::Source, change),
            () = tokio::time::sleep(sleep) => Event::Time,
        }
    }

    /// Reads again what orders have changed. True if they need a newer claim.
    async fn take_orders(&mut self) -> Result<bool, OrchestratorError> {
        let pending = self.driver.seat.take();
        if pending.is_empty() {
            return Ok(false);
        }
        let status = self.driver.status().await?;
        self.set_state(&status)?;
        for vm in pending.adjusted {
            let adjusted = self.driver.house.journal().a_move(self.driver.evacuation, vm).await?;
            if let (Some(adjusted), Some(tracked)) = (adjusted, self.moves.get_mut(&vm)) {
                tracked.adjustment = adjusted.adjustment;
            }
        }
        self.set_terms(&status);
        for vm in pending.moves {
            self.try_again(vm).await?;
        }
        Ok(!self.driver.to_enrol.is_empty())
    }

    async fn try_again(&mut self, vm: VmId) -> Result<(), OrchestratorError> {
        let status = self.driver.house.journal().a_move(self.driver.evacuation, vm).await?;
        let (Some(status), Some(tracked)) = (status, self.moves.get_mut(&vm)) else { return Ok(()) };
        tracked.retries_ordered = status.retries_ordered;
        tracked.cold_start_ordered = status.cold_start_ordered;
        match &tracked.doing {
            Doing::Held(held) if held.hold() == Hold::NotOnRoll => {
                self.driver.to_enrol.insert(vm);
                Ok(())
            }
            Doing::Held(_) => self.send(vm),
            Doing::Waiting => self.schedule.set(vm, MoveStanding::Waiting { not_before: None }).map_err(flaw),
            Doing::Errand(_) | Doing::Settling { .. } | Doing::Over => Ok(()),
        }
    }

    /// Sends those held moves for which it is time.
    fn look_again(&mut self) -> Result<(), OrchestratorError> {
        let now = self.driver.house.env().now();
        while let Some((_, vm)) = self.looks.first().copied().filter(|(at, _)| *at <= now) {
            self.looks.pop_first();
            self.send(vm)?;
        }
        Ok(())
    }

    /// The line that the failure budget is spent. It stands in the batch of the failure that spent it: so a restart
    /// can tell failures that a person has gone on after from one that nobody has seen.
    fn brake(&mut self, records: &mut Vec<JournalRecord>) {
        let may_pause = match self.state {
            EvacuationState::Planned | EvacuationState::Running => self.open > 0 && !self.cancelled,
            EvacuationState::Planning | EvacuationState::Paused(_) | EvacuationState::Finished => false,
        };
        if may_pause && self.schedule.brake() == Some(Brake::FailureBudgetSpent) {
            let reason = PauseReason::FailureBudget;
            records.push(self.driver.pen.line(JournalKind::Paused { reason }));
            self.state = EvacuationState::Paused(reason);
            self.schedule.set_paused(true);
        }
    }

    /// Takes the results that are there, and journals them together. True if somebody newer acts.
    async fn take_results(&mut self, first: Done) -> Result<bool, OrchestratorError> {
        let mut batch = vec![first];
        while batch.len() < RESULTS_BATCH_MAX
            && let Some(Ok(done)) = self.tasks.try_join_next()
        {
            batch.push(done);
        }
        let mut records = Vec::new();
        let mut superseded = false;
        for done in batch {
            superseded |= self.take_result(done, &mut records).await?;
        }
        self.brake(&mut records);
        let over: Vec<VmId> = records.iter().filter(|record| is_end(record)).filter_map(|record| record.vm).collect();
        self.driver.pen.write(records).await?;
        self.give_back(over);
        Ok(superseded)
    }

    async fn take_result(&mut self, done: Done, records: &mut Vec<JournalRecord>) -> Result<bool, OrchestratorError> {
        let Done { vm, before, end } = done;
        let Some((goal, held)) = self.ended(vm) else { return Ok(false) };
        let (subject, settled, other_host) = match end {
            End::Settled { subject, settled, other_host } => (subject, settled, other_host),
            End::Barred(_) if self.cancelled && goal == Goal::Finish => {
                self.send(vm)?;
                return Ok(false);
            }
            End::Barred(Barred { hold, found }) => {
                let verdict = self.last_verdict(vm).await?;
                let found = Found { hold, verdict, error: Some(clip(&found)) };
                self.hold(vm, held, found, &before, records).await?;
                return Ok(false);
            }
            End::Panicked => {
                let verdict = self.last_verdict(vm).await?;
                let error = Some("muster's own code failed; the orchestrator's log says where".to_owned());
                let found = Found { hold: Hold::StepFails, verdict, error };
                self.hold(vm, held, found, &before, records).await?;
                return Ok(false);
            }
        };
        let Some(tracked) = self.moves.get_mut(&vm) else { return Ok(false) };
        tracked.sequence = subject.sequence;
        tracked.is_fenced = subject.is_fenced;
        tracked.auto_converge = subject.auto_converge;
        if let Some(host) = other_host {
            self.schedule.redirect(vm, &host).map_err(flaw)?;
            tracked.destination_host = host;
        }
        // Its order was still the old one when it ended: it goes again, towards its new goal.
        let turned_back = self.cancelled && goal == Goal::Finish;
        match settled {
            Settled::Over { outcome, verdict, attempts, downtime_ms, error } => {
                self.note_duration(vm, attempts == 1 && outcome == Outcome::Migrated);
                let host = self.over(vm, outcome, attempts, error, records)?;
                let settled = JournalKind::Settled { outcome, verdict, attempts, downtime_ms, host };
                records.push(self.driver.pen.about(vm, settled));
            }
            Settled::Held { .. } | Settled::BetweenAttempts { .. } if turned_back => self.send(vm)?,
            Settled::Held { hold, verdict, error } => {
                let error = error.map(|error| clip(&error));
                self.hold(vm, held, Found { hold, verdict, error }, &before, records).await?;
            }
            Settled::BetweenAttempts { was_transferred: _, verdict: _, attempts, error } => {
                self.between_attempts(vm, attempts, error, records)?;
            }
            Settled::Superseded => return Ok(true),
            Settled::Stopped => self.send(vm)?,
        }
        Ok(false)
    }

    fn between_attempts(
        &mut self,
        vm: VmId,
        attempts: u32,
        error: Option<String>,
        records: &mut Vec<JournalRecord>,
    ) -> Result<(), OrchestratorError> {
        let Some(tracked) = self.moves.get_mut(&vm) else { return Ok(()) };
        tracked.doing = Doing::Waiting;
        let told = tracked.error.take();
        let not_before = if attempts == 0 {
            None
        } else {
            let error = error.or(told).unwrap_or_else(|| "it ended without an arrival".to_owned());
            records.push(self.driver.pen.about(vm, JournalKind::AttemptFailed { attempt: attempts, error }));
            let env = self.driver.house.env();
            let wait_ms = self.runbook.retry.backoff_after_ms(attempts, env.random_below(u64::MAX));
            let not_before = env.now().plus_ms(wait_ms);
            // Whatever else goes its way has its turn before.
            self.put_last(vm);
            Some(not_before)
        };
        self.schedule.set(vm, MoveStanding::Waiting { not_before }).map_err(flaw)
    }

    async fn hold(
        &mut self,
        vm: VmId,
        earlier: Option<Held>,
        found: Found,
        before: &View,
        records: &mut Vec<JournalRecord>,
    ) -> Result<(), OrchestratorError> {
        let Found { hold, verdict, error } = found;
        self.schedule.set(vm, MoveStanding::Held).map_err(flaw)?;
        let mut held = Held::new(earlier.as_ref(), hold, self.view(vm));
        if held.is_unsettled(before) {
            let at = self.driver.house.env().now().plus_ms(held.wait_ms());
            held.look_at = Some(at);
            self.looks.insert((at, vm));
        }
        let Some(tracked) = self.moves.get_mut(&vm) else { return Ok(()) };
        tracked.doing = Doing::Held(held);
        let error_is_reason = match hold {
            Hold::StepFails | Hold::Overdue | Hold::NotReady | Hold::HandsOffFails => true,
            Hold::SourceSilent
            | Hold::RetireOwed
            | Hold::DestinationSilent
            | Hold::DestinationHostSilent
            | Hold::LeftBehind
            | Hold::ColdStartNotAllowed
            | Hold::NoGoodDisk
            | Hold::SplitBrain
            | Hold::Contradiction
            | Hold::NotRunning
            | Hold::NotOff
            | Hold::NotOnRoll
            | Hold::ForeignCopy => false,
        };
        // What a site does by itself fails without anybody's step: it raises alarms.
        let error = error.or_else(|| self.alarm(vm).filter(|_| error_is_reason));
        // Another look that ends in the same hold is no news; where the error is the reason, another error is.
        let error_counts = error_is_reason && error.is_some();
        let journaled = self.driver.house.journal().a_move(self.driver.evacuation, vm).await?;
        let is_known = |status: &muster_core::evacuation::MoveStatus| {
            let same_error = !error_counts || status.error == error;
            status.state == MoveState::Held(hold) && status.verdict == verdict && same_error
        };
        if !journaled.as_ref().is_some_and(is_known) {
            records.push(self.driver.pen.about(vm, JournalKind::Held { hold, verdict, error }));
        }
        Ok(())
    }

    /// What either site last raised an alarm about the VM for.
    fn alarm(&self, vm: VmId) -> Option<String> {
        let destination = self.pair.destination.feed().last_alarm(vm);
        destination.or_else(|| self.pair.source.feed().last_alarm(vm))
    }

    async fn last_verdict(&self, vm: VmId) -> Result<Verdict, OrchestratorError> {
        let status = self.driver.house.journal().a_move(self.driver.evacuation, vm).await?;
        Ok(status.map_or(Verdict::NotStarted, |status| status.verdict))
    }

    /// Hears what a feed tells, and what waits behind it. True if somebody has claimed over this.
    fn hear(&mut self, first: Result<FeedChange, RecvError>, changes: &mut Changes) -> Result<bool, OrchestratorError> {
        let mut change = match first {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(_)) => {
                self.hear_everything();
                None
            }
            // The link lives as long as this loop: its feed can't end before.
            Err(RecvError::Closed) => None,
        };
        for _ in 0..CHANGES_BATCH_MAX {
            match change.take() {
                Some(FeedChange::Vm(vm)) => self.hear_of(vm),
                Some(FeedChange::Claims(evacuation)) if evacuation == self.driver.evacuation => {
                    if self.is_claimed_over() {
                        return Ok(true);
                    }
                    self.hear_everything();
                }
                Some(FeedChange::Claims(_) | FeedChange::Alarm) | None => {}
                Some(FeedChange::Connection(Connection::Up | Connection::Down(_))) => self.hear_everything(),
            }
            change = match changes.try_recv() {
                Ok(change) => Some(change),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(false),
                Err(TryRecvError::Lagged(_)) => {
                    self.hear_everything();
                    None
                }
            };
        }
        // The one that was taken last isn't lost: everything that is held is compared anew.
        self.hear_everything();
        Ok(self.is_claimed_over())
    }

    fn is_claimed_over(&self) -> bool {
        let ours = self.driver.seat.live().epoch;
        let claims = self.pair.destination.feed().claims(self.driver.evacuation);
        claims.is_some_and(|claims| ours.is_some_and(|ours| claims.epoch > ours))
    }

    fn hear_everything(&mut self) {
        let vms: Vec<VmId> = self.moves.keys().copied().collect();
        vms.into_iter().for_each(|vm| self.hear_of(vm));
    }

    fn hear_of(&mut self, vm: VmId) {
        let now: Timestamp = self.driver.house.env().now();
        let is_held = match self.moves.get(&vm).map(|tracked| &tracked.doing) {
            Some(Doing::Held(_)) => true,
            Some(Doing::Settling { .. }) => {
                self.note_error(vm);
                self.note_arrival(vm);
                false
            }
            Some(Doing::Waiting | Doing::Errand(_) | Doing::Over) | None => false,
        };
        if !is_held {
            return;
        }
        let view = self.view(vm);
        if let Some(Doing::Held(held)) = self.moves.get_mut(&vm).map(|tracked| &mut tracked.doing)
            && held.look_at.is_none()
            && held.differs(&view)
        {
            let at = now.plus_ms(held.wait_ms());
            held.look_at = Some(at);
            self.looks.insert((at, vm));
        }
    }

    /// What has arrived and runs makes room for the next at once.
    fn note_arrival(&mut self, vm: VmId) {
        let reading = self.pair.destination.feed().last_reading(vm);
        if let Some(Standing::Destination(at)) = reading.as_deref().and_then(|reading| reading.standing.as_ref())
            && let ArrivalRecord::Completed(completed) = &at.record
            && completed.ran.is_some()
        {
            self.schedule.arrived(vm);
            self.note_duration(vm, completed.started.attempt == Attempt::FIRST);
        }
    }

    /// Keeps the reason of a failed transfer, which the source forgets with its seal.
    fn note_error(&mut self, vm: VmId) {
        let reading = self.pair.source.feed().last_reading(vm);
        if let Some(Standing::Source(at)) = reading.as_deref().and_then(|reading| reading.standing.as_ref())
            && let SourceState::Sealed { transfer: Some(transfer) } = &at.state
            && let Some(error) = &transfer.failed
            && let Some(tracked) = self.moves.get_mut(&vm)
        {
            tracked.error = Some(error.clone());
        }
    }

    fn view(&self, vm: VmId) -> View {
        View::of(self.driver.evacuation, vm, &self.pair.source, &self.pair.destination)
    }

    /// Ends the evacuation, unless an order came in between.
    async fn finish(&mut self) -> Result<bool, OrchestratorError> {
        let driver = &self.driver;
        let epoch = driver.seat.live().epoch;
        let mut driven = driver.seat.driven.lock().await;
        if driver.seat.has_pending() {
            return Ok(false);
        }
        let status = status_of(driver.house.journal().as_ref(), driver.evacuation).await?;
        match status.state {
            EvacuationState::Finished => {}
            EvacuationState::Planning
            | EvacuationState::Planned
            | EvacuationState::Running
            | EvacuationState::Paused(_) => driver.pen.write(vec![driver.pen.line(JournalKind::Finished)]).await?,
        }
        driver.leave(&mut driven, None);
        drop(driven);
        if let Some(epoch) = epoch {
            let released = release(&self.pair.destination, driver.house.env().as_ref(), driver.evacuation, epoch).await;
            if let Err(error) = released {
                // Whoever claims next takes it over anyhow: an orchestrator's claim binds nobody.
                tracing::warn!(evacuation = %driver.evacuation, %error, "a finished evacuation's claim was not released");
            }
        }
        Ok(true)
    }
}
