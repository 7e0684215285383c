//! What comes out: structs with stable field names, for JSON, and their text for people. Prints nothing.

pub(crate) mod audit;
pub(crate) mod audit_export;
pub(crate) mod check;
pub(crate) mod conformance;
pub(crate) mod demo;
pub(crate) mod evacuation;
pub(crate) mod evacuation_plan;
pub(crate) mod gantt;
#[cfg(feature = "libvirt")]
pub(crate) mod inspect;
pub(crate) mod ledger;
pub(crate) mod moves;
pub(crate) mod pki;
pub(crate) mod plan;
pub(crate) mod predict;
pub(crate) mod report;
pub(crate) mod roll_call;
mod table;

pub(crate) use table::table;

use std::cmp::Ordering;

/// Most rows of a plan or a report that are shown to people; JSON has them all.
const ROWS_SHOWN_MAX: usize = 200;

/// The middle of these and the greatest; none of none.
fn middle_and_greatest<T: Copy>(mut values: Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> Option<(T, T)> {
    values.sort_by(compare);
    Some((*values.get(values.len() / 2)?, *values.last()?))
}

/// So many of something, in words that fit the number.
pub(crate) fn counted(count: u64, one: &str, several: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {several}") }
}

/// An empty text as nothing.
fn given(text: &str) -> Option<String> {
    if text.is_empty() { None } else { Some(text.to_owned()) }
}

/// A span of time for people.
pub(crate) fn span(span_ms: u64) -> String {
    match span_ms {
        0..1_000 => format!("{span_ms} ms"),
        1_000..120_000 => format!("{}.{} s", span_ms / 1_000, span_ms % 1_000 / 100),
        120_000..7_200_000 => format!("{} min {} s", span_ms / 60_000, span_ms % 60_000 / 1_000),
        7_200_000..172_800_000 => format!("{} h {} min", span_ms / 3_600_000, span_ms % 3_600_000 / 60_000),
        _ => format!("{} d {} h", span_ms / 86_400_000, span_ms % 86_400_000 / 3_600_000),
    }
}

/// A point in time for people: date and time of day, UTC.
pub(crate) fn instant(at_ms: u64) -> String {
    let seconds = at_ms / 1_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", rest / 3_600, rest % 3_600 / 60, rest % 60)
}

/// The date of a day since 1970: the proleptic Gregorian calendar in eras of 400 years, each begun with a March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "VM", "VMs")), ["0 VMs", "1 VM", "2 VMs"]);
    }

    #[test]
    fn instants_are_dates() {
        assert_eq!(instant(0), "1970-01-01 00:00:00Z");
        assert_eq!(instant(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(instant(1_767_225_599_999), "2025-12-31 23:59:59Z");
        assert_eq!(instant(4_107_542_400_000), "2100-03-01 00:00:00Z");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!([span(7), span(1_250), span(125_000)], ["7 ms", "1.2 s", "2 min 5 s"]);
        assert_eq!([span(9_000_000), span(612_000_000)], ["2 h 30 min", "7 d 2 h"]);
    }
}
