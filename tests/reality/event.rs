//! The event is written and the source's copy isn't retired yet: held open by a cut between the orchestrator and the source.

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
const DEAD_FOR: Duration = Duration::from_millis(1_000);

pub(crate) static CASES: [Case; 4] = [
    Case {
        name: "event: the source's host reboots, with autostart",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(source_host(row)),
    },
    Case {
        name: "event: the orchestrator dies before it has the source retired",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(orchestrator(row)),
    },
    Case {
        name: "event: the QEMU at the destination dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(destination_qemu(row)),
    },
    Case {
        name: "event: the destination's host reboots",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(destination_host(row)),
    },
];

/// Orders the evacuation and holds the retirement back; gives the guest and the host where it runs.
pub(crate) async fn hold(row: &mut Row<'_>) -> Outcome<(String, String)> {
    let slow = row.begin_transfer().await?;
    let host = row.target(&slow).await?;
    row.ways(&[Way::OrchestratorToSource], Passage::Shut);
    row.until_seen("it runs at the destination", |look| {
        look.guests.values().all(|seen| seen.source == Seen::Inert && seen.destination == Seen::Running)
    })
    .await?;
    Ok((slow, host))
}

async fn end(row: &mut Row<'_>, end: End) -> Outcome<()> {
    row.ways(&[Way::OrchestratorToSource], OPEN);
    row.until_finished().await?;
    row.ends(end).await
}

async fn source_host(row: &mut Row<'_>) -> Outcome<()> {
    hold(row).await?;
    row.lab("the source's host reboots", row.lab.boot_host(SOURCE_HOST)).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::FullyMigrated]).await?;
    row.until_seen("nothing is started at the source", |look| {
        look.guests.values().all(|seen| seen.source == Seen::Inert)
    })
    .await?;
    end(row, End::Migrated).await
}

async fn orchestrator(row: &mut Row<'_>) -> Outcome<()> {
    hold(row).await?;
    row.kill(Part::Orchestrator).await?;
    row.call_the_roll(Asked::DestinationAlone, &[Verdict::FullyMigrated]).await?;
    tokio::time::sleep(DEAD_FOR).await;
    row.start(Part::Orchestrator).await?;
    end(row, End::Migrated).await
}

async fn destination_qemu(row: &mut Row<'_>) -> Outcome<()> {
    let (slow, host) = hold(row).await?;
    row.lab("killed the QEMU at the destination", row.lab.kill_guest(&host, &slow)).await?;
    row.until_seen("it is started again there", |look| {
        look.guests.values().all(|seen| seen.destination == Seen::Running)
    })
    .await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::FullyMigrated]).await?;
    end(row, End::Rebooted).await
}

async fn destination_host(row: &mut Row<'_>) -> Outcome<()> {
    let (_, host) = hold(row).await?;
    row.lab(&format!("killed {host}"), row.lab.kill_host(&host)).await?;
    tokio::time::sleep(DEAD_FOR).await;
    row.lab(&format!("booted {host}"), row.lab.boot_host(&host)).await?;
    end(row, End::Rebooted).await
}
