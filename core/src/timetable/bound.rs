//! What no timetable can beat, and what it hangs on.

use super::Problem;

/// A time that no timetable ends before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The time, in nanoseconds from the start.
    pub ns: u64,
    /// What it hangs on; none where there is nothing to move.
    pub bottleneck: Option<Bottleneck>,
}

/// What keeps an evacuation from ending earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bottleneck {
    /// A link, by its place: it is busy all the time.
    Link(usize),
    /// A move, by its place: alone, it takes that long.
    Task(usize),
}

impl Bound {
    /// The greatest of: for every link, the earliest readiness among the destinations of its moves, and what they send divided by its
    /// capacity, and the least shutdown among their sources; for every move, its destination's readiness, its duration, and its source's shutdown.
    #[must_use]
    pub fn of(problem: &Problem) -> Bound {
        let alone = problem.tasks().iter().enumerate().map(|(place, task)| Bound {
            ns: problem.ready_ns(task) + task.duration_ns + problem.shutdown_ns(task),
            bottleneck: Some(Bottleneck::Task(place)),
        });
        let shared = of_links(problem).into_iter().enumerate().map(|(place, load)| Bound {
            ns: load.bound_ns(problem.links()[place].capacity_bit_s),
            bottleneck: Some(Bottleneck::Link(place)),
        });
        // Of equals the last is taken: a link says more than a move.
        alone.chain(shared).max_by_key(|bound| bound.ns).unwrap_or(Bound { ns: 0, bottleneck: None })
    }
}

/// What a link has to carry.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Bits, a thousand million times.
    sent: u128,
    first_release_ns: u64,
    least_shutdown_ns: u64,
}

impl Load {
    const NOTHING: Load = Load { sent: 0, first_release_ns: u64::MAX, least_shutdown_ns: u64::MAX };

    fn bound_ns(&self, capacity_bit_s: u64) -> u64 {
        if self.sent == 0 {
            return 0;
        }
        let busy_ns = u64::try_from(self.sent / u128::from(capacity_bit_s)).unwrap_or(u64::MAX);
        busy_ns.saturating_add(self.first_release_ns).saturating_add(self.least_shutdown_ns)
    }
}

fn of_links(problem: &Problem) -> Vec<Load> {
    let mut loads = vec![Load::NOTHING; problem.links().len()];
    for task in problem.tasks() {
        let (ready_ns, shutdown_ns) = (problem.ready_ns(task), problem.shutdown_ns(task));
        for link in &task.path {
            let load = &mut loads[*link as usize];
            load.sent += u128::from(task.rate_bit_s) * u128::from(task.duration_ns);
            load.first_release_ns = load.first_release_ns.min(ready_ns);
            load.least_shutdown_ns = load.least_shutdown_ns.min(shutdown_ns);
        }
    }
    loads
}
