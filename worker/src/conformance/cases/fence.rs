//! Floors, fenced observation, repetition, and commands at once.

use crate::conformance::play::{Play, arrival, essence};
use crate::conformance::stage::Stage;
use crate::conformance::wire::{End, Seen, hold, is_busy};
use futures::future::join_all;
use muster_core::ids::Attempt;
use muster_core::ledger::ArrivalRecord;
use muster_core::reading::SiteReading;
use muster_core::token::{Epoch, Sequence, Token};
use muster_proto::convert::{LedgerLine, SiteAction};

/// How often commands are sent at once.
const ROUNDS: usize = 6;
/// How many at once.
const AT_ONCE: usize = 8;

pub(super) async fn order(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    let early = play.token();
    play.placed().await?;
    let (before, lines) = (play.reading().await?, play.lines().await?);
    let abandon = || SiteAction::Abandon { attempt: Attempt::FIRST };
    let below = [
        early,
        Token { sequence: Sequence(before.floor.sequence.0 - 1), ..before.floor },
        // Of an older claim, however late its sequence.
        Token { epoch: Epoch(play.epoch.0 - 1), sequence: Sequence(u64::MAX) },
    ];
    for token in below {
        play.below_floor("a command below the floor", &play.act(token, abandon()).await?)?;
        play.below_floor("an observation below the floor", &play.fenced(token).await?)?;
    }
    let after = play.reading().await?;
    let same = essence(&after) == essence(&before);
    hold(same, "what was below the floor changed something", &(&before, &after))?;
    hold(play.lines().await? == lines, "what was below the floor was written down as a change", &lines)?;
    play.must(abandon()).await?;
    in_order(&play.history().await?)
}

/// The tokens of a VM's lines only grow, and so do their numbers.
fn in_order(lines: &[LedgerLine]) -> Seen {
    let tokens: Vec<Token> = lines.iter().filter_map(|line| line.token).collect();
    hold(tokens.is_sorted(), "the history has a VM's commands in another order than that of their tokens", &tokens)?;
    hold(lines.is_sorted_by(|a, b| a.sequence < b.sequence), "the history's numbers don't grow", &lines)
}

pub(super) async fn fenced_observe(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    let (before, older) = (play.reading().await?, play.token());
    let again = play.reading().await?;
    hold(again.floor == before.floor, "an observation without a token raised the floor", &again)?;
    let fence = play.token();
    let observed = play.fenced(fence).await?;
    let observed = observed.map_err(|failure| End::Broken(format!("a fenced observe was refused: {failure}")))?;
    stage.done(play.vm, fence);
    hold(observed.floor == fence, "a fenced observe did not raise the floor", &observed)?;
    play.below_floor("a command that is older than a fenced observe", &play.act(older, play.open()).await?)?;
    let unchanged = play.reading().await?;
    hold(arrival(&unchanged)?.record == ArrivalRecord::Enrolled, "an older command took effect after it", &unchanged)?;
    let lines = play.lines().await?;
    let repeated = play.fenced(fence).await?;
    hold(repeated.as_ref().is_ok_and(|reading| reading.floor == fence), "it is not answered again", &repeated)?;
    hold(play.lines().await? == lines, "a repeated observe was written down as a change", &lines)?;
    play.must(play.open()).await.map(drop)
}

pub(super) async fn idempotency(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    let place = || SiteAction::MakePlaceholder { attempt: Attempt::FIRST };
    for action in [play.open(), place()] {
        let (token, first) = play.must(action.clone()).await?;
        repeated(&play, token, action, &first).await?;
    }
    // By its token, not by its contents: whatever comes under a token that was seen is answered, never carried out.
    let (token, first) = play.must(place()).await?;
    repeated(&play, token, SiteAction::Abandon { attempt: Attempt::FIRST }, &first).await?;
    let (token, first) = play.must(SiteAction::Abandon { attempt: Attempt::FIRST }).await?;
    repeated(&play, token, SiteAction::Abandon { attempt: Attempt::FIRST }, &first).await?;
    let (token, first) = play.must(play.open()).await?;
    repeated(&play, token, play.open(), &first).await?;
    let opened = play.reading().await?;
    let is_second = matches!(&arrival(&opened)?.record, ArrivalRecord::Started(started) if started.attempt == Attempt::FIRST.next());
    hold(is_second, "the attempts were not counted once each", &opened)
}

/// Sends a command under a token that was seen, twice, and holds what comes against what is.
async fn repeated(play: &Play<'_>, token: Token, action: SiteAction, first: &SiteReading) -> Seen {
    let lines = play.lines().await?;
    for _ in 0..2 {
        let again = play.act(token, action.clone()).await?;
        let same = |again: &SiteReading| essence(again) == essence(first);
        hold(again.as_ref().is_ok_and(same), "a repeated command was not answered as before", &(first, &again))?;
    }
    let now = play.reading().await?;
    let same = essence(&now) == essence(first);
    hold(same, "a repeated command changed something", &(first, &now))?;
    hold(play.lines().await? == lines, "a repeated command was written down as a change", &lines)
}

pub(super) async fn busy(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    play.must(play.open()).await?;
    let mut busy = 0;
    for _ in 0..ROUNDS {
        busy += at_once(stage, &play).await?;
    }
    stage.site.note(&format!("of {} commands sent at once, {busy} were BUSY", ROUNDS * AT_ONCE));
    Ok(())
}

/// Sends commands for one VM at once; returns how many were busy.
async fn at_once(stage: &Stage, play: &Play<'_>) -> Seen<usize> {
    let place = || SiteAction::MakePlaceholder { attempt: Attempt::FIRST };
    let before = play.reading().await?;
    let tokens: Vec<Token> = (0..AT_ONCE).map(|_| play.token()).collect();
    let sent = tokens.iter().map(|token| async { (*token, play.act_once(*token, place()).await) });
    let (mut done, mut not_done, mut busy) = (Vec::new(), Vec::new(), 0);
    for (token, outcome) in join_all(sent).await {
        match outcome? {
            Ok(_) => done.push(token),
            Err(failure) if is_busy(&failure) => {
                busy += 1;
                not_done.push(token);
            }
            Err(failure) => {
                play.below_floor("a command sent with others at once, neither done nor busy,", &Err(failure))?;
                not_done.push(token);
            }
        }
    }
    let after = stage.until("the end of commands sent at once", async || {
        let reading = play.reading().await?;
        Ok((!reading.mutation_under_way && !reading.sight.call_under_way).then_some(reading))
    });
    let after = after.await?;
    // All are busy where the site is at work with it by itself.
    let greatest = done.iter().copied().fold(before.floor, Token::max);
    hold(after.floor == greatest, "the floor is not the greatest token that was done", &(greatest, &after))?;
    let lines = play.history().await?;
    in_order(&lines)?;
    let is_written = |token: &Token| lines.iter().any(|line| line.token == Some(*token));
    hold(done.iter().all(is_written), "a command was done and is not in the history", &(&done, &lines))?;
    let came_of = not_done.iter().find(|token| is_written(token));
    hold(came_of.is_none(), "something came of a command that was answered BUSY, or refused", &(came_of, &lines))?;
    done.iter().for_each(|token| stage.done(play.vm, *token));
    if let Some(token) = not_done.into_iter().filter(|token| *token > after.floor).max() {
        let again = play.act(token, place()).await?;
        hold(again.is_ok(), "a command that was BUSY can't be tried again", &again)?;
        stage.done(play.vm, token);
    }
    let placed = play.reading().await?;
    hold(placed.sight.sightings.len() == 1, "commands at once did not leave one placeholder", &placed)?;
    Ok(busy)
}
