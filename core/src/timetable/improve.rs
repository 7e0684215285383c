//! Takes a critical move out of the line and puts it back where the longest chain through it is shortest, again and again.
//!
//! Every other time the line is put into the order of the latest beginnings instead of the earliest, so that it is pushed to and fro between
//! the end and the start: what that does for schedules is known from project scheduling (forward-backward improvement).

use super::dispatch::Dispatch;
use super::layout::Layout;
use super::line::{Line, narrow};
use super::repair::in_order;
use super::{Problem, Timetable, shift};
use std::cmp::Reverse;

/// How far from the longest chain, in shares of its distance from the bound, a move may be to be taken out: drawn from these.
const CRITICAL_SHARES: [f64; 4] = [0.0, 0.0, 0.1, 0.3];
/// A chain may get longer by this share of the bound, times a number drawn from an exponential distribution with mean 1, falling to none …
const WORSE_SHARE: f64 = 0.003;
/// … within so many trials without an improvement, after which a round is over.
const TRIALS_OF_A_ROUND: usize = 6_000;
/// … or, of a small problem, so many for each move: there shifting finds what is best, so it has its turn sooner.
const SMALL_TRIALS_OF_A_MOVE: usize = 10;

/// Whether every host has room for all that comes to it, whatever leaves when.
pub(super) fn has_room(problem: &Problem) -> bool {
    let mut coming = vec![0_u64; problem.hosts().len()];
    for task in problem.tasks() {
        let coming = &mut coming[task.destination as usize];
        *coming = coming.saturating_add(task.memory_mib);
    }
    problem.hosts().iter().zip(coming).all(|(host, coming)| host.free_mib.is_none_or(|free_mib| free_mib >= coming))
}

/// Whether a line says all that there is to say: neither memory nor priorities have a word in it.
pub(super) fn is_line(problem: &Problem) -> bool {
    let mut tasks = problem.tasks().iter();
    let first = tasks.next().map(|task| task.priority);
    tasks.all(|task| Some(task.priority) == first) && has_room(problem)
}

/// Whether the chains of a line are exact.
pub(super) fn has_exact_chains(problem: &Problem) -> bool {
    narrow(problem).into_iter().all(|narrow| narrow)
}

/// Improves a timetable of all moves until it ends early enough, is told to stop, or a round brings nothing more.
pub(super) fn improve(
    layout: &Layout<'_>,
    enough_ns: u64,
    best: &mut Timetable,
    random: &mut fastrand::Rng,
    go_on: &mut dyn FnMut() -> bool,
) {
    let problem = layout.problem;
    let mut search = Search::new(problem, enough_ns, in_order(problem, &best.turns_ns()));
    let mut best_ns = best.makespan_ns(problem);
    let trials =
        if shift::is_small(problem) { problem.tasks().len() * SMALL_TRIALS_OF_A_MOVE } else { TRIALS_OF_A_ROUND };
    let mut trial = 0;
    while best_ns > enough_ns && trial < trials && go_on() {
        if search.makespan_ns < best_ns {
            best_ns = search.makespan_ns;
            best.starts_ns = search.line.heads_ns.iter().copied().map(Some).collect();
            trial = 0;
        }
        let warmth = 1.0 - trial as f64 / trials as f64;
        search.step(warmth, random);
        trial += 1;
    }
    // Gaps that a line leaves, since none in it overtakes, are filled by whatever fits.
    super::keep_better(best, Dispatch::new(layout).run_in_turn(&best.turns_ns()), problem);
}

struct Search<'a> {
    problem: &'a Problem,
    bound_ns: u64,
    order: Vec<u32>,
    line: Line<'a>,
    makespan_ns: u64,
    /// The line without the move that has been taken out.
    without: Line<'a>,
    critical: Vec<u32>,
    /// Which links are on the path of the move taken out.
    on_path: Vec<bool>,
}

/// A place between two moves of the line.
#[derive(Debug, Clone, Copy)]
struct Gap {
    place: usize,
    /// When the move could begin there.
    head_ns: u64,
    /// What would have to follow its end.
    tail_ns: u64,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem, bound_ns: u64, order: Vec<u32>) -> Self {
        let mut line = Line::new(problem);
        Search {
            problem,
            bound_ns,
            makespan_ns: line.walk(&order),
            without: line.clone(),
            line,
            order,
            critical: Vec::new(),
            on_path: vec![false; problem.links().len()],
        }
    }

    /// Moves one.
    fn step(&mut self, warmth: f64, random: &mut fastrand::Rng) {
        let Some(taken) = self.draw_critical(random) else { return };
        let chain_ns = self.line.chain_ns(taken);
        self.sort(random.bool());
        let Some(from) = self.order.iter().position(|task| *task == taken) else { return };
        self.order.remove(from);
        self.without.walk(&self.order);
        let worse = -random.f64().max(f64::MIN_POSITIVE).ln() * warmth * WORSE_SHARE * self.bound_ns as f64;
        match self.best_place(taken, chain_ns, random) {
            Some((place, best_ns)) if best_ns as f64 <= chain_ns as f64 + worse => {
                self.order.insert(place, taken);
                self.makespan_ns = self.line.walk(&self.order);
            }
            Some(_) | None => self.order.insert(from, taken),
        }
    }

    fn draw_critical(&mut self, random: &mut fastrand::Rng) -> Option<u32> {
        let share = CRITICAL_SHARES[random.usize(..CRITICAL_SHARES.len())];
        let longest_ns = self.order.iter().map(|task| self.line.chain_ns(*task)).max()?;
        let distance_ns = longest_ns.saturating_sub(self.bound_ns);
        let from_ns = longest_ns - (distance_ns as f64 * share) as u64;
        self.critical.clear();
        self.critical.extend(self.order.iter().filter(|task| self.line.chain_ns(**task) >= from_ns));
        Some(self.critical[random.usize(..self.critical.len())])
    }

    /// Puts the line into the order of its earliest beginnings, or of its latest. Either keeps waves together and what comes after behind.
    fn sort(&mut self, by_earliest: bool) {
        let line = &self.line;
        if by_earliest {
            self.order.sort_by_key(|task| line.heads_ns[*task as usize]);
        } else {
            self.order.sort_by_key(|task| Reverse(line.tails_ns[*task as usize] + line.lean(*task).duration_ns));
        }
    }

    /// Where in the line the longest chain through the move would be shortest, and how long that is. Its old length is mostly passed over,
    /// so that it doesn't go back to where it came from.
    fn best_place(&mut self, taken: u32, chain_ns: u64, random: &mut fastrand::Rng) -> Option<(usize, u64)> {
        let duration_ns = self.line.lean(taken).duration_ns;
        let mut best: Option<(usize, u64)> = None;
        for gap in self.gaps(taken) {
            let through_ns = gap.head_ns + duration_ns + gap.tail_ns;
            if through_ns == chain_ns && random.u8(..4) > 0 {
                continue;
            }
            if best.is_none_or(|(_, best_ns)| through_ns < best_ns) {
                best = Some((gap.place, through_ns));
            }
        }
        best
    }

    /// All places that the move may have: before each that shares a link with it, and behind the last.
    fn gaps(&mut self, taken: u32) -> Vec<Gap> {
        let path = &self.problem.tasks()[taken as usize].path;
        let lean = *self.line.lean(taken);
        for link in path {
            self.on_path[*link as usize] = true;
        }
        let (from, to) = self.range(taken);
        let (without, on_path) = (&self.without, &self.on_path);
        let shares = |other: u32| self.problem.tasks()[other as usize].path.iter().any(|link| on_path[*link as usize]);
        let mut head_ns = lean.ready_ns.max(without.waves_begin_ns[lean.wave as usize]).max(without.after_ns(taken));
        let mut gaps = Vec::new();
        for place in from..to {
            let other = self.order[place];
            if shares(other) {
                gaps.push(Gap { place, head_ns, tail_ns: 0 });
                head_ns = head_ns.max(without.heads_ns[other as usize] + without.lean(other).duration_ns);
            }
        }
        gaps.push(Gap { place: to, head_ns, tail_ns: 0 });
        let mut tail_ns = lean.shutdown_ns.max(without.waves_tail_ns[lean.wave as usize]).max(without.before_ns(taken));
        for gap in gaps.iter_mut().rev() {
            if gap.place < to {
                let other = self.order[gap.place];
                tail_ns = tail_ns.max(without.tails_ns[other as usize] + without.lean(other).duration_ns);
            }
            gap.tail_ns = tail_ns;
        }
        for link in path {
            self.on_path[*link as usize] = false;
        }
        gaps
    }

    /// Between which places it may stand: within its wave, behind what it comes after and before what comes after it.
    fn range(&self, taken: u32) -> (usize, usize) {
        let wave = |task: &u32| self.line.lean(*task).wave;
        let mine = wave(&taken);
        let mut from = self.order.partition_point(|task| wave(task) < mine);
        let mut to = self.order.partition_point(|task| wave(task) <= mine);
        let after = &self.problem.tasks()[taken as usize].after;
        let followers = self.problem.followers(taken);
        if !after.is_empty() || !followers.is_empty() {
            let (begin, end) = (from, to);
            for place in begin..end {
                if after.contains(&self.order[place]) {
                    from = place + 1;
                }
                if followers.contains(&self.order[place]) {
                    to = to.min(place);
                }
            }
        }
        (from, to.max(from))
    }
}
