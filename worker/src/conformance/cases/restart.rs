//! The worker, killed and started again on its ledger.

use crate::conformance::play::Play;
use crate::conformance::stage::Stage;
use crate::conformance::wire::{End, Seen, hold};
use crate::conformance::{CALL_DEADLINE, WAIT_MAX};
use muster_core::ids::Attempt;
use muster_proto::channel::site_status;
use muster_proto::convert::{News, SiteAction};
use muster_proto::limits::PAGE_MAX;

pub(super) async fn restart(stage: &Stage) -> Seen {
    let Some(restart) = &stage.restart else {
        return Err(End::NotChecked("without --restart-command nobody restarts the worker".to_owned()));
    };
    let play = Play::begin(stage).await?;
    let older = play.token();
    play.must(play.open()).await?;
    let place = || SiteAction::MakePlaceholder { attempt: Attempt::FIRST };
    let (token, placed) = play.must(place()).await?;
    let (claims, lines) = (stage.site.claims(play.evacuation).await?, play.lines().await?);
    let newest = stage.site.status().await?.newest_sequence;
    let history = stage.site.history(stage.began_at, PAGE_MAX, "").await?;
    stage.site.note("the worker is restarted");
    restart().await.map_err(|error| End::Broken(format!("the restart command failed: {error}")))?;
    works_again(stage).await?;

    play.below_floor("a command below the floor of before the restart", &play.act(older, place()).await?)?;
    play.below_floor("an observation below the floor of before the restart", &play.fenced(older).await?)?;
    let again = play.act(token, place()).await?;
    let same = again.as_ref().is_ok_and(|again| (&again.standing, again.floor) == (&placed.standing, placed.floor));
    hold(same, "a command of before the restart was not answered again", &(&placed, &again))?;
    hold(play.lines().await? == lines, "a command of before the restart was executed again", &lines)?;
    let reading = play.reading().await?;
    let stands = (&reading.standing, reading.floor) == (&placed.standing, placed.floor);
    hold(stands, "records or the floor have not outlived the worker", &(&placed, &reading))?;
    hold(reading.sight.sightings == placed.sight.sightings, "the hypervisor shows another thing after it", &reading)?;
    let claims_now = stage.site.claims(play.evacuation).await?;
    hold(claims_now == claims, "the claim has not outlived the worker", &(&claims, &claims_now))?;
    let mut history_now = stage.site.history(stage.began_at, PAGE_MAX, "").await?;
    history_now.retain(|line| line.sequence <= newest);
    hold(history_now == history, "the history has not outlived the worker", &(history.len(), history_now.len()))?;

    let mut watching = stage.site.watch(newest).await?;
    let (token, _) = play.must(SiteAction::Abandon { attempt: Attempt::FIRST }).await?;
    let heard = tokio::time::timeout(WAIT_MAX, async {
        loop {
            if let News::Reading(reading) = watching.next(WAIT_MAX).await?.news
                && reading.vm == play.vm
                && reading.floor >= token
            {
                return Ok(());
            }
        }
    });
    heard.await.unwrap_or_else(|_| hold(false, "a watch from before the restart is not resumed", &newest))
}

/// Waits until it takes work again. While it doesn't, its silence is no answer.
async fn works_again(stage: &Stage) -> Seen {
    stage
        .until("work after the restart", async || {
            let asked = site_status(stage.site.client.clone(), CALL_DEADLINE).await;
            Ok(asked.ok().filter(|status| status.working.is_ok()).map(drop))
        })
        .await
}
