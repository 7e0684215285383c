//! Carries frames from one device to another and back: late, at a rate, and not all of them. It knows nothing of labs.

use super::error::LabError;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, park_timeout};
use std::time::Duration;
use tokio::time::Instant;

/// The largest frame a device gives: 64 KiB of segments and the headers.
const FRAME_BYTES_MAX: usize = 65_536 + 128;
/// Frames under way in one direction before further ones are dropped, as a real link's queue does: 100 ms at a gigabit.
const UNDER_WAY_MAX: usize = 8_192;
/// Chances are out of this many.
const MILLION: u32 = 1_000_000;

/// What a link is like, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How long each frame takes, 0 to 10,000 ms. There and back takes twice as long.
    pub delay_ms: u32,
    /// How many of a million frames are lost, 0 to 1,000,000.
    pub lost_per_million: u32,
    /// The most that passes, 8 to 10,000,000 kbit in a second; without limit if none.
    pub rate_kbit: Option<u32>,
    /// Chance's seed.
    pub seed: u64,
}

impl Shape {
    pub(super) fn check(&self) -> Result<(), LabError> {
        let rate = ("rate_kbit", 8, 10_000_000, self.rate_kbit.unwrap_or(8));
        let ranges =
            [("delay_ms", 0, 10_000, self.delay_ms), ("lost_per_million", 0, MILLION, self.lost_per_million), rate];
        for (what, least, most, given) in ranges {
            if !(least..=most).contains(&given) {
                return Err(LabError::OutOfRange { what, least: least.into(), most: most.into(), given: given.into() });
            }
        }
        Ok(())
    }
}

/// Carries frames between two devices until they are gone, in threads of its own.
pub(super) fn start(north: File, south: File, shape: &Shape) -> Result<(), LabError> {
    let again = |file: &File| {
        file.try_clone().map_err(|source| LabError::File { path: "a tap device".into(), action: "opened", source })
    };
    let (to_south, to_north) = (again(&south)?, again(&north)?);
    carry(north, to_south, shape, shape.seed);
    carry(south, to_north, shape, shape.seed.wrapping_add(1));
    Ok(())
}

/// A frame under way, and when it is due.
type UnderWay = (Instant, Vec<u8>);

fn carry(from: File, to: File, shape: &Shape, seed: u64) {
    let (sender, receiver) = sync_channel(UNDER_WAY_MAX);
    let shape = *shape;
    thread::spawn(move || take(from, &sender, &shape, ChaCha8Rng::seed_from_u64(seed)));
    thread::spawn(move || give(to, &receiver));
}

fn take(mut from: File, sender: &SyncSender<UnderWay>, shape: &Shape, mut chance: ChaCha8Rng) {
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    let mut free = Instant::now();
    // A device that was taken away can't be read any more.
    while let Ok(length) = from.read(&mut buffer) {
        if chance.next_u32() % MILLION < shape.lost_per_million {
            continue;
        }
        let bits = length as u64 * 8;
        let takes_us = shape.rate_kbit.map_or(0, |rate_kbit| bits * 1_000 / u64::from(rate_kbit));
        let begins = free.max(Instant::now());
        let ends = begins + Duration::from_micros(takes_us);
        // What finds the queue full is lost, and takes no time on the wire.
        if sender.try_send((ends + Duration::from_millis(shape.delay_ms.into()), buffer[..length].to_vec())).is_ok() {
            free = ends;
        }
    }
}

fn give(mut to: File, receiver: &Receiver<UnderWay>) {
    while let Ok((due, frame)) = receiver.recv() {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            park_timeout(left);
        }
        // A frame that the device doesn't take is lost, like any other.
        let _ = to.write_all(&frame);
    }
}
