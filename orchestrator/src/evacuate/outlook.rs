//! What is expected of an evacuation, and so the order of its moves: when it is planned, and anew while it runs, from what the moves that have
//! arrived tell. It orders; what starts when is the schedule's to say.

use muster_core::evacuation::PlannedMove;
use muster_core::forecast::{Ahead, Forecast, Forecaster};
use muster_core::time::Timestamp;

/// Most moves that are ordered at once by whoever drives; more of them on a thread of their own, for that takes up to seconds.
pub(super) const AT_ONCE_MAX: usize = 2_000;
/// How many steps are taken to a better order, each of at most milliseconds for a thousand moves. Counted, not timed, so that a plan repeats.
const STEPS: usize = 64;
/// What chance begins with.
const SEED: u64 = 1;

/// Moves that aren't over, each with the time at which it began if it is under way.
pub(super) type Moves = Vec<(PlannedMove, Option<Timestamp>)>;

/// Foretells, and gives the forecaster back. None, told in the log, where the moves can't be ordered: then they keep the order that they have.
pub(super) async fn foretell(forecaster: Forecaster, moves: Moves, now: Timestamp) -> (Forecaster, Option<Forecast>) {
    if moves.len() <= AT_ONCE_MAX {
        return foretell_here(forecaster, &moves, now);
    }
    let kept = forecaster.clone();
    let foretold = tokio::task::spawn_blocking(move || foretell_here(forecaster, &moves, now)).await;
    foretold.unwrap_or_else(|error| {
        tracing::error!(%error, "ordering the moves has failed; they keep the order that they have");
        (kept, None)
    })
}

fn foretell_here(mut forecaster: Forecaster, moves: &Moves, now: Timestamp) -> (Forecaster, Option<Forecast>) {
    let ahead: Vec<Ahead<'_>> = moves.iter().map(|(planned, since)| Ahead { planned, since: *since }).collect();
    let mut steps = 0..STEPS;
    let forecast = forecaster.forecast(&ahead, now, SEED, &mut || steps.next().is_some());
    match forecast {
        Ok(forecast) => (forecaster, Some(forecast)),
        Err(error) => {
            tracing::warn!(%error, "the moves can't be ordered by what they take; they keep the order that they have");
            (forecaster, None)
        }
    }
}
