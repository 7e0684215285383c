//! The pre-copy model: memory is sent while its guest writes to it, then what was written, and so on.
//!
//! For memory `M`, a rate `B`, `t0 = M/B`, a hot set of `H` written once in `h` seconds and a cold dirty rate `Dc`, sending takes
//!
//! ```text
//!   t0 > h:   t0 + (H + (t0−h)·Dc)/(B−Dc) + (H/B)·(H/h)/(B−H/h)
//!   else:     t0 + (H/h)·t0/(B−H/h)
//! ```
//! It converges where `B > Dc` and `B > H/h`. Between the two lines is a step of `H·Dc/(B·(B−Dc))`: up to `t0 = h` nothing cold is
//! written. What doesn't converge is followed round by round up the ladder, as the real one is: a guest whose hot set
//! is small enough for a longer downtime arrives all the same, another is given up.

use super::Workload;
use crate::ladder::{Ladder, RUNG_LEAST_MS};

/// Most rounds that are followed.
const ROUNDS_MAX: usize = 1_000;

/// A round that left more than this part of another's is no progress against it, as the ladder judges.
const PROGRESS: f64 = 0.9;

/// How a move's sending goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Course {
    /// What is left to send gets less from round to round.
    Converges,
    /// It doesn't, but it fits into a downtime that the ladder allows.
    TakesLongerDowntime,
    /// It doesn't, and doesn't fit: the attempt is aborted at the ladder's end, and the guest runs on at its source.
    IsGivenUp,
}

/// What is sent, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sending {
    /// How long the memory is sent, in seconds.
    pub(super) memory_s: f64,
    /// What is left to send when the last round begins, in seconds.
    pub(super) left_s: f64,
    pub(super) course: Course,
}

/// How a move's memory is sent at a rate, in MiB/s.
pub(super) fn sending(workload: &Workload, rate_mib_s: f64, downtime_ms: f64, ladder: &Ladder) -> Sending {
    let walked = Rounds::of(workload, rate_mib_s).walk(downtime_ms, ladder);
    match converging_s(workload, rate_mib_s) {
        Some(memory_s) => Sending { memory_s, course: Course::Converges, ..walked },
        None => walked,
    }
}

/// How long the memory is sent, in seconds: [`sending`] without what only a prediction needs.
pub(super) fn memory_s(workload: &Workload, rate_mib_s: f64, downtime_ms: f64, ladder: &Ladder) -> f64 {
    converging_s(workload, rate_mib_s)
        .unwrap_or_else(|| Rounds::of(workload, rate_mib_s).walk(downtime_ms, ladder).memory_s)
}

/// None where it doesn't converge.
fn converging_s(workload: &Workload, rate_mib_s: f64) -> Option<f64> {
    let Rounds { memory, rate, hot_set, hot_set_s, hot_rate, cold_rate } = Rounds::of(workload, rate_mib_s);
    let first_s = memory / rate;
    if memory == 0.0 {
        return Some(0.0);
    }
    if rate <= cold_rate || rate <= hot_rate {
        return None;
    }
    Some(if first_s > hot_set_s {
        let cold_s = (hot_set + (first_s - hot_set_s) * cold_rate) / (rate - cold_rate);
        first_s + cold_s + hot_set / rate * hot_rate / (rate - hot_rate)
    } else {
        first_s + hot_rate * first_s / (rate - hot_rate)
    })
}

/// A guest's rounds; MiB and seconds.
struct Rounds {
    memory: f64,
    rate: f64,
    /// Never more than the memory.
    hot_set: f64,
    hot_set_s: f64,
    /// Infinite for a hot set that is written in no time.
    hot_rate: f64,
    cold_rate: f64,
}

impl Rounds {
    fn of(workload: &Workload, rate: f64) -> Self {
        let Workload { memory_mib: memory, hot_set_s, cold_dirty_mib_s: cold_rate, .. } = *workload;
        let hot_set = workload.hot_set_mib.min(memory);
        let hot_rate = if hot_set > 0.0 { hot_set / hot_set_s } else { 0.0 };
        Rounds { memory, rate, hot_set, hot_set_s, hot_rate, cold_rate }
    }

    /// What the guest writes in a round, at most all of its memory.
    fn written(&self, round_s: f64) -> f64 {
        let written = if round_s > self.hot_set_s {
            self.hot_set + (round_s - self.hot_set_s) * self.cold_rate
        } else if round_s > 0.0 {
            self.hot_rate * round_s
        } else {
            0.0
        };
        written.min(self.memory)
    }

    /// Round by round, until what is left may be sent while the guest stands still, or the ladder is at its end.
    fn walk(&self, downtime_ms: f64, ladder: &Ladder) -> Sending {
        let longer_s = ladder.downtimes_ms.iter().map(|downtime_ms| *downtime_ms as f64 / 1e3);
        let mut rungs = std::iter::once(downtime_ms / 1e3).chain(longer_s);
        let mut allowed_s = rungs.next().unwrap_or_default();
        let mut memory_s = self.memory / self.rate;
        let mut left_s = self.written(memory_s) / self.rate;
        let (mut least_s, mut rung_since_s, mut stalled_rounds) = (left_s, memory_s, 0);
        for _ in 0..ROUNDS_MAX {
            if left_s <= allowed_s {
                return Sending { memory_s: memory_s + left_s, left_s, course: Course::TakesLongerDowntime };
            }
            memory_s += left_s;
            let before_s = left_s;
            left_s = self.written(before_s) / self.rate;
            if left_s <= least_s * PROGRESS {
                stalled_rounds = 0;
            } else if left_s > before_s * PROGRESS {
                stalled_rounds += 1;
            }
            least_s = least_s.min(left_s);
            let is_stall = (memory_s - rung_since_s) * 1e3 >= RUNG_LEAST_MS as f64;
            if is_stall && stalled_rounds >= ladder.stalled_rounds {
                let Some(longer_s) = rungs.next() else { break };
                (allowed_s, rung_since_s, stalled_rounds) = (longer_s, memory_s, 0);
            }
        }
        Sending { memory_s, left_s, course: Course::IsGivenUp }
    }
}
