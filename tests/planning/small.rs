//! Small problems against their true optimum.

use super::steps;
use muster_core::timetable::{Bound, Host, Link, Problem, SECOND_NS, Task, plan};
use muster_tests::planning::check::check;
use muster_tests::planning::optimum::optimum_ns;

/// Problems tried.
const SEEDS: std::ops::Range<u64> = 0..150;
/// Steps that planning has for each.
const STEPS: u32 = 20_000;
/// How far above the optimum a plan may end.
const ABOVE: f64 = 1.005;

/// Seven moves at most over links of which some carry several of them.
fn small(seed: u64) -> Problem {
    let mut random = fastrand::Rng::with_seed(seed);
    let links: Vec<Link> = (0..4).map(|_| Link { capacity_bit_s: random.u64(2..=6) }).collect();
    let hosts = (0..4).map(|_| Host {
        free_mib: None,
        ready_ns: if random.bool() { 0 } else { random.u64(..10) * SECOND_NS },
        shutdown_ns: if random.bool() { 0 } else { random.u64(..10) * SECOND_NS },
    });
    let hosts = hosts.collect();
    let tasks = (0..random.u32(4..=7)).map(|number| {
        let source = random.u32(..4);
        let mut path: Vec<u32> = (0..4).filter(|_| random.bool()).collect();
        path.truncate(3);
        let least = path.iter().map(|link| links[*link as usize].capacity_bit_s).min().unwrap_or(1);
        Task {
            source,
            destination: (source + random.u32(1..4)) % 4,
            rate_bit_s: random.u64(1..=least),
            path,
            duration_ns: random.u64(1..30) * SECOND_NS,
            memory_mib: 1,
            wave: 0,
            priority: 0,
            value: 1.0,
            after: if number > 0 && random.u8(..4) == 0 { vec![random.u32(..number)] } else { Vec::new() },
        }
    });
    let tasks = tasks.collect();
    Problem::new(links, hosts, tasks).unwrap()
}

#[test]
fn plans_of_small_problems_end_with_the_optimum() {
    let (mut at_bound, mut worst) = (0, 1.0_f64);
    for seed in SEEDS {
        let problem = small(seed);
        let (bound_ns, optimum_ns) = (Bound::of(&problem).ns, optimum_ns(&problem));
        assert!(bound_ns <= optimum_ns, "seed {seed}: the bound {bound_ns} is above the optimum {optimum_ns}");
        at_bound += usize::from(bound_ns == optimum_ns);
        let timetable = plan(&problem, None, seed, &mut steps(STEPS));
        check(&problem, &timetable, None).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        let above = timetable.makespan_ns(&problem) as f64 / optimum_ns as f64;
        assert!(above >= 1.0, "seed {seed}: better than the optimum");
        assert!(above <= ABOVE, "seed {seed}: {above:.4} of the optimum");
        worst = worst.max(above);
    }
    // Were the bound always reached, this would say nothing of what lies above it.
    assert!(at_bound < SEEDS.end as usize, "no problem whose optimum is above the bound");
}
