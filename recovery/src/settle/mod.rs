//! `settle`: the only way a move advances.
//!
//! ```text
//!  streamed: newest readings of both feeds ───────────────┐
//!                                                         ▼
//!  fenced:   raise both floors                         decide ──▶ act: journal the intent, one command, its answer
//!            read the source until it has no job          │        (any doubt about the answer ▶ fenced next)
//!            only then read the destination ──────────────┤
//!                                                         ├──▶ wait: for a change, within a deadline
//!                                                         └──▶ over, held, between attempts, superseded
//! ```
//! Exactly this runs in good times and after every fault; there is no other path. It holds no state of the VM across an
//! observation, only the count of its own commands, since when it has waited, and which attempt a site refused.

mod act;
mod facts;
mod observe;
mod scribe;
mod terms;
mod waiting;

pub use scribe::Scribe;
pub use terms::TermsInForce;

use crate::error::LinkError;
use crate::link::{Feed, SiteLink};
use act::Acted;
use facts::{attempt_of, attempts_of, over};
use muster_core::decide::{Leftovers, MoveOrder, decide};
use muster_core::env::Env;
use muster_core::evidence::{Evidence, Freshness, Heard, Outcome};
use muster_core::ids::{Attempt, EvacuationId, HostName, VmId};
use muster_core::ladder::Climb;
use muster_core::ledger::{SourceState, Standing};
use muster_core::step::{Action, Decision, Hold, Step, Wait};
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Sequence, Token};
use muster_core::verdict::Verdict;
use observe::{Look, Seen};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often one action may be sent in a row without the evidence moving on.
pub const ACTION_REPEATS_MAX: u32 = 8;
/// First wait before an action is sent again.
pub const REPEAT_WAIT_MIN: Duration = Duration::from_millis(50);
/// Longest wait before an action is sent again.
pub const REPEAT_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long a transfer goes on, at least, while the destination is silent: its worker may just be restarting. The runbook's
/// deadline for silence counts where it is longer; past both the transfer is aborted.
pub const SILENT_DESTINATION_PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait without any news before the VM is looked at again, behind raised floors.
pub const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What settling needs besides the move.
pub struct Settler {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The site that is left; none if it is given up as lost.
    pub source: Option<Arc<SiteLink>>,
    /// The site that is moved to.
    pub destination: Arc<SiteLink>,
    /// The claim held.
    pub epoch: Epoch,
    /// Where intents are journaled.
    pub scribe: Scribe,
    /// Time and ids.
    pub env: Arc<dyn Env>,
    /// On what terms moves are made.
    pub terms: TermsInForce,
}

/// One move, as it is being settled.
#[derive(Debug, Clone)]
pub struct Move {
    /// The VM.
    pub vm: VmId,
    /// What is wanted.
    pub order: MoveOrder,
    /// The host that its next attempt goes to.
    pub destination_host: HostName,
    /// Whether an attempt may be opened now.
    pub opening: Opening,
    /// The last command's number under this claim.
    pub sequence: Sequence,
    /// Both sites have raised its floor under this claim: no command of an older one can take effect any more.
    pub is_fenced: bool,
    /// A transfer of it didn't converge: the next ones slow the guest down.
    pub auto_converge: bool,
}

/// Whether settling may open an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// One; then settling stops between attempts, and whoever schedules says when to go on.
    Once,
    /// None: settling stops before it.
    Never,
}

/// How settling ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The move is over.
    Over {
        /// Where the VM is.
        outcome: Outcome,
        /// What is proven.
        verdict: Verdict,
        /// How many attempts it took.
        attempts: u32,
        /// How long its guest stood still.
        downtime_ms: Option<u64>,
        /// Why it stayed at its source, if that wasn't wanted.
        error: Option<String>,
    },
    /// It waits for a person or a returning site.
    Held {
        /// Why.
        hold: Hold,
        /// What is proven.
        verdict: Verdict,
        /// The last error.
        error: Option<String>,
    },
    /// The next attempt is wanted and allowed, and was not to be opened now.
    BetweenAttempts {
        /// The last attempt came as far as its transfer: its host had taken it.
        was_transferred: bool,
        /// What is proven.
        verdict: Verdict,
        /// How many attempts there were.
        attempts: u32,
        /// Why the last one failed.
        error: Option<String>,
    },
    /// Somebody with a newer claim has taken over: hands off.
    Superseded,
    /// It was told to stop.
    Stopped,
}

impl Settler {
    /// Settles one move as far as it goes now.
    pub async fn settle(&self, subject: &mut Move, stop: &CancellationToken) -> Settled {
        let mut run = Run::new(self, subject);
        let settled = tokio::select! {
            biased;
            () = stop.cancelled() => Settled::Stopped,
            settled = run.settle() => settled,
        };
        self.destination.feed().forget_bell(subject.vm);
        if let Some(source) = &self.source {
            source.feed().forget_bell(subject.vm);
        }
        settled
    }

    /// One observation and what follows from it, without acting: what a report shows.
    pub async fn assess(&self, subject: &Move) -> (Decision, Seen) {
        let seen = self.read_unfenced(subject.vm).await;
        let evidence = self.weigh(&seen, Freshness::Fenced, false);
        (decide(&subject.order, &evidence), seen)
    }
}

/// One run of the loop.
struct Run<'a> {
    settler: &'a Settler,
    subject: &'a mut Move,
    look: Look,
    waiting: Option<(Wait, Timestamp)>,
    destination_silent_since: Option<Timestamp>,
    last_action: Option<(Action, u32)>,
    error: Option<String>,
    /// Why the last command was not carried out; a transfer that failed before doesn't hide it.
    step_error: Option<String>,
    aborting: bool,
    /// The attempt whose transfer the source's ledger names; it forgets that with the seal.
    transferred: Option<Attempt>,
    /// How the transfer goes.
    climb: Climb,
    /// The bandwidth that the transfer's source was last told; none if nothing is known of that.
    bandwidth_told: Option<Option<u64>>,
    /// How often in a row it could not be told another.
    adjust_failures: u32,
    terms_changes: terms::Changes,
    /// The last command failed since the two sites' workers don't reach each other.
    apart: bool,
}

impl<'a> Run<'a> {
    fn new(settler: &'a Settler, subject: &'a mut Move) -> Self {
        // What could not be removed by an earlier run is tried again by this one.
        subject.order.leftovers = Leftovers::AreDiscarded;
        Run {
            settler,
            subject,
            look: Look::Streamed,
            waiting: None,
            destination_silent_since: None,
            last_action: None,
            error: None,
            step_error: None,
            aborting: false,
            transferred: None,
            climb: Climb::default(),
            bandwidth_told: None,
            adjust_failures: 0,
            terms_changes: settler.terms.changes(),
            apart: false,
        }
    }

    async fn settle(&mut self) -> Settled {
        loop {
            let began = self.settler.env.now();
            let seen = match self.observe().await {
                Ok(seen) => seen,
                Err(settled) => return settled,
            };
            self.destination_silent_since = match seen.destination {
                Heard::Silent => Some(self.destination_silent_since.unwrap_or(began)),
                Heard::Answer(_) => None,
            };
            let freshness = seen.freshness;
            let past_deadline = self.handover_is_late() || self.silence_left_ms() == Some(0);
            let evidence = self.settler.weigh(&seen, freshness, past_deadline);
            let decision = decide(&self.subject.order, &evidence);
            tracing::debug!(vm = %self.subject.vm, ?decision, ?evidence, "decided");
            self.note_error(&seen);
            match decision.step {
                Step::ObserveFenced => self.look = Look::Fenced,
                Step::Wait(wait) => {
                    if let Some(settled) = self.wait(wait, &decision, &evidence, &seen).await {
                        return settled;
                    }
                }
                Step::Act(Action::OpenAttempt(_)) if self.subject.opening == Opening::Never => {
                    return self.between_attempts(decision.verdict, &evidence);
                }
                Step::Act(action) => {
                    self.waiting = None;
                    if let Some(settled) = self.act(action, &decision, &evidence).await {
                        return settled;
                    }
                }
                Step::Hold(hold) => {
                    return Settled::Held { hold, verdict: decision.verdict, error: self.error.take() };
                }
                Step::Settled(outcome) => return over(outcome, &decision, &seen, self.error.take()),
            }
        }
    }

    /// Streamed readings while both feeds are heard, else, or in doubt, fenced ones. A claim begins with fenced looks until
    /// both sites have heard one: a site that has not would still take an older claim's commands beside this one's.
    async fn observe(&mut self) -> Result<Seen, Settled> {
        match self.look {
            Look::Streamed if self.subject.is_fenced => {
                if let Some(seen) = self.settler.streamed(self.subject.vm).await {
                    return Ok(seen);
                }
            }
            Look::Streamed | Look::Fenced => {}
        }
        let token = self.next_token();
        let seen = self.settler.read_fenced(self.subject.vm, token).await.map_err(|_superseded| Settled::Superseded)?;
        self.subject.is_fenced |= matches!((&seen.source, &seen.destination), (Heard::Answer(_), Heard::Answer(_)));
        // What a fenced look finds busy or unfinished is followed on the streams again.
        self.look = Look::Streamed;
        Ok(seen)
    }

    fn handover_is_late(&self) -> bool {
        match self.waiting {
            Some((Wait::Handover | Wait::Commit, since)) => {
                let terms = self.settler.terms.of(self.subject.vm);
                self.settler.env.now().since_ms(since) >= terms.deadlines.handover_ms
            }
            Some((Wait::Job, _)) | None => false,
        }
    }

    /// How much longer a transfer may go on without the destination, in milliseconds; none while that answers.
    fn silence_left_ms(&self) -> Option<u64> {
        let since = self.destination_silent_since?;
        let patience_ms = u64::try_from(SILENT_DESTINATION_PATIENCE.as_millis()).unwrap_or(u64::MAX);
        Some(patience_ms.saturating_sub(self.settler.env.now().since_ms(since)))
    }

    async fn act(&mut self, action: Action, decision: &Decision, evidence: &Evidence) -> Option<Settled> {
        let repeats = match self.last_action {
            Some((last, repeats)) if last == action => repeats + 1,
            Some(_) | None => 0,
        };
        self.last_action = Some((action, repeats));
        if repeats > ACTION_REPEATS_MAX {
            if self.goes_on_without(action, evidence) {
                self.last_action = None;
                self.look = Look::Fenced;
                return None;
            }
            let verdict = decision.verdict;
            return Some(Settled::Held {
                hold: Hold::StepFails,
                verdict,
                error: self.step_error.take().or_else(|| self.error.take()),
            });
        }
        if repeats > 0 {
            tokio::time::sleep(self.settler.repeat_wait(repeats)).await;
        }
        if action == Action::AbortTransfer && evidence.destination == Heard::Silent {
            self.aborting = true;
            self.error = Some("the destination was silent for too long while its transfer ran".to_owned());
        }
        let token = self.next_token();
        self.apart = false;
        match self.settler.send(self.subject, (action, decision.verdict), token, evidence).await {
            Acted::Done => {
                self.step_error = None;
                if matches!(action, Action::OpenAttempt(_)) {
                    self.subject.opening = Opening::Never;
                    self.aborting = false;
                }
                if action == Action::Transfer {
                    let terms = self.settler.terms.of(self.subject.vm);
                    (self.climb, self.adjust_failures) = (Climb::default(), 0);
                    self.bandwidth_told = Some(terms.tuning.bandwidth_mib_s);
                }
            }
            Acted::Refused(error) => {
                self.step_error = Some(error.clone());
                self.error = Some(error);
                if self.gives_up_on_refusal(action) {
                    self.subject.order.refused = attempt_of(evidence);
                }
                self.look = Look::Fenced;
            }
            Acted::Unclear(error) => {
                self.step_error = Some(error.clone());
                self.error = Some(error);
                self.look = Look::Fenced;
            }
            Acted::Apart(error) => {
                self.apart = true;
                self.error = Some(error);
                self.look = Look::Fenced;
            }
            Acted::Superseded => return Some(Settled::Superseded),
            Acted::JournalFailed(error) => {
                let verdict = decision.verdict;
                return Some(Settled::Held { hold: Hold::StepFails, verdict, error: Some(error) });
            }
        }
        None
    }

    /// A step that has used its budget up need not hold the move: a step forward before the handover ends its attempt,
    /// and with the last attempt the VM goes back; what holds no memory and can't be removed is left, owned by the
    /// destination's ledger and worker. True where that is so and wasn't known before. While the two workers don't reach
    /// each other nothing could be given back, and no attempt is spent on that.
    fn goes_on_without(&mut self, action: Action, evidence: &Evidence) -> bool {
        let forward = self.gives_up_on_refusal(action);
        let order = &mut self.subject.order;
        if forward && !self.apart {
            let attempt = attempt_of(evidence);
            let is_news = attempt.is_some() && order.refused != attempt;
            order.refused = attempt;
            is_news
        } else if action == Action::Discard && order.leftovers == Leftovers::AreDiscarded {
            order.leftovers = Leftovers::AreLeft;
            true
        } else {
            false
        }
    }

    /// A step forward that a site refuses ends the attempt; another host, or another time, may do.
    fn gives_up_on_refusal(&self, action: Action) -> bool {
        matches!(action, Action::MakePlaceholder | Action::Seal | Action::Transfer)
    }

    fn between_attempts(&mut self, verdict: Verdict, evidence: &Evidence) -> Settled {
        let attempts = attempts_of(evidence);
        let was_transferred = self.transferred.is_some_and(|attempt| attempt.count() == attempts);
        Settled::BetweenAttempts { was_transferred, verdict, attempts, error: self.error.take() }
    }

    fn next_token(&mut self) -> Token {
        self.subject.sequence = Sequence(self.subject.sequence.0 + 1);
        Token { epoch: self.settler.epoch, sequence: self.subject.sequence }
    }

    /// Why the last transfer failed, in its hypervisor's words; of one that was aborted here the reason is known.
    fn note_error(&mut self, seen: &Seen) {
        if let Heard::Answer(reading) = &seen.source
            && let Some(Standing::Source(at)) = &reading.standing
            && let SourceState::Sealed { transfer: Some(transfer) } | SourceState::Gone { transfer } = &at.state
        {
            self.transferred = Some(transfer.attempt);
            if let (Some(failed), false) = (&transfer.failed, self.aborting) {
                self.error = Some(failed.clone());
            }
        }
    }
}

impl Settler {
    fn silence(&self) -> Duration {
        Duration::from_millis(self.terms.silence_ms())
    }

    fn repeat_wait(&self, repeats: u32) -> Duration {
        let doubled = REPEAT_WAIT_MIN.saturating_mul(1 << repeats.min(10)).min(REPEAT_WAIT_MAX);
        let jitter_ms = self.env.random_below(u64::try_from(doubled.as_millis()).unwrap_or(u64::MAX) / 2 + 1);
        doubled / 2 + Duration::from_millis(jitter_ms)
    }

    fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.source.iter().map(|source| source.feed()).chain(std::iter::once(self.destination.feed()))
    }
}

/// The error of a site, as a line for people.
fn words(error: &LinkError) -> String {
    muster_core::ids::clip(&error.to_string())
}
