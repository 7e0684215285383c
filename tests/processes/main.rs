//! Evacuations by real processes over real gRPC and real SQLite files, while these processes are killed.
//!
//! ```text
//! plan     who is killed when, drawn from a seed
//! fleet    the VMs, drawn from the same seed, and the runbook
//! stage    the processes: a world, two workers, an orchestrator
//! course   one evacuation from its order to the last verdict
//! judge    every verdict and every end against the world's truth
//! figures  what it adds up to; report: the same, as docs/RELIABILITY.md has it
//! ```
//! The full run is ordered by `cargo test --release -p muster-tests --test processes -- --ignored --nocapture a_hundred`;
//! its last result stands in docs/RELIABILITY.md. `MUSTER_SEEDS=17` or `MUSTER_SEEDS=1..100` (both ends count) says which
//! seeds it plays.

#![allow(clippy::print_stdout, reason = "figures are this test's result")]

mod course;
mod figures;
mod fleet;
mod judge;
mod plan;
mod report;
mod stage;

use figures::Figures;
use futures::StreamExt;
use muster_tests::Outcome;
use muster_tests::circumstances::commit;
use muster_tests::seeds::{SEEDS, given_or};
use tokio::time::Instant;

/// Evacuations at the same time.
const AT_ONCE: usize = 2;
/// Seeds of the short run; the last has its orchestrator succeeded by a recovery.
const FEW: std::ops::RangeInclusive<u64> = 1..=4;
/// Seeds of the full run.
const HUNDRED: std::ops::RangeInclusive<u64> = 1..=100;

#[tokio::test(flavor = "multi_thread")]
async fn a_few_evacuations_survive_kills_of_every_process() {
    evacuate("a_few", FEW.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes; see docs/RELIABILITY.md"]
async fn a_hundred_evacuations_survive_kills_of_every_process() {
    evacuate("a_hundred", given_or(HUNDRED)).await;
}

#[test]
fn a_plan_kills_every_kind_and_is_the_same_for_the_same_seed() {
    use plan::{Part, Plan};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    let draw = |seed| Plan::draw(seed, &mut ChaCha8Rng::seed_from_u64(seed));
    for seed in HUNDRED {
        let plan = draw(seed);
        let mut victims: Vec<Part> =
            plan.strikes.iter().flat_map(|strike| &strike.parts).map(|(part, _)| *part).collect();
        assert!((3..=6).contains(&victims.len()), "{plan:#?}");
        assert!(
            plan.strikes.iter().any(|strike| strike.roll_call) && plan.strikes.is_sorted_by_key(|one| one.at_percent)
        );
        victims.sort_unstable();
        victims.dedup();
        assert_eq!(victims, Part::ALL);
        assert_eq!(format!("{plan:?}"), format!("{:?}", draw(seed)));
    }
    assert!(HUNDRED.map(draw).any(|plan| plan.strikes.iter().any(|strike| strike.parts.len() == 2)));
}

async fn evacuate(run: &str, seeds: Vec<u64>) {
    // Built by nobody else's clock: building takes longer than an evacuation may.
    let built = tokio::task::spawn_blocking(muster_tests::binary::muster).await.expect("a build that ends");
    built.expect("the muster binary");
    let (begun, commit) = (Instant::now(), commit());
    let mut total = Figures::default();
    let mut failed = Vec::new();
    let mut played = futures::stream::iter(seeds).map(|seed| async move { (seed, Box::pin(play(seed)).await) });
    let mut played = std::pin::pin!(played.by_ref().buffer_unordered(AT_ONCE));
    while let Some((seed, (figures, ended))) = played.next().await {
        total.add(&figures);
        match ended {
            Ok(()) => println!("seed {seed}: {figures}"),
            Err(why) => {
                println!("seed {seed} FAILED: {figures}\n{why}");
                failed.push(seed);
            }
        }
    }
    let published = report::published(run, &commit, &total, &failed, begun.elapsed());
    println!("\n{}\n", published.table());
    published.write();
    assert!(failed.is_empty(), "seeds {failed:?} failed; the first again: {}", again(failed[0]));
    assert!(!total.is_harmed(), "{total}");
}

/// Plays a seed in a directory of its own, which stays if it fails.
async fn play(seed: u64) -> (Figures, Outcome<()>) {
    let directory = match tempfile::Builder::new().prefix(&format!("muster-seed-{seed}-")).tempdir() {
        Ok(directory) => directory,
        Err(error) => return (Figures::default(), Err(format!("no temporary directory: {error}"))),
    };
    let (figures, ended) = course::play(seed, directory.path()).await;
    let ended = ended.map_err(|why| {
        let kept = directory.keep();
        format!("{why}\n\nits logs, ledgers and journal: {}\nagain: {}", kept.display(), again(seed))
    });
    (figures, ended)
}

fn again(seed: u64) -> String {
    format!("{SEEDS}={seed} cargo test -p muster-tests --test processes -- --ignored --nocapture a_hundred")
}
