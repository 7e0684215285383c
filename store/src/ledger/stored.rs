//! A line of a ledger's history as it is stored, and its link in the ledger's chain. Pure.
//!
//! ```text
//! link n = SHA-256(link n-1 as a blob, sequence, at, evacuation, vm, token_epoch, token_sequence, by, origin, kind)
//! ```
//! The form never changes.

use crate::chain::{Head, Linked, Unreadable, parsed};
use crate::columns::Columns;
use muster_core::fingerprint::Fingerprint;
use muster_core::ledger::HistoryEntry;
use muster_core::ledger::command::{Caller, LedgerEvent};
use muster_core::time::Timestamp;
use muster_core::token::Token;

/// A line as it is stored: each column's value, the texts to the letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number, from 1 without gaps.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// The evacuation.
    pub evacuation: Option<String>,
    /// The VM.
    pub vm: Option<String>,
    /// The token that it was done under.
    pub token: Option<Token>,
    /// Who ordered it.
    pub by: Option<String>,
    /// Where the order came from.
    pub origin: Option<String>,
    /// What, as JSON.
    pub kind: String,
    /// Its link in the chain.
    pub link: Fingerprint,
    /// The row is as it was written, by its digest.
    pub is_whole: bool,
}

impl Linked for StoredEvent {
    const GENESIS: &'static str = "muster ledger, link 0";

    fn head(&self) -> Head {
        Head { sequence: self.sequence, link: self.link }
    }

    fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn link_after(&self, before: Fingerprint) -> Fingerprint {
        let mut columns = Columns::of_link(before, self.sequence, self.at);
        columns.optional_text(self.evacuation.as_deref());
        columns.optional_text(self.vm.as_deref());
        columns.optional_integer(self.token.map(|token| token.epoch.0.cast_signed()));
        columns.optional_integer(self.token.map(|token| token.sequence.0.cast_signed()));
        columns.optional_text(self.by.as_deref());
        columns.optional_text(self.origin.as_deref());
        columns.text(self.kind.as_bytes());
        Fingerprint(columns.finish())
    }
}

impl StoredEvent {
    /// The line that follows this head.
    pub(crate) fn after(head: Head, event: &LedgerEvent) -> Result<Self, serde_json::Error> {
        let mut stored = StoredEvent {
            sequence: head.sequence + 1,
            at: event.at,
            evacuation: event.evacuation.map(|evacuation| evacuation.to_string()),
            vm: event.vm.map(|vm| vm.to_string()),
            token: event.token,
            by: event.caller.by.clone(),
            origin: event.caller.origin.clone(),
            kind: serde_json::to_string(&event.kind)?,
            link: head.link,
            is_whole: true,
        };
        stored.link = stored.link_after(head.link);
        Ok(stored)
    }

    /// What other sites are told of it.
    pub(crate) fn entry(&self) -> HistoryEntry {
        HistoryEntry { at: self.at, link: self.link }
    }

    /// What it says.
    ///
    /// # Errors
    /// Where a column's text can't be what it should be.
    pub fn read(&self) -> Result<LedgerEvent, Unreadable> {
        let unreadable = |why: String| Unreadable { sequence: self.sequence, why };
        Ok(LedgerEvent {
            evacuation: self.evacuation.as_deref().map(parsed).transpose().map_err(unreadable)?,
            vm: self.vm.as_deref().map(parsed).transpose().map_err(unreadable)?,
            token: self.token,
            caller: Caller { by: self.by.clone(), origin: self.origin.clone() },
            at: self.at,
            kind: serde_json::from_str(&self.kind).map_err(|error| unreadable(error.to_string()))?,
        })
    }
}
