//! The completion event, by the word of the source's worker, which the suite is here.

use crate::conformance::play::{Play, arrival};
use crate::conformance::stage::{Arrived, Stage};
use crate::conformance::wire::{End, Refused, Seen, hold};
use muster_core::evidence::Outcome;
use muster_core::ids::Attempt;
use muster_core::ledger::{ArrivalRecord, Completed};
use muster_core::reading::{Instance, SiteReading, Stored};
use muster_core::token::Token;
use muster_proto::convert::{CommitArrival, SiteAction};

pub(super) async fn commit(stage: &Stage) -> Seen {
    let play = Play::begin(stage).await?;
    refused(&play, "before its attempt was opened", play.commit(play.token())).await?;
    play.must(play.open()).await?;
    refused(&play, "before anything of it was there", play.commit(play.token())).await?;
    let older = play.token();
    play.must(SiteAction::MakePlaceholder { attempt: Attempt::FIRST }).await?;
    let another = CommitArrival { source_site: stage.site.name.clone(), ..play.commit(play.token()) };
    refused(&play, "by a site that isn't its source", another).await?;
    let next = CommitArrival { attempt: Attempt::FIRST.next(), ..play.commit(play.token()) };
    refused(&play, "of an attempt that was never opened", next).await?;
    let fence = play.token();
    play.fenced(fence).await?.map_err(|failure| End::Broken(format!("a fenced observe was refused: {failure}")))?;
    let below = refused(&play, "below the floor", play.commit(older)).await?;
    play.below_floor("a commit below the floor", &Err(below))?;
    let equal = stage.site.commit_arrival(play.commit(fence)).await?;
    hold(equal.is_ok(), "a commit equal to the floor was not answered", &equal)?;
    no_event(&play, "equal to the floor").await?;

    let transfer = play.token();
    let committed = stage.site.commit_arrival(play.commit(transfer)).await?;
    let first = committed
        .map_err(|failure| End::Broken(format!("a copy had arrived, and its commit was refused: {failure}")))?;
    stage.done(play.vm, transfer);
    let completed = event(&first)?;
    is_the_commit(completed, transfer)?;
    has_arrived(&play, &first).await?;
    written_once(&play, transfer, &first).await?;
    for_good(&play, transfer).await?;
    let Play { vm, entry, .. } = &play;
    stage.leave(format!(
        "VM {vm} ({}) on {}: powered off, brought there by the case \"commit\"; the protocol deletes no VM, so delete it by hand",
        entry.definition.name, entry.destination_host
    ));
    let (host, definition) = (entry.destination_host.clone(), entry.definition.clone());
    stage.keep_arrived(Arrived { vm: *vm, host, definition });
    Ok(())
}

/// A commit that has to come to nothing.
async fn refused(play: &Play<'_>, when: &str, commit: CommitArrival) -> Seen<Refused> {
    let answer = play.stage.site.commit_arrival(commit).await?;
    let Err(failure) = answer else {
        return Err(End::Broken(format!("a commit {when} was not refused: {answer:?}")));
    };
    no_event(play, when).await?;
    Ok(failure)
}

async fn no_event(play: &Play<'_>, when: &str) -> Seen {
    let reading = play.reading().await?;
    let has_none = match &arrival(&reading)?.record {
        ArrivalRecord::Enrolled | ArrivalRecord::Started(_) | ArrivalRecord::Abandoned(_) => true,
        ArrivalRecord::Completed(_) | ArrivalRecord::Closed(_) => false,
    };
    hold(has_none, &format!("a commit {when} wrote an event"), &reading)
}

/// The event in a reading.
fn event(reading: &SiteReading) -> Seen<&Completed> {
    match &arrival(reading)?.record {
        ArrivalRecord::Completed(completed) => Ok(completed),
        ArrivalRecord::Enrolled
        | ArrivalRecord::Started(_)
        | ArrivalRecord::Abandoned(_)
        | ArrivalRecord::Closed(_) => Err(End::Broken(format!("no event stands: {reading:?}"))),
    }
}

fn is_the_commit(completed: &Completed, transfer: Token) -> Seen {
    hold(completed.token == transfer, "the event does not carry the token of its commit", completed)?;
    hold(completed.started.attempt == Attempt::FIRST, "the event is of another attempt", completed)?;
    hold(!completed.late, "the event says that its VM ran already", completed)
}

/// Its own definition is back, and it stays off as it was.
async fn has_arrived(play: &Play<'_>, reading: &SiteReading) -> Seen {
    let [seen] = reading.sight.sightings.as_slice() else {
        return hold(false, "what has arrived is not shown once", reading);
    };
    let is_itself = seen.stored == Stored::Real && matches!(seen.instance, Instance::Off(_));
    hold(is_itself, "a VM that was moved powered off is not there as itself, and off", seen)?;
    let listed = play.stage.site.inventory().await?.vms.into_iter().find(|listing| listing.vm == play.vm);
    let is_whole = listed.as_ref().is_some_and(|listing| listing.definition == play.entry.definition);
    hold(is_whole, "its definition is not the one that was sent", &listed)
}

async fn written_once(play: &Play<'_>, transfer: Token, first: &SiteReading) -> Seen {
    let lines = play.lines().await?;
    let again = play.stage.site.commit_arrival(play.commit(transfer)).await?;
    hold(
        again.as_ref().is_ok_and(|again| again.standing == first.standing),
        "a repeated commit was not answered as before",
        &again,
    )?;
    hold(play.lines().await? == lines, "a repeated commit was written down as a change", &lines)?;
    // Refused or answered, a newer one writes nothing over it.
    let newer = play.stage.site.commit_arrival(play.commit(play.token())).await?;
    let after = play.reading().await?;
    hold(event(&after)?.token == transfer, "a newer commit wrote the event anew", &(&newer, &after))
}

/// What stands against the event is refused, and nothing takes it away.
async fn for_good(play: &Play<'_>, transfer: Token) -> Seen {
    let against = [
        SiteAction::Abandon { attempt: Attempt::FIRST },
        SiteAction::CloseDestination(Outcome::StayedAtSource),
        play.open(),
    ];
    for action in against {
        let what = format!("{action:?} was done although the event stands");
        let outcome = play.act(play.token(), action).await?;
        hold(outcome.is_err(), &what, &outcome)?;
    }
    play.must(SiteAction::Discard).await?;
    let after = play.reading().await?;
    hold(
        event(&after)?.token == transfer && after.sight.sightings.len() == 1,
        "a discard took away what has arrived",
        &after,
    )?;
    let (_, closed) = play.must(SiteAction::CloseDestination(Outcome::Migrated)).await?;
    let is_closed =
        matches!(&arrival(&closed)?.record, ArrivalRecord::Closed(closed) if closed.outcome == Outcome::Migrated);
    hold(is_closed, "the move is not over as migrated", &closed)?;
    let outcome = play.act(play.token(), play.open()).await?;
    hold(outcome.is_err(), "a move that is over was begun again", &outcome)
}
