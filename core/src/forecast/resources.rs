//! What moves share, as the timetable takes it: links, interfaces, and limits on how many are under way at once.
//!
//! A limit on a number is a link that so many of its fastest moves fill. Where moves of different rates meet at one, a timetable may have more
//! of the slow ones under way than the limit allows; the schedule never does.

use super::{Ahead, MS_NS, Sending};
use crate::ids::{HostName, VmName};
use crate::route::{ASSUMED_MBIT_S, Route, Routes};
use crate::runbook::{Limits, Runbook};
use crate::timetable::{Host, Link, Problem, ProblemError, Task};
use std::collections::BTreeMap;
use std::fmt;

/// Most pairs of moves of which one comes after the other that a forecast takes into account; the schedule takes all.
const AFTER_PAIRS_MAX: usize = 2_000_000;

/// Something that moves share, or wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A link of the runbook, by its name.
    Link(String),
    /// A source host's interface.
    SourceInterface(HostName),
    /// A destination host's interface.
    DestinationInterface(HostName),
    /// How many may leave a host at once.
    SourceHost(HostName),
    /// How many may go to a host at once.
    DestinationHost(HostName),
    /// How many may read disks of a source host at once.
    SourceStorage(HostName),
    /// How many may write disks of a destination host at once.
    DestinationStorage(HostName),
    /// How many may be under way in all.
    InAll,
    /// One move alone: it takes that long.
    Move(VmName),
}

impl fmt::Display for Resource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Link(name) => write!(formatter, "link {name}"),
            Resource::SourceInterface(host) => write!(formatter, "interface of source host {host}"),
            Resource::DestinationInterface(host) => write!(formatter, "interface of destination host {host}"),
            Resource::SourceHost(host) => write!(formatter, "limit of moves from {host}"),
            Resource::DestinationHost(host) => write!(formatter, "limit of moves to {host}"),
            Resource::SourceStorage(host) => write!(formatter, "storage of source host {host}"),
            Resource::DestinationStorage(host) => write!(formatter, "storage of destination host {host}"),
            Resource::InAll => write!(formatter, "limit of moves in all"),
            Resource::Move(name) => write!(formatter, "move of {name} alone"),
        }
    }
}

/// The resources of one forecast.
pub(super) struct Resources<'a> {
    limits: Limits,
    routes: &'a Routes,
    /// Those that are links of the problem, by their places in it.
    names: Vec<Resource>,
}

/// How much of a resource there is.
#[derive(Debug, Clone, Copy)]
enum Amount {
    /// In bits per second.
    Rate(u64),
    /// So many moves.
    Moves(u32),
}

/// What wants a resource.
#[derive(Debug, Clone, Copy, Default)]
struct Wanting {
    moves: u64,
    fastest_bit_s: u64,
}

impl<'a> Resources<'a> {
    pub(super) fn new(runbook: &Runbook, routes: &'a Routes) -> Self {
        Resources { limits: runbook.limits, routes, names: Vec::new() }
    }

    pub(super) fn name(&self, link: u32) -> Resource {
        self.names.get(link as usize).cloned().unwrap_or(Resource::InAll)
    }

    /// The moves as the timetable takes them, in their order.
    pub(super) fn problem(&mut self, ahead: &[Ahead<'_>], sendings: &[Sending]) -> Result<Problem, ProblemError> {
        let mut wanting: BTreeMap<Resource, (Amount, Wanting)> = BTreeMap::new();
        let mut wanted_by_each: Vec<Vec<Resource>> = Vec::with_capacity(ahead.len());
        for (one, Sending { route, .. }) in ahead.iter().zip(sendings) {
            let wanted = self.wanted(one, route);
            wanted_by_each.push(wanted.iter().map(|(resource, _)| resource.clone()).collect());
            for (resource, amount) in wanted {
                let (_, wants) = wanting.entry(resource).or_insert((amount, Wanting::default()));
                wants.moves += 1;
                wants.fastest_bit_s = wants.fastest_bit_s.max(rate_bit_s(route));
            }
        }
        // What all that want it can have at once is no limit.
        wanting.retain(|_, (amount, wants)| match amount {
            Amount::Rate(_) => true,
            Amount::Moves(most) => wants.moves > u64::from(*most),
        });
        let capacity_bit_s = |(amount, wants): &(Amount, Wanting)| match amount {
            Amount::Rate(bit_s) => *bit_s,
            Amount::Moves(most) => wants.fastest_bit_s.saturating_mul(u64::from(*most)),
        };
        let links = wanting.values().map(|of| Link { capacity_bit_s: capacity_bit_s(of) }).collect();
        self.names = wanting.keys().cloned().collect();
        let mut hosts = Hosts::default();
        let after = after(ahead);
        let mut tasks = Vec::with_capacity(ahead.len());
        for (((one, Sending { left_ms, route, .. }), after), wanted) in
            ahead.iter().zip(sendings).zip(after).zip(wanted_by_each)
        {
            let planned = one.planned;
            let places = wanted.into_iter().filter_map(|resource| self.names.binary_search(&resource).ok());
            tasks.push(Task {
                source: hosts.number(true, &planned.source_host),
                destination: hosts.number(false, &planned.destination_host),
                path: places.filter_map(|place| u32::try_from(place).ok()).collect(),
                rate_bit_s: rate_bit_s(route),
                duration_ns: left_ms.saturating_mul(MS_NS),
                memory_mib: planned.memory_mib,
                // What is under way belongs to no wave any more.
                wave: if one.since.is_some() { 0 } else { planned.wave },
                priority: i64::from(planned.turn.priority),
                value: f64::from(planned.turn.value),
                after,
            });
        }
        // Placeholders hold their room from the roll on: a plan that fits has it.
        Problem::new(links, vec![Host::default(); hosts.numbers.len()], tasks)
    }

    /// What a move takes, and how much there is of each.
    fn wanted(&self, one: &Ahead<'_>, route: &Route) -> Vec<(Resource, Amount)> {
        let (source, destination) = (&one.planned.source_host, &one.planned.destination_host);
        let Limits { per_source_host, per_destination_host, per_site, total, per_storage, .. } = self.limits;
        let mut wanted = vec![
            (Resource::SourceHost(source.clone()), Amount::Moves(per_source_host)),
            (Resource::DestinationHost(destination.clone()), Amount::Moves(per_destination_host)),
            (Resource::InAll, Amount::Moves(total.min(per_site))),
        ];
        for link in route.links.iter().map(|link| &self.routes.links()[*link]) {
            wanted.push((Resource::Link(link.name.clone()), Amount::Rate(link.bit_s())));
        }
        if let Some(bit_s) = self.routes.source_host_bit_s() {
            wanted.push((Resource::SourceInterface(source.clone()), Amount::Rate(bit_s)));
        }
        if let Some(bit_s) = self.routes.destination_host_bit_s() {
            wanted.push((Resource::DestinationInterface(destination.clone()), Amount::Rate(bit_s)));
        }
        if let Some(most) = per_storage.filter(|_| one.planned.disk_mib.is_some()) {
            wanted.push((Resource::SourceStorage(source.clone()), Amount::Moves(most)));
            wanted.push((Resource::DestinationStorage(destination.clone()), Amount::Moves(most)));
        }
        wanted
    }
}

/// Numbers for the hosts of both sides, which may have names in common.
#[derive(Default)]
struct Hosts<'a> {
    numbers: BTreeMap<(bool, &'a HostName), u32>,
}

impl<'a> Hosts<'a> {
    fn number(&mut self, is_source: bool, host: &'a HostName) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        *self.numbers.entry((is_source, host)).or_insert(next)
    }
}

fn rate_bit_s(route: &Route) -> u64 {
    route.rate_bit_s.unwrap_or(ASSUMED_MBIT_S * 1_000_000)
}

/// The moves that each comes after, by their places.
fn after(ahead: &[Ahead<'_>]) -> Vec<Vec<u32>> {
    let mut members: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (place, one) in (0..).zip(ahead) {
        if let Some(group) = &one.planned.turn.group {
            members.entry(group).or_default().push(place);
        }
    }
    let mut pairs = 0;
    let of = |one: &Ahead<'_>| {
        let groups = one.planned.turn.after.iter().filter_map(|group| members.get(group.as_str()));
        let before: Vec<u32> = groups.flatten().copied().collect();
        pairs += before.len();
        if one.since.is_some() || pairs > AFTER_PAIRS_MAX { Vec::new() } else { before }
    };
    ahead.iter().map(of).collect()
}
