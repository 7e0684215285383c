//! Moves that could start at once, in lanes: one lane for each wave, pair of hosts, and whether disks are copied.
//!
//! A lane is open while neither of its hosts is full. Only the first move of an open lane is shown, in the order of its trunk: of all
//! lanes over the same links. So finding the next to start looks at trunks, and never at those behind a full host or a full link. A
//! lane opens and closes when what one of its hosts has under way changes, and at no other time.

use super::load::{HostLoad, Load};
use crate::ids::{HostName, SiteName, VmId};
use crate::route::{Route, Routes};
use crate::runbook::Limits;
use std::collections::{BTreeMap, BTreeSet};

/// A lane, by its wave and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) wave: usize,
    number: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Queue {
    routes: Routes,
    /// What is under way over each link, in bits per second.
    links: Vec<u64>,
    sources: Hosts,
    destinations: Hosts,
    /// The lanes' numbers, by wave, the hosts' numbers, and whether disks are copied.
    numbers: BTreeMap<(usize, usize, usize, bool), usize>,
    lanes: Vec<Waiting>,
    trunks: Vec<Trunk>,
    trunk_numbers: BTreeMap<Route, usize>,
}

/// A lane: its wave, its hosts and its trunk by their numbers, its moves.
#[derive(Debug, Clone)]
struct Waiting {
    wave: usize,
    source: usize,
    destination: usize,
    trunk: usize,
    takes: HostLoad,
    by_rank: BTreeMap<usize, VmId>,
    /// The rank by which it stands in its trunk's `open`, if it does.
    shown: Option<usize>,
}

/// Lanes over the same links.
#[derive(Debug, Clone)]
struct Trunk {
    route: Route,
    /// The first move of every open lane, by wave and rank.
    open: BTreeMap<(usize, usize), usize>,
}

/// The hosts of one side.
#[derive(Debug, Clone)]
struct Hosts {
    /// Most that one may have under way.
    most: HostLoad,
    numbers: BTreeMap<HostName, usize>,
    hosts: Vec<Host>,
}

#[derive(Debug, Clone)]
struct Host {
    name: HostName,
    load: HostLoad,
    /// Its lanes that have moves, by number.
    lanes: BTreeSet<usize>,
}

impl Queue {
    pub(super) fn new(limits: &Limits, routes: Routes) -> Self {
        let (source, destination) = most(limits, &routes);
        Queue {
            links: vec![0; routes.links().len()],
            sources: Hosts::new(source),
            destinations: Hosts::new(destination),
            routes,
            numbers: BTreeMap::new(),
            lanes: Vec::new(),
            trunks: Vec::new(),
            trunk_numbers: BTreeMap::new(),
        }
    }

    /// Changes how many moves hosts may have under way, and shows and hides lanes by that.
    pub(super) fn set_limits(&mut self, limits: &Limits) {
        (self.sources.most, self.destinations.most) = most(limits, &self.routes);
        for lane in 0..self.lanes.len() {
            self.show(lane);
        }
    }

    pub(super) fn lane(&mut self, wave: usize, from: &HostName, to: &HostName, copies_disk: bool) -> Lane {
        let (source, destination) = (self.sources.number(from), self.destinations.number(to));
        let next = self.lanes.len();
        let number = *self.numbers.entry((wave, source, destination, copies_disk)).or_insert(next);
        if number == next {
            let trunk = self.trunk(from, to);
            let bit_s = self.trunks[trunk].route.rate_bit_s.unwrap_or(0);
            let takes = HostLoad { moves: 1, disk_copies: u32::from(copies_disk), bit_s };
            let by_rank = BTreeMap::new();
            self.lanes.push(Waiting { wave, source, destination, trunk, takes, by_rank, shown: None });
        }
        Lane { wave, number }
    }

    /// The lane of the same kind to another destination host.
    pub(super) fn redirected(&mut self, lane: Lane, destination: &HostName) -> Lane {
        let before = &self.lanes[lane.number];
        let copies_disk = before.takes.disk_copies > 0;
        let source = self.sources.hosts[before.source].name.clone();
        self.lane(lane.wave, &source, destination, copies_disk)
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
        self.count(lane, HostLoad::add, |taken, bit_s| *taken += bit_s);
    }

    /// Counts a move of the lane as running no more.
    pub(super) fn vacate(&mut self, lane: Lane) {
        self.count(lane, HostLoad::give, |taken, bit_s| *taken -= bit_s);
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
        let has_room = |lane: &usize| {
            let Waiting { source, destination, takes, .. } = &self.lanes[*lane];
            let (source, destination) = (&self.sources.hosts[*source], &self.destinations.hosts[*destination]);
            let departures = elsewhere.departures(source_site, &source.name);
            let arrivals = elsewhere.arrivals(destination_site, &destination.name);
            self.sources.takes(source.load, departures, *takes)
                && self.destinations.takes(destination.load, arrivals, *takes)
        };
        let open = self.trunks.iter().filter(|trunk| !trunk.open.is_empty() && self.carries(&trunk.route, elsewhere));
        let firsts = open.filter_map(|trunk| {
            let mut lanes = trunk.open.range(from..(wave + 1, 0));
            lanes.find(|(_, lane)| has_room(lane)).map(|((_, rank), lane)| (*rank, *lane))
        });
        let (rank, lane) = firsts.min()?;
        self.lanes[lane].by_rank.get(&rank).map(|vm| (rank, *vm))
    }

    pub(super) fn load(&self, source_site: &SiteName, destination_site: &SiteName) -> Load {
        let mut load = Load::default();
        for host in self.sources.hosts.iter().filter(|host| host.load.moves > 0) {
            load.depart(source_site, &host.name, host.load);
        }
        for host in self.destinations.hosts.iter().filter(|host| host.load.moves > 0) {
            load.arrive(destination_site, &host.name, host.load);
        }
        for (link, taken) in self.routes.links().iter().zip(&self.links).filter(|(_, taken)| **taken > 0) {
            load.take(&link.name, *taken);
        }
        load
    }

    /// Whether every link of a route has room for one more move.
    fn carries(&self, route: &Route, elsewhere: &Load) -> bool {
        let rate_bit_s = route.rate_bit_s.unwrap_or(0);
        route.links.iter().all(|number| {
            let link = &self.routes.links()[*number];
            self.links[*number] + elsewhere.of_link(&link.name) + rate_bit_s <= link.bit_s()
        })
    }

    fn trunk(&mut self, from: &HostName, to: &HostName) -> usize {
        let route = self.routes.between(from, to);
        let next = self.trunks.len();
        let number = *self.trunk_numbers.entry(route.clone()).or_insert(next);
        if number == next {
            self.trunks.push(Trunk { route, open: BTreeMap::new() });
        }
        number
    }

    /// Counts at both hosts of a lane and at its links, and shows or hides those lanes of each host for which that matters.
    fn count(&mut self, lane: Lane, of_host: impl Fn(&mut HostLoad, HostLoad), of_link: impl Fn(&mut u64, u64)) {
        let Waiting { source, destination, trunk, takes, .. } = self.lanes[lane.number];
        for link in &self.trunks[trunk].route.links {
            of_link(&mut self.links[*link], takes.bit_s);
        }
        let mut crossed = Vec::new();
        for (side, number) in [(&mut self.sources, source), (&mut self.destinations, destination)] {
            let before = side.hosts[number].load;
            of_host(&mut side.hosts[number].load, takes);
            let after = side.hosts[number].load;
            if side.is_near(before) || side.is_near(after) {
                crossed.extend(side.hosts[number].lanes.iter().copied());
            }
        }
        for lane in crossed {
            self.show(lane);
        }
    }

    /// Makes its trunk's `open` right for one lane.
    fn show(&mut self, lane: usize) {
        let waiting = &mut self.lanes[lane];
        let is_open = self.sources.has_room(waiting.source, waiting.takes)
            && self.destinations.has_room(waiting.destination, waiting.takes);
        let first = waiting.by_rank.keys().next().copied().filter(|_| is_open);
        if first == waiting.shown {
            return;
        }
        let open = &mut self.trunks[waiting.trunk].open;
        if let Some(rank) = waiting.shown {
            open.remove(&(waiting.wave, rank));
        }
        if let Some(rank) = first {
            open.insert((waiting.wave, rank), lane);
        }
        waiting.shown = first;
    }
}

/// Most that a source host and a destination host may have under way.
fn most(limits: &Limits, routes: &Routes) -> (HostLoad, HostLoad) {
    let most = |moves: u32, bit_s: Option<u64>| HostLoad {
        moves,
        disk_copies: limits.per_storage.unwrap_or(u32::MAX),
        bit_s: bit_s.unwrap_or(u64::MAX),
    };
    let source = most(limits.per_source_host, routes.source_host_bit_s());
    (source, most(limits.per_destination_host, routes.destination_host_bit_s()))
}

impl Hosts {
    fn new(most: HostLoad) -> Self {
        Hosts { most, numbers: BTreeMap::new(), hosts: Vec::new() }
    }

    /// The host's number; a host not seen before gets the next.
    fn number(&mut self, name: &HostName) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.hosts.len();
        self.hosts.push(Host { name: name.clone(), load: HostLoad::default(), lanes: BTreeSet::new() });
        self.numbers.insert(name.clone(), number);
        number
    }

    fn has_room(&self, number: usize, takes: HostLoad) -> bool {
        self.takes(self.hosts[number].load, HostLoad::default(), takes)
    }

    /// Whether a host with so much under way, here and elsewhere, takes so much more.
    fn takes(&self, here: HostLoad, elsewhere: HostLoad, more: HostLoad) -> bool {
        let mut all = here;
        all.add(elsewhere);
        all.add(more);
        // What takes nothing of something isn't kept by its being full.
        all.moves <= self.most.moves
            && (more.disk_copies == 0 || all.disk_copies <= self.most.disk_copies)
            && (more.bit_s == 0 || all.bit_s <= self.most.bit_s)
    }

    /// Whether one move more or less makes a difference to what may start.
    fn is_near(&self, load: HostLoad) -> bool {
        let is_limited = self.most.disk_copies < u32::MAX || self.most.bit_s < u64::MAX;
        load.moves >= self.most.moves || is_limited
    }
}
