//! Takes a move out of the line and puts it somewhere else by chance, again and again, and keeps what is no worse.
//!
//! Dispatching begins whatever fits, and so never waits for something better; a line can. Of the orders that a line may have, that of the best timetable's
//! beginnings gives just that timetable, so whatever is best can be found this way, and for few moves it is.

use super::line::Line;
use super::repair::in_order;
use super::{Problem, Timetable};

/// After so many trials without a gain a round is over.
const TRIALS_OF_A_ROUND: u32 = 400;
/// Up to so many moves, every other round begins with an order by chance instead of the best.
const SMALL_TASKS_MAX: usize = 50;

/// Whether a problem is so small that what is best can be hoped for.
pub(super) fn is_small(problem: &Problem) -> bool {
    problem.tasks().len() <= SMALL_TASKS_MAX
}

/// One round. Neither memory nor priorities may have a word in the problem.
pub(super) fn shift(
    problem: &Problem,
    enough_ns: u64,
    best: &mut Timetable,
    random: &mut fastrand::Rng,
    go_on: &mut dyn FnMut() -> bool,
) {
    let count = problem.tasks().len();
    let mut best_ns = best.makespan_ns(problem);
    let turns: Vec<u64> =
        if is_small(problem) && random.bool() { (0..count).map(|_| random.u64(..)).collect() } else { best.turns_ns() };
    let mut order = in_order(problem, &turns);
    let mut line = Line::new(problem);
    let mut current_ns = line.forward(&order);
    let mut without_gain = 0;
    while without_gain < TRIALS_OF_A_ROUND && best_ns > enough_ns && go_on() {
        without_gain += 1;
        let (from, to) = (random.usize(..count), random.usize(..count));
        if !may_move(problem, &line, &order, from, to) {
            continue;
        }
        let taken = order.remove(from);
        order.insert(to, taken);
        let makespan_ns = line.forward(&order);
        if makespan_ns > current_ns {
            order.remove(to);
            order.insert(from, taken);
            continue;
        }
        if makespan_ns < current_ns {
            (current_ns, without_gain) = (makespan_ns, 0);
        }
        if makespan_ns < best_ns {
            best_ns = makespan_ns;
            best.starts_ns = line.heads_ns.iter().copied().map(Some).collect();
        }
    }
}

/// Whether a move may go from one place of the line to another: past none of another wave, and past none that it comes after or that comes after it.
fn may_move(problem: &Problem, line: &Line<'_>, order: &[u32], from: usize, to: usize) -> bool {
    let taken = order[from];
    let wave = line.lean(taken).wave;
    let (after, followers) = (&problem.tasks()[taken as usize].after, problem.followers(taken));
    let passed = if from < to { &order[from + 1..=to] } else { &order[to..from] };
    let may_pass = |other: &u32| line.lean(*other).wave == wave && !after.contains(other) && !followers.contains(other);
    from != to && passed.iter().all(may_pass)
}
