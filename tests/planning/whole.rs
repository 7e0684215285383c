//! Problems of every family, with everything that may be in them: what comes out can be carried out.

use super::steps;
use muster_core::timetable::{Bound, Host, Problem, SECOND_NS, Task, longest_first, plan, repair};
use muster_tests::planning::check::check;
use muster_tests::planning::families::Family;

pub(super) const SIZES: [(u32, u32); 3] = [(60, 12), (300, 40), (400, 200)];
pub(super) const SEEDS: std::ops::Range<u64> = 0..6;

#[test]
fn never_worse_than_the_longest_first_and_never_better_than_the_bound() {
    for family in Family::ALL {
        for (moves, hosts) in SIZES {
            for seed in SEEDS {
                let problem = family.problem(moves, hosts, seed);
                let timetable = plan(&problem, None, seed, &mut steps(60));
                check(&problem, &timetable, None).unwrap_or_else(|what| panic!("{family:?} {seed}: {what}"));
                let makespan_ns = timetable.makespan_ns(&problem);
                assert!(makespan_ns >= Bound::of(&problem).ns);
                assert!(makespan_ns <= longest_first(&problem).makespan_ns(&problem));
            }
        }
    }
}

/// The same with waves, order, priorities, memory that is short, and hosts that become ready.
pub(super) fn with_everything(family: Family, seed: u64) -> Problem {
    let plain = family.problem(200, 40, seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let hosts = plain.hosts().iter().map(|host| Host {
        free_mib: random.bool().then(|| random.u64(4_000..60_000)),
        ready_ns: random.u64(..60) * SECOND_NS,
        ..*host
    });
    let hosts = hosts.collect();
    let tasks = (0..).zip(plain.tasks()).map(|(number, task)| Task {
        wave: number / 70,
        priority: random.i64(-1..=1),
        value: f64::from(random.u8(..9)),
        after: (0..random.u32(..3)).map(|_| random.u32(..=number)).filter(|before| *before != number).collect(),
        ..task.clone()
    });
    Problem::new(plain.links().to_vec(), hosts, tasks.collect()).unwrap()
}

#[test]
pub(super) fn with_everything_at_once_nothing_is_broken() {
    let mut left_behind = 0;
    for family in Family::ALL {
        for seed in SEEDS {
            let problem = with_everything(family, seed);
            let timetable = plan(&problem, None, seed, &mut steps(40));
            check(&problem, &timetable, None).unwrap_or_else(|what| panic!("{family:?} {seed}: {what}"));
            left_behind += timetable.left_behind().count();
            let deadline_ns = timetable.makespan_ns(&problem) / 2;
            let in_time = plan(&problem, Some(deadline_ns), seed, &mut steps(40));
            check(&problem, &in_time, Some(deadline_ns)).unwrap_or_else(|what| panic!("{family:?} {seed}: {what}"));
            let repaired = repair(&problem, &timetable.turns_ns());
            check(&problem, &repaired, None).unwrap_or_else(|what| panic!("{family:?} {seed}, repaired: {what}"));
        }
    }
    assert!(left_behind > 0, "memory was never short");
}

#[test]
fn the_same_seed_and_as_many_steps_give_the_same_plan() {
    for family in Family::ALL {
        let problem = family.problem(200, 30, 5);
        let once = plan(&problem, None, 9, &mut steps(80));
        assert_eq!(once, plan(&problem, None, 9, &mut steps(80)), "{family:?}");
    }
}
