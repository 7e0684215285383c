//! How long a move will take, how much it sends and how long its guest stands still; learned from the moves that are over.
//!
//! ```text
//!   completed moves ──▶ Calibration::learn ──▶ rate factor of each link, fixed cost, dirtying of this site
//!   a move to come ───▶ Calibration::predict ─▶ duration, volume, downtime, whether it converges
//! ```
//! [`precopy`] is the model: what is sent at a rate while a guest goes on writing. [`fit`] finds the numbers that explain
//! what was seen, [`grouping`] which moves share a link. A calibration is a plain value: after each completed move
//! another is learned, and whatever is still to come is predicted with that.
//!
//! Pure and deterministic. It must never decide what is started or given up: predictions order and warn, evidence decides.

mod calibration;
mod fit;
mod grouping;
mod precopy;

pub use calibration::{Calibration, HISTORY_MAX};
pub use grouping::Grouping;
pub use precopy::Course;

use crate::class::Class;
use crate::ladder::Ladder;

/// Largest value of any quantity here, in its own unit.
pub const QUANTITY_MAX: f64 = 1e12;

/// Lowest nominal rate, in Mbit/s.
pub const RATE_MIN_MBIT_S: f64 = 1e-3;

/// Shortest duration of a completed move, in seconds.
pub const DURATION_MIN_S: f64 = 1e-3;

/// A Mbit (10^6 bits) in MiB.
const MIB_PER_MBIT: f64 = 1e6 / 8.0 / (1 << 20) as f64;

/// What a move has to send, and how its guest writes to its memory meanwhile. All finite, from 0 to [`QUANTITY_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Workload {
    /// The guest's memory, in MiB; 0 for a VM that moves without it.
    pub memory_mib: f64,
    /// Storage that is copied, before the memory and over the same link, in MiB.
    pub storage_mib: f64,
    /// What the guest writes over and over, in MiB. More than its memory counts as all of it.
    pub hot_set_mib: f64,
    /// In how many seconds it has written all of its hot set once. With 0 a hot set can't be caught up with.
    pub hot_set_s: f64,
    /// How fast it writes to the rest of its memory, in MiB/s.
    pub cold_dirty_mib_s: f64,
}

/// Which way a move goes, as far as it is known. Moves that have a field in common may have the error of their nominal rate in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// The link between the sites.
    pub link: Option<String>,
    /// The path over several links.
    pub path: Option<String>,
    /// The host that is left.
    pub source: Option<String>,
    /// The host that is gone to.
    pub destination: Option<String>,
}

/// A move, as it can be predicted.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    workload: Workload,
    nominal_mib_s: f64,
    route: Route,
}

impl Move {
    /// A move at a nominal rate, in Mbit (10^6 bits) per second: [`RATE_MIN_MBIT_S`] to [`QUANTITY_MAX`].
    ///
    /// # Errors
    /// Where a quantity is not a number, or outside its range.
    pub fn new(workload: Workload, rate_mbit_s: f64, route: Route) -> Result<Self, Unfit> {
        let Workload { memory_mib, storage_mib, hot_set_mib, hot_set_s, cold_dirty_mib_s } = workload;
        within("memory_mib", memory_mib, 0.0)?;
        within("storage_mib", storage_mib, 0.0)?;
        within("hot_set_mib", hot_set_mib, 0.0)?;
        within("hot_set_s", hot_set_s, 0.0)?;
        within("cold_dirty_mib_s", cold_dirty_mib_s, 0.0)?;
        within("rate_mbit_s", rate_mbit_s, RATE_MIN_MBIT_S)?;
        Ok(Move { workload, nominal_mib_s: rate_mbit_s * MIB_PER_MBIT, route })
    }
}

/// A move that has come through.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    of: Move,
    duration_s: f64,
}

impl Completed {
    /// A move and how long it took from its start to its end, in seconds: [`DURATION_MIN_S`] to [`QUANTITY_MAX`].
    ///
    /// # Errors
    /// Where the duration is not a number, or outside its range.
    pub fn new(of: Move, duration_s: f64) -> Result<Self, Unfit> {
        within("duration_s", duration_s, DURATION_MIN_S)?;
        Ok(Completed { of, duration_s })
    }
}

/// A quantity that nothing can be predicted from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} is {value}; {}", self.mend())]
pub struct Unfit {
    /// Which quantity.
    pub field: &'static str,
    /// What it is.
    pub value: f64,
    /// The least that it may be.
    pub least: f64,
}

impl Unfit {
    /// What to do about it.
    #[must_use]
    pub fn mend(&self) -> String {
        format!("use a finite number from {} to {QUANTITY_MAX:e}", self.least)
    }

    /// What the caller may do now: change the quantity.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Refused
    }
}

fn within(field: &'static str, value: f64, least: f64) -> Result<(), Unfit> {
    // What is not a number is in no range.
    if (least..=QUANTITY_MAX).contains(&value) { Ok(()) } else { Err(Unfit { field, value, least }) }
}

/// What is taken for true of a site before its moves have told better, and what they don't tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Assumed {
    /// The effective rate over the nominal one. By default what frames of 1500 bytes leave for what they carry.
    pub rate_factor: f64,
    /// What every move takes beside its sending, in seconds. By default what moves of guests almost without memory take
    /// (docs/MEASURED.md).
    pub fixed_s: f64,
    /// What the commit adds to a downtime: proof that the source is gone, event, run; in milliseconds. By default as
    /// measured (docs/MEASURED.md).
    pub commit_ms: f64,
    /// For how long a guest may stand still by the hypervisor's own choice, in milliseconds. By default QEMU's.
    pub downtime_ms: f64,
    /// What is done with a transfer that makes no progress.
    pub ladder: Ladder,
}

impl Default for Assumed {
    fn default() -> Self {
        Assumed { rate_factor: 0.94, fixed_s: 2.0, commit_ms: 300.0, downtime_ms: 300.0, ladder: Ladder::default() }
    }
}

/// What is to be expected of a move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// From its start to its end, in seconds; of a move that is given up, to the end of its first attempt.
    pub duration_s: f64,
    /// What is sent, storage and repeated pages included, in MiB.
    pub volume_mib: f64,
    /// How long the guest stands still, in milliseconds; of a move that is given up, how long it would have had to.
    pub downtime_ms: f64,
    /// How its sending goes.
    pub course: Course,
}

impl Prediction {
    /// Whether what is left to send gets less from round to round, whatever the guest may stand still.
    #[must_use]
    pub fn converges(&self) -> bool {
        self.course == Course::Converges
    }
}
