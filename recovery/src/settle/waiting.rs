//! Waiting: for a change, within a deadline. A transfer is followed meanwhile: what it does is judged by the ladder, and what is
//! decided there, or was adjusted by a person, is told to its source.
//!
//! Nothing here aborts: an attempt that is given up is refused, and what that means for the VM is decided like everything else.

use super::facts::{attempt_of, attempts_of, commit_is_fenced_out};
use super::observe::{Look, Seen};
use super::{ACTION_REPEATS_MAX, Acted, LOOK_AGAIN_AFTER, Run, Settled};
use muster_core::definition::Mode;
use muster_core::evidence::{Evidence, Freshness, Heard};
use muster_core::ladder::{Advice, AutoConverge, GivenUp, Rung};
use muster_core::reading::{Job, Phase};
use muster_core::step::{Decision, Hold, Wait};
use muster_core::terms::Terms;
use muster_core::time::Timestamp;
use std::time::Duration;

/// What follows for a job.
enum OnJob {
    /// It is waited for: no longer than this, in milliseconds.
    GoesOn { left_ms: u64 },
    /// The next decision knows more.
    IsDecidedAgain,
    /// It has had its time, and nothing more is done about it.
    IsOverdue(Option<String>),
    /// Somebody newer has taken over.
    Superseded,
}

impl Run<'_> {
    /// Waits for a change. What has had its time and can't be ended is held.
    pub(super) async fn wait(
        &mut self,
        wait: Wait,
        decision: &Decision,
        evidence: &Evidence,
        seen: &Seen,
    ) -> Option<Settled> {
        if wait == Wait::Commit && seen.freshness == Freshness::Streamed && commit_is_fenced_out(seen) {
            self.look = Look::Fenced;
            return None;
        }
        let now = self.settler.env.now();
        let since = match self.waiting {
            Some((same, since)) if same == wait => since,
            Some(_) | None => now,
        };
        self.waiting = Some((wait, since));
        let terms = self.settler.terms.of(self.subject.vm);
        let left_ms = match wait {
            Wait::Job => match self.follow_job(since, evidence, seen, &terms).await {
                OnJob::GoesOn { left_ms } => left_ms,
                OnJob::IsDecidedAgain => return None,
                OnJob::IsOverdue(because) => {
                    let error = self.error.take().or(because);
                    return Some(Settled::Held { hold: Hold::Overdue, verdict: decision.verdict, error });
                }
                OnJob::Superseded => return Some(Settled::Superseded),
            },
            Wait::Handover | Wait::Commit => terms.deadlines.handover_ms.saturating_sub(now.since_ms(since)),
        };
        // The next decision knows that the deadline has passed; if it still waits, it waits for a change.
        if left_ms == 0 && seen.freshness == Freshness::Streamed {
            self.look = Look::Fenced;
        }
        self.wait_for_news(left_ms, seen).await;
        None
    }

    async fn wait_for_news(&mut self, left_ms: u64, seen: &Seen) {
        let until_next = left_ms.min(self.silence_left_ms().filter(|left| *left > 0).unwrap_or(u64::MAX));
        let longest = Duration::from_millis(until_next.max(1)).min(LOOK_AGAIN_AFTER);
        let longest = if left_ms == 0 { LOOK_AGAIN_AFTER.min(self.settler.silence()) } else { longest };
        if left_ms == 0 && self.look == Look::Fenced {
            return;
        }
        let has_news = tokio::select! {
            biased;
            has_news = self.settler.changed(self.subject.vm, seen, longest) => has_news,
            () = self.terms_changes.next() => true,
        };
        // Nothing for so long: what is waited for may have ended without a word.
        if !has_news && longest == LOOK_AGAIN_AFTER {
            self.look = Look::Fenced;
        }
    }

    async fn follow_job(&mut self, since: Timestamp, evidence: &Evidence, seen: &Seen, terms: &Terms) -> OnJob {
        let now = self.settler.env.now();
        let attempt = attempt_of(evidence);
        let judged = source_job(seen).filter(|_| !self.aborting && attempt.is_some());
        let Some(job) = judged else {
            // What was aborted ends as fast as a handover does, or not at all.
            let limit_ms = if self.aborting { Some(terms.deadlines.handover_ms) } else { terms.deadlines.transfer_ms };
            let left_ms = limit_ms.map_or(u64::MAX, |limit_ms| limit_ms.saturating_sub(now.since_ms(since)));
            return match left_ms {
                0 if !self.aborting && attempt.is_some() => {
                    self.give_up(
                        evidence,
                        format!("the transfer took longer than {} ms", limit_ms.unwrap_or_default()),
                    );
                    OnJob::IsDecidedAgain
                }
                0 => OnJob::IsOverdue(None),
                left_ms => OnJob::GoesOn { left_ms },
            };
        };
        match self.climb.follow(&job, terms, now) {
            Advice::GoesOn { limit_in_ms } => {
                let left_ms = limit_in_ms.unwrap_or(u64::MAX);
                self.adjust_bandwidth(&job, terms).await.unwrap_or(OnJob::GoesOn { left_ms })
            }
            Advice::LongerDowntime { downtime_ms } => self.allow_downtime(downtime_ms, evidence, terms).await,
            Advice::GivenUp(reason) => {
                self.next_attempt_slows(reason, evidence, terms).await;
                self.give_up(evidence, reason.to_string());
                OnJob::IsDecidedAgain
            }
            Advice::IsOverdue { phase, limit_ms } => {
                let why = format!(
                    "the transfer's {} takes longer than {limit_ms} ms; nothing is aborted there",
                    phase.word()
                );
                OnJob::IsOverdue(Some(why))
            }
        }
    }

    /// The attempt is to go no further; the next decision ends it.
    fn give_up(&mut self, evidence: &Evidence, why: String) {
        self.aborting = true;
        self.error = Some(why);
        self.subject.order.refused = attempt_of(evidence);
        self.waiting = None;
        self.look = Look::Fenced;
    }

    async fn next_attempt_slows(&mut self, reason: GivenUp, evidence: &Evidence, terms: &Terms) {
        let has_stalled = matches!(reason, GivenUp::Stalled { .. });
        let is_news = terms.ladder.auto_converge == AutoConverge::NextAttempt && !self.subject.auto_converge;
        if has_stalled && is_news {
            self.subject.auto_converge = true;
            self.settler.note_rung(self.subject.vm, attempts_of(evidence), Rung::AutoConverge).await;
        }
    }

    async fn allow_downtime(&mut self, downtime_ms: u64, evidence: &Evidence, terms: &Terms) -> OnJob {
        let vm = self.subject.vm;
        self.settler.note_rung(vm, attempts_of(evidence), Rung::LongerDowntime(downtime_ms)).await;
        let bandwidth_mib_s = terms.tuning.bandwidth_mib_s;
        let token = self.next_token();
        let adjusted = self.settler.adjust(vm, token, bandwidth_mib_s, Some(downtime_ms)).await;
        self.climb.took_rung(self.settler.env.now());
        match adjusted {
            Acted::Superseded => OnJob::Superseded,
            Acted::Done => {
                self.bandwidth_told = Some(bandwidth_mib_s);
                OnJob::IsDecidedAgain
            }
            Acted::Refused(_) | Acted::Unclear(_) | Acted::Apart(_) | Acted::JournalFailed(_) => OnJob::IsDecidedAgain,
        }
    }

    /// Tells the source another bandwidth, if another was ordered since its transfer began. Of a transfer that was begun
    /// before this run only the order is known.
    async fn adjust_bandwidth(&mut self, job: &Job, terms: &Terms) -> Option<OnJob> {
        let wanted = terms.tuning.bandwidth_mib_s;
        let is_told = self.bandwidth_told.map_or(wanted.is_none(), |told| told == wanted);
        let is_live = self.subject.order.mode == Mode::Live && job.phase == Phase::PreCopy;
        if is_told || !is_live || self.adjust_failures > ACTION_REPEATS_MAX {
            return None;
        }
        let token = self.next_token();
        let downtime_ms = self.climb.downtime_ms(&terms.ladder);
        match self.settler.adjust(self.subject.vm, token, wanted, downtime_ms).await {
            Acted::Superseded => Some(OnJob::Superseded),
            Acted::Done => {
                (self.bandwidth_told, self.adjust_failures) = (Some(wanted), 0);
                Some(OnJob::IsDecidedAgain)
            }
            Acted::Refused(_) | Acted::Unclear(_) | Acted::Apart(_) | Acted::JournalFailed(_) => {
                self.adjust_failures += 1;
                None
            }
        }
    }
}

/// The job that its source shows.
fn source_job(seen: &Seen) -> Option<Job> {
    match &seen.source {
        Heard::Answer(reading) => reading.sight.sightings.iter().find_map(|sighting| sighting.job),
        Heard::Silent => None,
    }
}
