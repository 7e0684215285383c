//! Memory has arrived, and the source has not let go yet: held open by a destination's libvirtd that hangs just then.

use crate::called::Asked;
use crate::ends::End;
use crate::row::Row;
use crate::stand::{Part, SOURCE_HOST};
use crate::{Case, Outcome, Speed};
use muster_core::verdict::{Doubt, Verdict};
use std::time::Duration;

/// How long what was killed stays dead.
const DEAD_FOR: Duration = Duration::from_millis(1_000);
const IN_DOUBT: [Verdict; 2] =
    [Verdict::Indeterminate(Doubt::HandoverUnderWay), Verdict::Indeterminate(Doubt::DestinationHostSilent)];

pub(crate) static CASES: [Case; 7] = [
    Case {
        name: "handover: the destination's libvirtd dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(destination_libvirtd(row)),
    },
    Case {
        name: "handover: the source's libvirtd dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(source_libvirtd(row)),
    },
    Case {
        name: "handover: the orchestrator dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(processes(row, &[Part::Orchestrator])),
    },
    Case {
        name: "handover: both workers die",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(processes(row, &[Part::Source, Part::Destination])),
    },
    Case {
        name: "handover: the QEMU at the destination dies",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(destination_qemu(row)),
    },
    Case {
        name: "handover: the source's host reboots, with autostart",
        guests: &[(Speed::Slow, 1)],
        play: |row| Box::pin(source_host(row)),
    },
    Case { name: "handover: the link is cut", guests: &[(Speed::Slow, 1)], play: |row| Box::pin(link(row)) },
];

/// Orders the evacuation and holds its handover open; gives the guest and the host whose libvirtd hangs.
async fn hold(row: &mut Row<'_>) -> Outcome<(String, String)> {
    let slow = row.begin_transfer().await?;
    let host = row.target(&slow).await?;
    row.figures.kills += 1;
    row.note(&format!("the libvirtd of {host} hangs"));
    row.lab.hang_libvirtd(&host).map_err(|error| error.to_string())?;
    row.until_sent(&slow).await?;
    Ok((slow, host))
}

fn release(row: &mut Row<'_>, host: &str) -> Outcome<()> {
    row.note(&format!("the libvirtd of {host} goes on"));
    row.lab.release_libvirtd(host).map_err(|error| error.to_string())
}

async fn destination_libvirtd(row: &mut Row<'_>) -> Outcome<()> {
    let (_, host) = hold(row).await?;
    row.call_the_roll(Asked::BothWorkers, &IN_DOUBT).await?;
    row.kill_libvirtd(&host).await?;
    tokio::time::sleep(DEAD_FOR).await;
    row.lab(&format!("started the libvirtd of {host}"), row.lab.start_libvirtd(&host)).await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

async fn source_libvirtd(row: &mut Row<'_>) -> Outcome<()> {
    let (_, host) = hold(row).await?;
    row.kill_libvirtd(SOURCE_HOST).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    tokio::time::sleep(DEAD_FOR).await;
    row.lab("started the source's libvirtd", row.lab.start_libvirtd(SOURCE_HOST)).await?;
    release(row, &host)?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

async fn processes(row: &mut Row<'_>, parts: &[Part]) -> Outcome<()> {
    let (_, host) = hold(row).await?;
    for part in parts {
        row.kill(*part).await?;
    }
    if !parts.contains(&Part::Destination) {
        row.call_the_roll(Asked::BothWorkers, &[]).await?;
    }
    tokio::time::sleep(DEAD_FOR).await;
    release(row, &host)?;
    for part in parts {
        row.start(*part).await?;
    }
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

async fn destination_qemu(row: &mut Row<'_>) -> Outcome<()> {
    let (slow, host) = hold(row).await?;
    row.lab("killed the QEMU at the destination", row.lab.kill_guest(&host, &slow)).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    release(row, &host)?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

/// The source never said that it let go: its memory counts as lost, and it is started at the source, and moves then.
async fn source_host(row: &mut Row<'_>) -> Outcome<()> {
    let (_, host) = hold(row).await?;
    row.lab("killed the source's host", row.lab.kill_host(SOURCE_HOST)).await?;
    release(row, &host)?;
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    row.lab("booted the source's host", row.lab.boot_host(SOURCE_HOST)).await?;
    row.until_finished().await?;
    row.ends(End::Rebooted).await
}

async fn link(row: &mut Row<'_>) -> Outcome<()> {
    let (_, host) = hold(row).await?;
    row.cut().await?;
    release(row, &host)?;
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    tokio::time::sleep(DEAD_FOR).await;
    row.mend().await?;
    row.until_finished().await?;
    row.ends(End::Migrated).await
}
