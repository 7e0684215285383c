//! The seam to the world's accidents: what time it is, and new ids. Implementations live outside of this crate.

use crate::time::Timestamp;
use uuid::Uuid;

/// Where time and new ids come from. Everything that needs either takes one of these, so that a simulation repeats.
pub trait Env: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// An id that nobody else has.
    fn new_id(&self) -> Uuid;
    /// An evenly spread number below `bound`, for jitter; 0 for a bound of 0.
    fn random_below(&self, bound: u64) -> u64;
}
