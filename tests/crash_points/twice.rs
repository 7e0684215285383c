//! Two faults in one move: after the first hit the points of everybody are counted on, and a second hit is planned at one of
//! them. Where the orchestrator never comes back, a recovery is one of those who can be hit, at each of its calls; it is run
//! again.

use crate::case::{Case, Points, Way, enumerate, hits, is_write};
use crate::ends;
use crate::play::{Cast, LONGEST, Planned, struck};
use crate::wrong::Wrong;
use muster_core::class::Class;
use muster_recovery::error::RecoveryError;
use muster_recovery::recover::{Recovered, Sites, recover};
use muster_tests::Process;
use muster_tests::life::Hit;
use std::time::Duration;

/// How long a hit is waited for whose answer is still to come when the move is over.
const ANSWER_LONGEST: Duration = Duration::from_secs(1);

/// The second hit of a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Second {
    pub(crate) planned: Planned,
    pub(crate) point: &'static str,
}

impl Second {
    /// Its part of the pair's name: a process's later lives are numbered.
    pub(crate) fn name(&self) -> String {
        let Planned { process, life, hit: Hit { point, moment } } = self.planned;
        let number = if life == 1 { String::new() } else { format!("#{life}") };
        format!("{}{number}/{point}/{moment:?}", process.word())
    }
}

/// What came of a pair.
#[derive(Debug)]
pub(crate) struct Played {
    /// Every second hit that there could have been after the first.
    pub(crate) seconds: Vec<Second>,
    /// Both hits were made.
    pub(crate) is_struck: bool,
}

/// The first hits of pairs: every one of a move, or those that leave a move standing at something durable, where a recovery
/// is to begin: a write, or a hypervisor's call.
pub(crate) fn firsts(like: &Case, points: &Points, durable_only: bool) -> Vec<Case> {
    let mut cases = enumerate(like.kind, like.way, like.besides, points);
    cases.retain(|case| !durable_only || is_write(case.point) || case.point.starts_with("hypervisor"));
    cases
}

/// Plays a first hit and, if there is one, a second, to the end.
pub(crate) async fn play(first: Case, second: Option<Second>) -> Result<Played, Wrong> {
    let planned = std::iter::once(first.planned()).chain(second.map(|second| second.planned)).collect();
    let mut cast = Cast::set(first.kind, planned).await;
    let (from, to) = (cast.stage.source.clone(), cast.stage.destination.clone());
    let order = cast.order("leave", &from, &to).await;
    let played = match first.way {
        Way::GoesOn => {
            let evacuation = cast.until_finished(order).await?;
            struck(&cast, &first).await?;
            let played = stand_back(&mut cast, &first, second).await;
            ends::over(&mut cast, evacuation).await?;
            played
        }
        Way::Recovered => {
            struck(&cast, &first).await?;
            cast.give_up();
            order.abort();
            cast.all_come_back().await;
            recover_once(&mut cast, second).await?;
            let played = stand_back(&mut cast, &first, second).await;
            ends::report_agrees(&mut cast, true).await?;
            ends::recovered(&mut cast).await?;
            played
        }
    };
    Ok(played)
}

/// No more hits from now on, and everybody is there.
async fn stand_back(cast: &mut Cast, first: &Case, second: Option<Second>) -> Played {
    let seconds = seconds(cast, first);
    let life_of = |planned: Planned| {
        cast.lives
            .iter()
            .filter(|(whom, _)| *whom == planned.process)
            .nth(planned.life - 1)
            .map(|(_, life)| life.clone())
    };
    let is_struck = match second.map(|second| (second.planned, life_of(second.planned))) {
        None => true,
        Some((_, None)) => false,
        Some((planned, Some(life))) => {
            let wanted = if planned.life == 1 && planned.process == first.process { 2 } else { 1 };
            let is_struck = async {
                while life.strikes().len() < wanted {
                    tokio::time::sleep(ANSWER_LONGEST / 20).await;
                }
            };
            tokio::time::timeout(ANSWER_LONGEST, is_struck).await.is_ok()
        }
    };
    cast.lives.iter().for_each(|(_, life)| life.spare());
    cast.all_come_back().await;
    Played { seconds, is_struck }
}

/// Every hit at a point that anybody has passed since the first one.
fn seconds(cast: &Cast, first: &Case) -> Vec<Second> {
    let strikes = cast.life(first.process).strikes();
    let Some(place) = strikes.first() else { return Vec::new() };
    let mut found = Vec::new();
    for (index, (process, life)) in cast.lives.iter().enumerate() {
        let number = cast.lives[..=index].iter().filter(|(whom, _)| whom == process).count();
        for (count, point) in life.points_after(*place) {
            let planned = hits(count, point).map(|hit| Planned { process: *process, life: number, hit });
            found.extend(planned.map(|planned| Second { planned, point }));
        }
    }
    found
}

/// `muster recover --apply`, as a process that may be hit. Whoever else dies meanwhile comes back. Only an undisturbed one has to
/// come through; what any of them says has to be so.
async fn recover_once(cast: &mut Cast, second: Option<Second>) -> Result<(), Wrong> {
    let (life, env) = cast.stage.caller(cast.hits_of(Process::Caller));
    cast.lives.push((Process::Caller, life.clone()));
    let destination = cast.stage.link_of(&life, env.clone(), Process::Destination).await;
    let source = Some(cast.stage.link_of(&life, env.clone(), Process::Source).await);
    let (sites, order) = (Sites { destination, source }, cast.stage.recover_order(true));
    let process = async move {
        tokio::select! {
            biased;
            () = life.until_ended() => None,
            outcome = recover(&sites, &env, &order) => Some(outcome),
        }
    };
    let mut process = tokio::spawn(process);
    let comes_to_an_end = async {
        loop {
            tokio::select! {
                biased;
                ended = &mut process => return ended.map_err(|error| format!("recover: {error}")),
                () = cast.until_one_dies() => cast.all_come_back().await,
            }
        }
    };
    let Ok(outcome) = tokio::time::timeout(LONGEST, comes_to_an_end).await else {
        return Err(format!("recover did not end within {LONGEST:?}; {}", cast.account(None).await).into());
    };
    let report: Option<Result<Recovered, RecoveryError>> = outcome?;
    match report {
        Some(Ok(recovered)) => ends::ended_rightly(cast, &recovered).await,
        Some(Err(RecoveryError::NoEvacuation { .. })) | None => Ok(()),
        Some(Err(error)) if second.is_some() && error.class() != Class::Bug => Ok(()),
        Some(Err(error)) => Err(format!("recover failed: {error}").into()),
    }
}
