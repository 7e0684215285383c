//! The source has let go, and the event isn't written yet: held open by a cut between the workers, with the orchestrator dead.

use crate::called::Asked;
use crate::ends::End;
use crate::row::Row;
use crate::stand::{Part, SOURCE_HOST, Way};
use crate::witness::Copy as Seen;
use crate::{Case, Outcome, Speed};
use muster_core::verdict::{Doubt, Verdict};
use muster_tests::lab::gate::Passage;

const OPEN: Passage = Passage::Open { delay_ms: 0 };

pub(crate) static CASES: [Case; 7] = [
    Case {
        name: "commit: the way between the workers is cut, the orchestrator lives",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(cut(row)),
    },
    Case {
        name: "commit: the orchestrator is dead, recovery commits",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(recovered(row)),
    },
    Case {
        name: "commit: both workers die, the orchestrator comes back",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(workers(row)),
    },
    Case {
        name: "commit: the source's host reboots, with autostart",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(source_host(row)),
    },
    Case {
        name: "commit: the source is silent, and comes back",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(silent(row)),
    },
    Case {
        name: "commit: the QEMU at the destination dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(destination_qemu(row)),
    },
    Case { name: "commit: somebody resumes the copy", guests: &[(Speed::Slow, 1)], play: |row| Box::pin(resumed(row)) },
];

/// Orders the evacuation and holds its commit back; gives the guest and the host where it stands still, whole.
pub(crate) async fn hold(row: &mut Row<'_>) -> Outcome<(String, String)> {
    let slow = row.begin_transfer().await?;
    let host = row.target(&slow).await?;
    row.kill(Part::Orchestrator).await?;
    row.ways(&[Way::SourceToDestination], Passage::Shut);
    row.until_seen("gone at the source, paused at the destination", |look| {
        look.guests.values().all(|seen| seen.source == Seen::Inert && seen.destination == Seen::Paused)
    })
    .await?;
    Ok((slow, host))
}

async fn end(row: &mut Row<'_>, end: End) -> Outcome<()> {
    row.ways(&[Way::SourceToDestination], OPEN);
    row.start(Part::Orchestrator).await?;
    row.until_finished().await?;
    row.ends(end).await
}

async fn cut(row: &mut Row<'_>) -> Outcome<()> {
    row.begin_transfer().await?;
    row.ways(&[Way::SourceToDestination], Passage::Shut);
    row.until_seen("it runs at the destination", |look| {
        look.guests.values().all(|seen| seen.source == Seen::Inert && seen.destination == Seen::Running)
    })
    .await?;
    row.ways(&[Way::SourceToDestination], OPEN);
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

/// The network forgets in the meantime where the guest announced itself when it arrived: it is told again.
async fn recovered(row: &mut Row<'_>) -> Outcome<()> {
    let (slow, _) = hold(row).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::HandedOver]).await?;
    let mac = row.lab.guest(&slow).map_err(|error| error.to_string())?.mac.clone();
    let capture = row.lab.capture(SOURCE_HOST).await.map_err(|error| error.to_string())?;
    row.recover(Asked::BothWorkers, &[]).await?;
    row.until_announced(&capture, &mac).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::FullyMigrated]).await?;
    end(row, End::Migrated).await
}

async fn workers(row: &mut Row<'_>) -> Outcome<()> {
    hold(row).await?;
    for part in [Part::Source, Part::Destination] {
        row.kill(part).await?;
    }
    for part in [Part::Source, Part::Destination] {
        row.start(part).await?;
    }
    row.call_until(Asked::BothWorkers, Verdict::HandedOver).await?;
    end(row, End::Migrated).await
}

async fn source_host(row: &mut Row<'_>) -> Outcome<()> {
    hold(row).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::HandedOver]).await?;
    row.lab("the source's host reboots", row.lab.boot_host(SOURCE_HOST)).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::HandedOver]).await?;
    end(row, End::Migrated).await
}

async fn silent(row: &mut Row<'_>) -> Outcome<()> {
    hold(row).await?;
    let silent = [Verdict::Indeterminate(Doubt::SourceSilent)];
    row.call_the_roll(Asked::DestinationAlone, &silent).await?;
    row.kill(Part::Source).await?;
    let held = row.recover(Asked::DestinationAlone, &[]).await?;
    if held.code != 3 {
        return Err(format!("it is not held: {held:?}"));
    }
    row.call_the_roll(Asked::DestinationAlone, &silent).await?;
    row.start(Part::Source).await?;
    row.recover(Asked::BothWorkers, &[]).await?;
    end(row, End::Migrated).await
}

/// Its memory is lost and its disk is good: it is started at the source, and moves then.
async fn destination_qemu(row: &mut Row<'_>) -> Outcome<()> {
    let (slow, host) = hold(row).await?;
    row.lab("killed the QEMU at the destination", row.lab.kill_guest(&host, &slow)).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::MemoryLost]).await?;
    end(row, End::Rebooted).await
}

async fn resumed(row: &mut Row<'_>) -> Outcome<()> {
    let (slow, host) = hold(row).await?;
    row.note("somebody resumes it");
    row.virsh(&host, &["resume", &slow]).await?;
    // Without the source's word it may run at both.
    row.call_the_roll(Asked::DestinationAlone, &[Verdict::Indeterminate(Doubt::RunsWithoutEvent)]).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::FullyMigrated]).await?;
    end(row, End::Migrated).await
}
