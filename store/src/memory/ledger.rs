//! The ledger on an imagined disk.

use super::disk::{Contents, Disk, Handle};
use crate::chain::{Head, Linked, all_after};
use crate::error::{Health, StoreError};
use crate::ledger::batch::{Batch, State};
use crate::ledger::stored::StoredEvent;
use crate::ledger::{COMMANDS_MAX, Ledger, LedgerEvacuation, PAGE_MAX, ReadLedger, Receipt, RowQuery};
use async_trait::async_trait;
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::ledger::command::{LedgerCommand, LedgerEvent, Refusal};
use muster_core::ledger::{HighWater, HistoryEntry, Standing, VmRow};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

/// The disk of a ledger.
pub type LedgerDisk = Disk<LedgerContents>;

/// What a ledger's disk holds.
#[derive(Debug, Clone, Default)]
pub struct LedgerContents {
    rows: BTreeMap<VmId, VmRow>,
    claims: BTreeMap<EvacuationId, Claims>,
    witnesses: BTreeMap<SiteName, HighWater>,
    events: Vec<LedgerEvent>,
    entries: Vec<HistoryEntry>,
}

/// What a write changes of it.
#[derive(Debug, Clone, Default)]
pub struct LedgerChange {
    rows: Vec<VmRow>,
    claims: Vec<(EvacuationId, Claims)>,
    witnesses: Vec<(SiteName, HighWater)>,
    events: Vec<LedgerEvent>,
    entries: Vec<HistoryEntry>,
}

/// A ledger, open on a disk.
#[derive(Debug)]
pub struct MemoryLedger {
    handle: Handle<LedgerContents>,
}

/// What a ledger's disk held at one moment.
#[derive(Debug)]
pub struct MemoryLedgerReader {
    contents: LedgerContents,
}

impl MemoryLedger {
    /// Opens the ledger of this disk, with what was synced there.
    ///
    /// # Errors
    /// `InUse` while another handle is open.
    pub fn open(disk: &LedgerDisk) -> Result<Self, StoreError> {
        Ok(MemoryLedger { handle: disk.open()? })
    }

    /// Reads what was synced on this disk up to now, whether or not a handle is open.
    #[must_use]
    pub fn open_read_only(disk: &LedgerDisk) -> MemoryLedgerReader {
        MemoryLedgerReader { contents: disk.durable() }
    }

    fn read<T>(&self, reading: impl FnOnce(&LedgerContents) -> T) -> Result<T, StoreError> {
        self.handle.read(reading)
    }
}

impl LedgerDisk {
    /// The lines of its history after `after_sequence` that were synced, at most `limit`, each with its number: also those
    /// that a store which has stopped doesn't tell any more.
    #[must_use]
    pub fn events_after(&self, after_sequence: u64, limit: usize) -> Vec<(u64, LedgerEvent)> {
        self.look(|contents| contents.history(after_sequence, limit))
    }
}

impl MemoryLedgerReader {
    /// Never fails; shaped like the other's, for the readings that both have.
    #[allow(clippy::unnecessary_wraps)]
    fn read<T>(&self, reading: impl FnOnce(&LedgerContents) -> T) -> Result<T, StoreError> {
        Ok(reading(&self.contents))
    }
}

macro_rules! read_ledger {
    ($store:ty) => {
        #[async_trait]
        impl ReadLedger for $store {
            async fn row(&self, vm: VmId) -> Result<VmRow, StoreError> {
                self.read(|contents| contents.vm_row(vm))
            }

            async fn rows(&self, query: RowQuery) -> Result<Vec<VmRow>, StoreError> {
                self.read(|contents| contents.page(query))
            }

            async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, StoreError> {
                self.read(|contents| contents.standing(evacuation))
            }

            async fn evacuations(&self) -> Result<Vec<LedgerEvacuation>, StoreError> {
                self.read(LedgerContents::evacuations)
            }

            async fn events(&self, after_sequence: u64, limit: usize) -> Result<Vec<(u64, LedgerEvent)>, StoreError> {
                self.read(|contents| contents.history(after_sequence, limit))
            }

            async fn entry(&self, sequence: u64) -> Result<Option<HistoryEntry>, StoreError> {
                self.read(|contents| contents.entry(sequence))
            }

            async fn witnesses(&self) -> Result<Vec<(SiteName, HighWater)>, StoreError> {
                let listed = |contents: &LedgerContents| contents.witnesses.clone().into_iter().collect();
                self.read(listed)
            }
        }
    };
}

read_ledger!(MemoryLedger);
read_ledger!(MemoryLedgerReader);

#[async_trait]
impl Ledger for MemoryLedger {
    async fn execute(&self, commands: Vec<LedgerCommand>) -> Result<Vec<Result<Receipt, Refusal>>, StoreError> {
        if commands.len() > COMMANDS_MAX {
            return Err(StoreError::TooMany { given: commands.len(), most: COMMANDS_MAX });
        }
        self.handle
            .write(|written| {
                let mut batch = Batch::default();
                let Ok(answers) = batch.execute(written, &commands);
                match LedgerChange::of(&batch, written.head()) {
                    Ok(change) => (change, Ok(answers)),
                    Err(source) => {
                        let path = "a ledger in memory".into();
                        (LedgerChange::default(), Err(StoreError::Encoding { path, source: Arc::new(source) }))
                    }
                }
            })
            .await?
    }

    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.handle.pulse.wait_past(after_sequence).await
    }

    fn newest(&self) -> u64 {
        self.handle.pulse.newest()
    }

    fn fail(&self, because: StoreError) {
        self.handle.pulse.fail(because);
    }

    fn health(&self) -> Health {
        self.handle.pulse.health()
    }
}

impl Contents for LedgerContents {
    type Change = LedgerChange;

    fn apply(&mut self, change: LedgerChange) {
        self.rows.extend(change.rows.into_iter().map(|row| (row.vm, row)));
        self.claims.extend(change.claims);
        self.witnesses.extend(change.witnesses);
        self.events.extend(change.events);
        self.entries.extend(change.entries);
    }

    fn newest(&self) -> u64 {
        self.events.len() as u64
    }
}

impl LedgerChange {
    fn of(batch: &Batch, before: Head) -> Result<Self, serde_json::Error> {
        let stored = all_after(before, batch.events(), StoredEvent::after)?;
        Ok(LedgerChange {
            rows: batch.changed_rows().map(|draft| draft.now.clone()).collect(),
            claims: batch.changed_claims().map(|(evacuation, claims)| (evacuation, claims.clone())).collect(),
            witnesses: batch.changed_witnesses().map(|(site, seen)| (site.clone(), seen)).collect(),
            events: batch.events().to_vec(),
            entries: stored.iter().map(StoredEvent::entry).collect(),
        })
    }
}

impl State for LedgerContents {
    type Error = Infallible;

    fn row(&self, vm: VmId) -> Result<VmRow, Infallible> {
        Ok(self.vm_row(vm))
    }

    fn claims(&self, evacuation: EvacuationId) -> Result<Claims, Infallible> {
        Ok(self.standing(evacuation))
    }

    fn witness(&self, site: &SiteName) -> Result<Option<HighWater>, Infallible> {
        Ok(self.witnesses.get(site).copied())
    }
}

impl LedgerContents {
    fn vm_row(&self, vm: VmId) -> VmRow {
        self.rows.get(&vm).cloned().unwrap_or_else(|| VmRow::unknown(vm))
    }

    fn standing(&self, evacuation: EvacuationId) -> Claims {
        self.claims.get(&evacuation).cloned().unwrap_or_default()
    }

    fn page(&self, query: RowQuery) -> Vec<VmRow> {
        let fits = |row: &&VmRow| {
            query.after.is_none_or(|after| row.vm > after)
                && query.evacuation.is_none_or(|wanted| row.standing().map(Standing::evacuation) == Some(wanted))
        };
        self.rows.values().filter(fits).take(query.limit.min(PAGE_MAX)).cloned().collect()
    }

    fn evacuations(&self) -> Vec<LedgerEvacuation> {
        let begun = |evacuation| LedgerEvacuation { evacuation, claims: self.standing(evacuation), vms: 0, open: 0 };
        let mut found: BTreeMap<EvacuationId, LedgerEvacuation> =
            self.claims.keys().map(|evacuation| (*evacuation, begun(*evacuation))).collect();
        for standing in self.rows.values().filter_map(VmRow::standing) {
            let of = standing.evacuation();
            let evacuation = found.entry(of).or_insert_with(|| begun(of));
            evacuation.vms += 1;
            evacuation.open += u64::from(!standing.is_closed());
        }
        found.into_values().collect()
    }

    fn entry(&self, sequence: u64) -> Option<HistoryEntry> {
        self.entries.get(usize::try_from(sequence).ok()?.checked_sub(1)?).copied()
    }

    fn head(&self) -> Head {
        match self.entries.last() {
            Some(HistoryEntry { link, .. }) => Head { sequence: self.newest(), link: *link },
            None => StoredEvent::genesis(),
        }
    }

    fn history(&self, after_sequence: u64, limit: usize) -> Vec<(u64, LedgerEvent)> {
        let after = usize::try_from(after_sequence).unwrap_or(usize::MAX);
        let numbered = (1..).zip(&self.events).skip(after).take(limit.min(PAGE_MAX));
        numbered.map(|(sequence, event)| (sequence, event.clone())).collect()
    }
}
