//! How urgent moves are: by a rule that follows what links have still to carry, or by ranks that are given.

use super::layout::Layout;
use super::queues::Waiting;
use super::{SECOND_NS, Task};

/// How urgent a move is beside others of its priority: by what the links of its path have still to carry, of which the busiest counts most,
/// and by its own duration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule {
    /// To which power a link's load is taken before those of a path are added up: the higher, the more the busiest counts. None: loads
    /// don't count.
    power: Option<i32>,
    /// How much its own duration counts.
    duration: f64,
}

impl Rule {
    /// The longest first, as anybody would do it.
    pub(super) const LONGEST_FIRST: Rule = Rule { power: None, duration: 1.0 };

    /// One by chance.
    pub(super) fn drawn(random: &mut fastrand::Rng) -> Rule {
        Rule { duration: 4.0 * random.f64() * random.f64(), power: Some(random.i32(1..=12)) }
    }
}

/// Rules that do well on different problems.
pub(super) fn portfolio() -> impl Iterator<Item = Rule> {
    let powers = [4, 2, 8, 1, 16];
    let durations = [0.0, 1.0, 4.0];
    powers.into_iter().flat_map(move |power| durations.map(|duration| Rule { power: Some(power), duration }))
}

/// How urgency is told.
enum Measure {
    /// Nothing tells them apart.
    Alike,
    Rule {
        rule: Rule,
        /// Each move's urgency is taken so many times; once where there is none.
        factors: Vec<f64>,
    },
    /// The lower, the more urgent.
    Rank(Vec<f64>),
}

/// The urgencies of a run.
pub(super) struct Urgencies<'a> {
    layout: &'a Layout<'a>,
    measure: Measure,
    /// What each link has still to carry, in seconds of its capacity.
    to_carry: Vec<f64>,
}

impl<'a> Urgencies<'a> {
    /// All alike.
    pub(super) fn new(layout: &'a Layout<'a>) -> Self {
        Urgencies { layout, measure: Measure::Alike, to_carry: layout.to_carry.clone() }
    }

    /// By a rule, each move's urgency times its own factor, if there are any.
    pub(super) fn by_rule(&mut self, rule: Rule, factors: &[f64]) {
        self.measure = Measure::Rule { rule, factors: factors.to_vec() };
    }

    /// By ranks, the lowest first.
    pub(super) fn by_rank(&mut self, ranks: Vec<f64>) {
        self.measure = Measure::Rank(ranks);
    }

    /// Takes what a move carries from what its links have still to carry.
    pub(super) fn begin(&mut self, task: &Task) {
        for link in &task.path {
            self.to_carry[*link as usize] -= self.layout.problem.busy_ns(task, *link) / SECOND_NS as f64;
        }
    }

    pub(super) fn of(&self, number: u32) -> Waiting {
        let problem = self.layout.problem;
        let task = &problem.tasks()[number as usize];
        let urgency = match &self.measure {
            Measure::Alike => 0.0,
            Measure::Rank(ranks) => -ranks[number as usize],
            Measure::Rule { rule, factors } => {
                let shutdown = seconds(problem.shutdown_ns(task));
                let loads = task.path.iter().map(|link| self.to_carry[*link as usize] + shutdown);
                let path = rule
                    .power
                    .map_or(0.0, |power| loads.map(|load| load.powi(power)).sum::<f64>().powf(1.0 / f64::from(power)));
                let whole = path + rule.duration * seconds(task.duration_ns);
                whole * factors.get(number as usize).copied().unwrap_or(1.0)
            }
        };
        Waiting::new(self.layout.priorities[number as usize], urgency, number)
    }
}

fn seconds(span_ns: u64) -> f64 {
    span_ns as f64 / SECOND_NS as f64
}
