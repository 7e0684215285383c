//! The history, read in any way, and the news.

use crate::conformance::play::{Play, arrival};
use crate::conformance::stage::Stage;
use crate::conformance::wire::{Seen, Watching, hold};
use muster_core::evidence::Outcome;
use muster_core::ids::Attempt;
use muster_core::ledger::ArrivalRecord;
use muster_core::reading::SiteReading;
use muster_proto::convert::{LedgerLine, News, ReleaseClaim, SiteAction, SiteNews};
use muster_proto::limits::{ALIVE_TIMEOUT, PAGE_MAX};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest wait for a piece of news that has to come.
const NEWS_DEADLINE: Duration = Duration::from_secs(20);
/// Most pieces of news that are listened to for the one that has to come.
const NEWS_MAX: usize = 10_000;
/// After how many lines the history is resumed.
const RESUMED_AT: usize = 4;
/// How many names of events are asked for alone.
const NAMES_MAX: usize = 6;
/// A page's size that no other number is a multiple of.
const ODD_PAGE: u32 = 23;

pub(super) async fn events(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    play.placed().await?;
    let newest = stage.site.status().await?.newest_sequence;
    let whole = up_to(newest, stage.site.history(stage.began_at, PAGE_MAX, "").await?);
    let grows = whole.is_sorted_by(|a, b| a.sequence < b.sequence);
    hold(grows, "a number stands twice in the history, or in another order", &numbers(&whole))?;
    hold(
        whole.last().map(|line| line.sequence) == Some(newest),
        "it does not end with the newest number that GetSite says",
        &newest,
    )?;
    let is_object = |line: &LedgerLine| line.detail_json.is_empty() || line.detail_json.trim_start().starts_with('{');
    hold(whole.iter().all(is_object), "the particulars of a line are no JSON object", &whole)?;
    all_are_there(stage, &whole)?;

    let another = stage.another_connection().await?;
    for (page_size, wire) in [(0, &stage.site), (ODD_PAGE, &stage.site), (ODD_PAGE, &another)] {
        let again = up_to(newest, wire.history(stage.began_at, page_size, "").await?);
        hold(again == whole, "read in other pages, or again, the history is another", &difference(&whole, &again))?;
    }
    for line in whole.iter().step_by(1.max(whole.len() / RESUMED_AT)) {
        let rest: Vec<_> = whole.iter().filter(|later| later.sequence > line.sequence).cloned().collect();
        let resumed = up_to(newest, another.history(line.sequence, ODD_PAGE, "").await?);
        hold(
            resumed == rest,
            "resumed after a number, the history has a gap or says something twice",
            &difference(&rest, &resumed),
        )?;
    }
    let names: BTreeSet<&str> = whole.iter().map(|line| line.event.as_str()).collect();
    for name in names.into_iter().take(NAMES_MAX) {
        let wanted: Vec<_> = whole.iter().filter(|line| line.event == name).cloned().collect();
        let named = up_to(newest, stage.site.history(stage.began_at, PAGE_MAX, name).await?);
        hold(
            named == wanted,
            "the lines of one name are not those of that name",
            &(name, difference(&wanted, &named)),
        )?;
    }
    let (beyond, read_to) = stage.site.page(u64::MAX / 2, 0, "").await?;
    hold(
        beyond.is_empty() && read_to <= u64::MAX / 2,
        "beyond the history's end there is something",
        &(beyond, read_to),
    )
}

/// Everything that the suite was told is done.
fn all_are_there(stage: &Stage, whole: &[LedgerLine]) -> Seen {
    let told: BTreeSet<_> = whole.iter().map(|line| (line.vm, line.token)).collect();
    let missing = stage.all_done().into_iter().find(|(vm, token)| !told.contains(&(Some(*vm), Some(*token))));
    hold(missing.is_none(), "a command was done and the history doesn't have it", &missing)
}

fn up_to(newest: u64, mut lines: Vec<LedgerLine>) -> Vec<LedgerLine> {
    lines.retain(|line| line.sequence <= newest);
    lines
}

fn numbers(lines: &[LedgerLine]) -> Vec<u64> {
    lines.iter().map(|line| line.sequence).collect()
}

/// The numbers that are missing or read otherwise, and those that are too many.
fn difference(wanted: &[LedgerLine], found: &[LedgerLine]) -> (Vec<u64>, Vec<u64>) {
    let missing = wanted.iter().filter(|line| !found.contains(line)).map(|line| line.sequence);
    let is_too_much = |(index, line): &(usize, &LedgerLine)| !wanted.contains(line) || found[..*index].contains(line);
    let too_many = found.iter().enumerate().filter(is_too_much).map(|(_, line)| line.sequence);
    (missing.collect(), too_many.collect())
}

pub(super) async fn watch(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    let mut ears = Ears::open(stage, stage.site.status().await?.newest_sequence).await?;
    let (token, _) = play.must(play.open()).await?;
    ears.hear_reading(&play, "a change is not told of", |reading| reading.floor >= token).await?;
    let mark = ears.mark;
    drop(ears);

    let (token, _) = play.must(SiteAction::MakePlaceholder { attempt: Attempt::FIRST }).await?;
    let mut ears = Ears::open(stage, mark).await?;
    ears.hear_reading(&play, "what changed between two watches is not told of", |reading| reading.floor >= token)
        .await?;
    ears.hear_until("it does not say in time that it is alive", ALIVE_TIMEOUT, |news| matches!(news, News::Alive))
        .await?;
    let release = ReleaseClaim { request: stage.request(), evacuation: play.evacuation, epoch: play.epoch };
    let released = stage.site.release(release).await?;
    hold(released.is_ok(), "a claim can't be given back", &released)?;
    let is_released = |news: &News| matches!(news, News::Claims(claims) if claims.evacuation == play.evacuation && claims.claims.holder.is_none());
    ears.hear_until("a claim that was given back is not told of", NEWS_DEADLINE, is_released).await?;
    let mark = ears.mark;
    drop(ears);

    let mut ears = Ears::open(stage, 0).await?;
    ears.hear_reading(&play, "from 0 on, a VM of an open evacuation is not told of", |reading| reading.floor >= token)
        .await?;
    drop(ears);

    play.must(SiteAction::Abandon { attempt: Attempt::FIRST }).await?;
    play.must(SiteAction::Discard).await?;
    play.must(SiteAction::CloseDestination(Outcome::StayedAtSource)).await?;
    let mut ears = Ears::open(stage, mark).await?;
    let is_closed =
        |reading: &SiteReading| arrival(reading).is_ok_and(|at| matches!(at.record, ArrivalRecord::Closed(_)));
    ears.hear_reading(&play, "the end of a move between two watches is not told of", is_closed).await
}

/// Somebody who watches the site.
struct Ears<'a> {
    stage: &'a Stage,
    watching: Watching,
    /// Where to resume from.
    mark: u64,
}

impl<'a> Ears<'a> {
    async fn open(stage: &'a Stage, after: u64) -> Seen<Ears<'a>> {
        Ok(Ears { stage, watching: stage.site.watch(after).await?, mark: after })
    }

    async fn hear_reading(&mut self, play: &Play<'_>, missing: &str, wanted: impl Fn(&SiteReading) -> bool) -> Seen {
        let is_its = |news: &News| matches!(news, News::Reading(reading) if reading.vm == play.vm && wanted(reading));
        self.hear_until(missing, NEWS_DEADLINE, is_its).await
    }

    /// Listens until something is told; the numbers that come with the news only grow.
    async fn hear_until(&mut self, missing: &str, deadline: Duration, wanted: impl Fn(&News) -> bool) -> Seen {
        let began = tokio::time::Instant::now();
        for _ in 0..NEWS_MAX {
            let left = deadline.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            let Ok(SiteNews { sequence, news }) = self.watching.next(left).await else { break };
            hold(sequence >= self.mark, "the number to resume from falls", &(self.mark, sequence))?;
            self.mark = sequence;
            if wanted(&news) {
                let newest = self.stage.site.status().await?.newest_sequence;
                return hold(
                    sequence <= newest,
                    "the number to resume from is above the ledger's newest",
                    &(sequence, newest),
                );
            }
        }
        hold(false, missing, &deadline)
    }
}
