//! What every run over a problem needs to know of it, found once for all of them.

use super::line::narrow;
use super::problem::places;
use super::{Problem, SECOND_NS};
use std::collections::HashMap;

/// How the moves of a problem lie over its links.
pub(super) struct Layout<'a> {
    pub(super) problem: &'a Problem,
    /// What each move takes, close together: looking at moves that don't fit is what a run spends its time on.
    takes: Vec<Takes>,
    /// The paths of all moves, one behind the other.
    paths: Vec<u32>,
    /// The least that any move takes of each link.
    pub(super) least_bit_s: Vec<u64>,
    /// What each link has to carry, in seconds of its capacity.
    pub(super) to_carry: Vec<f64>,
    /// The links that are on every path on which a link is, as a rack's uplink is on those of its hosts' interfaces.
    pub(super) always_with: Vec<Vec<u32>>,
    /// Whether a link carries several of its moves at a time.
    pub(super) is_wide: Vec<bool>,
    /// Each move's crowd: those that take as much as it does of the same wide links. None where its path has fewer than two, since then it
    /// doesn't go from one to another.
    pub(super) crowd_of: Vec<Option<u32>>,
    pub(super) crowds: usize,
    /// Each move's priority, by its place among those that there are.
    pub(super) priorities: Vec<u32>,
    /// The moves of each wave, the last wave first.
    pub(super) waves: Vec<Vec<u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Takes {
    path: (u32, u32),
    rate_bit_s: u64,
}

impl<'a> Layout<'a> {
    pub(super) fn of(problem: &'a Problem) -> Self {
        let (links, tasks) = (problem.links(), problem.tasks());
        let mut to_carry = vec![0.0; links.len()];
        let mut least_bit_s = vec![u64::MAX; links.len()];
        for task in tasks {
            for link in &task.path {
                let place = *link as usize;
                to_carry[place] += problem.busy_ns(task, *link) / SECOND_NS as f64;
                least_bit_s[place] = least_bit_s[place].min(task.rate_bit_s);
            }
        }
        let is_wide: Vec<bool> = narrow(problem).into_iter().map(|is_narrow| !is_narrow).collect();
        let (crowd_of, crowds) = crowds(problem, &is_wide);
        let (takes, paths) = takes(problem);
        Layout {
            problem,
            takes,
            paths,
            least_bit_s,
            to_carry,
            always_with: always_with(problem),
            is_wide,
            crowd_of,
            crowds,
            priorities: places(tasks.iter().map(|task| task.priority)),
            waves: waves(problem),
        }
    }

    /// The path of a move, and what it takes of each link of it.
    pub(super) fn takes(&self, task: u32) -> (&[u32], u64) {
        let Takes { path, rate_bit_s } = self.takes[task as usize];
        (&self.paths[path.0 as usize..path.1 as usize], rate_bit_s)
    }
}

fn takes(problem: &Problem) -> (Vec<Takes>, Vec<u32>) {
    let mut paths: Vec<u32> = Vec::new();
    let of_each = problem.tasks().iter().map(|task| {
        // At most TASKS_MAX times PATH_MAX, which a u32 counts.
        let from = u32::try_from(paths.len()).unwrap_or(u32::MAX);
        paths.extend(&task.path);
        Takes { path: (from, u32::try_from(paths.len()).unwrap_or(u32::MAX)), rate_bit_s: task.rate_bit_s }
    });
    (of_each.collect(), paths)
}

/// Each move's crowd, and how many there are.
fn crowds(problem: &Problem, is_wide: &[bool]) -> (Vec<Option<u32>>, usize) {
    let mut known: HashMap<(Vec<u32>, u64), u32> = HashMap::new();
    let of_each = problem.tasks().iter().map(|task| {
        let mut wide: Vec<u32> = task.path.iter().copied().filter(|link| is_wide[*link as usize]).collect();
        if wide.len() < 2 {
            return None;
        }
        wide.sort_unstable();
        // No more crowds than moves, which a u32 counts.
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        Some(*known.entry((wide, task.rate_bit_s)).or_insert(next))
    });
    let crowd_of = of_each.collect();
    (crowd_of, known.len())
}

fn waves(problem: &Problem) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..).zip(problem.tasks()).map(|(task, _)| task).collect();
    let wave = |task: &u32| problem.tasks()[*task as usize].wave;
    order.sort_by_key(wave);
    let mut waves: Vec<Vec<u32>> = order.chunk_by(|one, other| wave(one) == wave(other)).map(<[u32]>::to_vec).collect();
    waves.reverse();
    waves
}

fn always_with(problem: &Problem) -> Vec<Vec<u32>> {
    let mut always: Vec<Option<Vec<u32>>> = vec![None; problem.links().len()];
    for task in problem.tasks() {
        for link in &task.path {
            let with = &mut always[*link as usize];
            match with {
                None => *with = Some(task.path.iter().copied().filter(|other| other != link).collect()),
                Some(with) => with.retain(|other| task.path.contains(other)),
            }
        }
    }
    always.into_iter().map(Option::unwrap_or_default).collect()
}
