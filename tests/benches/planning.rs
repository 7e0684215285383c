//! How good timetables are, and what they cost. A binary: `cargo bench -p muster-tests --bench planning`.
//!
//! Every plan is checked. `-- SECONDS` is the budget of each plan (2), `-- SECONDS SEEDS` how many problems of each size are planned (3).

#![allow(clippy::print_stdout, reason = "figures are its result")]

use muster_core::timetable::{Bound, Problem, longest_first, plan, repair};
use muster_tests::planning::check::check;
use muster_tests::planning::families::Family;
use muster_tests::planning::optimum::optimum_ns;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Moves and hosts.
const SIZES: [(u32, u32); 7] =
    [(100, 70), (500, 200), (1_000, 100), (1_000, 350), (2_000, 70), (2_000, 200), (2_000, 700)];
/// From so many moves on a problem counts as large.
const LARGE: u32 = 1_000;
/// Small problems whose optimum is known: moves and hosts, the hosts as many for each move as in the large ones.
const SMALL: [(u32, u32); 3] = [(8, 4), (8, 6), (8, 8)];
const SMALL_SEEDS: u64 = 30;

fn main() {
    let mut given = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if let Some(family) =
        Family::ALL.into_iter().find(|family| given.peek().is_some_and(|given| given == family.name()))
    {
        return huge(family);
    }
    let seconds = given.next().and_then(|given| given.parse().ok()).unwrap_or(2.0);
    let seeds = given.next().and_then(|given| given.parse().ok()).unwrap_or(3);
    let budget = Duration::from_secs_f64(seconds);
    println!("makespan over the lower bound, {seeds} problems each, {seconds} s each\n");
    println!("| family | moves | hosts | longest first | planned: geometric mean | median | worst |");
    println!("|---|---|---|---|---|---|---|");
    for family in Family::ALL {
        let (mut all, mut large) = (Vec::new(), Vec::new());
        for (moves, hosts) in SIZES {
            let (ratios, longest) = measured(family, moves, hosts, seeds, budget);
            let name = family.name();
            println!(
                "| {name} | {moves} | {hosts} | {:.4} | {:.4} | {:.4} | {:.4} |",
                mean(&longest),
                mean(&ratios),
                median(&ratios),
                median(&ratios).max(ratios.iter().copied().fold(0.0, f64::max))
            );
            large.extend(ratios.iter().copied().filter(|_| moves >= LARGE));
            all.extend(ratios);
        }
        println!("| {} | all | | | {:.4} | large: {:.4} | |", family.name(), mean(&all), median(&large));
    }
    small(budget);
    all_huge();
}

fn measured(family: Family, moves: u32, hosts: u32, seeds: u64, budget: Duration) -> (Vec<f64>, Vec<f64>) {
    let (mut ratios, mut longest) = (Vec::new(), Vec::new());
    for seed in 1..=seeds {
        let problem = family.problem(moves, hosts, seed);
        let bound_ns = Bound::of(&problem).ns as f64;
        longest.push(longest_first(&problem).makespan_ns(&problem) as f64 / bound_ns);
        ratios.push(within(&problem, seed, budget) as f64 / bound_ns);
    }
    (ratios, longest)
}

fn within(problem: &Problem, seed: u64, budget: Duration) -> u64 {
    let begun = Instant::now();
    let timetable = plan(problem, None, seed, &mut || begun.elapsed() < budget);
    check(problem, &timetable, None).expect("every plan can be carried out");
    timetable.makespan_ns(problem)
}

/// How much of what lies above the bound is the bound's own: the same families, so small that the optimum is known.
fn small(budget: Duration) {
    println!("\n| family | moves | hosts | optimum over bound: mean | worst | planned over optimum: mean | worst |");
    println!("|---|---|---|---|---|---|---|");
    for family in Family::ALL {
        for (moves, hosts) in SMALL {
            let (mut bounds, mut plans) = (Vec::new(), Vec::new());
            for seed in 1..=SMALL_SEEDS {
                let problem = family.problem(moves, hosts, seed);
                let optimum = optimum_ns(&problem) as f64;
                bounds.push(optimum / Bound::of(&problem).ns as f64);
                plans.push(within(&problem, seed, budget / 20) as f64 / optimum);
            }
            let worst = |ratios: &[f64]| ratios.iter().copied().fold(0.0, f64::max);
            println!(
                "| {} | {moves} | {hosts} | {:.4} | {:.4} | {:.4} | {:.4} |",
                family.name(),
                mean(&bounds),
                worst(&bounds),
                mean(&plans),
                worst(&plans)
            );
        }
    }
}

/// Each in a process of its own, so that its memory is its own.
fn all_huge() {
    println!(
        "\n| family | moves | hosts | first plan | processor | over bound | repaired in | memory: the problem | with plan and repair |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for family in Family::ALL {
        let itself = std::env::current_exe().expect("a process knows what it runs");
        let status = Command::new(itself).arg(family.name()).status().expect("what runs can be run");
        assert!(status.success(), "{}: {status}", family.name());
    }
}

/// 100,000 moves over 1,000 hosts: the first plan, its repair after a fault, and what memory they take.
fn huge(family: Family) {
    let problem = family.problem(100_000, 1_000, 1);
    let of_the_problem = memory_mib("VmRSS");
    let (begun, processor_before) = (Instant::now(), processor());
    let timetable = plan(&problem, None, 1, &mut || false);
    let (planned, processor) = (begun.elapsed(), processor() - processor_before);
    let mut turns = timetable.turns_ns();
    turns[77] = u64::MAX;
    let begun = Instant::now();
    let repaired = repair(&problem, &turns);
    let took = begun.elapsed();
    let most = memory_mib("VmHWM");
    check(&problem, &timetable, None).expect("every plan can be carried out");
    check(&problem, &repaired, None).expect("every repair can be carried out");
    let over = timetable.makespan_ns(&problem) as f64 / Bound::of(&problem).ns as f64;
    let (name, planned, processor) = (family.name(), planned.as_millis(), processor.as_millis());
    let took = took.as_millis();
    println!(
        "| {name} | 100000 | 1000 | {planned} ms | {processor} ms | {over:.4} | {took} ms | {of_the_problem:.0} MiB | {most:.0} MiB |"
    );
}

/// How long this thread has had a processor, which on a shared machine is less than what has passed.
fn processor() -> Duration {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells of every thread");
    Duration::from_nanos(status.split(' ').next().and_then(|spent| spent.parse().ok()).expect("in nanoseconds"))
}

/// What this process has of the machine's memory, its code included: now ("VmRSS"), or at most so far ("VmHWM"). In MiB.
fn memory_mib(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of every process");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("it tells of its memory");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("in KiB");
    kib / 1_024.0
}

/// The geometric mean.
fn mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

fn median(ratios: &[f64]) -> f64 {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
