//! What is to be planned: links, hosts and moves, checked once so that everything behind can rely on it.

use crate::class::Class;

/// Most moves that are planned at once.
pub const TASKS_MAX: usize = 1_000_000;
/// Most links.
pub const LINKS_MAX: usize = 1_000_000;
/// Most hosts.
pub const HOSTS_MAX: usize = 1_000_000;
/// Most links of one move.
pub const PATH_MAX: usize = 64;
/// Longest that all moves, one after another, with the latest readiness and the longest shutdown may take, in nanoseconds: 73 years.
pub const DURATION_MAX_NS: u64 = u64::MAX / 8;

/// Something that moves share: an interface, an uplink, a line between sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// What it carries, in bits per second.
    pub capacity_bit_s: u64,
}

/// A host, of either side or of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Host {
    /// The memory that guests may still take, in MiB; none: without limit. A move takes its memory here when it begins, and gives that of its source back
    /// when it ends.
    pub free_mib: Option<u64>,
    /// When it can receive, in nanoseconds from the start.
    pub ready_ns: u64,
    /// What it needs after its last VM has left, in nanoseconds.
    pub shutdown_ns: u64,
}

/// A move to plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The host that it leaves, by its place among the hosts.
    pub source: u32,
    /// The host that it goes to.
    pub destination: u32,
    /// The links that it takes from its begin to its end, each once.
    pub path: Vec<u32>,
    /// What it takes of each, in bits per second.
    pub rate_bit_s: u64,
    /// How long it takes at that rate, in nanoseconds; not 0.
    pub duration_ns: u64,
    /// The memory it takes at its destination, in MiB.
    pub memory_mib: u64,
    /// Its wave: it begins when all moves of lower waves have ended.
    pub wave: u32,
    /// Of two moves that could begin, the one with the higher priority does.
    pub priority: i64,
    /// What it is worth where not all can be moved: finite, not negative.
    pub value: f64,
    /// The moves that have to end before it begins, by their places among the tasks.
    pub after: Vec<u32>,
}

/// What can't be planned. Places are those in the lists that were given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProblemError {
    /// Too much of something.
    #[error("{count} {what}, more than the {most} that can be planned at once")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many were given.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// A link that carries nothing.
    #[error("a link carries nothing")]
    NoCapacity {
        /// Which.
        link: usize,
    },
    /// A move that names what isn't there.
    #[error("it names a {what} that is not there")]
    Unknown {
        /// Which move.
        task: usize,
        /// What it names.
        what: &'static str,
    },
    /// A move from a host to itself.
    #[error("its source is its destination")]
    Nowhere {
        /// Which.
        task: usize,
    },
    /// A move that takes nothing of its links, or no time.
    #[error("its {what} is 0")]
    Nothing {
        /// Which.
        task: usize,
        /// What is 0.
        what: &'static str,
    },
    /// A move that takes more than a link carries.
    #[error("its rate of {rate_bit_s} bit/s is more than the {capacity_bit_s} bit/s that a link of its path carries")]
    TooFast {
        /// Which.
        task: usize,
        /// The link.
        link: u32,
        /// The move's rate.
        rate_bit_s: u64,
        /// What the link carries.
        capacity_bit_s: u64,
    },
    /// A link twice on a path.
    #[error("a link is on its path twice")]
    LinkTwice {
        /// Which move.
        task: usize,
        /// The link.
        link: u32,
    },
    /// A value that is no number of at least 0.
    #[error("its value of {value} is not a number of at least 0")]
    Worth {
        /// Which move.
        task: usize,
        /// Its value.
        value: f64,
    },
    /// Moves that wait for each other, or for one of a later wave.
    #[error("it comes after a move that comes after it, or is of a later wave")]
    Circle {
        /// One of them.
        task: usize,
    },
    /// All in all too long.
    #[error("all moves one after another would take longer than 73 years")]
    TooLong,
}

impl ProblemError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Refused
    }
}

/// A problem that can be planned.
#[derive(Debug, Clone)]
pub struct Problem {
    links: Vec<Link>,
    hosts: Vec<Host>,
    tasks: Vec<Task>,
    /// The tasks that come after each.
    followers: Vec<Vec<u32>>,
}

impl Problem {
    /// Checks and takes it.
    ///
    /// # Errors
    /// The first thing found that can't be planned.
    pub fn new(links: Vec<Link>, hosts: Vec<Host>, tasks: Vec<Task>) -> Result<Self, ProblemError> {
        for (what, count, most) in
            [("links", links.len(), LINKS_MAX), ("hosts", hosts.len(), HOSTS_MAX), ("moves", tasks.len(), TASKS_MAX)]
        {
            if count > most {
                return Err(ProblemError::TooMany { what, count, most });
            }
        }
        if let Some(link) = links.iter().position(|link| link.capacity_bit_s == 0) {
            return Err(ProblemError::NoCapacity { link });
        }
        for (number, task) in tasks.iter().enumerate() {
            check(number, task, &links, hosts.len(), tasks.len())?;
        }
        is_short(&hosts, &tasks)?;
        let mut followers = vec![Vec::new(); tasks.len()];
        for (number, task) in (0..).zip(&tasks) {
            for before in &task.after {
                followers[*before as usize].push(number);
            }
        }
        let problem = Problem { links, hosts, tasks, followers };
        problem.has_no_circle()?;
        Ok(problem)
    }

    /// The links.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The hosts.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The moves.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The same with some of the moves only, which `keep` names by their places in ascending order. What comes after one that is
    /// not kept must not be kept.
    pub(super) fn with_only(&self, keep: &[u32]) -> Problem {
        let mut places = vec![u32::MAX; self.tasks.len()];
        for (place, task) in (0..).zip(keep) {
            places[*task as usize] = place;
        }
        let renumbered =
            |of: &[u32]| of.iter().map(|task| places[*task as usize]).filter(|place| *place != u32::MAX).collect();
        let tasks = keep.iter().map(|task| {
            let task = &self.tasks[*task as usize];
            Task { after: renumbered(&task.after), ..task.clone() }
        });
        let followers = keep.iter().map(|task| renumbered(&self.followers[*task as usize]));
        Problem {
            links: self.links.clone(),
            hosts: self.hosts.clone(),
            tasks: tasks.collect(),
            followers: followers.collect(),
        }
    }

    pub(super) fn followers(&self, task: u32) -> &[u32] {
        &self.followers[task as usize]
    }

    pub(super) fn shutdown_ns(&self, task: &Task) -> u64 {
        self.hosts[task.source as usize].shutdown_ns
    }

    pub(super) fn ready_ns(&self, task: &Task) -> u64 {
        self.hosts[task.destination as usize].ready_ns
    }

    /// How long a move keeps a link of its path busy, in nanoseconds of the link's whole capacity.
    pub(super) fn busy_ns(&self, task: &Task, link: u32) -> f64 {
        task.duration_ns as f64 * (task.rate_bit_s as f64 / self.links[link as usize].capacity_bit_s as f64)
    }

    /// The moves in an order in which each stands behind those that it comes after, or none if there is no such order.
    fn has_no_circle(&self) -> Result<(), ProblemError> {
        let mut left: Vec<usize> = self.tasks.iter().map(|task| task.after.len()).collect();
        let mut free: Vec<u32> = (0..).zip(&left).filter(|(_, left)| **left == 0).map(|(task, _)| task).collect();
        while let Some(task) = free.pop() {
            for follower in self.followers(task) {
                if self.tasks[*follower as usize].wave < self.tasks[task as usize].wave {
                    return Err(ProblemError::Circle { task: *follower as usize });
                }
                left[*follower as usize] -= 1;
                if left[*follower as usize] == 0 {
                    free.push(*follower);
                }
            }
        }
        match left.iter().position(|left| *left > 0) {
            Some(task) => Err(ProblemError::Circle { task }),
            None => Ok(()),
        }
    }
}

/// Each value's place among those that there are, the lowest first.
pub(super) fn places<T: Ord + Copy>(values: impl Iterator<Item = T> + Clone) -> Vec<u32> {
    let mut all: Vec<T> = values.clone().collect();
    all.sort_unstable();
    all.dedup();
    let place = |value| u32::try_from(all.partition_point(|other| *other < value)).unwrap_or(u32::MAX);
    values.map(place).collect()
}

fn check(number: usize, task: &Task, links: &[Link], hosts: usize, tasks: usize) -> Result<(), ProblemError> {
    let unknown = |what| Err(ProblemError::Unknown { task: number, what });
    if task.source as usize >= hosts || task.destination as usize >= hosts {
        return unknown("host");
    }
    if task.source == task.destination {
        return Err(ProblemError::Nowhere { task: number });
    }
    if task.path.len() > PATH_MAX {
        return Err(ProblemError::TooMany { what: "links on a path", count: task.path.len(), most: PATH_MAX });
    }
    for (what, amount) in [("rate", task.rate_bit_s), ("duration", task.duration_ns)] {
        if amount == 0 {
            return Err(ProblemError::Nothing { task: number, what });
        }
    }
    for (place, link) in task.path.iter().enumerate() {
        let Some(Link { capacity_bit_s }) = links.get(*link as usize).copied() else { return unknown("link") };
        if task.path[..place].contains(link) {
            return Err(ProblemError::LinkTwice { task: number, link: *link });
        }
        if task.rate_bit_s > capacity_bit_s {
            let rate_bit_s = task.rate_bit_s;
            return Err(ProblemError::TooFast { task: number, link: *link, rate_bit_s, capacity_bit_s });
        }
    }
    if task.after.iter().any(|before| *before as usize >= tasks) {
        return unknown("move that it comes after");
    }
    if !task.value.is_finite() || task.value < 0.0 {
        return Err(ProblemError::Worth { task: number, value: task.value });
    }
    Ok(())
}

/// Whether everything one after another ends before the numbers do.
fn is_short(hosts: &[Host], tasks: &[Task]) -> Result<(), ProblemError> {
    let moves: u128 = tasks.iter().map(|task| u128::from(task.duration_ns)).sum();
    let ready = hosts.iter().map(|host| host.ready_ns).max().unwrap_or(0);
    let shutdown = hosts.iter().map(|host| host.shutdown_ns).max().unwrap_or(0);
    if moves + u128::from(ready) + u128::from(shutdown) > u128::from(DURATION_MAX_NS) {
        return Err(ProblemError::TooLong);
    }
    Ok(())
}
