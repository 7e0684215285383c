//! The orchestrator dies at moments that are held open, one line of a move after the other; and late calls of whoever is not
//! the claim's holder any more.

use crate::called::Asked;
use crate::ends::End;
use crate::row::Row;
use crate::stand::{Part, SOURCE_HOST, Way};
use crate::witness::Copy as Seen;
use crate::{Case, Outcome, Speed};
use muster_core::verdict::Verdict;
use muster_tests::lab::gate::Passage;
use std::time::Duration;

const OPEN: Passage = Passage::Open { delay_ms: 0 };
/// How long what was killed stays dead.
const DEAD_FOR: Duration = Duration::from_millis(500);
/// How long the way to the destination is made, in milliseconds: much longer than a roll call takes.
const LONG_MS: u64 = 3_000;
/// Moments after the order at which the orchestrator is killed, in milliseconds: what a quick guest's move takes, in steps.
const MOMENTS_MS: [u64; 6] = [0, 60, 140, 260, 500, 900];

pub(crate) static CASES: [Case; 5] = [
    Case {
        name: "orchestrator: dies again and again, at every line",
        guests: &[(Speed::Quick, 8)],
        play: |row| Box::pin(everywhere(row)),
    },
    Case {
        name: "orchestrator: the record's acknowledgement is lost",
        guests: &[(Speed::Quick, 1)],
        play: |row| Box::pin(unacknowledged(row)),
    },
    Case {
        name: "orchestrator: dies while the placeholder is made",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 1)],
        play: |row| Box::pin(at_placeholder(row)),
    },
    Case {
        name: "orchestrator: dies while the source is sealed, recovery undoes",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 1)],
        play: |row| Box::pin(at_seal(row)),
    },
    Case {
        name: "orchestrator: is stopped, recovery takes over, and it goes on too late",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 2)],
        play: |row| Box::pin(too_late(row)),
    },
];

async fn everywhere(row: &mut Row<'_>) -> Outcome<()> {
    row.evacuate("[limits]\nper_source_host = 3\nper_destination_host = 2\n").await?;
    for moment_ms in MOMENTS_MS {
        tokio::time::sleep(Duration::from_millis(moment_ms)).await;
        row.kill(Part::Orchestrator).await?;
        row.call_the_roll(Asked::BothWorkers, &[]).await?;
        row.start(Part::Orchestrator).await?;
    }
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

/// The way to the destination is so long that the record stands while its acknowledgement is still under way, and is cut then. Nothing
/// follows what nobody has read back; once it can be read, the same attempt goes on.
async fn unacknowledged(row: &mut Row<'_>) -> Outcome<()> {
    let guest = row.first();
    row.ways(&[Way::OrchestratorToDestination], Passage::Open { delay_ms: LONG_MS });
    row.evacuate("").await?;
    row.call_until(Asked::DestinationAlone, Verdict::NotMigrated).await?;
    row.ways(&[Way::OrchestratorToDestination], Passage::Shut);
    tokio::time::sleep(DEAD_FOR).await;
    let look = row.look().await?;
    if !look.nothing_has_begun() {
        return Err(format!("something followed a record that nobody has read back: {look:?}"));
    }
    row.call_the_roll(Asked::BothWorkers, &[Verdict::NotMigrated]).await?;
    row.ways(&[Way::OrchestratorToDestination], OPEN);
    row.until_finished().await?;
    let attempts = row.shown(&guest).await?.attempts;
    if attempts != 1 {
        return Err(format!("it took {attempts} attempts"));
    }
    row.ends(End::Migrated).await
}

/// The destination's hosts hang when the second guest's turn comes: its record is written, its placeholder is not.
async fn at_placeholder(row: &mut Row<'_>) -> Outcome<()> {
    let (slow, quick) = (row.first(), row.last());
    row.evacuate("[limits]\ntotal = 1\n").await?;
    row.until_either_in_transfer(&slow, &quick).await?;
    let hosts = ["south-1", "south-2"];
    for host in hosts {
        row.lab.hang_libvirtd(host).map_err(|error| error.to_string())?;
    }
    row.figures.kills += 1;
    row.note("the destination's libvirtds hang");
    tokio::time::sleep(DEAD_FOR).await;
    row.kill(Part::Orchestrator).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    for host in hosts {
        row.lab.release_libvirtd(host).map_err(|error| error.to_string())?;
    }
    row.note("the destination's libvirtds go on");
    row.start(Part::Orchestrator).await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

/// The source's libvirtd hangs when the second guest is to be sealed: the call is under way, and nobody knows whether it lands.
async fn at_seal(row: &mut Row<'_>) -> Outcome<()> {
    row.evacuate("").await?;
    row.lab.hang_libvirtd(SOURCE_HOST).map_err(|error| error.to_string())?;
    row.figures.kills += 1;
    row.note("the source's libvirtd hangs");
    tokio::time::sleep(DEAD_FOR).await;
    row.kill(Part::Orchestrator).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    row.lab.release_libvirtd(SOURCE_HOST).map_err(|error| error.to_string())?;
    row.note("the source's libvirtd goes on");
    row.recover(Asked::BothWorkers, &["--undo", "--deadline-ms=60000"]).await?;
    let ends: Vec<(String, End)> = row.guests.iter().map(|guest| (guest.clone(), End::Stayed)).collect();
    row.end_as(&ends).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::NotStarted, Verdict::NotMigrated]).await?;
    row.call_the_roll(Asked::DestinationAlone, &[Verdict::NotStarted, Verdict::NotMigrated]).await?;
    Ok(())
}

/// What the stopped orchestrator had sent, and what it sends when it goes on, is of an old epoch and changes nothing.
async fn too_late(row: &mut Row<'_>) -> Outcome<()> {
    row.begin_transfer().await?;
    row.ways(&[Way::OrchestratorToSource, Way::OrchestratorToDestination], Passage::Shut);
    row.figures.kills += 1;
    row.note("the orchestrator is stopped");
    row.muster.orchestrator.hang()?;
    row.recover(Asked::BothWorkers, &["--take-over=the orchestrator hangs"]).await?;
    row.until_seen("nothing is under way", |look| {
        look.guests
            .values()
            .all(|seen| !seen.is_sent && (seen.source == Seen::Inert) == (seen.destination == Seen::Running))
    })
    .await?;
    row.note("the orchestrator goes on");
    row.muster.orchestrator.release()?;
    row.ways(&[Way::OrchestratorToSource, Way::OrchestratorToDestination], OPEN);
    row.until_finished().await?;
    row.ends(End::Migrated).await
}
