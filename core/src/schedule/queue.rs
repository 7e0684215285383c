//! Moves that could start at once, in lanes: one lane for each wave and pair of hosts.
//!
//! A lane is open while neither of its hosts is full. Only the first move of an open lane is shown in the common
//! order, so finding the next to start never looks at those behind a full host. A lane opens and closes when one of its
//! hosts crosses its limit, and at no other time.

use super::Load;
use crate::ids::{HostName, SiteName, VmId};
use std::collections::{BTreeMap, BTreeSet};

/// A lane, by its wave and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) wave: usize,
    number: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Queue {
    sources: Hosts,
    destinations: Hosts,
    /// The lanes' numbers, by wave and the hosts' numbers.
    numbers: BTreeMap<(usize, usize, usize), usize>,
    lanes: Vec<Waiting>,
    /// The first move of every open lane, by wave and rank.
    open: BTreeMap<(usize, usize), usize>,
}

/// A lane: its wave, its hosts by their numbers, its moves.
#[derive(Debug, Clone)]
struct Waiting {
    wave: usize,
    source: usize,
    destination: usize,
    by_rank: BTreeMap<usize, VmId>,
    /// The rank by which it stands in `open`, if it does.
    shown: Option<usize>,
}

/// The hosts of one side.
#[derive(Debug, Clone)]
struct Hosts {
    limit: u32,
    numbers: BTreeMap<HostName, usize>,
    hosts: Vec<Host>,
}

#[derive(Debug, Clone)]
struct Host {
    name: HostName,
    running: u32,
    /// Its lanes that have moves, by number.
    lanes: BTreeSet<usize>,
}

impl Queue {
    pub(super) fn new(per_source_host: u32, per_destination_host: u32) -> Self {
        Queue {
            sources: Hosts::new(per_source_host),
            destinations: Hosts::new(per_destination_host),
            numbers: BTreeMap::new(),
            lanes: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    pub(super) fn lane(&mut self, wave: usize, source: &HostName, destination: &HostName) -> Lane {
        let (source, destination) = (self.sources.number(source), self.destinations.number(destination));
        let next = self.lanes.len();
        let number = *self.numbers.entry((wave, source, destination)).or_insert(next);
        if number == next {
            self.lanes.push(Waiting { wave, source, destination, by_rank: BTreeMap::new(), shown: None });
        }
        Lane { wave, number }
    }

    /// The lane of the same wave and source host to another destination host.
    pub(super) fn redirected(&mut self, lane: Lane, destination: &HostName) -> Lane {
        let source = self.sources.hosts[self.lanes[lane.number].source].name.clone();
        self.lane(lane.wave, &source, destination)
    }

    pub(super) fn add(&mut self, lane: Lane, rank: usize, vm: VmId) {
        let waiting = &mut self.lanes[lane.number];
        waiting.by_rank.insert(rank, vm);
        self.sources.hosts[waiting.source].lanes.insert(lane.number);
        self.destinations.hosts[waiting.destination].lanes.insert(lane.number);
        self.show(lane.number);
    }

    pub(super) fn remove(&mut self, lane: Lane, rank: usize) {
        let waiting = &mut self.lanes[lane.number];
        waiting.by_rank.remove(&rank);
        if waiting.by_rank.is_empty() {
            self.sources.hosts[waiting.source].lanes.remove(&lane.number);
            self.destinations.hosts[waiting.destination].lanes.remove(&lane.number);
        }
        self.show(lane.number);
    }

    /// Counts a move of the lane as running.
    pub(super) fn occupy(&mut self, lane: Lane) {
        self.count(lane, |running| *running += 1);
    }

    /// Counts a move of the lane as running no more.
    pub(super) fn vacate(&mut self, lane: Lane) {
        self.count(lane, |running| *running -= 1);
    }

    /// The first move of a wave, after a rank, that could start with what is under way elsewhere.
    pub(super) fn first_open(
        &self,
        wave: usize,
        after: Option<usize>,
        source_site: &SiteName,
        destination_site: &SiteName,
        elsewhere: &Load,
    ) -> Option<(usize, VmId)> {
        let from = (wave, after.map_or(0, |rank| rank + 1));
        let (_, lane) = self.open.range(from..(wave + 1, 0)).find(|(_, lane)| {
            let waiting = &self.lanes[**lane];
            let source = &self.sources.hosts[waiting.source];
            let destination = &self.destinations.hosts[waiting.destination];
            source.running + elsewhere.departures(source_site, &source.name) < self.sources.limit
                && destination.running + elsewhere.arrivals(destination_site, &destination.name)
                    < self.destinations.limit
        })?;
        let (rank, vm) = self.lanes[*lane].by_rank.first_key_value()?;
        Some((*rank, *vm))
    }

    pub(super) fn load(&self, source_site: &SiteName, destination_site: &SiteName) -> Load {
        let mut load = Load::default();
        for host in self.sources.hosts.iter().filter(|host| host.running > 0) {
            load.depart(source_site, &host.name, host.running);
        }
        for host in self.destinations.hosts.iter().filter(|host| host.running > 0) {
            load.arrive(destination_site, &host.name, host.running);
        }
        load
    }

    /// Counts at both hosts of a lane, and shows or hides the lanes of each that has crossed its limit.
    fn count(&mut self, lane: Lane, change: impl Fn(&mut u32)) {
        let Waiting { source, destination, .. } = self.lanes[lane.number];
        let mut crossed = Vec::new();
        for (side, number) in [(&mut self.sources, source), (&mut self.destinations, destination)] {
            let was_full = side.is_full(number);
            change(&mut side.hosts[number].running);
            if side.is_full(number) != was_full {
                crossed.extend(side.hosts[number].lanes.iter().copied());
            }
        }
        for lane in crossed {
            self.show(lane);
        }
    }

    /// Makes `open` right for one lane.
    fn show(&mut self, lane: usize) {
        let waiting = &mut self.lanes[lane];
        let is_open = !self.sources.is_full(waiting.source) && !self.destinations.is_full(waiting.destination);
        let first = waiting.by_rank.keys().next().copied().filter(|_| is_open);
        if first == waiting.shown {
            return;
        }
        if let Some(rank) = waiting.shown {
            self.open.remove(&(waiting.wave, rank));
        }
        if let Some(rank) = first {
            self.open.insert((waiting.wave, rank), lane);
        }
        waiting.shown = first;
    }
}

impl Hosts {
    fn new(limit: u32) -> Self {
        Hosts { limit, numbers: BTreeMap::new(), hosts: Vec::new() }
    }

    /// The host's number; a host not seen before gets the next.
    fn number(&mut self, name: &HostName) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.hosts.len();
        self.hosts.push(Host { name: name.clone(), running: 0, lanes: BTreeSet::new() });
        self.numbers.insert(name.clone(), number);
        number
    }

    fn is_full(&self, number: usize) -> bool {
        self.hosts[number].running >= self.limit
    }
}
