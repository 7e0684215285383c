//! The ways that are compared, and how the guests come back from each. Every one moves all guests from the lab's source to
//! its destination hosts, by turns.

use crate::daemons::{self, Processing};
use crate::processor::of_libvirtds;
use crate::watch::{Moved, Watch};
use futures::{StreamExt, TryStreamExt};
use muster_tests::Outcome;
use muster_tests::lab::{Guest, Host, Lab, LabError, Role};
use std::fmt;
use std::io::Write;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::Instant;

/// Guests that are brought back at the same time.
const BACK_AT_ONCE: usize = 4;
/// How `virsh` is asked to move: as muster does it, but running at once. That the folder is shared it can't see.
const MIGRATE: [&str; 5] = ["migrate", "--live", "--p2p", "--persistent", "--unsafe"];
/// What muster writes into a definition, which is to be gone before the next trial.
const MARK_NAMESPACE: &str = "urn:muster:mark:1";

/// A way to evacuate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Muster,
    Loop,
    FourAtATime,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Muster, Self::Loop, Self::FourAtATime];
}

impl fmt::Display for Way {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Muster => "muster evacuate",
            Self::Loop => "virsh migrate, in a loop",
            Self::FourAtATime => "virsh migrate, xargs -P 4",
        })
    }
}

/// What came of one way, once.
pub(crate) struct Trial {
    pub(crate) way: Way,
    pub(crate) total_ms: u64,
    pub(crate) moved: Vec<Moved>,
    /// What muster's own processes took.
    pub(crate) processing: Option<Processing>,
    /// What the three libvirtds took, in milliseconds.
    pub(crate) libvirtds_ms: u64,
}

/// Evacuates all guests once.
pub(crate) async fn trial(lab: &Lab, way: Way, per_host: Option<u32>) -> Outcome<Trial> {
    // Muster's processes are up before the clock starts, as a site's always are.
    let site = match way {
        Way::Muster => Some(daemons::Daemons::start(lab, per_host).await?),
        Way::Loop | Way::FourAtATime => None,
    };
    let watch = Watch::begin(lab).await?;
    let before = of_libvirtds(lab)?;
    let begun = Instant::now();
    match (&site, way) {
        (Some(site), _) => site.evacuate().await?,
        (None, Way::FourAtATime) => by_xargs(lab, "4").await?,
        (None, Way::Loop | Way::Muster) => by_xargs(lab, "1").await?,
    }
    let total_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let libvirtds_ms = of_libvirtds(lab)?.saturating_sub(before);
    let processing = match site {
        Some(site) => Some(site.stop().await?),
        None => None,
    };
    let moved: Vec<Moved> = watch.end().await?.into_values().collect();
    if moved.iter().filter(|moved| moved.downtime_ms().is_some()).count() != lab.record().guests.len() {
        return Err(format!("{way}: not every guest was heard to move: {moved:?}"));
    }
    Ok(Trial { way, total_ms, moved, processing, libvirtds_ms })
}

/// A line for each guest, to as many `virsh migrate` at a time as wanted; one at a time is the loop.
async fn by_xargs(lab: &Lab, at_once: &str) -> Outcome<()> {
    let failed = |error: std::io::Error| format!("xargs can't be run: {error}");
    let source = lab.source().map_err(told)?;
    let destinations: Vec<&Host> = destinations(lab);
    let mut lines = Vec::new();
    for (guest, to) in lab.record().guests.iter().zip(destinations.iter().cycle()) {
        writeln!(lines, "{} {} {}", guest.name, to.peer_uri, to.migrate_uri).map_err(failed)?;
    }
    let mut command = Command::new("xargs");
    command.args(["-P", at_once, "-L", "1", "virsh", "--quiet", "--connect", &source.libvirt_uri]).args(MIGRATE);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    let mut xargs = command.spawn().map_err(failed)?;
    if let Some(mut input) = xargs.stdin.take() {
        input.write_all(&lines).await.map_err(failed)?;
    }
    let status = xargs.wait().await.map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("xargs ended with {status}")) }
}

/// Brings every guest back to the source, by `virsh`, and takes away what a move has left.
pub(crate) async fn bring_back(lab: &Lab) -> Outcome<()> {
    let guests = futures::stream::iter(lab.record().guests.iter().map(|guest| come_back(lab, guest)));
    guests.buffer_unordered(BACK_AT_ONCE).try_collect::<()>().await
}

async fn come_back(lab: &Lab, guest: &Guest) -> Outcome<()> {
    let source = lab.source().map_err(told)?;
    for host in destinations(lab) {
        let state = lab.virsh(&host.name, &["domstate", &guest.name]).await.map_err(told)?;
        if state.stdout.trim() == "running" {
            // Where there is no mark, there is nothing to remove.
            let remove = ["metadata", &guest.name, MARK_NAMESPACE, "--remove", "--live", "--config"];
            lab.virsh(&host.name, &remove).await.map_err(told)?;
            let mut back = MIGRATE.to_vec();
            back.extend(["--undefinesource", &guest.name, &source.peer_uri, &source.migrate_uri]);
            lab.virsh(&host.name, &back).await.and_then(|ran| ran.well()).map_err(told)?;
        } else if state.success {
            lab.virsh(&host.name, &["undefine", &guest.name]).await.and_then(|ran| ran.well()).map_err(told)?;
        }
    }
    let definition = guest.definition.display().to_string();
    lab.virsh(&source.name, &["define", &definition]).await.and_then(|ran| ran.well()).map_err(told).map(|_| ())
}

fn destinations(lab: &Lab) -> Vec<&Host> {
    lab.record().hosts.iter().filter(|host| host.role == Role::Destination).collect()
}

fn told(error: LabError) -> String {
    error.to_string()
}
