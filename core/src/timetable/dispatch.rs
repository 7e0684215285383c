//! List scheduling by events: whenever something ends, the most urgent of the moves that fit begins. Nothing waits while it fits.
//!
//! A move that does not fit waits at one gate: a link without the rate it takes, or a host without the memory. Only when that gate opens is
//! it looked at again, and it may then go on to wait at another. So what an event costs does not grow with the number of moves that wait.

use super::problem::places;
use super::{Problem, SECOND_NS, Timetable};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Most moves that are passed over at one time, since they take more than their gate has left; after so many, a gate's next isn't looked at.
const PASSED_OVER_MAX: usize = 16;

/// How often in a run urgencies are told anew.
const REFRESHES: usize = 8;
/// Fewest moves that begin between two such times.
const REFRESH_MIN: usize = 8;

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

/// A move that waits, as one number to compare by: its priority, its urgency, and of equals the lower place first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting(u128);

impl Waiting {
    fn new(priority: u32, urgency: f64, task: u32) -> Self {
        let bits = urgency.to_bits();
        // The order of numbers as the order of their bits: IEEE 754's totalOrder.
        let ordered = if urgency.is_sign_negative() { !bits } else { bits | 1 << 63 };
        Waiting(u128::from(priority) << 96 | u128::from(ordered) << 32 | u128::from(!task))
    }

    fn task(self) -> u32 {
        !(self.0 as u32)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ended(u32),
    Ready(u32),
}

/// Where a move waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gate {
    Link(u32),
    Host(u32),
}

/// One run over a problem.
pub(super) struct Dispatch<'a> {
    problem: &'a Problem,
    deadline_ns: u64,
    now_ns: u64,
    starts_ns: Vec<Option<u64>>,
    /// What each link has left.
    left_bit_s: Vec<u64>,
    /// The least that any move takes of each link.
    least_bit_s: Vec<u64>,
    free_mib: Vec<Option<u64>>,
    /// What each link has still to carry, in seconds of its capacity.
    to_carry: Vec<f64>,
    /// How many moves each still has to wait for.
    to_end: Vec<usize>,
    at_link: Vec<BinaryHeap<Waiting>>,
    /// The links that are on every path on which a link is, as a rack's uplink is on those of its hosts' interfaces.
    always_with: Vec<Vec<u32>>,
    /// The links whose queues wait for this one, since it is always with them.
    behind: Vec<Vec<u32>>,
    at_host: Vec<BinaryHeap<Waiting>>,
    /// Those that nothing is known of that would keep them.
    fresh: BinaryHeap<Waiting>,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    opened: Vec<Gate>,
    /// The moves of each wave, the last wave first; and how many of the first are not over.
    waves: Vec<Vec<u32>>,
    unfinished: usize,
    measure: Measure,
    /// Each move's priority, by its place among those that there are.
    priorities: Vec<u32>,
    /// How many more begin before urgencies are told anew.
    to_refresh: usize,
}

/// How urgency is told.
enum Measure {
    Rule {
        rule: Rule,
        /// Each move's urgency is taken so many times; once where there is none.
        factors: Vec<f64>,
    },
    /// The lower, the more urgent.
    Rank(Vec<f64>),
}

impl<'a> Dispatch<'a> {
    pub(super) fn new(problem: &'a Problem) -> Self {
        let (links, hosts, tasks) = (problem.links(), problem.hosts(), problem.tasks());
        let mut to_carry = vec![0.0; links.len()];
        let mut least_bit_s = vec![u64::MAX; links.len()];
        for task in tasks {
            for link in &task.path {
                let place = *link as usize;
                to_carry[place] += problem.busy_ns(task, *link) / SECOND_NS as f64;
                least_bit_s[place] = least_bit_s[place].min(task.rate_bit_s);
            }
        }
        Dispatch {
            problem,
            deadline_ns: u64::MAX,
            now_ns: 0,
            starts_ns: vec![None; tasks.len()],
            left_bit_s: links.iter().map(|link| link.capacity_bit_s).collect(),
            least_bit_s,
            free_mib: hosts.iter().map(|host| host.free_mib).collect(),
            to_carry,
            to_end: tasks.iter().map(|task| task.after.len()).collect(),
            at_link: vec![BinaryHeap::new(); links.len()],
            always_with: always_with(problem),
            behind: vec![Vec::new(); links.len()],
            at_host: vec![BinaryHeap::new(); hosts.len()],
            fresh: BinaryHeap::new(),
            events: BinaryHeap::new(),
            opened: Vec::new(),
            waves: waves(problem),
            unfinished: 0,
            measure: Measure::Rank(Vec::new()),
            priorities: places(tasks.iter().map(|task| task.priority)),
            to_refresh: usize::MAX,
        }
    }

    /// Begins nothing that would not be over by then, its source's shutdown included.
    pub(super) fn by_deadline(self, deadline_ns: u64) -> Self {
        Dispatch { deadline_ns, ..self }
    }

    /// By a rule, each move's urgency times its own factor, if there are any.
    pub(super) fn run(mut self, rule: Rule, factors: &[f64]) -> Timetable {
        self.measure = Measure::Rule { rule, factors: factors.to_vec() };
        self.to_refresh = self.until_refresh();
        self.finish()
    }

    /// As they have their turns.
    pub(super) fn run_in_turn(self, turns_ns: &[u64]) -> Timetable {
        self.run_ranked(turns_ns.iter().map(|turn| *turn as f64).collect())
    }

    /// By ranks, the lowest first.
    pub(super) fn run_ranked(mut self, ranks: Vec<f64>) -> Timetable {
        self.measure = Measure::Rank(ranks);
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
        let Some(wave) = self.waves.pop() else { return false };
        if self.unfinished > 0 {
            self.fresh.clear();
            self.at_link.iter_mut().chain(&mut self.at_host).for_each(BinaryHeap::clear);
        }
        self.unfinished = wave.len();
        for task in wave {
            if self.to_end[task as usize] == 0 {
                self.offer(task);
            }
        }
        true
    }

    fn offer(&mut self, task: u32) {
        let ready_ns = self.problem.ready_ns(&self.problem.tasks()[task as usize]);
        if ready_ns > self.now_ns {
            self.events.push(Reverse((ready_ns, Event::Ready(task))));
        } else {
            let waiting = self.waiting(task);
            self.fresh.push(waiting);
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
        self.waves.last().and_then(|next| next.first()).is_none_or(|next| wave(task) < wave(*next))
    }

    /// Tells urgencies anew, since links have less to carry than when they were told.
    fn refresh(&mut self) {
        if self.to_refresh > 0 {
            return;
        }
        self.to_refresh = self.until_refresh();
        let mut queues = std::mem::take(&mut self.at_link);
        for queue in queues.iter_mut().filter(|queue| !queue.is_empty()) {
            let mut waiting = std::mem::take(queue).into_vec();
            for waiting in &mut waiting {
                *waiting = self.waiting(waiting.task());
            }
            *queue = waiting.into();
        }
        self.at_link = queues;
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
        let mut firsts: BinaryHeap<(Waiting, Option<Gate>)> =
            gates.iter().filter_map(|gate| self.first(Some(*gate))).collect();
        firsts.extend(self.first(None));
        let mut aside: Vec<(Gate, Waiting)> = Vec::new();
        while let Some((waiting, from)) = firsts.pop() {
            let is_first = self.first(from).is_some_and(|(first, _)| first == waiting);
            if !is_first {
                continue;
            }
            self.queue(from).pop();
            let number = waiting.task();
            let task = &self.problem.tasks()[number as usize];
            if self.now_ns + task.duration_ns + self.problem.shutdown_ns(task) > self.deadline_ns {
                self.unfinished -= 1;
            } else {
                match self.keeper(number) {
                    None => self.begin(number),
                    Some(keeper) if Some(keeper) == from => {
                        aside.push((keeper, waiting));
                        if aside.len() > PASSED_OVER_MAX {
                            continue;
                        }
                    }
                    Some(keeper) => self.queue(Some(keeper)).push(waiting),
                }
            }
            firsts.extend(self.first(from));
        }
        for (gate, waiting) in aside {
            self.queue(Some(gate)).push(waiting);
        }
        for gate in gates {
            if let Gate::Link(link) = gate
                && let Some(full) = self.full_beside(link)
                && !self.at_link[link as usize].is_empty()
            {
                self.behind[full as usize].push(link);
            }
        }
    }

    /// The most urgent at a gate, if that has room for anything; or of the fresh ones.
    fn first(&self, gate: Option<Gate>) -> Option<(Waiting, Option<Gate>)> {
        let queue = match gate {
            None => &self.fresh,
            Some(Gate::Host(host)) => &self.at_host[host as usize],
            Some(Gate::Link(link)) => {
                let has_room = self.left_bit_s[link as usize] >= self.least_bit_s[link as usize];
                if !has_room || self.full_beside(link).is_some() {
                    return None;
                }
                &self.at_link[link as usize]
            }
        };
        queue.peek().map(|first| (*first, gate))
    }

    /// The link that is always with this one and has no room for anything of it.
    fn full_beside(&self, link: u32) -> Option<u32> {
        let least_bit_s = self.least_bit_s[link as usize];
        self.always_with[link as usize].iter().copied().find(|other| self.left_bit_s[*other as usize] < least_bit_s)
    }

    fn queue(&mut self, gate: Option<Gate>) -> &mut BinaryHeap<Waiting> {
        match gate {
            None => &mut self.fresh,
            Some(Gate::Link(link)) => &mut self.at_link[link as usize],
            Some(Gate::Host(host)) => &mut self.at_host[host as usize],
        }
    }

    /// What keeps a move from beginning now.
    fn keeper(&self, task: u32) -> Option<Gate> {
        let task = &self.problem.tasks()[task as usize];
        let full = task.path.iter().find(|link| self.left_bit_s[**link as usize] < task.rate_bit_s);
        let is_narrow = self.free_mib[task.destination as usize].is_some_and(|free_mib| free_mib < task.memory_mib);
        full.map(|link| Gate::Link(*link)).or(is_narrow.then_some(Gate::Host(task.destination)))
    }

    fn begin(&mut self, number: u32) {
        let problem = self.problem;
        let task = &problem.tasks()[number as usize];
        for link in &task.path {
            let place = *link as usize;
            self.left_bit_s[place] -= task.rate_bit_s;
            self.to_carry[place] -= problem.busy_ns(task, *link) / SECOND_NS as f64;
        }
        if let Some(free_mib) = &mut self.free_mib[task.destination as usize] {
            *free_mib -= task.memory_mib;
        }
        self.starts_ns[number as usize] = Some(self.now_ns);
        self.to_refresh = self.to_refresh.saturating_sub(1);
        self.events.push(Reverse((self.now_ns + task.duration_ns, Event::Ended(number))));
    }

    fn waiting(&self, number: u32) -> Waiting {
        let task = &self.problem.tasks()[number as usize];
        let urgency = match &self.measure {
            Measure::Rank(ranks) => -ranks[number as usize],
            Measure::Rule { rule, factors } => {
                let shutdown = seconds(self.problem.shutdown_ns(task));
                let loads = task.path.iter().map(|link| self.to_carry[*link as usize] + shutdown);
                let path = rule
                    .power
                    .map_or(0.0, |power| loads.map(|load| load.powi(power)).sum::<f64>().powf(1.0 / f64::from(power)));
                let whole = path + rule.duration * seconds(task.duration_ns);
                whole * factors.get(number as usize).copied().unwrap_or(1.0)
            }
        };
        Waiting::new(self.priorities[number as usize], urgency, number)
    }
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

fn seconds(span_ns: u64) -> f64 {
    span_ns as f64 / SECOND_NS as f64
}
