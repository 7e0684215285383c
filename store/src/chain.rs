//! The chain of a history: each line's link is a hash over the line and the link before it, so that the newest link vouches
//! for all that was ever written. What a chain is, and how it is checked; pure. What a link is made of stands with the lines:
//! [`StoredRecord`](crate::StoredRecord) of a journal, [`StoredEvent`](crate::StoredEvent) of a ledger.
//!
//! ```text
//! link 0 = SHA-256 of the text GENESIS
//! link n = SHA-256(link n-1 as a blob, the line's other columns)
//! ```
//!
//! Columns are hashed as `crate::columns` has them, each exactly as it is stored: JSON is the text itself. The form never
//! changes.
//!
//! What it proves: whoever keeps a head ([`Head`]) elsewhere finds every later change to what stood before it, also a
//! line taken out, and a tail that was cut off. Without such a head it proves only that the lines fit one another:
//! whoever can write the file can write the whole chain anew.

use muster_core::fingerprint::Fingerprint;
use sha2::{Digest, Sha256};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// A line of a history as it is stored, link and all.
pub trait Linked {
    /// What link 0 is made of: heads of different kinds of files are never alike.
    const GENESIS: &'static str;

    /// Its number and link.
    fn head(&self) -> Head;

    /// Whether the row is as it was written, by its digest.
    fn is_whole(&self) -> bool;

    /// The link that it has where `before` is the link of the line before it.
    fn link_after(&self, before: Fingerprint) -> Fingerprint;

    /// The head of a history without a line.
    #[must_use]
    fn genesis() -> Head {
        Head { sequence: 0, link: Fingerprint(Sha256::digest(Self::GENESIS).into()) }
    }
}

/// The lines that follow this head, one after the other; `after` makes the one that follows a head.
pub(crate) fn all_after<'a, T: 'a, L: Linked>(
    mut head: Head,
    said: impl IntoIterator<Item = &'a T>,
    after: impl Fn(Head, &'a T) -> Result<L, serde_json::Error>,
) -> Result<Vec<L>, serde_json::Error> {
    let next = |one| {
        let line = after(head, one)?;
        head = line.head();
        Ok(line)
    };
    said.into_iter().map(next).collect()
}

/// The first fault of a chain, from its beginning.
pub(crate) fn first_fault<L: Linked, E>(
    lines: impl IntoIterator<Item = Result<L, E>>,
) -> Result<Option<ChainFault>, E> {
    let mut check = ChainCheck::new(None);
    for line in lines {
        if let Err(fault) = check.take(&line?) {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}

/// The newest line's number and link: what is kept elsewhere to hold the history against later. Written `SEQUENCE:LINK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest line's number; 0 before the first.
    pub sequence: u64,
    /// Its link.
    pub link: Fingerprint,
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.sequence, self.link)
    }
}

/// A text that is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a head of the audit trail; write it SEQUENCE:LINK, as \"muster audit head\" prints it")]
pub struct NotHead;

impl FromStr for Head {
    type Err = NotHead;
    fn from_str(given: &str) -> Result<Self, NotHead> {
        let (sequence, link) = given.split_once(':').ok_or(NotHead)?;
        // A sign is none of the digits that a head is written with.
        if sequence.is_empty() || !sequence.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotHead);
        }
        Ok(Head { sequence: sequence.parse().map_err(|_| NotHead)?, link: link.parse().map_err(|_| NotHead)? })
    }
}

/// Why a stored record can't be read.
#[derive(Debug, thiserror::Error)]
#[error("record {sequence} can't be read: {why}")]
pub struct Unreadable {
    /// Its number.
    pub sequence: u64,
    /// Why.
    pub why: String,
}

/// A column's text as what it should be, or why it can't be that.
pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// A record isn't what was written, or not where.
    #[error("record {sequence} was changed, or another stood before it: its link doesn't follow")]
    Changed {
        /// Its number.
        sequence: u64,
    },
    /// Records are missing.
    #[error("after record {after} comes record {found}: what was between them is gone")]
    Gap {
        /// The last record before the gap; 0 if the first is missing.
        after: u64,
        /// The next one that is there.
        found: u64,
    },
    /// The newest records are missing.
    #[error("it ends with record {newest}, and record {expected} was there once: its tail was cut off")]
    CutOff {
        /// The newest record that is there.
        newest: u64,
        /// The newest that there was.
        expected: u64,
    },
    /// The chain fits, and isn't the one that the kept head is of.
    #[error(
        "record {sequence} has another link than the head that was kept: something in the records up to it was written anew"
    )]
    AnotherHead {
        /// The head's number.
        sequence: u64,
    },
}

impl ChainFault {
    /// Where it is: the number of the first record that is wrong, or missing, or that the kept head is of.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        match self {
            ChainFault::Changed { sequence } | ChainFault::AnotherHead { sequence } => *sequence,
            ChainFault::Gap { after, found: _ } => after.saturating_add(1),
            ChainFault::CutOff { newest, expected: _ } => newest.saturating_add(1),
        }
    }
}

/// A walk along a chain, from its beginning, record by record.
#[derive(Debug)]
pub struct ChainCheck<L> {
    head: Head,
    against: Option<Head>,
    lines: PhantomData<L>,
}

impl<L: Linked> ChainCheck<L> {
    /// At the beginning; `against` is a head that was kept elsewhere.
    #[must_use]
    pub fn new(against: Option<Head>) -> Self {
        ChainCheck { head: L::genesis(), against, lines: PhantomData }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// The first fault: the walk ends there.
    pub fn take(&mut self, line: &L) -> Result<(), ChainFault> {
        let next = line.head();
        let (after, found) = (self.head.sequence, next.sequence);
        if found != after + 1 {
            // One that is there twice, or out of its order, was put there.
            return Err(if found > after {
                ChainFault::Gap { after, found }
            } else {
                ChainFault::Changed { sequence: found }
            });
        }
        if !line.is_whole() || next.link != line.link_after(self.head.link) {
            return Err(ChainFault::Changed { sequence: found });
        }
        self.head = next;
        self.meets_the_kept_one()
    }

    /// How far it has come.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Ends the walk: where there is no further record, and `newest` is the number that the newest should have.
    ///
    /// # Errors
    /// Where records are missing at the end.
    pub fn end(&self, newest: u64) -> Result<Head, ChainFault> {
        let kept = self.against.map_or(0, |against| against.sequence);
        let expected = newest.max(kept);
        if self.head.sequence < expected {
            return Err(ChainFault::CutOff { newest: self.head.sequence, expected });
        }
        // A head of before the first record is met by no record.
        self.meets_the_kept_one().map(|()| self.head)
    }

    fn meets_the_kept_one(&self) -> Result<(), ChainFault> {
        match self.against {
            Some(kept) if kept.sequence == self.head.sequence && kept.link != self.head.link => {
                Err(ChainFault::AnotherHead { sequence: kept.sequence })
            }
            Some(_) | None => Ok(()),
        }
    }
}
