//! A journal's record as it is stored, and its link in the journal's chain. Pure.
//!
//! ```text
//! link n = SHA-256(link n-1 as a blob, sequence, at, by, origin, request, call, evacuation, vm, kind)
//! ```
//! The form never changes.

use crate::chain::{Head, Linked, Unreadable, parsed};
use crate::columns::Columns;
use muster_core::evacuation::JournalRecord;
use muster_core::fingerprint::Fingerprint;
use muster_core::time::Timestamp;

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

impl Linked for StoredRecord {
    const GENESIS: &'static str = "muster journal, link 0";

    fn head(&self) -> Head {
        Head { sequence: self.sequence, link: self.link }
    }

    fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn link_after(&self, before: Fingerprint) -> Fingerprint {
        let mut columns = Columns::of_link(before, self.sequence, self.at);
        columns.text(self.by.as_bytes());
        columns.optional_text(self.origin.as_deref());
        columns.optional_text(self.request.as_deref());
        columns.optional_text(self.call.as_deref());
        columns.text(self.evacuation.as_bytes());
        columns.optional_text(self.vm.as_deref());
        columns.text(self.kind.as_bytes());
        Fingerprint(columns.finish())
    }
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
