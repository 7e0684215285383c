//! Which moves are worth it where a deadline doesn't leave time for all: the most valuable for what they take of the bottleneck.

use super::dispatch::Dispatch;
use super::layout::Layout;
use super::{Problem, Timetable, keep_better};

/// How often the prices of the links are set anew.
const PRICE_ROUNDS: usize = 40;
/// By how much a link's price follows what is asked of it.
const PRICE_STEP: f64 = 0.5;
/// To which power a price takes the part of its link's time that is asked for: one with some time to spare costs next to nothing …
const SCARCITY: i32 = 8;
/// … but never less than this.
const PRICE_MIN: f64 = 1e-6;
/// Most orders that are tried by chance.
const TRIES_MAX: usize = 2_000;
/// By how much of a cost, at most, an order is off by chance; half of it to either side.
const NOISE_MAX: f64 = 0.5;

/// The most valuable moves that are over by then, their sources' shutdowns included.
pub(super) fn by_deadline(
    problem: &Problem,
    deadline_ns: u64,
    random: &mut fastrand::Rng,
    go_on: &mut dyn FnMut() -> bool,
) -> Timetable {
    let layout = Layout::of(problem);
    let costs = costs(problem, deadline_ns);
    let mut best = run(&layout, deadline_ns, &costs, 0.0, random);
    let kept = affordable(problem, deadline_ns, &costs);
    if let Some(timetable) = all_of(problem, deadline_ns, &kept, random, go_on) {
        let ranks = (0..).zip(&costs).map(|(task, cost)| match timetable.starts_ns[task] {
            Some(start_ns) => start_ns as f64,
            None => deadline_ns as f64 * (1.0 + cost),
        });
        let filled = Dispatch::new(&layout).by_deadline(deadline_ns).run_ranked(ranks.collect());
        keep_better(&mut best, timetable, problem);
        keep_better(&mut best, filled, problem);
    }
    let mut tries = 0;
    while best.left_behind().next().is_some() && tries < TRIES_MAX && go_on() {
        let noise = NOISE_MAX * random.f64();
        keep_better(&mut best, run(&layout, deadline_ns, &costs, noise, random), problem);
        tries += 1;
    }
    best
}

/// The cheapest for their value first, with so much chance in it.
fn run(layout: &Layout<'_>, deadline_ns: u64, costs: &[f64], noise: f64, random: &mut fastrand::Rng) -> Timetable {
    let ranks = costs.iter().map(|cost| cost * (1.0 + noise * (random.f64() - 0.5))).collect();
    Dispatch::new(layout).by_deadline(deadline_ns).run_ranked(ranks)
}

/// What each move costs for its value, at prices that what is scarce has: seconds of the links' time, per value.
fn costs(problem: &Problem, deadline_ns: u64) -> Vec<f64> {
    let mut prices = vec![1.0_f64; problem.links().len()];
    let mut costs = vec![0.0; problem.tasks().len()];
    for _ in 0..PRICE_ROUNDS {
        for (cost, task) in costs.iter_mut().zip(problem.tasks()) {
            let paid: f64 = task.path.iter().map(|link| prices[*link as usize] * problem.busy_ns(task, *link)).sum();
            // What takes nothing that is scarce still takes time.
            *cost = (paid + f64::EPSILON * task.duration_ns as f64) / task.value.max(f64::MIN_POSITIVE);
        }
        let mut asked = vec![0.0; prices.len()];
        for task in affordable(problem, deadline_ns, &costs) {
            let task = &problem.tasks()[task as usize];
            for link in &task.path {
                asked[*link as usize] += problem.busy_ns(task, *link);
            }
        }
        // What is wanted in all, of which only so much can be had, makes the price.
        for (link, price) in prices.iter_mut().enumerate() {
            let wanted: f64 = asked[link] / deadline_ns.max(1) as f64;
            *price = *price * (1.0 - PRICE_STEP) + PRICE_STEP * wanted.powi(SCARCITY).max(PRICE_MIN);
        }
    }
    costs
}

/// The cheapest moves for their value whose links have the time, with all that they come after.
fn affordable(problem: &Problem, deadline_ns: u64, costs: &[f64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).zip(costs).map(|(task, _)| task).collect();
    order.sort_by(|one, other| costs[*one as usize].total_cmp(&costs[*other as usize]).then(one.cmp(other)));
    let mut left: Vec<f64> = vec![deadline_ns as f64; problem.links().len()];
    let mut taken = vec![false; order.len()];
    // What comes after something is only looked at once that is taken; what it waited for may come later in the order.
    for number in order.iter().chain(&order) {
        let task = &problem.tasks()[*number as usize];
        let alone_ns = problem.ready_ns(task) + task.duration_ns + problem.shutdown_ns(task);
        let fits = task.path.iter().all(|link| left[*link as usize] >= problem.busy_ns(task, *link));
        let may = task.after.iter().all(|before| taken[*before as usize]);
        if !taken[*number as usize] && alone_ns <= deadline_ns && fits && may {
            taken[*number as usize] = true;
            for link in &task.path {
                left[*link as usize] -= problem.busy_ns(task, *link);
            }
        }
    }
    (0..).zip(taken).filter(|(_, taken)| *taken).map(|(task, _)| task).collect()
}

/// A timetable of just these, if one is found that ends in time.
fn all_of(
    problem: &Problem,
    deadline_ns: u64,
    kept: &[u32],
    random: &mut fastrand::Rng,
    go_on: &mut dyn FnMut() -> bool,
) -> Option<Timetable> {
    let part = problem.with_only(kept);
    let timetable = super::whole(&part, deadline_ns, random, go_on);
    let is_whole = timetable.left_behind().next().is_none() && timetable.makespan_ns(&part) <= deadline_ns;
    is_whole.then(|| {
        let mut starts_ns = vec![None; problem.tasks().len()];
        for (task, start_ns) in kept.iter().zip(timetable.starts_ns) {
            starts_ns[*task as usize] = start_ns;
        }
        Timetable { starts_ns }
    })
}
