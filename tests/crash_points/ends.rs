//! What a right end is. Written from the words of the design; asks the world's truth, both ledgers and the roll call.

use crate::case::Kind;
use crate::play::{Cast, lines};
use crate::wrong::{Wrong, Zero};
use muster_core::evidence::Outcome;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::ledger::command::EventKind;
use muster_core::reading::{Instance, Stored};
use muster_core::step::Step;
use muster_core::verdict::Verdict;
use muster_recovery::explain::explain;
use muster_recovery::recover::Recovered;
use muster_recovery::roll_call::{Account, RollCallLine};
use muster_tests::Process;
use muster_tests::history::Line;
use muster_tests::judge::{contradiction, violation};
use muster_worker::hypervisor::sim::world::Truth;
use std::collections::BTreeMap;

/// What a recovery came to.
pub(crate) enum Report {
    /// It called a roll.
    Roll(Recovered),
    /// The destination's ledger knows of no evacuation.
    NothingBegun,
}

/// The evidence of every line, for whoever reads a failure.
pub(crate) fn explained(recovered: &Recovered) -> String {
    recovered
        .lines
        .iter()
        .flat_map(|line| explain(line).into_iter().chain(line.error.clone()))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The evacuation is over, and a recovery finds nothing to do.
pub(crate) async fn over(cast: &mut Cast, evacuation: EvacuationId) -> Result<(), Wrong> {
    let (source, destination) = (cast.stage.source.clone(), cast.stage.destination.clone());
    at(cast, &source, &destination).await?;
    let before = (standing(cast).await, changes(cast).await);
    let report = cast.recover(Some(evacuation), true, true).await?;
    let [line] = lines(&report) else { return Err("the VM is not on the roll".to_owned().into()) };
    if line.decision.verdict != Verdict::FullyMigrated || line.decision.step != Step::Settled(Outcome::Migrated) {
        return Err(format!("not fully migrated and settled: {}", explain(line).join("\n")).into());
    }
    nothing_changed(cast, before).await
}

/// The VM is at `to`, as it was made, and its copy at `from` is Not Runnable.
pub(crate) async fn at(cast: &mut Cast, from: &SiteName, to: &SiteName) -> Result<(), Wrong> {
    let truth = truth_of(cast).await?;
    match wrong_place(cast.kind, &truth, from, to) {
        None => Ok(()),
        Some(wrong) => Err(format!("{wrong}; {}", cast.account(None).await).into()),
    }
}

/// The move is recovered: at the destination if it had begun, untouched at the source if not. Doing it again changes nothing.
pub(crate) async fn recovered(cast: &mut Cast) -> Result<(), Wrong> {
    let (source, destination) = (cast.stage.source.clone(), cast.stage.destination.clone());
    let first = cast.recover(None, true, true).await?;
    let truth = truth_of(cast).await?;
    for line in lines(&first) {
        agrees(line, &truth, &source, &destination)?;
    }
    let opened = |line: &Line| matches!(line.kind, EventKind::AttemptOpened { .. });
    let has_begun = cast.stage.history_of(Process::Destination, cast.vm).await.iter().any(opened);
    let wrong = match (lines(&first), has_begun) {
        ([line], true) if line.decision.verdict != Verdict::FullyMigrated => Some("not fully migrated".to_owned()),
        ([line], true) if line.account() != Account::Settled => Some("not settled".to_owned()),
        ([_], true) => wrong_place(cast.kind, &truth, &source, &destination),
        ([line], false) if line.decision.verdict != Verdict::NotStarted => Some("not NotStarted".to_owned()),
        ([line], false) if line.account() != Account::Settled => Some("never begun, and yet not settled".to_owned()),
        ([_] | [], false) => not_untouched(cast.kind, &truth, &source),
        (_, _) => Some("the VM is not on the roll".to_owned()),
    };
    if let Some(wrong) = wrong {
        let said = lines(&first).iter().map(|line| (line.decision, line.error.clone())).collect::<Vec<_>>();
        return Err(format!("{wrong}; recover said {said:?}; {}", cast.account(None).await).into());
    }
    if let Report::Roll(Recovered { claim_kept: true, .. }) = first {
        return Err(format!("the recovery keeps its claim; {}", cast.account(None).await).into());
    }
    let before = (standing(cast).await, changes(cast).await);
    let second = cast.recover(None, true, true).await?;
    let decisions = |report: &Report| lines(report).iter().map(|line| line.decision).collect::<Vec<_>>();
    if decisions(&first) != decisions(&second) {
        return Err(format!(
            "the second recovery says otherwise: {:?}, then {:?}",
            decisions(&first),
            decisions(&second)
        )
        .into());
    }
    nothing_changed(cast, before).await
}

/// A look, with one worker or both: what it says of the VM is so.
pub(crate) async fn report_agrees(cast: &mut Cast, with_source: bool) -> Result<(), Wrong> {
    let (source, destination) = (cast.stage.source.clone(), cast.stage.destination.clone());
    let before = truth_of(cast).await?;
    let report = cast.recover(None, false, with_source).await?;
    let after = truth_of(cast).await?;
    for line in lines(&report) {
        // The world goes on while somebody looks: it may be as it was before, or as it was after.
        agrees(line, &before, &source, &destination).or_else(|_| agrees(line, &after, &source, &destination))?;
    }
    Ok(())
}

/// What a recovery says that has just ended is so.
pub(crate) async fn ended_rightly(cast: &Cast, report: &Recovered) -> Result<(), Wrong> {
    let truth = truth_of(cast).await?;
    report.lines.iter().try_for_each(|line| agrees(line, &truth, &cast.stage.source, &cast.stage.destination))
}

fn agrees(line: &RollCallLine, truth: &Truth, source: &SiteName, destination: &SiteName) -> Result<(), Wrong> {
    match contradiction(line.decision.verdict, line.entry.mode, truth, source, destination) {
        None => Ok(()),
        Some(wrong) => {
            let what = format!("wrong verdict: {wrong}\n{}\n{truth:#?}", explain(line).join("\n"));
            Err(Wrong::new(Zero::WrongVerdict, what))
        }
    }
}

/// The truth about the VM, if it is not one that may never be.
async fn truth_of(cast: &Cast) -> Result<Truth, Wrong> {
    let truth = cast.stage.truth_of(cast.vm).await;
    match violation(&truth) {
        None => Ok(truth),
        Some(violation) => {
            let is_twice = truth.ran_twice || truth.disk_writers_max > 1;
            let counts_as = if is_twice { Zero::RanTwice } else { Zero::Lost };
            Err(Wrong::new(counts_as, format!("{violation}: {truth:#?}")))
        }
    }
}

fn wrong_place(kind: Kind, truth: &Truth, from: &SiteName, to: &SiteName) -> Option<String> {
    let here: Vec<_> = truth.places.iter().filter(|place| place.site == *to).collect();
    let there: Vec<_> = truth.places.iter().filter(|place| place.site == *from).collect();
    let runs = kind != Kind::Off;
    let ([place], [old]) = (here.as_slice(), there.as_slice()) else {
        return Some(format!("in {} places at {to} and {} at {from}", here.len(), there.len()));
    };
    let is_off = |instance| matches!(instance, Instance::Off(_));
    let wrong = [
        (place.stored != Stored::Real, "its definition is not the real one"),
        (!place.autostarts, "its autostart is not back"),
        (runs != (place.instance == Instance::Running), "it doesn't run where it should, or runs where it shouldn't"),
        (!runs && !is_off(place.instance), "it should be off"),
        (place.job || old.job, "a job is on it"),
        (place.disk_stale || !place.disk_complete, "its disk is not whole"),
        (old.stored != Stored::Retired, "the old copy is not retired"),
        (!is_off(old.instance), "the old copy is not off"),
    ];
    wrong.iter().find(|(is_so, _)| *is_so).map(|(_, what)| format!("{what} ({from} to {to})"))
}

fn not_untouched(kind: Kind, truth: &Truth, source: &SiteName) -> Option<String> {
    let [place] = truth.places.as_slice() else { return Some("it is in several places".to_owned()) };
    let runs = kind != Kind::Off;
    let is_so = place.site == *source
        && place.stored == Stored::Real
        && place.autostarts
        && runs == (place.instance == Instance::Running);
    (!is_so).then(|| "it is not at the source as it was".to_owned())
}

type Standing = BTreeMap<VmId, Truth>;

async fn standing(cast: &Cast) -> Standing {
    cast.stage.truth().await
}

/// How many changes both ledgers have written down, claims and floors aside.
async fn changes(cast: &Cast) -> (usize, usize) {
    let count = |lines: Vec<Line>| lines.iter().filter(|line| !line.is_of_claims()).count();
    let at_source = count(cast.stage.history(Process::Source).await);
    (at_source, count(cast.stage.history(Process::Destination).await))
}

async fn nothing_changed(cast: &mut Cast, before: (Standing, (usize, usize))) -> Result<(), Wrong> {
    let after = (standing(cast).await, changes(cast).await);
    if before == after {
        Ok(())
    } else {
        Err(format!("a recovery of what was settled changed something: {before:#?}\nthen {after:#?}").into())
    }
}
