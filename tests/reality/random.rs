//! An evacuation of 20 guests with three random kills by seed.

use crate::called::Asked;
use crate::ends::End;
use crate::row::Row;
use crate::stand::{DESTINATION, Part, SOURCE_HOST};
use crate::{Outcome, Speed};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::Duration;
use tokio::time::Instant;

/// Who is moved: most of them quickly, some for long enough that a kill meets their memory on the way.
pub(crate) const GUESTS: [(Speed, u16); 2] = [(Speed::Slow, 4), (Speed::Quick, 16)];
/// Kills of an evacuation.
const KILLS: usize = 3;
/// What is killed stays dead for so long, in milliseconds.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 100..=2_500;
/// Longest wait for a moment.
const WITHIN: Duration = Duration::from_secs(120);

/// Who can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Muster(Part),
    Libvirtd(&'static str),
    /// The QEMU that a guest arrives in.
    Arriving,
}

const VICTIMS: [Victim; 7] = [
    Victim::Muster(Part::Orchestrator),
    Victim::Muster(Part::Source),
    Victim::Muster(Part::Destination),
    Victim::Libvirtd(SOURCE_HOST),
    Victim::Libvirtd("south-1"),
    Victim::Libvirtd("south-2"),
    Victim::Arriving,
];

#[derive(Debug)]
struct Kill {
    victim: Victim,
    /// As soon as so many guests have arrived.
    arrived: usize,
    pause: Duration,
}

fn draw(seed: u64, guests: usize) -> Vec<Kill> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut kills: Vec<Kill> = (0..KILLS)
        .map(|_| Kill {
            victim: *VICTIMS.choose(&mut random).unwrap_or(&Victim::Arriving),
            arrived: random.random_range(0..guests * 4 / 5),
            pause: Duration::from_millis(random.random_range(PAUSE_MS)),
        })
        .collect();
    kills.sort_by_key(|kill| kill.arrived);
    kills
}

/// Plays a seed: each guest ends at the destination with its memory, whatever was killed.
pub(crate) async fn play(row: &mut Row<'_>, seed: u64) -> Outcome<()> {
    let kills = draw(seed, row.guests.len());
    row.evacuate("[limits]\nper_source_host = 4\nper_destination_host = 2\n").await?;
    for kill in &kills {
        until_arrived(row, kill.arrived).await?;
        strike(row, kill).await?;
    }
    row.until_finished().await?;
    row.ends(End::Migrated).await
}

async fn strike(row: &mut Row<'_>, kill: &Kill) -> Outcome<()> {
    match kill.victim {
        Victim::Muster(part) => {
            row.kill(part).await?;
            match part {
                Part::Orchestrator => drop(row.call_the_roll(Asked::BothWorkers, &[]).await?),
                Part::Source => drop(row.call_the_roll(Asked::DestinationAlone, &[]).await?),
                Part::Destination => {}
            }
            tokio::time::sleep(kill.pause).await;
            row.start(part).await
        }
        Victim::Libvirtd(host) => {
            row.kill_libvirtd(host).await?;
            row.call_the_roll(Asked::BothWorkers, &[]).await?;
            tokio::time::sleep(kill.pause).await;
            row.lab(&format!("started the libvirtd of {host}"), row.lab.start_libvirtd(host)).await
        }
        Victim::Arriving => {
            // Only one whose memory is surely still the source's: its move says so, and it isn't sent in a moment.
            let Some((guest, host)) = row.arriving().await? else {
                row.note("nobody is just arriving");
                return Ok(());
            };
            row.lab(&format!("killed the QEMU that {guest} arrives in"), row.lab.kill_guest(&host, &guest)).await?;
            row.call_the_roll(Asked::BothWorkers, &[]).await.map(drop)
        }
    }
}

/// Waits until so many run at the destination, as an outsider sees it.
async fn until_arrived(row: &mut Row<'_>, wanted: usize) -> Outcome<()> {
    let begun = Instant::now();
    while begun.elapsed() < WITHIN {
        let mut running = 0;
        for host in row.lab.record().hosts.iter().filter(|host| host.site == DESTINATION) {
            let listed = row.virsh(&host.name, &["list", "--state-running", "--name"]).await?;
            running += row.guests.iter().filter(|guest| listed.lines().any(|line| line == guest.as_str())).count();
        }
        if running >= wanted {
            row.note(&format!("{running} run at the destination"));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("{wanted} never arrived"))
}

#[test]
fn a_seed_draws_the_same_kills_and_all_are_killed_by_some_seed() {
    assert_eq!(format!("{:?}", draw(7, 20)), format!("{:?}", draw(7, 20)));
    let drawn: Vec<Kill> = (1..=20).flat_map(|seed| draw(seed, 20)).collect();
    for victim in VICTIMS {
        assert!(drawn.iter().any(|kill| kill.victim == victim), "{victim:?}");
    }
}
