//! How far a ledger has come, as another site remembers it. A ledger that lacks what was once seen of it has lost its newest
//! entries, however whole it looks: a truncated log, an old copy, an empty file at a wrong path.

use crate::fingerprint::Fingerprint;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a ledger has come: its newest entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HighWater {
    /// When the ledger was rebuilt, by its site's clock; none if it goes back to its beginning.
    pub rebuilt_at: Option<Timestamp>,
    /// The newest sequence number of its history; 0 before the first.
    pub sequence: u64,
    /// When that entry was written, by its site's clock; 0 before the first.
    pub at: Timestamp,
    /// That entry's link in the chain of the history; none where whoever says this keeps no chain.
    #[serde(default)]
    pub link: Option<Fingerprint>,
}

/// An entry of a ledger's own history, as it is held against what was once seen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When it was written, by the site's clock.
    pub at: Timestamp,
    /// Its link in the chain of the history.
    pub link: Fingerprint,
}

impl HighWater {
    /// Whether this is a later state of the ledger than `other`. One that was rebuilt is later than what it replaces, however
    /// short it is.
    #[must_use]
    pub fn is_later_than(self, other: HighWater) -> bool {
        (self.rebuilt_at, self.sequence) > (other.rebuilt_at, other.sequence)
    }

    /// Whether a ledger that has come so far lacks what was once `seen` of it. `own` is its own entry of that number: entries
    /// written since, in place of the ones that are lost, give it away, and so does a history that was written anew.
    #[must_use]
    pub fn lacks(self, seen: HighWater, own: Option<HistoryEntry>) -> bool {
        let is_the_seen_one = |own: HistoryEntry| own.at == seen.at && seen.link.is_none_or(|link| own.link == link);
        seen.is_later_than(self)
            || (self.rebuilt_at == seen.rebuilt_at && seen.sequence > 0 && !own.is_some_and(is_the_seen_one))
    }
}

impl fmt::Display for HighWater {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "entry {}", self.sequence)?;
        match self.rebuilt_at {
            Some(_) => formatter.write_str(" since it was rebuilt"),
            None => Ok(()),
        }
    }
}

#[test]
fn a_ledger_lacks_what_it_has_not_or_has_otherwise() {
    let at = |rebuilt_at: Option<u64>, sequence, at| HighWater {
        rebuilt_at: rebuilt_at.map(Timestamp),
        sequence,
        at: Timestamp(at),
        link: None,
    };
    let linked = |at, link| Some(HistoryEntry { at: Timestamp(at), link: Fingerprint([link; 32]) });
    let entry = |at| linked(at, 1);
    assert!(at(None, 7, 70).lacks(at(None, 8, 80), None));
    assert!(!at(None, 8, 80).lacks(at(None, 8, 80), entry(80)) && !at(None, 9, 90).lacks(at(None, 8, 80), entry(80)));
    assert!(at(None, 9, 95).lacks(at(None, 8, 80), entry(85)), "it was written on over a lost tail");
    assert!(!at(None, 3, 30).lacks(at(None, 0, 0), None), "nothing had been seen");
    assert!(at(None, 99, 5).lacks(at(Some(5), 1, 5), entry(1)), "what was there before the rebuilding came back");
    assert!(!at(Some(5), 1, 5).lacks(at(None, 99, 4), None), "it was rebuilt");
    assert!(at(Some(5), 99, 9).lacks(at(Some(6), 1, 6), entry(5)));

    let seen = HighWater { link: Some(Fingerprint([1; 32])), ..at(None, 8, 80) };
    assert!(!at(None, 9, 90).lacks(seen, linked(80, 1)));
    assert!(at(None, 9, 90).lacks(seen, linked(80, 2)), "what stands before that entry was written anew");
}
