//! The longest first, held against the plainest way to do it: at every event all that wait are looked at, in their order.

use super::gbit;
use super::whole::{SEEDS, SIZES, with_everything};
use muster_core::timetable::{Link, Problem, Task, longest_first};
use muster_tests::planning::families::Family;
use std::cmp::Reverse;
use std::collections::BTreeSet;

struct Plain<'a> {
    problem: &'a Problem,
    now_ns: u64,
    left_bit_s: Vec<u64>,
    free_mib: Vec<Option<u64>>,
    starts_ns: Vec<Option<u64>>,
    running: BTreeSet<(u64, usize)>,
    ended: Vec<bool>,
}

impl<'a> Plain<'a> {
    fn new(problem: &'a Problem) -> Self {
        Plain {
            problem,
            now_ns: 0,
            left_bit_s: problem.links().iter().map(|link| link.capacity_bit_s).collect(),
            free_mib: problem.hosts().iter().map(|host| host.free_mib).collect(),
            starts_ns: vec![None; problem.tasks().len()],
            running: BTreeSet::new(),
            ended: vec![false; problem.tasks().len()],
        }
    }

    fn all(mut self) -> Vec<Option<u64>> {
        let waves: BTreeSet<u32> = self.problem.tasks().iter().map(|task| task.wave).collect();
        for wave in waves {
            self.wave(wave);
        }
        self.starts_ns
    }

    fn wave(&mut self, wave: u32) {
        let tasks = self.problem.tasks();
        let mut order: Vec<usize> = (0..tasks.len()).filter(|task| tasks[*task].wave == wave).collect();
        order.sort_by_key(|task| Reverse((tasks[*task].priority, tasks[*task].duration_ns, Reverse(*task))));
        loop {
            for task in &order {
                if self.starts_ns[*task].is_none() && self.fits(&tasks[*task]) {
                    self.begin(*task);
                }
            }
            let waits = order.iter().filter(|task| self.starts_ns[**task].is_none());
            let ready = waits.map(|task| self.ready_ns(&tasks[*task])).filter(|ready_ns| *ready_ns > self.now_ns);
            let ends = self.running.first().map(|(end_ns, _)| *end_ns);
            let Some(next_ns) = ready.chain(ends).min() else { return };
            self.now_ns = next_ns;
            while let Some((_, task)) = self.running.first().copied().filter(|(end_ns, _)| *end_ns <= next_ns) {
                self.running.pop_first();
                self.end(task);
            }
        }
    }

    fn ready_ns(&self, task: &Task) -> u64 {
        self.problem.hosts()[task.destination as usize].ready_ns
    }

    fn fits(&self, task: &Task) -> bool {
        self.ready_ns(task) <= self.now_ns
            && task.after.iter().all(|before| self.ended[*before as usize])
            && task.path.iter().all(|link| self.left_bit_s[*link as usize] >= task.rate_bit_s)
            && self.free_mib[task.destination as usize].is_none_or(|free_mib| free_mib >= task.memory_mib)
    }

    fn begin(&mut self, place: usize) {
        let task = &self.problem.tasks()[place];
        task.path.iter().for_each(|link| self.left_bit_s[*link as usize] -= task.rate_bit_s);
        self.free_mib[task.destination as usize].iter_mut().for_each(|free_mib| *free_mib -= task.memory_mib);
        self.starts_ns[place] = Some(self.now_ns);
        self.running.insert((self.now_ns + task.duration_ns, place));
    }

    fn end(&mut self, place: usize) {
        let task = &self.problem.tasks()[place];
        task.path.iter().for_each(|link| self.left_bit_s[*link as usize] += task.rate_bit_s);
        self.free_mib[task.source as usize].iter_mut().for_each(|free_mib| *free_mib += task.memory_mib);
        self.ended[place] = true;
    }
}

#[test]
fn whenever_something_ends_the_longest_that_fits_begins() {
    for family in Family::ALL {
        for seed in SEEDS {
            for (moves, hosts) in SIZES {
                let problem = family.problem(moves, hosts, seed);
                assert!(longest_first(&problem).starts_ns == Plain::new(&problem).all(), "{family:?} {moves} {seed}");
            }
            let problem = with_everything(family, seed);
            assert!(longest_first(&problem).starts_ns == Plain::new(&problem).all(), "{family:?} {seed}, everything");
        }
    }
}

/// A path of any links of eight, so that moves bounce between several that carry many at a time, at different rates.
fn tangled(seed: u64) -> Problem {
    let mut random = fastrand::Rng::with_seed(seed);
    let plain = Family::Random.problem(40, 30, seed);
    let links: Vec<Link> = (0..8).map(|_| Link { capacity_bit_s: gbit(random.u64(4..12)) }).collect();
    let tasks = plain.tasks().iter().map(|task| Task {
        path: (0..8).filter(|_| random.u8(..3) == 0).collect(),
        rate_bit_s: gbit(1 + random.u64(..4) / 3 * 2),
        ..task.clone()
    });
    Problem::new(links, plain.hosts().to_vec(), tasks.collect()).unwrap()
}

#[test]
fn it_does_so_where_paths_cross_and_rates_differ() {
    for seed in 0..1_000 {
        let problem = tangled(seed);
        assert!(longest_first(&problem).starts_ns == Plain::new(&problem).all(), "{seed}");
    }
}
