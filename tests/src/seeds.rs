//! Which seeds a run plays, as a person writes them.

/// Names the seeds of a run.
pub const SEEDS: &str = "MUSTER_SEEDS";

/// The seeds that [`SEEDS`] names, or these.
///
/// # Panics
/// Where what it names are no seeds.
#[must_use]
pub fn given_or(otherwise: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    let given = std::env::var(SEEDS).ok();
    given.map_or_else(|| otherwise.collect(), |given| parse(&given).expect("seeds like 17, 3,9 or 1..100"))
}

fn parse(given: &str) -> Option<Vec<u64>> {
    let parts = given.split(',').map(|part| match part.split_once("..") {
        Some((first, last)) => Some(first.trim().parse().ok()?..=last.trim().parse().ok()?),
        None => part.trim().parse().ok().map(|seed| seed..=seed),
    });
    let ranges: Option<Vec<std::ops::RangeInclusive<u64>>> = parts.collect();
    ranges.map(|ranges| ranges.into_iter().flatten().collect())
}
