//! One transfer's way up the ladder: what was seen of its rounds, and what follows.

use super::{Ladder, RUNG_LEAST_MS};
use crate::reading::{Job, Phase};
use crate::runbook::Deadlines;
use crate::terms::Terms;
use crate::time::Timestamp;
use std::fmt;

/// What follows for a transfer that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It goes on. Unless something changes before, it is to be judged again after so long, in milliseconds.
    GoesOn {
        /// None if no limit is set.
        limit_in_ms: Option<u64>,
    },
    /// Its guest may stand still for so long, in milliseconds.
    LongerDowntime {
        /// In milliseconds.
        downtime_ms: u64,
    },
    /// It is aborted.
    GivenUp(GivenUp),
    /// It takes too long where nothing is aborted any more: it is left to its hypervisors, and shown.
    IsOverdue {
        /// The phase.
        phase: Phase,
        /// Its limit, in milliseconds.
        limit_ms: u64,
    },
}

/// Why a transfer is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// It doesn't converge.
    Stalled {
        /// How many rounds brought no progress since the last rung.
        rounds: u32,
        /// How fast its guest dirties memory, in MiB per second.
        dirty_rate_mib_s: u64,
    },
    /// A phase took longer than it may.
    TooLong {
        /// The phase.
        phase: Phase,
        /// Its limit, in milliseconds.
        limit_ms: u64,
    },
}

impl fmt::Display for GivenUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GivenUp::Stalled { rounds, dirty_rate_mib_s } => write!(
                formatter,
                "the transfer doesn't converge: {rounds} rounds without progress on the last rung of the ladder, its guest dirties \
                 {dirty_rate_mib_s} MiB/s"
            ),
            GivenUp::TooLong { phase, limit_ms } => {
                write!(formatter, "the transfer's {} took longer than {limit_ms} ms", phase.word())
            }
        }
    }
}

/// What is remembered of one transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Climb {
    stage: Option<(Stage, Timestamp)>,
    rounds: Option<Rounds>,
    /// How many of the downtimes were taken.
    rungs: usize,
    rung_since: Timestamp,
}

/// What limits are set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Setup,
    /// Everything that is sent while the guest runs, or doesn't run anyway.
    Sending,
    Handover,
    Finish,
}

impl Stage {
    fn of(phase: Phase) -> Self {
        match phase {
            Phase::Setup => Stage::Setup,
            Phase::ShutDown | Phase::PreCopy | Phase::DiskCopy | Phase::DiskVerify => Stage::Sending,
            Phase::Handover => Stage::Handover,
            Phase::Finish => Stage::Finish,
        }
    }

    fn limit_ms(self, deadlines: &Deadlines) -> Option<u64> {
        match self {
            Stage::Setup => Some(deadlines.setup_ms),
            Stage::Sending => deadlines.transfer_ms,
            Stage::Handover => Some(deadlines.handover_ms),
            Stage::Finish => Some(deadlines.finish_ms),
        }
    }
}

/// How the pre-copy rounds went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rounds {
    /// The one under way.
    round: u32,
    /// Sent before it began, in MiB.
    sent_before_mib: u64,
    /// What one round sent: the last, and the least of all, in KiB.
    volumes: Option<(u64, u64)>,
    /// How many in a row brought no progress.
    stalled: u32,
}

impl Climb {
    /// Takes in what is seen of the transfer now, and says what follows.
    pub fn follow(&mut self, job: &Job, terms: &Terms, now: Timestamp) -> Advice {
        let stage = Stage::of(job.phase);
        let since = match self.stage {
            Some((same, since)) if same == stage => since,
            Some(_) | None => {
                self.rung_since = now;
                now
            }
        };
        self.stage = Some((stage, since));
        let limit_ms = stage.limit_ms(&terms.deadlines);
        let limit_in_ms = limit_ms.map(|limit_ms| limit_ms.saturating_sub(now.since_ms(since)));
        if let (Some(limit_ms), Some(0)) = (limit_ms, limit_in_ms) {
            return match stage {
                Stage::Setup | Stage::Sending => Advice::GivenUp(GivenUp::TooLong { phase: job.phase, limit_ms }),
                Stage::Handover | Stage::Finish => Advice::IsOverdue { phase: job.phase, limit_ms },
            };
        }
        if job.phase == Phase::PreCopy {
            let stalled = self.note(job);
            let is_stall = stalled >= terms.ladder.stalled_rounds && now.since_ms(self.rung_since) >= RUNG_LEAST_MS;
            if is_stall {
                return self.next_rung(job, &terms.ladder, stalled);
            }
        }
        Advice::GoesOn { limit_in_ms }
    }

    /// The advised rung was taken, or couldn't be: either way the next one comes only after further rounds.
    pub fn took_rung(&mut self, now: Timestamp) {
        self.rungs += 1;
        self.rung_since = now;
        if let Some(rounds) = &mut self.rounds {
            rounds.stalled = 0;
        }
    }

    /// The downtime that was last allowed, in milliseconds; none while it is the hypervisor's own.
    #[must_use]
    pub fn downtime_ms(&self, ladder: &Ladder) -> Option<u64> {
        let taken = self.rungs.min(ladder.downtimes_ms.len());
        taken.checked_sub(1).and_then(|last| ladder.downtimes_ms.get(last)).copied()
    }

    fn next_rung(&self, job: &Job, ladder: &Ladder, rounds: u32) -> Advice {
        match ladder.downtimes_ms.get(self.rungs) {
            Some(downtime_ms) => Advice::LongerDowntime { downtime_ms: *downtime_ms },
            None => Advice::GivenUp(GivenUp::Stalled { rounds, dirty_rate_mib_s: job.dirty_rate_mib_s }),
        }
    }

    /// How many rounds in a row have brought no progress, with those that ended since the last look.
    fn note(&mut self, job: &Job) -> u32 {
        let rounds = self.rounds.get_or_insert(Rounds {
            round: job.round,
            sent_before_mib: job.sent_mib,
            volumes: None,
            stalled: 0,
        });
        let ended = job.round.saturating_sub(rounds.round);
        if ended == 0 {
            return rounds.stalled;
        }
        // Short rounds may pass unseen between two looks: then each of them counts as their average.
        let volume_kib = (job.sent_mib.saturating_sub(rounds.sent_before_mib) << 10) / u64::from(ended);
        let (last, least) = rounds.volumes.unwrap_or((u64::MAX, u64::MAX));
        if is_clearly_less(volume_kib, least) {
            rounds.stalled = 0;
        } else if !is_clearly_less(volume_kib, last) {
            rounds.stalled = rounds.stalled.saturating_add(ended);
        }
        rounds.volumes = Some((volume_kib, volume_kib.min(least)));
        rounds.round = job.round;
        rounds.sent_before_mib = job.sent_mib;
        rounds.stalled
    }
}

/// By a tenth at least: what shrinks more slowly takes more rounds than it is worth.
fn is_clearly_less(volume: u64, than: u64) -> bool {
    volume < than && volume <= than / 10 * 9
}
