//! muster on real hypervisors, broken at every moment and judged from outside.
//!
//! ```text
//! stand    a lab, and for each row guests and processes of muster of its own
//! row      one row while it is played: what is asked, waited for and killed
//! called   roll calls and recoveries of a row
//! witness  what is true, seen from outside, against muster's verdicts
//! ends     how a guest may end
//! transfer deaths and cuts while memory is sent
//! handover deaths and cuts between memory's arrival and the source's letting go
//! commit   deaths and cuts between the source's letting go and the event
//! event    deaths between the event and the source's retirement
//! hands    what a person does to guests in the middle of their move
//! orchestrator  its deaths at every line, and late calls of one whose claim is over
//! lost     the source site is lost, and comes back
//! long     an evacuation over a long and lossy link
//! random   an evacuation of 20 guests with three random kills by seed
//! figures  what it all adds up to
//! ```
//! It needs root, libvirt and QEMU, and the cargo feature `libvirt`. Where one is missing it says what it left out.

mod called;
mod commit;
mod ends;
mod event;
mod figures;
mod handover;
mod hands;
mod long;
mod lost;
mod orchestrator;
mod random;
mod row;
mod stand;
mod transfer;
mod witness;

use figures::Figures;
use futures::future::{LocalBoxFuture, join_all};
use muster_tests::Outcome;
use muster_tests::circumstances::commit;
use muster_tests::lab::{Kind, Order};
use muster_tests::published::Published;
use muster_tests::seeds::{SEEDS, given_or};
use row::Row;
use stand::Stand;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Names the rows that are to be played, by parts of their names; all without it.
const ROWS: &str = "MUSTER_ROWS";
/// How often each row is played.
const ROUNDS: &str = "MUSTER_ROUNDS";
/// Has every row say what it did, not only those that fail.
const AT_LENGTH: &str = "MUSTER_AT_LENGTH";

/// Rows that are played at the same time, each lane on a lab of its own: most of a row is waiting.
const LANES: usize = 4;
/// Seeds of the short run.
const FEW: std::ops::RangeInclusive<u64> = 1..=2;

/// Rows that are still to be played.
type Queue = Arc<Mutex<VecDeque<&'static Case>>>;

/// One row: what it is called, whom it moves, and what happens.
struct Case {
    name: &'static str,
    guests: &'static [(Speed, u16)],
    play: for<'r> fn(&'r mut Row<'_>) -> LocalBoxFuture<'r, Outcome<()>>,
}

/// How long a guest's transfer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speed {
    /// Hardly any time.
    Quick,
    /// Some seconds of pre-copy.
    Slow,
}

impl Speed {
    fn order(self) -> Order {
        match self {
            Speed::Quick => Order::of(Kind::Quiet),
            Speed::Slow => Order { memory_mib: 32, dirty_kib_per_second: 8_192, ..Order::of(Kind::Dirty) },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row() {
    let wanted = std::env::var(ROWS).unwrap_or_default();
    let rounds: usize = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let all: [&'static [Case]; 8] = [
        &handover::CASES[..],
        &hands::CASES,
        &lost::CASES,
        &long::CASES,
        &orchestrator::CASES,
        &transfer::CASES,
        &commit::CASES,
        &event::CASES,
    ];
    let rows = all.into_iter().flatten().filter(|case| wanted.split(',').any(|part| case.name.contains(part)));
    let queue: Queue = Arc::new(Mutex::new(rows.flat_map(|case| std::iter::repeat_n(case, rounds)).collect()));
    assert!(!waiting(&queue).is_empty(), "no row's name has any of {wanted:?}");
    let (begun, commit) = (Instant::now(), commit());
    let lanes = LANES.min(waiting(&queue).len());
    // Each on a thread of its own: labs wait for each other, and block their thread meanwhile.
    let handle = Handle::current();
    let lanes = (1..=lanes).map(|lane| {
        let (handle, queue) = (handle.clone(), Arc::clone(&queue));
        tokio::task::spawn_blocking(move || handle.block_on(play(lane, &queue)))
    });
    let played: Vec<(Figures, Vec<&str>)> =
        join_all(lanes).await.into_iter().map(|lane| lane.expect("a lane that ends")).collect();
    let mut total = Figures::default();
    played.iter().for_each(|(figures, _)| total.add(*figures));
    let run = if rounds == 1 { "rows".to_owned() } else { format!("rows_{rounds}_rounds") };
    publish(&total, &total.published(&run, "rows played", &commit, begun.elapsed()));
    let failed: Vec<&str> = played.into_iter().flat_map(|(_, failed)| failed).collect();
    assert!(failed.is_empty(), "failed: {failed:?}; again: {ROWS}=NAME");
}

#[tokio::test(flavor = "multi_thread")]
async fn random_kills() {
    let Some(mut stand) = Stand::up("random", "20 real guests and random kills").await else { return };
    build().await;
    let (all, commit) = (Instant::now(), commit());
    let (mut total, mut failed) = (Figures::default(), Vec::new());
    let seeds = given_or(FEW);
    let run = if seeds.len() == FEW.count() { "seeds".to_owned() } else { format!("seeds_{}", seeds.len()) };
    for seed in seeds {
        let begun = Instant::now();
        let (figures, ended) = play_seed(&mut stand, seed).await;
        total.add(figures);
        if !told(&format!("seed {seed}"), begun.elapsed().as_millis(), ended) {
            failed.push(seed);
            stand.renew().await;
        }
    }
    publish(&total, &total.published(&run, "evacuations of 20 guests", &commit, all.elapsed()));
    assert!(failed.is_empty(), "seeds {failed:?} failed; again: {SEEDS}=N");
}

async fn play_seed(stand: &mut Stand, seed: u64) -> (Figures, Outcome<String>) {
    let mut row = match stand.row(&orders(&random::GUESTS)).await {
        Ok(row) => row,
        Err(why) => return (Figures { played: 1, failed: 1, ..Figures::default() }, Err(why)),
    };
    let played = random::play(&mut row, seed).await;
    row.end(played).await
}

fn orders(guests: &[(Speed, u16)]) -> Vec<(Order, u16)> {
    guests.iter().map(|(speed, count)| (speed.order(), *count)).collect()
}

/// Plays rows one after the other on one lab, as long as there are any, and gives those that failed. After one that fails the
/// next is played on a fresh lab.
async fn play(lane: usize, queue: &Queue) -> (Figures, Vec<&'static str>) {
    let (mut total, mut failed) = (Figures::default(), Vec::new());
    let Some(mut stand) = Stand::up(&format!("rows{lane}"), "faults on real hypervisors").await else {
        return (total, failed);
    };
    build().await;
    loop {
        let next = waiting(queue).pop_front();
        let Some(case) = next else { return (total, failed) };
        let begun = Instant::now();
        let (figures, ended) = play_one(&mut stand, case).await;
        total.add(figures);
        if !told(case.name, begun.elapsed().as_millis(), ended) {
            failed.push(case.name);
            stand.renew().await;
        }
    }
}

fn waiting(queue: &Queue) -> MutexGuard<'_, VecDeque<&'static Case>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By nobody's clock: building takes longer than a row may.
async fn build() {
    let built = tokio::task::spawn_blocking(muster_tests::binary::muster).await.expect("a build that ends");
    built.expect("the muster binary");
}

/// Gives what it did.
async fn play_one(stand: &mut Stand, case: &Case) -> (Figures, Outcome<String>) {
    let mut row = match stand.row(&orders(case.guests)).await {
        Ok(row) => row,
        Err(why) => return (Figures { played: 1, failed: 1, ..Figures::default() }, Err(why)),
    };
    let played = (case.play)(&mut row).await;
    row.end(played).await
}

/// Says how it ended; whether it was right.
fn told(what: &str, took_ms: u128, ended: Outcome<String>) -> bool {
    match ended {
        Ok(log) => {
            tell(&format!("right: {what}, {took_ms} ms"));
            if std::env::var_os(AT_LENGTH).is_some() {
                tell(&log);
            }
            true
        }
        Err(why) => {
            tell(&format!("FAILED: {what}, {took_ms} ms\n{why}"));
            false
        }
    }
}

/// Tells what a run has found, and writes it down if it could play anything at all.
fn publish(total: &Figures, found: &Published) {
    tell(&found.table());
    if total.played > 0 {
        found.write();
    }
}

/// Past the capture of a test's output: rows take long.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
