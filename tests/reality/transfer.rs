//! Whoever takes part dies while memory is sent, or the link is cut. The guest is the source's then, whatever died, and moves in
//! the end; one whose own QEMU died has lost its memory, and no more.

use crate::called::Asked;
use crate::ends::End;
use crate::row::Row;
use crate::stand::{Part, SOURCE_HOST};
use crate::witness::Copy as Seen;
use crate::{Case, Outcome, Speed};
use muster_core::verdict::Verdict;
use std::time::Duration;

/// How long what was killed stays dead.
const DEAD_FOR: Duration = Duration::from_millis(1_500);
/// A cut that is over before anybody gives up.
const SHORT_CUT: Duration = Duration::from_secs(3);
/// A cut that is longer than a transfer may go on without its destination's ledger.
const LONG_CUT: Duration = Duration::from_secs(12);

pub(crate) static CASES: [Case; 11] = [
    Case {
        name: "transfer: the destination's libvirtd dies",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 1)],
        play: |row| Box::pin(libvirtd(row, true)),
    },
    Case {
        name: "transfer: the source's libvirtd dies",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 1)],
        play: |row| Box::pin(libvirtd(row, false)),
    },
    Case {
        name: "transfer: the source's worker dies",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 1)],
        play: |row| Box::pin(process(row, Part::Source)),
    },
    Case {
        name: "transfer: the destination's worker dies",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 1)],
        play: |row| Box::pin(process(row, Part::Destination)),
    },
    Case {
        name: "transfer: the orchestrator dies",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 1)],
        play: |row| Box::pin(process(row, Part::Orchestrator)),
    },
    Case {
        name: "transfer: the QEMU at the destination dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(destination_qemu(row)),
    },
    Case {
        name: "transfer: the QEMU at the source dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(source_qemu(row)),
    },
    Case {
        name: "transfer: the destination's host dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(destination_host(row)),
    },
    Case {
        name: "transfer: the source's host reboots, with autostart",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(source_host(row)),
    },
    Case {
        name: "transfer: the link is cut for a moment",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(link(row, SHORT_CUT)),
    },
    Case {
        name: "transfer: the link is cut for long",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(link(row, LONG_CUT)),
    },
];

async fn libvirtd(row: &mut Row<'_>, at_destination: bool) -> Outcome<()> {
    let slow = row.begin_transfer().await?;
    let host = if at_destination { row.target(&slow).await? } else { SOURCE_HOST.to_owned() };
    row.kill_libvirtd(&host).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    tokio::time::sleep(DEAD_FOR).await;
    row.lab(&format!("started the libvirtd of {host}"), row.lab.start_libvirtd(&host)).await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

async fn process(row: &mut Row<'_>, part: Part) -> Outcome<()> {
    row.begin_transfer().await?;
    row.kill(part).await?;
    match part {
        Part::Orchestrator => drop(row.call_the_roll(Asked::BothWorkers, &[]).await?),
        Part::Source => drop(row.call_the_roll(Asked::DestinationAlone, &[]).await?),
        // Nobody is there who could say anything; the source's guest runs on all the same.
        Part::Destination => tokio::time::sleep(DEAD_FOR).await,
    }
    row.start(part).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

async fn destination_qemu(row: &mut Row<'_>) -> Outcome<()> {
    let slow = row.begin_transfer().await?;
    let host = row.target(&slow).await?;
    row.lab("killed the QEMU at the destination", row.lab.kill_guest(&host, &slow)).await?;
    row.call_the_roll(Asked::BothWorkers, &[Verdict::NotMigrated]).await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

async fn source_qemu(row: &mut Row<'_>) -> Outcome<()> {
    let slow = row.begin_transfer().await?;
    row.lab("killed the QEMU at the source", row.lab.kill_guest(SOURCE_HOST, &slow)).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    row.until_finished().await?;
    row.ends(End::Rebooted).await
}

async fn destination_host(row: &mut Row<'_>) -> Outcome<()> {
    let slow = row.begin_transfer().await?;
    let host = row.target(&slow).await?;
    row.lab(&format!("killed {host}"), row.lab.kill_host(&host)).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    tokio::time::sleep(DEAD_FOR).await;
    row.lab(&format!("booted {host}"), row.lab.boot_host(&host)).await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

async fn source_host(row: &mut Row<'_>) -> Outcome<()> {
    row.begin_transfer().await?;
    row.lab("killed the source's host", row.lab.kill_host(SOURCE_HOST)).await?;
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    row.until_seen("it runs nowhere", |look| {
        look.guests.values().all(|seen| seen.source != Seen::Running && seen.destination != Seen::Running)
    })
    .await?;
    row.lab("booted the source's host", row.lab.boot_host(SOURCE_HOST)).await?;
    row.until_finished().await?;
    row.ends(End::Rebooted).await
}

async fn link(row: &mut Row<'_>, time: Duration) -> Outcome<()> {
    row.begin_transfer().await?;
    row.cut().await?;
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    tokio::time::sleep(time).await;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    row.mend().await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}
