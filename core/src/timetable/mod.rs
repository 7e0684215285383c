//! When each move begins: from moves, the links they take and the hosts they go to, to a timetable that ends early. Pure.
//!
//! ```text
//! problem    what is to be moved over what; refuses what can't be planned
//! bound      what no timetable can beat, and what it hangs on
//! dispatch   list scheduling by events: a move begins as soon as its links have room, the most urgent first
//! layout     what every such run needs to know of a problem
//! queues     where in such a run moves wait
//! urgency    which of them is the most urgent
//! line       moves in a line, each as early as those before it allow; and as late as those behind it allow
//! improve    takes a critical move out of the line and puts it back where it hurts least, again and again
//! shift      takes any move out of the line and puts it anywhere else
//! urge       list scheduling again and again, each time with what ended last made more urgent
//! choose     which moves are worth it where a deadline doesn't leave time for all
//! repair     the same timetable after something has changed, without planning anew
//! ```
//! It must never read a clock: how long it may improve is told by whoever calls, as is the seed of what it draws.
//!
//! The problem is that of moves which hold several resources at once for a time that is known: where each takes the whole of two
//! interfaces it is an open shop, which is NP-hard; so the timetable is good, not proven best, and [`Bound`] says how good.

mod bound;
mod choose;
mod dispatch;
mod improve;
mod layout;
mod line;
mod problem;
mod queues;
mod repair;
mod room;
mod shift;
mod urge;
mod urgency;

pub use bound::{Bottleneck, Bound};
pub use problem::{
    DURATION_MAX_NS, HOSTS_MAX, Host, LINKS_MAX, Link, PATH_MAX, Problem, ProblemError, TASKS_MAX, Task,
};
pub use repair::repair;

use dispatch::Dispatch;
use layout::Layout;
use urgency::{Rule, portfolio};

/// Nanoseconds of a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// A beginning for every move that is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    /// When each move begins, in nanoseconds from the start, in the order of the problem's tasks. None: left behind.
    pub starts_ns: Vec<Option<u64>>,
}

impl Timetable {
    /// When the last source host is done: the greatest end of a move and its source's shutdown. In nanoseconds; 0 where nothing moves.
    #[must_use]
    pub fn makespan_ns(&self, problem: &Problem) -> u64 {
        let starts = self.starts_ns.iter().zip(problem.tasks());
        let ends = starts.filter_map(|(start, task)| Some((*start)? + task.duration_ns + problem.shutdown_ns(task)));
        ends.max().unwrap_or(0)
    }

    /// The moves that are left behind, by their place among the tasks.
    pub fn left_behind(&self) -> impl Iterator<Item = usize> {
        self.starts_ns.iter().enumerate().filter(|(_, start)| start.is_none()).map(|(task, _)| task)
    }

    /// What the moves are worth that it plans.
    #[must_use]
    pub fn value(&self, problem: &Problem) -> f64 {
        self.starts_ns
            .iter()
            .zip(problem.tasks())
            .filter(|(start, _)| start.is_some())
            .map(|(_, task)| task.value)
            .sum()
    }

    /// When each move has its turn, as [`repair`] takes it: at its beginning, or last of all.
    #[must_use]
    pub fn turns_ns(&self) -> Vec<u64> {
        self.starts_ns.iter().map(|start| start.unwrap_or(u64::MAX)).collect()
    }

    /// Whether it plans every move and ends by then.
    fn is_enough(&self, problem: &Problem, enough_ns: u64) -> bool {
        self.left_behind().next().is_none() && self.makespan_ns(problem) <= enough_ns
    }

    /// Whether it is better than another: what it leaves behind is worth less, or else it ends earlier.
    fn beats(&self, other: &Timetable, problem: &Problem) -> bool {
        let worth = self.value(problem).total_cmp(&other.value(problem));
        worth.then(other.makespan_ns(problem).cmp(&self.makespan_ns(problem))).is_gt()
    }
}

/// Plans: all moves, or with a deadline the most valuable ones that end by it, each source host's shutdown included.
///
/// `go_on` is asked between steps that take at most milliseconds on a thousand moves; planning ends soon after it says no. The first timetable is
/// made without asking. The same seed and the same answers give the same timetable.
#[must_use]
pub fn plan(problem: &Problem, deadline_ns: Option<u64>, seed: u64, go_on: &mut dyn FnMut() -> bool) -> Timetable {
    let mut random = fastrand::Rng::with_seed(seed);
    let bound_ns = Bound::of(problem).ns;
    // Where even the bound is too late, no time is spent on a plan of all.
    if let Some(deadline_ns) = deadline_ns.filter(|deadline_ns| bound_ns > *deadline_ns) {
        return choose::by_deadline(problem, deadline_ns, &mut random, go_on);
    }
    let timetable = whole(problem, bound_ns, &mut random, go_on);
    match deadline_ns {
        Some(deadline_ns) if timetable.makespan_ns(problem) > deadline_ns => {
            choose::by_deadline(problem, deadline_ns, &mut random, go_on)
        }
        Some(_) | None => timetable,
    }
}

/// What a scheduler without a plan would do: whenever something ends, the longest move that fits begins.
#[must_use]
pub fn longest_first(problem: &Problem) -> Timetable {
    Dispatch::new(&Layout::of(problem)).run(Rule::LONGEST_FIRST, &[])
}

/// Plans all moves, as far as they fit their hosts; content once they end by `enough_ns`.
fn whole(problem: &Problem, enough_ns: u64, random: &mut fastrand::Rng, go_on: &mut dyn FnMut() -> bool) -> Timetable {
    let layout = Layout::of(problem);
    let mut best = Dispatch::new(&layout).run(Rule::LONGEST_FIRST, &[]);
    for rule in portfolio() {
        if best.is_enough(problem, enough_ns) || !go_on() {
            return best;
        }
        keep_better(&mut best, Dispatch::new(&layout).run(rule, &[]), problem);
    }
    let is_line = best.left_behind().next().is_none() && improve::is_line(problem);
    let has_chains = is_line && improve::has_exact_chains(problem);
    while !best.is_enough(problem, enough_ns) && go_on() {
        if has_chains {
            improve::improve(&layout, enough_ns, &mut best, random, go_on);
        } else {
            urge::urge(&layout, enough_ns, &mut best, random, go_on);
        }
        if is_line && (!has_chains || shift::is_small(problem)) {
            shift::shift(problem, enough_ns, &mut best, random, go_on);
        }
    }
    best
}

fn keep_better(best: &mut Timetable, other: Timetable, problem: &Problem) {
    if other.beats(best, problem) {
        *best = other;
    }
}
