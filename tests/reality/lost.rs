//! The source site is lost: cut off while it lives, or dead. The destination alone accounts for every guest; then the source
//! comes back, and obeys nothing before it has read the destination's events.

use crate::called::Asked;
use crate::ends::End;
use crate::row::Row;
use crate::stand::{Part, SOURCE_HOST, Way};
use crate::witness::{Copy as Seen, Look, Seen as Both};
use crate::{Case, Outcome, Speed};
use muster_tests::lab::gate::Passage;
use std::time::Duration;

/// `muster recover` says by this that guests are held.
const HELD: i32 = 3;
/// Long enough for anything that the source might do by itself.
const A_WHILE: Duration = Duration::from_secs(3);
/// How often a person tries who recovers again while something is held.
const RECOVERIES_MAX: usize = 5;

pub(crate) static CASES: [Case; 2] = [
    Case {
        name: "lost: the source site is unplugged, and comes back",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 5)],
        play: |row| Box::pin(unplugged(row)),
    },
    Case {
        name: "lost: the source site dies, is sworn fenced, and comes back with autostart",
        guests: &[(Speed::Slow, 1), (Speed::Quick, 3)],
        play: |row| Box::pin(dead(row)),
    },
];

const LIMITS: &str = "[limits]\nper_source_host = 2\nper_destination_host = 1\n";

/// Some have arrived, one is in transfer, some have not begun.
async fn halfway(row: &mut Row<'_>) -> Outcome<()> {
    let slow = row.first();
    row.evacuate(LIMITS).await?;
    row.until_in_transfer(&slow).await?;
    row.until_seen("one has arrived", |look| look.guests.values().any(|seen| seen.destination == Seen::Running)).await
}

fn placed(look: &Look) -> Vec<(Seen, Seen)> {
    look.guests.values().map(|seen| (seen.source, seen.destination)).collect()
}

async fn unplugged(row: &mut Row<'_>) -> Outcome<()> {
    halfway(row).await?;
    row.lab("unplugged the source's host", row.lab.unplug(SOURCE_HOST)).await?;
    row.ways(&Way::BETWEEN_SITES, Passage::Shut);
    row.kill(Part::Orchestrator).await?;
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    let recovered = row.recover(Asked::DestinationAlone, &[]).await?;
    if recovered.code != HELD {
        return Err(format!("nothing is held, though the source runs guests: {recovered:?}"));
    }
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    // The source's worker can be asked again, but can't ask the destination itself: it gives nothing back, whoever orders it.
    let before = row.look().await?;
    row.kill(Part::Source).await?;
    row.start(Part::Source).await?;
    row.recover(Asked::BothWorkers, &["--undo", "--deadline-ms=6000"]).await?;
    tokio::time::sleep(A_WHILE).await;
    let after = row.look().await?;
    let began = |(was, is): (&(Seen, Seen), &(Seen, Seen))| was.0 != Seen::Running && is.0 == Seen::Running;
    if placed(&before).iter().zip(&placed(&after)).any(began) {
        return Err(format!("the source has begun to run a guest: {before:?}, then {after:?}"));
    }
    row.lab("plugged the source's host in", row.lab.plug(SOURCE_HOST)).await?;
    row.ways(&Way::BETWEEN_SITES, Passage::Open { delay_ms: 0 });
    // A hypervisor may still be busy with a transfer whose link was lost, and answer nothing about that guest: then it is recovered again.
    for _ in 0..RECOVERIES_MAX {
        if row.recover(Asked::BothWorkers, &[]).await?.code != HELD {
            break;
        }
    }
    row.start(Part::Orchestrator).await?;
    row.until_finished().await?;
    // What the undoing could bring to its end has stayed, all else has moved on; what had arrived is where it was.
    let now = row.look().await?;
    let end = |seen: &Both| if seen.source == Seen::Running { End::Stayed } else { End::Migrated };
    let ends: Vec<(String, End)> = now.guests.iter().map(|(guest, seen)| (guest.clone(), end(seen))).collect();
    let had_arrived = |guest: &String| before.guests.get(guest).is_some_and(|was| was.destination == Seen::Running);
    if let Some((guest, _)) = ends.iter().find(|(guest, end)| had_arrived(guest) && *end == End::Stayed) {
        return Err(format!("{guest} had arrived, and runs at the source"));
    }
    row.end_as(&ends).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    row.call_the_roll(Asked::DestinationAlone, &[]).await.map(drop)
}

async fn dead(row: &mut Row<'_>) -> Outcome<()> {
    let slow = row.first();
    halfway(row).await?;
    row.lab("killed the source's host", row.lab.kill_host(SOURCE_HOST)).await?;
    // On a busy machine it may have arrived just before.
    let look = row.look().await?;
    let had_arrived = look.guests.get(&slow).is_some_and(|seen| seen.destination == Seen::Running);
    let end = if had_arrived { End::Migrated } else { End::ColdStarted };
    row.kill(Part::Source).await?;
    row.kill(Part::Orchestrator).await?;
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    let cold = format!("--cold-start={}", row.vm(&slow)?);
    let sworn = ["--assert-source-fenced=its power is cut", &cold];
    let recovered = row.recover(Asked::DestinationAlone, &sworn).await?;
    row.note(&recovered.stdout);
    row.until_seen("the one in transfer runs at the destination", |look| {
        look.guests.get(&slow).is_some_and(|seen| seen.destination == Seen::Running)
    })
    .await?;
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    row.lab("booted the source's host", row.lab.boot_host(SOURCE_HOST)).await?;
    row.start(Part::Source).await?;
    tokio::time::sleep(A_WHILE).await;
    row.call_the_roll(Asked::DestinationAlone, &[]).await?;
    row.end_as(&[(slow, end)]).await?;
    row.call_the_roll(Asked::BothWorkers, &[]).await?;
    Ok(())
}
