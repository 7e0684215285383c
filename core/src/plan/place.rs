//! Which destination host each VM goes to. Room is memory, counted over the whole plan at once: a placeholder holds
//! it before the VM arrives, and a later wave doesn't find what an earlier one has taken. A host that preflight rules out for
//! a VM is none of its hosts.

use super::PlannedMove;
use super::choose::Candidate;
use super::finding::{Findings, Problem};
use crate::definition::Mode;
use crate::ids::HostName;
use crate::preflight::Subject;
use crate::reading::Inventory;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A VM that needs a host.
pub(super) struct Wanted<'a> {
    pub(super) candidate: Candidate<'a>,
    pub(super) mode: Mode,
    /// The hosts that preflight rules out for it.
    pub(super) unfit: BTreeSet<HostName>,
}

impl Wanted<'_> {
    fn memory_mib(&self) -> u64 {
        self.candidate.listing.definition.memory_mib
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        let listing = self.candidate.listing;
        Subject { vm: listing.vm, name: &listing.definition.name, source_host: &listing.host, mode: self.mode }
    }

    fn selection(&self) -> (usize, usize) {
        (self.candidate.wave, self.candidate.place)
    }
}

/// How hosts are chosen.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// The most free memory first: hosts fill evenly.
    Spread,
    /// The least that is enough: finds room in tight places.
    Pack,
}

/// Free memory of the hosts that answer, in MiB, ordered by it; of equals the first name counts as the freest.
type Room<'a> = BTreeSet<(u64, Reverse<&'a HostName>)>;

/// The hosts that a selection allows, where it doesn't allow all.
type Allowed<'a> = BTreeMap<(usize, usize), BTreeSet<&'a HostName>>;

/// The moves, in their order. What finds no room becomes a finding.
pub(super) fn place(wanted: &[Wanted<'_>], destination: &Inventory, findings: &mut Findings) -> Vec<PlannedMove> {
    let allowed = allowed(wanted, destination, findings);
    let order = placing_order(wanted);
    let spread = lay(wanted, &order, room(destination), &allowed, Manner::Spread);
    let layout = if without_room(&spread) == 0 {
        spread
    } else {
        let packed = lay(wanted, &order, room(destination), &allowed, Manner::Pack);
        if without_room(&packed) < without_room(&spread) { packed } else { spread }
    };
    let mut moves = Vec::new();
    for (wanted, laid) in wanted.iter().zip(layout) {
        match laid {
            Laid::On(host) => moves.push(planned(wanted, host)),
            Laid::NoRoom { most_free_mib } => {
                let needed_mib = wanted.memory_mib();
                findings.vm(wanted.candidate.listing, Problem::NoRoom { needed_mib, most_free_mib });
            }
            Laid::Together => {
                let apart = wanted.candidate.selection.apart.clone().unwrap_or_default();
                findings.vm(wanted.candidate.listing, Problem::NoHostApart { apart });
            }
            Laid::Nowhere | Laid::Unfit => {}
        }
    }
    moves.sort_by_key(|planned| (planned.wave, Reverse(planned.memory_mib()), planned.vm));
    moves
}

/// Where a VM was put.
enum Laid<'a> {
    On(&'a HostName),
    NoRoom {
        most_free_mib: u64,
    },
    /// None of its hosts is there at all: a finding of its selection, not of each VM.
    Nowhere,
    /// Preflight rules out all of its hosts: a finding of preflight's.
    Unfit,
    /// All of its hosts take a VM that it is to be kept apart from.
    Together,
}

fn without_room(layout: &[Laid<'_>]) -> usize {
    layout.iter().filter(|laid| matches!(laid, Laid::NoRoom { .. } | Laid::Together)).count()
}

fn room(destination: &Inventory) -> Room<'_> {
    let answering = destination.hosts.iter().filter(|listing| listing.answers);
    answering.map(|listing| (listing.memory_mib.saturating_sub(listing.used_mib), Reverse(&listing.host))).collect()
}

/// What each selection allows; a finding for those that allow no host that answers.
fn allowed<'a>(wanted: &[Wanted<'_>], destination: &'a Inventory, findings: &mut Findings) -> Allowed<'a> {
    let mut allowed = Allowed::new();
    let answering: Vec<&HostName> =
        destination.hosts.iter().filter(|listing| listing.answers).map(|listing| &listing.host).collect();
    if answering.is_empty() && !wanted.is_empty() {
        findings.site(Problem::NoDestinationHost);
    }
    for wanted in wanted.iter().filter(|wanted| wanted.candidate.selection.destination_hosts.is_some()) {
        allowed.entry(wanted.selection()).or_insert_with(|| {
            let selection = wanted.candidate.selection;
            let hosts: BTreeSet<_> = answering.iter().copied().filter(|host| selection.may_go_to(host)).collect();
            if hosts.is_empty() && !answering.is_empty() {
                let (wave, selection) = (wanted.candidate.wave_name.to_owned(), wanted.candidate.place + 1);
                findings.site(Problem::NoHostAllowed { wave, selection });
            }
            hosts
        });
    }
    allowed
}

/// Those with the least choice first, then the largest: so that the rest still fits around them.
fn placing_order(wanted: &[Wanted<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|index| {
        let wanted = &wanted[*index];
        let free_choice = wanted.candidate.selection.destination_hosts.is_none();
        (free_choice, Reverse(wanted.memory_mib()), wanted.candidate.listing.vm)
    });
    order
}

/// Puts each VM on a host, in the order given; the result stands in the order of `wanted`.
fn lay<'a>(
    wanted: &[Wanted<'_>],
    order: &[usize],
    mut room: Room<'a>,
    allowed: &Allowed<'a>,
    manner: Manner,
) -> Vec<Laid<'a>> {
    let mut laid: Vec<Laid<'a>> = wanted.iter().map(|_| Laid::Nowhere).collect();
    let mut taken: BTreeMap<&str, BTreeSet<&'a HostName>> = BTreeMap::new();
    for index in order {
        let wanted = &wanted[*index];
        let hosts = allowed.get(&wanted.selection());
        let is_allowed = |entry: &&(u64, Reverse<&'a HostName>)| hosts.is_none_or(|hosts| hosts.contains(entry.1.0));
        let apart = wanted.candidate.selection.apart.as_deref();
        let others = apart.and_then(|apart| taken.get(apart));
        let fits = |entry: &&(u64, Reverse<&'a HostName>)| is_allowed(entry) && !wanted.unfit.contains(entry.1.0);
        let may = |entry: &&(u64, Reverse<&'a HostName>)| {
            fits(entry) && others.is_none_or(|others| !others.contains(entry.1.0))
        };
        let Some(freest) = room.iter().rev().find(may).copied() else {
            if room.iter().any(|entry| fits(&entry)) {
                laid[*index] = Laid::Together;
            } else if room.iter().any(|entry| is_allowed(&entry)) {
                laid[*index] = Laid::Unfit;
            }
            continue;
        };
        let needed_mib = wanted.memory_mib();
        let chosen = match manner {
            Manner::Spread => Some(freest),
            Manner::Pack => room.iter().skip_while(|entry| entry.0 < needed_mib).find(may).copied(),
        };
        laid[*index] = match chosen.filter(|entry| entry.0 >= needed_mib) {
            Some((free_mib, host)) => {
                room.remove(&(free_mib, host));
                room.insert((free_mib - needed_mib, host));
                if let Some(apart) = apart {
                    taken.entry(apart).or_default().insert(host.0);
                }
                Laid::On(host.0)
            }
            None => Laid::NoRoom { most_free_mib: freest.0 },
        };
    }
    laid
}

fn planned(wanted: &Wanted<'_>, host: &HostName) -> PlannedMove {
    let listing = wanted.candidate.listing;
    PlannedMove {
        vm: listing.vm,
        mode: wanted.mode,
        wave: wanted.candidate.wave,
        source_host: listing.host.clone(),
        destination_host: host.clone(),
        definition: listing.definition.clone(),
        guardian: None,
        turn: wanted.candidate.selection.turn.clone(),
        apart: wanted.candidate.selection.apart.clone(),
    }
}
