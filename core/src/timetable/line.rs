//! Moves in a line, each as early as those before it allow; and, from the end, as late as those behind it allow.
//!
//! A move's *head* is when it begins if the line is walked forward, its *tail* how much must still follow its end if it is walked
//! backward. Head, duration and tail together are the longest chain through it: where that is the whole makespan, the move is critical. On links that
//! carry one move at a time this is exact; on others the two walks may use different parts of a link, and the sum is an estimate.

use super::Problem;
use super::problem::places;
use super::room::Room;

/// Heads and tails of a line, and what they are made with.
#[derive(Clone)]
pub(super) struct Line<'a> {
    problem: &'a Problem,
    /// What a walk needs of each move, close together: a walk is what planning spends its time on.
    moves: Vec<Lean>,
    /// The paths of all moves, one behind the other.
    paths: Vec<u32>,
    links: Vec<Passage>,
    pub(super) heads_ns: Vec<u64>,
    pub(super) tails_ns: Vec<u64>,
    /// When each wave begins, and what must still follow it, by its place.
    pub(super) waves_begin_ns: Vec<u64>,
    pub(super) waves_tail_ns: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Lean {
    pub(super) duration_ns: u64,
    pub(super) ready_ns: u64,
    pub(super) shutdown_ns: u64,
    rate_bit_s: u64,
    path: (u32, u32),
    /// Its wave, by its place among the waves that there are.
    pub(super) wave: u32,
    /// Whether it comes after others, or others after it.
    is_tied: bool,
}

/// A link in a walk.
#[derive(Debug, Clone)]
enum Passage {
    /// It carries one move at a time: when it is free again, in nanoseconds.
    Narrow(u64),
    Wide(Room),
}

impl Passage {
    fn free_from_ns(&self, rate_bit_s: u64) -> u64 {
        match self {
            Passage::Narrow(free_from_ns) => *free_from_ns,
            Passage::Wide(room) => room.free_from_ns(rate_bit_s),
        }
    }

    fn take(&mut self, rate_bit_s: u64, start_ns: u64, end_ns: u64) {
        match self {
            Passage::Narrow(free_from_ns) => *free_from_ns = end_ns,
            Passage::Wide(room) => room.take(rate_bit_s, start_ns, end_ns),
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let waves = places(problem.tasks().iter().map(|task| task.wave));
        let wave_count = waves.iter().max().map_or(0, |last| *last as usize + 1);
        let mut paths: Vec<u32> = Vec::new();
        let mut moves = Vec::with_capacity(problem.tasks().len());
        for (number, task) in (0..).zip(problem.tasks()) {
            let from = u32::try_from(paths.len()).unwrap_or(u32::MAX);
            paths.extend(&task.path);
            moves.push(Lean {
                duration_ns: task.duration_ns,
                ready_ns: problem.ready_ns(task),
                shutdown_ns: problem.shutdown_ns(task),
                rate_bit_s: task.rate_bit_s,
                path: (from, u32::try_from(paths.len()).unwrap_or(u32::MAX)),
                wave: waves[number as usize],
                is_tied: !task.after.is_empty() || !problem.followers(number).is_empty(),
            });
        }
        let count = moves.len();
        let passage = |(narrow, link): (bool, &super::Link)| match narrow {
            true => Passage::Narrow(0),
            false => Passage::Wide(Room::new(link.capacity_bit_s)),
        };
        Line {
            links: narrow(problem).into_iter().zip(problem.links()).map(passage).collect(),
            problem,
            moves,
            paths,
            heads_ns: vec![0; count],
            tails_ns: vec![0; count],
            waves_begin_ns: vec![0; wave_count],
            waves_tail_ns: vec![0; wave_count],
        }
    }

    pub(super) fn lean(&self, task: u32) -> &Lean {
        &self.moves[task as usize]
    }

    /// Walks both ways; the makespan, in nanoseconds. The line must have the moves of each wave together and each move behind those that it comes after.
    pub(super) fn walk(&mut self, line: &[u32]) -> u64 {
        self.backward(line);
        self.forward(line)
    }

    /// Walks it forward; the makespan, in nanoseconds.
    pub(super) fn forward(&mut self, line: &[u32]) -> u64 {
        self.pass::<true>(line.iter().copied())
    }

    fn backward(&mut self, line: &[u32]) {
        self.pass::<false>(line.iter().rev().copied());
    }

    /// One walk in either direction: seen from the end, a shutdown is what readiness is from the beginning, and a tail what a head is.
    fn pass<const FORWARD: bool>(&mut self, line: impl Iterator<Item = u32>) -> u64 {
        self.clear();
        let (mut whole_ns, mut last_end_ns, mut least_ns, mut current) = (0, 0, 0, None);
        for number in line {
            let lean = self.moves[number as usize];
            if current != Some(lean.wave) {
                current = Some(lean.wave);
                least_ns = last_end_ns;
                let waves_ns = if FORWARD { &mut self.waves_begin_ns } else { &mut self.waves_tail_ns };
                waves_ns[lean.wave as usize] = least_ns;
            }
            let (before_ns, behind_ns) =
                if FORWARD { (lean.ready_ns, lean.shutdown_ns) } else { (lean.shutdown_ns, lean.ready_ns) };
            let mut start_ns = before_ns.max(least_ns);
            if lean.is_tied {
                start_ns = start_ns.max(if FORWARD { self.after_ns(number) } else { self.before_ns(number) });
            }
            let path = &self.paths[lean.path.0 as usize..lean.path.1 as usize];
            for link in path {
                start_ns = start_ns.max(self.links[*link as usize].free_from_ns(lean.rate_bit_s));
            }
            let end_ns = start_ns + lean.duration_ns;
            for link in path {
                self.links[*link as usize].take(lean.rate_bit_s, start_ns, end_ns);
            }
            let starts_ns = if FORWARD { &mut self.heads_ns } else { &mut self.tails_ns };
            starts_ns[number as usize] = start_ns;
            last_end_ns = last_end_ns.max(end_ns);
            whole_ns = whole_ns.max(end_ns + behind_ns);
        }
        whole_ns
    }

    /// When all that a move comes after has ended.
    pub(super) fn after_ns(&self, task: u32) -> u64 {
        let after = &self.problem.tasks()[task as usize].after;
        let ends = after.iter().map(|before| self.heads_ns[*before as usize] + self.lean(*before).duration_ns);
        ends.max().unwrap_or(0)
    }

    /// How much what comes after a move needs from its begin.
    pub(super) fn before_ns(&self, task: u32) -> u64 {
        let behind = self.problem.followers(task).iter();
        behind.map(|behind| self.tails_ns[*behind as usize] + self.lean(*behind).duration_ns).max().unwrap_or(0)
    }

    /// The longest chain through a move, in nanoseconds.
    pub(super) fn chain_ns(&self, task: u32) -> u64 {
        self.heads_ns[task as usize] + self.lean(task).duration_ns + self.tails_ns[task as usize]
    }

    fn clear(&mut self) {
        for (passage, link) in self.links.iter_mut().zip(self.problem.links()) {
            match passage {
                Passage::Narrow(free_from_ns) => *free_from_ns = 0,
                Passage::Wide(room) => room.clear(link.capacity_bit_s),
            }
        }
    }
}

/// Whether each link carries no more than one of its moves at a time.
pub(super) fn narrow(problem: &Problem) -> Vec<bool> {
    // The two slowest rates of each link.
    let mut slowest = vec![[u64::MAX; 2]; problem.links().len()];
    for task in problem.tasks() {
        for link in &task.path {
            let [first, second] = &mut slowest[*link as usize];
            if task.rate_bit_s < *first {
                *second = std::mem::replace(first, task.rate_bit_s);
            } else {
                *second = (*second).min(task.rate_bit_s);
            }
        }
    }
    let links = problem.links().iter().zip(slowest);
    links.map(|(link, [first, second])| first.saturating_add(second) > link.capacity_bit_s).collect()
}
