//! The true optimum of small problems, by trying every order: a problem whose moves are put in, one after another, each as early as it
//! fits, has its optimum among the results, since a shorter makespan is never gained by starting a move later than it could.

use muster_core::timetable::{Problem, Task};

/// Most moves; each further one takes as many times longer as there are moves.
pub const TASKS_MAX: usize = 8;

/// The least makespan, source shutdowns included, in nanoseconds. Knows links, readiness and order; neither waves nor memory.
///
/// # Panics
/// With more than [`TASKS_MAX`] moves.
#[must_use]
pub fn optimum_ns(problem: &Problem) -> u64 {
    assert!(problem.tasks().len() <= TASKS_MAX, "too many moves to try every order");
    let mut search = Search { problem, placed: Vec::new(), best_ns: u64::MAX };
    search.go_on(0);
    search.best_ns
}

struct Search<'a> {
    problem: &'a Problem,
    /// The moves that are put in, with their begins.
    placed: Vec<(usize, u64)>,
    best_ns: u64,
}

impl Search<'_> {
    fn go_on(&mut self, makespan_ns: u64) {
        if makespan_ns >= self.best_ns {
            return;
        }
        let tasks = self.problem.tasks();
        if self.placed.len() == tasks.len() {
            self.best_ns = makespan_ns;
            return;
        }
        for (place, task) in tasks.iter().enumerate() {
            let is_placed = |other: usize| self.placed.iter().any(|(placed, _)| *placed == other);
            if is_placed(place) || !task.after.iter().all(|before| is_placed(*before as usize)) {
                continue;
            }
            let start_ns = self.earliest_ns(task);
            let shutdown_ns = self.problem.hosts()[task.source as usize].shutdown_ns;
            self.placed.push((place, start_ns));
            self.go_on(makespan_ns.max(start_ns + task.duration_ns + shutdown_ns));
            self.placed.pop();
        }
    }

    fn earliest_ns(&self, task: &Task) -> u64 {
        let tasks = self.problem.tasks();
        let end_ns = |(place, start_ns): &(usize, u64)| start_ns + tasks[*place].duration_ns;
        let after = self.placed.iter().filter(|(place, _)| task.after.iter().any(|before| *before as usize == *place));
        let ready_ns = self.problem.hosts()[task.destination as usize].ready_ns;
        let least_ns = after.map(end_ns).max().unwrap_or(0).max(ready_ns);
        let mut candidates: Vec<u64> = self.placed.iter().map(end_ns).filter(|end_ns| *end_ns > least_ns).collect();
        candidates.push(least_ns);
        candidates.sort_unstable();
        let fits = |start_ns: &u64| {
            let begins = self.placed.iter().map(|(_, begin_ns)| *begin_ns);
            let inside = begins.filter(|begin_ns| begin_ns > start_ns && *begin_ns < start_ns + task.duration_ns);
            std::iter::once(*start_ns).chain(inside).all(|at_ns| self.has_room(task, at_ns))
        };
        *candidates.iter().find(|start_ns| fits(start_ns)).expect("behind everything there is room")
    }

    fn has_room(&self, task: &Task, at_ns: u64) -> bool {
        let tasks = self.problem.tasks();
        task.path.iter().all(|link| {
            let there = self.placed.iter().filter(|(place, start_ns)| {
                let other = &tasks[*place];
                other.path.contains(link) && *start_ns <= at_ns && at_ns < start_ns + other.duration_ns
            });
            let used: u64 = there.map(|(place, _)| tasks[*place].rate_bit_s).sum();
            used + task.rate_bit_s <= self.problem.links()[*link as usize].capacity_bit_s
        })
    }
}
