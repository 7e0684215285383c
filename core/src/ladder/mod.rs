//! What is done with a transfer that doesn't converge: longer downtime, then auto-converge, then it is given up.
//!
//! ```text
//!   rounds without progress ─▶ next longer downtime ─▶ … ─▶ given up ─▶ next attempt, with auto-converge
//!                              (while it runs)                          (while the move's attempts last)
//! ```
//! Progress is judged by pre-copy rounds, never by the bytes that are left: those go up and down within every healthy
//! transfer. Auto-converge comes with an attempt of its own, since hypervisors can't be told to slow a guest down once its transfer
//! has begun, and telling them before would slow guests that need it not.
//!
//! Pure. [`Climb`] remembers of a transfer only what it needs for its next judgement. It must never advise to end what
//! is being handed over: past that limit the transfer is left to its hypervisors, visibly.

mod climb;

pub use climb::{Advice, Climb, GivenUp};

use serde::{Deserialize, Serialize};

/// The least that a downtime has to bring before the next rung is taken, in milliseconds. Rounds of small guests take
/// a few milliseconds each.
pub const RUNG_LEAST_MS: u64 = 2_000;

/// The ladder, from the runbook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Ladder {
    /// How long the guest may stand still, one rung after the other, in milliseconds, each longer than the one before: 1 to
    /// [`Ladder::DOWNTIME_MAX_MS`], at most [`Ladder::RUNGS_MAX`]. The first one comes after what the hypervisor allows by itself.
    pub downtimes_ms: Vec<u64>,
    /// Whether the guest is slowed down when no downtime has helped.
    pub auto_converge: AutoConverge,
    /// How many pre-copy rounds without progress are a stall: 2 to [`Ladder::STALLED_ROUNDS_MAX`], by default 5.
    pub stalled_rounds: u32,
}

impl Ladder {
    /// Longest downtime that may be allowed, in milliseconds.
    pub const DOWNTIME_MAX_MS: u64 = 600_000;
    /// Most rungs of longer downtime.
    pub const RUNGS_MAX: usize = 16;
    /// Fewest rounds that can be a stall.
    pub const STALLED_ROUNDS_MIN: u32 = 2;
    /// Most rounds that can be a stall.
    pub const STALLED_ROUNDS_MAX: u32 = 1_000;
}

impl Default for Ladder {
    fn default() -> Self {
        Ladder { downtimes_ms: vec![500, 1_000, 2_000], auto_converge: AutoConverge::default(), stalled_rounds: 5 }
    }
}

/// When a guest is slowed down so that its transfer converges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoConverge {
    /// Never.
    Never,
    /// In the attempts that follow one that didn't converge.
    #[default]
    NextAttempt,
    /// In every attempt. Hypervisors slow down only what dirties memory too fast.
    Always,
}

impl AutoConverge {
    /// Its words in runbooks and on command lines.
    pub const WORDS: [(&'static str, AutoConverge); 3] =
        [("never", AutoConverge::Never), ("next_attempt", AutoConverge::NextAttempt), ("always", AutoConverge::Always)];
}

/// A rung that was taken, as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The guest may stand still for so long, in milliseconds.
    LongerDowntime(u64),
    /// The attempts from now on slow the guest down.
    AutoConverge,
}
