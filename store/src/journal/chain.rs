//! The journal's chain: each record's link is a hash over the record and the link before it, so that the newest link vouches
//! for all that was ever written. Made, checked and migrated here and nowhere else; pure.
//!
//! ```text
//! link 0 = SHA-256 of the text "muster journal, link 0"
//! link n = SHA-256(link n-1 as a blob, sequence, at, by, origin, request, call, evacuation, vm, kind)
//! ```
//!
//! Columns are hashed as `crate::columns` has them, each exactly as it is stored: `kind` is the JSON text itself. The form
//! never changes.
//!
//! What it proves: whoever keeps a head ([`Head`]) elsewhere finds every later change to what stood before it, also a
//! record taken out, and a tail that was cut off. Without such a head it proves only that the records fit one another:
//! whoever can write the file can write the whole chain anew.

use crate::columns::Columns;
use muster_core::evacuation::JournalRecord;
use muster_core::fingerprint::Fingerprint;
use muster_core::time::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// What link 0 is made of.
pub const GENESIS_TEXT: &str = "muster journal, link 0";

/// The link before the first record.
#[must_use]
pub fn genesis() -> Fingerprint {
    Fingerprint(Sha256::digest(GENESIS_TEXT).into())
}

/// The newest record's number and link: what is kept elsewhere to hold the journal against later. Written `SEQUENCE:LINK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The newest record's number; 0 before the first.
    pub sequence: u64,
    /// Its link.
    pub link: Fingerprint,
}

impl Head {
    /// Of a journal without a record.
    #[must_use]
    pub fn genesis() -> Self {
        Head { sequence: 0, link: genesis() }
    }
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

/// A record as it is stored: each column's value, the texts to the letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its number, from 1 without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// By whose order or doing.
    pub by: String,
    /// Where the order came from.
    pub origin: Option<String>,
    /// The mutating call.
    pub request: Option<String>,
    /// What that call was.
    pub call: Option<String>,
    /// The evacuation.
    pub evacuation: String,
    /// The VM.
    pub vm: Option<String>,
    /// What, as JSON.
    pub kind: String,
    /// Its link in the chain.
    pub link: Fingerprint,
    /// The row is as it was written, by its digest.
    pub is_whole: bool,
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

impl StoredRecord {
    /// The record that follows this head.
    pub(crate) fn after(head: Head, record: &JournalRecord) -> Result<Self, serde_json::Error> {
        let mut stored = StoredRecord {
            sequence: head.sequence + 1,
            at: record.at,
            by: record.by.clone(),
            origin: record.origin.clone(),
            request: record.request.map(|request| request.to_string()),
            call: record.call.map(|call| call.to_string()),
            evacuation: record.evacuation.to_string(),
            vm: record.vm.map(|vm| vm.to_string()),
            kind: serde_json::to_string(&record.kind)?,
            link: head.link,
            is_whole: true,
        };
        stored.link = stored.link_after(head.link);
        Ok(stored)
    }

    /// The link that it has where `before` is the link of the record before it.
    #[must_use]
    pub fn link_after(&self, before: Fingerprint) -> Fingerprint {
        let mut columns = Columns::new();
        columns.blob(&before.0);
        columns.integer(self.sequence.cast_signed());
        columns.integer(self.at.0.cast_signed());
        columns.text(self.by.as_bytes());
        let optional = |columns: &mut Columns, text: &Option<String>| match text {
            Some(text) => columns.text(text.as_bytes()),
            None => columns.null(),
        };
        optional(&mut columns, &self.origin);
        optional(&mut columns, &self.request);
        optional(&mut columns, &self.call);
        columns.text(self.evacuation.as_bytes());
        optional(&mut columns, &self.vm);
        columns.text(self.kind.as_bytes());
        Fingerprint(columns.finish())
    }

    /// Its number and link.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { sequence: self.sequence, link: self.link }
    }

    /// What it says.
    ///
    /// # Errors
    /// Where a column's text can't be what it should be.
    pub fn read(&self) -> Result<JournalRecord, Unreadable> {
        let unreadable = |why: String| Unreadable { sequence: self.sequence, why };
        Ok(JournalRecord {
            at: self.at,
            by: self.by.clone(),
            origin: self.origin.clone(),
            request: self.request.as_deref().map(parsed).transpose().map_err(unreadable)?,
            call: self.call.as_deref().map(parsed).transpose().map_err(unreadable)?,
            evacuation: parsed(&self.evacuation).map_err(unreadable)?,
            vm: self.vm.as_deref().map(parsed).transpose().map_err(unreadable)?,
            kind: serde_json::from_str(&self.kind).map_err(|error| unreadable(error.to_string()))?,
        })
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
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
pub struct ChainCheck {
    head: Head,
    against: Option<Head>,
}

impl ChainCheck {
    /// At the beginning; `against` is a head that was kept elsewhere.
    #[must_use]
    pub fn new(against: Option<Head>) -> Self {
        ChainCheck { head: Head::genesis(), against }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// The first fault: the walk ends there.
    pub fn take(&mut self, record: &StoredRecord) -> Result<(), ChainFault> {
        let (after, found) = (self.head.sequence, record.sequence);
        if found != after + 1 {
            // One that is there twice, or out of its order, was put there.
            return Err(if found > after {
                ChainFault::Gap { after, found }
            } else {
                ChainFault::Changed { sequence: found }
            });
        }
        if !record.is_whole || record.link != record.link_after(self.head.link) {
            return Err(ChainFault::Changed { sequence: found });
        }
        self.head = record.head();
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

#[cfg(test)]
mod tests {
    use muster_core::evacuation::JournalKind;
    use muster_core::token::Token;
    use std::collections::BTreeSet;

    #[test]
    fn a_kind_is_stored_under_its_name() {
        // Serde itself lists the names that it knows, when it is given one that it doesn't.
        let error = serde_json::from_str::<JournalKind>(r#"{"record":"?"}"#).unwrap_err().to_string();
        let known: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, JournalKind::NAMES.into_iter().collect::<BTreeSet<&str>>());
        for kind in [
            JournalKind::RollWritten,
            JournalKind::Released { token: Token::new(1, 2) },
            JournalKind::ReleaseFailed { error: String::new() },
            JournalKind::RecoveryOrdered { assertions: Vec::new() },
            JournalKind::AttemptFailed { attempt: 1, error: String::new() },
        ] {
            assert_eq!(serde_json::to_value(&kind).unwrap()["record"], kind.name());
        }
    }
}
