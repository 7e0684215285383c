//! Points in time and spans, as plain numbers. Nothing here reads a clock.

use serde::{Deserialize, Serialize};

/// A point in time in milliseconds since the Unix epoch, as told by whoever calls.
///
/// It orders what one process saw; it never proves anything across processes, since clocks disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long ago `earlier` was, in milliseconds; zero if it lies ahead.
    #[must_use]
    pub fn since_ms(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `span_ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, span_ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(span_ms))
    }
}
