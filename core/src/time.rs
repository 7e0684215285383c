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

/// The days from the first of January 1970 to a day of the Gregorian calendar; negative before. `month` is 1 to 12, `day` 1 to 31.
///
/// By counting years from March, so that the leap day is a year's last (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`).
#[must_use]
pub fn days_since_epoch(year: i64, month: u8, day: u8) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
