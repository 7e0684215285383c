//! List scheduling again and again, each time with what ended last made more urgent, and a few moves more or less so by chance.
//!
//! What squeaks gets the grease ("squeaky wheel optimization"): it needs nothing of a problem but a way to dispatch it, so it
//! serves where memory, priorities or links that carry several moves at once have a word in it.

use super::dispatch::Dispatch;
use super::layout::Layout;
use super::urgency::Rule;
use super::{Problem, Timetable, keep_better};

/// After so many runs without a gain it begins anew, with another rule.
const RUNS_OF_A_ROUND: u32 = 60;
/// What ends within this share of the makespan from its end is made more urgent.
const LATE_SHARE: f64 = 0.02;
/// By how much at most.
const URGE_MAX: f64 = 0.1;
/// One move in so many, at most, is made more or less urgent by chance.
const CHANGED_ONE_IN: usize = 50;

/// By how much of an urgency, at most, a round begins off by chance; half of it to either side.
const NOISE_MAX: f64 = 0.2;
/// What an urgency that is changed by chance is taken times.
const CHANGES: std::ops::Range<f64> = 0.8..1.25;

/// One round: improves a timetable until it ends early enough, or a rule drawn by chance has nothing more to give.
pub(super) fn urge(
    layout: &Layout<'_>,
    enough_ns: u64,
    best: &mut Timetable,
    random: &mut fastrand::Rng,
    go_on: &mut dyn FnMut() -> bool,
) {
    let problem = layout.problem;
    let count = problem.tasks().len();
    let rule = Rule::drawn(random);
    let noise = NOISE_MAX * random.f64();
    let mut factors: Vec<f64> = (0..count).map(|_| 1.0 + noise * (random.f64() - 0.5)).collect();
    let mut tried = factors.clone();
    let (mut current_ns, mut without_gain) = (u64::MAX, 0);
    while without_gain < RUNS_OF_A_ROUND && !best.is_enough(problem, enough_ns) && go_on() {
        tried.clone_from(&factors);
        if current_ns < u64::MAX {
            for _ in 0..=random.usize(..(count / CHANGED_ONE_IN).max(1)) {
                tried[random.usize(..count)] *= CHANGES.start + (CHANGES.end - CHANGES.start) * random.f64();
            }
        }
        let timetable = Dispatch::new(layout).run(rule, &tried);
        let makespan_ns = timetable.makespan_ns(problem);
        without_gain += 1;
        if makespan_ns <= current_ns {
            if makespan_ns < current_ns {
                without_gain = 0;
            }
            current_ns = makespan_ns;
            std::mem::swap(&mut factors, &mut tried);
            urge_late(problem, &timetable, makespan_ns, &mut factors, random);
        }
        keep_better(best, timetable, problem);
    }
}

fn urge_late(
    problem: &Problem,
    timetable: &Timetable,
    makespan_ns: u64,
    factors: &mut [f64],
    random: &mut fastrand::Rng,
) {
    let late_ns = makespan_ns - (makespan_ns as f64 * LATE_SHARE) as u64;
    for ((factor, task), start_ns) in factors.iter_mut().zip(problem.tasks()).zip(&timetable.starts_ns) {
        let is_late = start_ns.is_none_or(|start_ns| start_ns + task.duration_ns + problem.shutdown_ns(task) > late_ns);
        if is_late {
            *factor *= 1.0 + URGE_MAX * random.f64();
        }
    }
}
