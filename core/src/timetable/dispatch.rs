//! List scheduling by events: whenever something ends, the most urgent of the moves that fit begins. Nothing waits while it fits.
//!
//! A move that does not fit waits at one gate: a link without the rate it takes, or a host without the memory. Only when that gate opens is
//! it looked at again, and it may then go on to wait at another; moves that only differ in links which carry one at a time go on as one
//! (`queues`). So what an event costs does not grow with the number of moves that wait.

use super::layout::Layout;
use super::queues::{Gate, Queues, Waiting};
use super::urgency::{Rule, Urgencies};
use super::{Problem, Timetable};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Most moves that are passed over at one time, since they take more than their gate has left; after so many, a gate's next isn't looked at.
const PASSED_OVER_MAX: usize = 16;

/// How often in a run urgencies are told anew.
const REFRESHES: usize = 8;
/// Fewest moves that begin between two such times.
const REFRESH_MIN: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ended(u32),
    Ready(u32),
}

/// One run over a problem.
pub(super) struct Dispatch<'a> {
    problem: &'a Problem,
    layout: &'a Layout<'a>,
    deadline_ns: Option<u64>,
    now_ns: u64,
    starts_ns: Vec<Option<u64>>,
    /// What each link has left.
    left_bit_s: Vec<u64>,
    free_mib: Vec<Option<u64>>,
    /// How many moves each still has to wait for.
    to_end: Vec<usize>,
    queues: Queues<'a>,
    /// The links whose queues wait for this one, since it is always with them.
    behind: Vec<Vec<u32>>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    opened: Vec<Gate>,
    /// How many waves are still to be opened, and how many moves of the last that was are not over.
    waves: usize,
    unfinished: usize,
    urgencies: Urgencies<'a>,
    /// How many more begin before urgencies are told anew.
    to_refresh: usize,
}

impl<'a> Dispatch<'a> {
    pub(super) fn new(layout: &'a Layout<'a>) -> Self {
        let problem = layout.problem;
        let (links, hosts, tasks) = (problem.links(), problem.hosts(), problem.tasks());
        Dispatch {
            problem,
            layout,
            deadline_ns: None,
            now_ns: 0,
            starts_ns: vec![None; tasks.len()],
            left_bit_s: links.iter().map(|link| link.capacity_bit_s).collect(),
            free_mib: hosts.iter().map(|host| host.free_mib).collect(),
            to_end: tasks.iter().map(|task| task.after.len()).collect(),
            queues: Queues::new(layout),
            behind: vec![Vec::new(); links.len()],
            events: BinaryHeap::new(),
            opened: Vec::new(),
            waves: layout.waves.len(),
            unfinished: 0,
            urgencies: Urgencies::new(layout),
            to_refresh: usize::MAX,
        }
    }

    /// Begins nothing that would not be over by then, its source's shutdown included.
    pub(super) fn by_deadline(self, deadline_ns: u64) -> Self {
        Dispatch { deadline_ns: Some(deadline_ns), ..self }
    }

    /// By a rule, each move's urgency times its own factor, if there are any.
    pub(super) fn run(mut self, rule: Rule, factors: &[f64]) -> Timetable {
        self.urgencies.by_rule(rule, factors);
        self.to_refresh = self.until_refresh();
        self.finish()
    }

    /// As they have their turns.
    pub(super) fn run_in_turn(self, turns_ns: &[u64]) -> Timetable {
        self.run_ranked(turns_ns.iter().map(|turn| *turn as f64).collect())
    }

    /// By ranks, the lowest first.
    pub(super) fn run_ranked(mut self, ranks: Vec<f64>) -> Timetable {
        self.urgencies.by_rank(ranks);
        self.finish()
    }

    fn finish(mut self) -> Timetable {
        while self.open_wave() {
            self.begin_what_fits();
            while let Some(Reverse((at_ns, event))) = self.events.pop() {
                self.now_ns = at_ns;
                self.happen(event);
                while let Some(Reverse((_, event))) = self.events.peek().copied().filter(|next| next.0.0 == at_ns) {
                    self.events.pop();
                    self.happen(event);
                }
                if self.unfinished == 0 && !self.open_wave() {
                    break;
                }
                self.begin_what_fits();
            }
        }
        Timetable { starts_ns: self.starts_ns }
    }

    /// Lets the next wave's moves begin; false where there is none. What is left of the one before never begins.
    fn open_wave(&mut self) -> bool {
        let Some(next) = self.waves.checked_sub(1) else { return false };
        self.waves = next;
        if self.unfinished > 0 {
            self.queues.clear();
        }
        let wave = &self.layout.waves[next];
        self.unfinished = wave.len();
        for task in wave {
            if self.to_end[*task as usize] == 0 {
                self.offer(*task);
            }
        }
        true
    }

    fn offer(&mut self, task: u32) {
        let ready_ns = self.problem.ready_ns(&self.problem.tasks()[task as usize]);
        if ready_ns > self.now_ns {
            self.events.push(Reverse((ready_ns, Event::Ready(task))));
        } else {
            self.queues.push(Gate::Open, self.urgencies.of(task));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ready(task) => self.offer(task),
            Event::Ended(number) => {
                let problem = self.problem;
                let task = &problem.tasks()[number as usize];
                for link in &task.path {
                    self.left_bit_s[*link as usize] += task.rate_bit_s;
                    self.opened.push(Gate::Link(*link));
                }
                if let Some(free_mib) = &mut self.free_mib[task.source as usize] {
                    *free_mib += task.memory_mib;
                    self.opened.push(Gate::Host(task.source));
                }
                self.unfinished -= 1;
                for follower in problem.followers(number) {
                    let to_end = &mut self.to_end[*follower as usize];
                    *to_end -= 1;
                    if *to_end == 0 && self.is_open(*follower) {
                        self.offer(*follower);
                    }
                }
            }
        }
    }

    /// Whether the wave of a move has been opened.
    fn is_open(&self, task: u32) -> bool {
        let wave = |task: u32| self.problem.tasks()[task as usize].wave;
        let next = self.waves.checked_sub(1).and_then(|next| self.layout.waves[next].first());
        next.is_none_or(|next| wave(task) < wave(*next))
    }

    /// Tells urgencies anew, since links have less to carry than when they were told.
    fn refresh(&mut self) {
        if self.to_refresh > 0 {
            return;
        }
        self.to_refresh = self.until_refresh();
        self.queues.tell_anew(|task| self.urgencies.of(task));
    }

    fn until_refresh(&self) -> usize {
        (self.starts_ns.len() / REFRESHES).max(REFRESH_MIN)
    }

    fn begin_what_fits(&mut self) {
        self.refresh();
        let mut gates = std::mem::take(&mut self.opened);
        for gate in gates.clone() {
            if let Gate::Link(link) = gate {
                gates.extend(std::mem::take(&mut self.behind[link as usize]).into_iter().map(Gate::Link));
            }
        }
        gates.sort_unstable();
        gates.dedup();
        let mut firsts: BinaryHeap<(Waiting, Gate)> = gates.iter().filter_map(|gate| self.first(*gate)).collect();
        firsts.extend(self.first(Gate::Open));
        let mut aside: Vec<(Gate, Waiting)> = Vec::new();
        while let Some((waiting, from)) = firsts.pop() {
            if self.queues.peek(from) == Some(waiting) && self.queues.pop(from).is_some() {
                match self.begin_or_keeper(waiting.task()) {
                    None => self.queues.follow(from, waiting),
                    Some(keeper) if keeper == from => {
                        aside.push((keeper, waiting));
                        if aside.len() > PASSED_OVER_MAX {
                            continue;
                        }
                    }
                    Some(keeper) => self.queues.pass_on(from, keeper, waiting),
                }
            }
            firsts.extend(self.first(from));
        }
        for (gate, waiting) in aside {
            self.queues.push(gate, waiting);
        }
        for gate in gates {
            if let Gate::Link(link) = gate
                && let Some(full) = self.full_beside(link)
                && self.queues.peek(gate).is_some()
            {
                self.behind[full as usize].push(link);
            }
        }
    }

    /// The most urgent at a gate, if that has room for anything.
    fn first(&self, gate: Gate) -> Option<(Waiting, Gate)> {
        if let Gate::Link(link) = gate {
            let has_room = self.left_bit_s[link as usize] >= self.layout.least_bit_s[link as usize];
            if !has_room || self.full_beside(link).is_some() {
                return None;
            }
        }
        self.queues.peek(gate).map(|first| (first, gate))
    }

    /// The link that is always with this one and has no room for anything of it.
    fn full_beside(&self, link: u32) -> Option<u32> {
        let least_bit_s = self.layout.least_bit_s[link as usize];
        let always_with = &self.layout.always_with[link as usize];
        always_with.iter().copied().find(|other| self.left_bit_s[*other as usize] < least_bit_s)
    }

    /// Begins a move, or leaves it behind where it is too late for it; otherwise says what keeps it.
    fn begin_or_keeper(&mut self, number: u32) -> Option<Gate> {
        if self.is_late(number) {
            self.unfinished -= 1;
            return None;
        }
        let keeper = self.keeper(number);
        if keeper.is_none() {
            self.begin(number);
        }
        keeper
    }

    fn is_late(&self, number: u32) -> bool {
        self.deadline_ns.is_some_and(|deadline_ns| {
            let task = &self.problem.tasks()[number as usize];
            self.now_ns + task.duration_ns + self.problem.shutdown_ns(task) > deadline_ns
        })
    }

    /// What keeps a move from beginning now.
    fn keeper(&self, number: u32) -> Option<Gate> {
        let (path, rate_bit_s) = self.layout.takes(number);
        if let Some(link) = path.iter().find(|link| self.left_bit_s[**link as usize] < rate_bit_s) {
            return Some(Gate::Link(*link));
        }
        let task = &self.problem.tasks()[number as usize];
        let is_narrow = self.free_mib[task.destination as usize].is_some_and(|free_mib| free_mib < task.memory_mib);
        is_narrow.then_some(Gate::Host(task.destination))
    }

    fn begin(&mut self, number: u32) {
        let problem = self.problem;
        let task = &problem.tasks()[number as usize];
        for link in &task.path {
            self.left_bit_s[*link as usize] -= task.rate_bit_s;
        }
        self.urgencies.begin(task);
        if let Some(free_mib) = &mut self.free_mib[task.destination as usize] {
            *free_mib -= task.memory_mib;
        }
        self.starts_ns[number as usize] = Some(self.now_ns);
        self.to_refresh = self.to_refresh.saturating_sub(1);
        self.events.push(Reverse((self.now_ns + task.duration_ns, Event::Ended(number))));
    }
}
