//! What is expected of an evacuation, and so the order of its moves: when it is planned, and anew while it runs, from what the moves that have
//! arrived tell. It orders; what starts when is the schedule's to say.

use muster_core::evacuation::PlannedMove;
use muster_core::forecast::{Ahead, Forecast, Forecaster};
use muster_core::time::Timestamp;

/// Most moves that are ordered at once by whoever drives; more of them on a thread of their own, for that takes up to seconds.
const AT_ONCE_MAX: usize = 2_000;
/// How many steps are taken to a better order, each of at most milliseconds for a thousand moves. Counted, not timed, so that a plan repeats.
const STEPS: usize = 64;
/// What chance begins with.
const SEED: u64 = 1;

/// Moves that aren't over, each with the time at which it began if it is under way.
pub(super) type MovesAhead = Vec<(PlannedMove, Option<Timestamp>)>;

/// The forecaster, given back, and what it foretells. None, told in the log, where the moves can't be ordered: then they keep the order that
/// they have.
pub(super) type Foretold = (Forecaster, Option<Forecast>);

/// Foretells: where the moves are few, by the first time that it is polled.
pub(super) async fn foretell(forecaster: Forecaster, moves: MovesAhead, now: Timestamp) -> Foretold {
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

fn foretell_here(mut forecaster: Forecaster, moves: &MovesAhead, now: Timestamp) -> Foretold {
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use muster_core::definition::Mode;
    use muster_core::ids::VmId;
    use muster_core::runbook::Runbook;
    use muster_core::runbook::selection::Turn;
    use uuid::Uuid;

    fn moves(count: usize) -> MovesAhead {
        let planned = |number: usize| PlannedMove {
            vm: VmId(Uuid::from_u128(number as u128 + 1)),
            name: format!("vm-{number}").parse().expect("a name"),
            mode: Mode::Live,
            wave: 0,
            source_host: format!("s{}", number % 20).parse().expect("a host"),
            destination_host: format!("d{}", number % 20).parse().expect("a host"),
            memory_mib: 1_024,
            guardian: None,
            disk_mib: None,
            turn: Turn::default(),
            apart: None,
            expected: None,
            tags: Vec::new(),
        };
        (0..count).map(|number| (planned(number), None)).collect()
    }

    #[tokio::test]
    async fn few_moves_are_foretold_at_once_and_many_on_a_thread_of_their_own() {
        let text = "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"b\"\nselect = [{ all = true }]\n";
        let runbook = Runbook::parse(text).expect("a runbook");
        for (count, at_once) in [(AT_ONCE_MAX, true), (AT_ONCE_MAX + 1, false)] {
            let mut foretelling = foretell(Forecaster::new(&runbook), moves(count), Timestamp(1)).boxed();
            let first = foretelling.as_mut().now_or_never();
            assert_eq!(first.is_some(), at_once, "{count}");
            let (_, forecast) = match first {
                Some(foretold) => foretold,
                None => foretelling.await,
            };
            assert_eq!(forecast.expect("they can be ordered").moves.len(), count);
        }
    }
}
