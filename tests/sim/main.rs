//! The simulator: whole sites in one process, from one seed. Real services speak real gRPC over a simulated network, on paused
//! time, with the in-memory store engine and the simulated hypervisors; faults of every kind, then the faults end and
//! everything must settle.
//!
//! ```text
//! fault, plan   what goes wrong when, drawn from a seed; pure, written as JSON
//! play          a plan on a stage: each evacuation's safety phase, then its settling
//! strike        carries faults out and ends them; weather: what they keep from being known
//! person        who orders, looks after what is held, and recovers what an orchestrator left
//! look, oracle  roll calls in the middle of it, held against the truth
//! ends          how an evacuation has to end
//! invariants/   one file an invariant
//! shrink        the fewest faults that still fail; regressions: plans that once failed, kept
//! figures       what it adds up to
//! ```
//! Every test run plays a few hundred small evacuations. The long run is ordered by
//! `cargo test --release -p muster-tests --test sim -- --ignored --nocapture a_million`; its last result stands in
//! docs/RELIABILITY.md. `MUSTER_SEEDS=17` or `MUSTER_SEEDS=1..100` (both ends count) says which seeds either plays.
//! A seed that fails is printed with the command that plays it again, shrunk, and its plan written to `regressions/`, whose
//! plans every test run plays.

#![allow(clippy::print_stdout, reason = "figures are this test's result")]

mod ends;
mod fault;
mod figures;
mod invariants;
mod look;
mod oracle;
mod person;
mod plan;
mod play;
mod regressions;
mod shrink;
mod strike;
mod weather;

use figures::Figures;
use muster_tests::circumstances::commit;
use muster_tests::players::side_by_side;
use muster_tests::seeds::{SEEDS, given_or};
use plan::{Plan, Size};
use play::{Played, play};
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Seeds of every test run.
const FEW: std::ops::RangeInclusive<u64> = 1..=120;
/// Seeds of the long run: a million moves.
const MANY: std::ops::RangeInclusive<u64> = 1..=9_700;
/// Seeds that are played twice, to see whether they go the same way.
const TWICE: std::ops::RangeInclusive<u64> = 1..=12;

#[test]
fn hundreds_of_evacuations_survive_faults_of_every_kind() {
    run(given_or(FEW), Size::Small, "hundreds_of_evacuations");
}

#[test]
#[ignore = "takes long; see docs/RELIABILITY.md"]
fn a_million_moves_survive_faults_of_every_kind() {
    run(given_or(MANY), Size::Large, "a_million");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut digests = BTreeSet::new();
    for seed in given_or(TWICE) {
        let plan = Plan::draw(seed, Size::Small);
        let (one, other) = (play(&plan, true), play(&plan, true));
        let differs = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other);
        let from = differs.unwrap_or(one.trace.len().min(other.trace.len())).saturating_sub(2);
        let show = |played: &Played| played.trace.iter().skip(from).take(6).cloned().collect::<Vec<_>>().join("\n");
        assert!(one.digest == other.digest, "seed {seed} went another way:\n{}\n\n{}", show(&one), show(&other));
        assert!(one.trace.len() > 20, "hardly anything happened: {:#?}", one.trace);
        digests.insert(one.digest);
    }
    assert!(digests.len() > 1 || given_or(TWICE).len() == 1, "seeds that differ go different ways");
}

fn run(seeds: Vec<u64>, size: Size, name: &str) {
    let (begun, commit) = (Instant::now(), commit());
    let (mut total, mut failed) = (Figures::default(), Vec::new());
    let played = side_by_side(&seeds, |_, seed| play(&Plan::draw(*seed, size), false));
    for (seed, Played { figures, wrong, .. }) in seeds.iter().zip(played) {
        total.add(&figures);
        if let Some(first) = wrong.first() {
            let broken: BTreeSet<&str> = wrong.iter().map(|wrong| wrong.invariant).collect();
            println!("seed {seed} FAILED: {broken:?}, first {}", first.what.lines().next().unwrap_or_default());
            failed.push(*seed);
        }
    }
    let published = total.published(name, &commit, &failed, begun.elapsed());
    println!("\n{}\n", published.table());
    published.write();
    if let Some(seed) = failed.first() {
        let plan = Plan::draw(*seed, size);
        let account = shrink::account(&plan, &format!("seed-{seed}"));
        let again =
            format!("{SEEDS}={seed} cargo test -p muster-tests --test sim -- --include-ignored --nocapture {name}");
        panic!("seeds {failed:?} failed; the first again: {again}\n{account}");
    }
}
