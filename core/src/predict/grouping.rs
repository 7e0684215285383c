//! Which moves share the error of their nominal rate: those of a link, of a pair of hosts, or whatever history tells apart.

use super::Move;
use std::collections::BTreeMap;

/// What moves have in common whose rates are off by the same factor. The coarser first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// The site: one factor for all.
    Site,
    /// The nominal rate, where no field tells links apart.
    NominalRate,
    /// The link.
    Link,
    /// The path.
    Path,
    /// The host that is left.
    Source,
    /// The host that is gone to.
    Destination,
    /// Both hosts.
    Hosts,
}

impl Grouping {
    /// What a history may tell apart, the coarser first.
    pub(super) const FINER: [Grouping; 6] = [
        Grouping::NominalRate,
        Grouping::Link,
        Grouping::Path,
        Grouping::Source,
        Grouping::Destination,
        Grouping::Hosts,
    ];

    /// The group of a move; none where it doesn't have what tells.
    pub(super) fn key(self, of: &Move) -> Option<Key> {
        let route = &of.route;
        let named = |name: &Option<String>| name.clone().map(Key::Named);
        match self {
            Grouping::Site => None,
            Grouping::NominalRate => Some(Key::Rate(of.nominal_mib_s.to_bits())),
            Grouping::Link => named(&route.link),
            Grouping::Path => named(&route.path),
            Grouping::Source => named(&route.source),
            Grouping::Destination => named(&route.destination),
            Grouping::Hosts => Some(Key::Pair(route.source.clone()?, route.destination.clone()?)),
        }
    }
}

/// A group's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The bits of a nominal rate.
    Rate(u64),
    Named(String),
    Pair(String, String),
}

/// Moves by their groups, which are numbered in the order in which they first appear: so equal groups have equal numbers,
/// whatever they are called.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Groups {
    pub(super) by_key: BTreeMap<Key, usize>,
    /// Of each move; none where it has no group.
    pub(super) of_moves: Vec<Option<usize>>,
}

impl Groups {
    pub(super) fn of<'m>(grouping: Grouping, moves: impl Iterator<Item = &'m Move>) -> Self {
        let mut groups = Groups::default();
        for of in moves {
            let next = groups.by_key.len();
            let group = grouping.key(of).map(|key| *groups.by_key.entry(key).or_insert(next));
            groups.of_moves.push(group);
        }
        groups
    }
}
