//! Finds the numbers that explain completed moves best: a rate factor for the site and for each group, the fixed cost, and how
//! far measured hot sets and dirty rates are off.
//!
//! What is made small is the relative error of each duration, as a logarithm, by Student's distribution: a move that was stalled or
//! retried counts the less the farther it is off. Each number has a prior, so that few moves, or moves that are all
//! alike, shift only what they can tell of. Steps are Levenberg's and Marquardt's; as each move has one group, groups are
//! eliminated before the few numbers that all share are solved for, and a step takes time in proportion to the moves.

use super::precopy::memory_s;
use super::{Assumed, Completed, Move, Workload};

/// Most steps of a search.
const STEPS_MAX: usize = 40;
/// A search is over once no number changes by more than this.
const STEP_LEAST: f64 = 1e-3;
/// A number's change from which its slope is taken.
const SLOPE_STEP: f64 = 1e-5;
/// Damping: at first, and the most with which a step is still tried.
const DAMPING: f64 = 1e-3;
const DAMPING_MAX: f64 = 1e6;

/// How heavy the tails of errors are: Student's degrees of freedom.
const TAILS: f64 = 4.0;
/// What errors are taken to be like before any were seen, and how many moves that counts for.
const SPREAD: f64 = 0.03;
const SPREAD_MOVES: f64 = 4.0;
/// The spread that a search begins with: wide, so that nothing counts as off before the rest is found.
const SPREAD_FIRST: f64 = 0.3;

/// A search goes on while the spread changes by more than this part.
const SPREAD_SETTLED: f64 = 0.05;

/// How sure the assumed numbers are: one standard deviation of each.
const RATE_PRIOR: f64 = 0.3;
const FIXED_PRIOR_S: f64 = 5.0;
const DIRTYING_PRIOR: f64 = 0.15;
/// How far groups are apart.
const GROUP_PRIOR: f64 = 0.15;

/// The numbers that all moves share, and their places.
const SHARED: usize = 4;
const RATE: usize = 0;
const FIXED: usize = 1;
const HOT_SET: usize = 2;
const COLD_DIRTY: usize = 3;
const PRIORS: [f64; SHARED] = [RATE_PRIOR, FIXED_PRIOR_S, DIRTYING_PRIOR, DIRTYING_PRIOR];

type Shared = [f64; SHARED];

/// What was found. Factors are logarithms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Estimate {
    shared: Shared,
    /// Each group's factor on top of the site's.
    groups: Vec<f64>,
}

impl Estimate {
    /// Before anything was seen.
    pub(super) fn assumed(assumed: &Assumed) -> Self {
        Estimate { shared: [assumed.rate_factor.ln(), assumed.fixed_s, 0.0, 0.0], groups: Vec::new() }
    }

    /// The effective rate over the nominal one.
    pub(super) fn rate_factor(&self, group: Option<usize>) -> f64 {
        let of_group = group.and_then(|group| self.groups.get(group)).copied().unwrap_or_default();
        (self.shared[RATE] + of_group).exp()
    }

    /// In seconds.
    pub(super) fn fixed_s(&self) -> f64 {
        self.shared[FIXED]
    }

    pub(super) fn hot_set_factor(&self) -> f64 {
        self.shared[HOT_SET].exp()
    }

    pub(super) fn cold_dirty_factor(&self) -> f64 {
        self.shared[COLD_DIRTY].exp()
    }

    /// As it is, where it was measured otherwise.
    pub(super) fn workload(&self, of: &Move) -> Workload {
        let mut workload = of.workload;
        workload.hot_set_mib *= self.hot_set_factor();
        workload.cold_dirty_mib_s *= self.cold_dirty_factor();
        workload
    }

    /// How long a move takes, in seconds.
    pub(super) fn duration_s(&self, of: &Move, group: Option<usize>, assumed: &Assumed) -> f64 {
        let rate_mib_s = of.nominal_mib_s * self.rate_factor(group);
        let workload = self.workload(of);
        let memory_s = memory_s(&workload, rate_mib_s, assumed.downtime_ms, &assumed.ladder);
        memory_s + workload.storage_mib / rate_mib_s + self.fixed_s()
    }
}

/// A completed move, and what it counts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'c> {
    pub(super) completed: &'c Completed,
    /// 0 to 1.
    pub(super) weight: f64,
    pub(super) group: Option<usize>,
}

impl Seen<'_> {
    /// By which factor the prediction is off, as a logarithm.
    pub(super) fn error(&self, estimate: &Estimate, assumed: &Assumed) -> f64 {
        let predicted_s = estimate.duration_s(&self.completed.of, self.group, assumed);
        (predicted_s.max(super::DURATION_MIN_S) / self.completed.duration_s).ln()
    }
}

/// Finds the best estimate, beginning with one that is near; with so many groups.
pub(super) fn fit(seen: &[Seen<'_>], groups: usize, near: &Estimate, assumed: &Assumed) -> Estimate {
    let mut estimate = near.clone();
    estimate.groups.resize(groups, 0.0);
    let mut search = Search { seen, assumed, means: Estimate::assumed(assumed).shared, spread: SPREAD_FIRST };
    let mut damping = DAMPING;
    for _ in 0..STEPS_MAX {
        let errors = search.errors(&estimate);
        let misfit = search.misfit(&estimate, &errors);
        let slopes = search.slopes(&estimate, &errors);
        let stepped = loop {
            let tried = slopes.stepped(&estimate, damping);
            let is_better = search.misfit(&tried, &search.errors(&tried)) <= misfit;
            if is_better {
                damping = (damping / 10.0).max(DAMPING);
                break Some(tried);
            }
            damping *= 10.0;
            if damping > DAMPING_MAX {
                break None;
            }
        };
        let change = stepped.as_ref().map_or(0.0, |stepped| stepped.change_from(&estimate));
        estimate = stepped.unwrap_or(estimate);
        let spread = search.spread_of(&search.errors(&estimate));
        let is_settled = (spread / search.spread - 1.0).abs() < SPREAD_SETTLED;
        search.spread = spread;
        if change < STEP_LEAST && is_settled {
            break;
        }
    }
    estimate
}

impl Estimate {
    fn change_from(&self, other: &Estimate) -> f64 {
        let pairs = self.shared.iter().chain(&self.groups).zip(other.shared.iter().chain(&other.groups));
        pairs.map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
    }
}

struct Search<'s> {
    seen: &'s [Seen<'s>],
    assumed: &'s Assumed,
    /// What the shared numbers are taken to be.
    means: Shared,
    /// What errors are like now.
    spread: f64,
}

impl Search<'_> {
    fn errors(&self, estimate: &Estimate) -> Vec<f64> {
        self.seen.iter().map(|seen| seen.error(estimate, self.assumed)).collect()
    }

    fn misfit(&self, estimate: &Estimate, errors: &[f64]) -> f64 {
        let of_moves = self.seen.iter().zip(errors).map(|(seen, error)| {
            seen.weight * (TAILS + 1.0) * (error * error / (TAILS * self.spread * self.spread)).ln_1p()
        });
        let of_shared = (0..SHARED).map(|at| ((estimate.shared[at] - self.means[at]) / PRIORS[at]).powi(2));
        let of_groups = estimate.groups.iter().map(|group| (group / GROUP_PRIOR).powi(2));
        of_moves.chain(of_shared).chain(of_groups).sum()
    }

    /// How much an error counts, next to one that is as usual.
    fn trust(&self, error: f64) -> f64 {
        (TAILS + 1.0) / (TAILS + (error / self.spread).powi(2))
    }

    fn spread_of(&self, errors: &[f64]) -> f64 {
        let (mut squares, mut moves) = (SPREAD * SPREAD * SPREAD_MOVES, SPREAD_MOVES);
        for (seen, error) in self.seen.iter().zip(errors) {
            squares += seen.weight * self.trust(*error) * error * error;
            moves += seen.weight;
        }
        (squares / moves).sqrt()
    }

    fn slopes(&self, estimate: &Estimate, errors: &[f64]) -> Slopes {
        let mut slopes = Slopes::of_priors(estimate, &self.means);
        let nudged: [Estimate; SHARED] = std::array::from_fn(|at| {
            let mut nudged = estimate.clone();
            nudged.shared[at] += SLOPE_STEP;
            nudged
        });
        for (seen, error) in self.seen.iter().zip(errors) {
            let weight = seen.weight * self.trust(*error) / (self.spread * self.spread);
            let slope: Shared = std::array::from_fn(|at| (seen.error(&nudged[at], self.assumed) - error) / SLOPE_STEP);
            slopes.add(seen.group, weight, *error, &slope);
        }
        slopes
    }
}

/// The normal equations, with groups apart: each of them meets the shared numbers alone.
struct Slopes {
    square: [Shared; SHARED],
    pull: Shared,
    groups: Vec<OfGroup>,
}

/// A group's own rows.
#[derive(Clone, Copy)]
struct OfGroup {
    square: f64,
    pull: f64,
    with_shared: Shared,
}

impl Slopes {
    fn of_priors(estimate: &Estimate, means: &Shared) -> Self {
        let sureness = |prior: f64| 1.0 / (prior * prior);
        let mut square = [[0.0; SHARED]; SHARED];
        for (at, row) in square.iter_mut().enumerate() {
            row[at] = sureness(PRIORS[at]);
        }
        let groups = estimate.groups.iter().map(|group| OfGroup {
            square: sureness(GROUP_PRIOR),
            pull: group * sureness(GROUP_PRIOR),
            with_shared: [0.0; SHARED],
        });
        let pull = std::array::from_fn(|at| (estimate.shared[at] - means[at]) * sureness(PRIORS[at]));
        Slopes { square, pull, groups: groups.collect() }
    }

    fn add(&mut self, group: Option<usize>, weight: f64, error: f64, slope: &Shared) {
        for (at, of_shared) in slope.iter().enumerate() {
            self.pull[at] += weight * error * of_shared;
            for (with, of_other) in slope.iter().enumerate() {
                self.square[at][with] += weight * of_shared * of_other;
            }
        }
        // A group's factor moves a duration as the site's own does.
        let Some(group) = group.and_then(|group| self.groups.get_mut(group)) else { return };
        group.square += weight * slope[RATE] * slope[RATE];
        group.pull += weight * error * slope[RATE];
        for (with, of_shared) in group.with_shared.iter_mut().zip(slope) {
            *with += weight * slope[RATE] * of_shared;
        }
    }

    /// A step from the estimate, the shorter the more it is damped.
    fn stepped(&self, estimate: &Estimate, damping: f64) -> Estimate {
        let (mut square, mut pull) = (self.square, self.pull);
        for (at, row) in square.iter_mut().enumerate() {
            row[at] *= 1.0 + damping;
        }
        for group in &self.groups {
            let own = group.square * (1.0 + damping);
            for at in 0..SHARED {
                pull[at] -= group.with_shared[at] * group.pull / own;
                for (with, other) in group.with_shared.iter().enumerate() {
                    square[at][with] -= group.with_shared[at] * other / own;
                }
            }
        }
        let step = solved(square, pull);
        let mut stepped = estimate.clone();
        for (number, step) in stepped.shared.iter_mut().zip(&step) {
            *number -= step;
        }
        stepped.shared[FIXED] = stepped.shared[FIXED].max(0.0);
        for (number, group) in stepped.groups.iter_mut().zip(&self.groups) {
            let shared: f64 = group.with_shared.iter().zip(&step).map(|(with, step)| with * step).sum();
            *number -= (group.pull - shared) / (group.square * (1.0 + damping));
        }
        stepped
    }
}

/// Solves `square · x = pull` by elimination; a prior on each number keeps every pivot above 0.
fn solved(mut square: [Shared; SHARED], mut pull: Shared) -> Shared {
    for pivot in 0..SHARED {
        for row in pivot + 1..SHARED {
            let factor = square[row][pivot] / square[pivot][pivot];
            pull[row] -= factor * pull[pivot];
            let above = square[pivot];
            for (number, above) in square[row].iter_mut().zip(above) {
                *number -= factor * above;
            }
        }
    }
    for row in (0..SHARED).rev() {
        let known: f64 = (row + 1..SHARED).map(|at| square[row][at] * pull[at]).sum();
        pull[row] = (pull[row] - known) / square[row][row];
    }
    pull
}
