//! The journal on an imagined disk.

use super::disk::{Contents, Disk, Handle};
use crate::chain::{Head, Linked, all_after};
use crate::error::{Health, StoreError};
use crate::journal::batch::{Batch, Ordered, State};
use crate::journal::stored::StoredRecord;
use crate::journal::{Journal, JournalError, JournalQuery, RECORDS_MAX};
use crate::ledger::PAGE_MAX;
use async_trait::async_trait;
use muster_core::evacuation::{EvacuationStatus, JournalRecord, MoveStatus};
use muster_core::ids::{EvacuationId, RequestId, VmId};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;

/// The disk of a journal.
pub type JournalDisk = Disk<JournalContents>;

/// What a journal's disk holds.
#[derive(Debug, Clone, Default)]
pub struct JournalContents {
    records: Vec<JournalRecord>,
    stored: Vec<StoredRecord>,
    requests: BTreeMap<RequestId, u64>,
    evacuations: BTreeMap<EvacuationId, Ordered>,
    moves: BTreeMap<(EvacuationId, VmId), MoveStatus>,
}

/// What a write changes of it.
#[derive(Debug, Clone, Default)]
pub struct JournalChange {
    records: Vec<(JournalRecord, StoredRecord)>,
    evacuations: Vec<Ordered>,
    moves: Vec<MoveStatus>,
}

/// A journal, open on a disk.
#[derive(Debug)]
pub struct MemoryJournal {
    handle: Handle<JournalContents>,
}

impl MemoryJournal {
    /// Opens the journal of this disk, with what was synced there.
    ///
    /// # Errors
    /// `InUse` while another handle is open.
    pub fn open(disk: &JournalDisk) -> Result<Self, StoreError> {
        Ok(MemoryJournal { handle: disk.open()? })
    }
}

impl JournalDisk {
    /// The records asked for that were synced: also those that a store which has stopped doesn't tell any more.
    #[must_use]
    pub fn records(&self, query: &JournalQuery) -> Vec<(u64, JournalRecord)> {
        self.look(|contents| contents.found(query))
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, records: Vec<JournalRecord>) -> Result<u64, JournalError> {
        if records.len() > RECORDS_MAX {
            return Err(StoreError::TooMany { given: records.len(), most: RECORDS_MAX }.into());
        }
        self.handle
            .write(|written| {
                let mut batch = Batch::new(written.newest());
                let Ok(answer) = batch.append(written, records);
                match JournalChange::of(&batch, written.head()) {
                    Ok(change) => (change, answer),
                    Err(source) => {
                        let error =
                            StoreError::Encoding { path: "a journal in memory".into(), source: Arc::new(source) };
                        (JournalChange::default(), Err(error.into()))
                    }
                }
            })
            .await?
    }

    async fn find_request(&self, request: RequestId) -> Result<Option<(u64, JournalRecord)>, StoreError> {
        self.handle.read(|contents| {
            let sequence = *contents.requests.get(&request)?;
            let record = contents.records.get(usize::try_from(sequence).ok()?.checked_sub(1)?)?;
            Some((sequence, record.clone()))
        })
    }

    async fn evacuations(&self) -> Result<Vec<EvacuationStatus>, StoreError> {
        self.handle.read(|contents| {
            let mut ordered: Vec<&Ordered> = contents.evacuations.values().collect();
            ordered.sort_by_key(|ordered| ordered.sequence);
            ordered.into_iter().map(|ordered| ordered.status.clone()).collect()
        })
    }

    async fn evacuation(&self, evacuation: EvacuationId) -> Result<Option<EvacuationStatus>, StoreError> {
        self.handle.read(|contents| contents.evacuations.get(&evacuation).map(|ordered| ordered.status.clone()))
    }

    async fn moves(
        &self,
        evacuation: EvacuationId,
        after: Option<VmId>,
        limit: usize,
    ) -> Result<Vec<MoveStatus>, StoreError> {
        self.handle.read(|contents| {
            let begin = after.map_or(Bound::Unbounded, |after| Bound::Excluded((evacuation, after)));
            let rest = contents.moves.range((begin, Bound::Unbounded)).map(|(_, status)| status);
            let of_it = rest.skip_while(|status| status.evacuation < evacuation);
            let of_it = of_it.take_while(|status| status.evacuation == evacuation);
            of_it.take(limit.min(PAGE_MAX)).cloned().collect()
        })
    }

    async fn a_move(&self, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, StoreError> {
        self.handle.read(|contents| contents.moves.get(&(evacuation, vm)).cloned())
    }

    async fn records(&self, query: JournalQuery) -> Result<Vec<(u64, JournalRecord)>, StoreError> {
        self.handle.read(|contents| contents.found(&query))
    }

    async fn stored(&self, query: JournalQuery) -> Result<Vec<StoredRecord>, StoreError> {
        self.handle.read(|contents| {
            let found = contents.found(&query).into_iter();
            let place = |(sequence, _)| usize::try_from(sequence - 1).unwrap_or(usize::MAX);
            found.filter_map(|found| contents.stored.get(place(found)).cloned()).collect()
        })
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.handle.read(JournalContents::head)
    }

    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.handle.pulse.wait_past(after_sequence).await
    }

    fn newest(&self) -> u64 {
        self.handle.pulse.newest()
    }

    fn health(&self) -> Health {
        self.handle.pulse.health()
    }
}

impl Contents for JournalContents {
    type Change = JournalChange;

    fn apply(&mut self, change: JournalChange) {
        for (record, stored) in change.records {
            self.records.push(record);
            self.stored.push(stored);
            let (sequence, request) = (self.newest(), self.records.last().and_then(|record| record.request));
            if let Some(request) = request {
                self.requests.insert(request, sequence);
            }
        }
        self.evacuations.extend(change.evacuations.into_iter().map(|ordered| (ordered.status.id, ordered)));
        let keyed = change.moves.into_iter().map(|status| ((status.evacuation, status.planned.vm), status));
        self.moves.extend(keyed);
    }

    fn newest(&self) -> u64 {
        self.records.len() as u64
    }
}

impl JournalChange {
    fn of(batch: &Batch, before: Head) -> Result<Self, serde_json::Error> {
        let stored = all_after(before, batch.records(), StoredRecord::after)?;
        Ok(JournalChange {
            records: batch.records().iter().cloned().zip(stored).collect(),
            evacuations: batch.changed_evacuations().cloned().collect(),
            moves: batch.changed_moves().cloned().collect(),
        })
    }
}

impl JournalContents {
    fn head(&self) -> Head {
        self.stored.last().map_or_else(StoredRecord::genesis, StoredRecord::head)
    }

    fn found(&self, query: &JournalQuery) -> Vec<(u64, JournalRecord)> {
        let fits = |(sequence, record): &(u64, &JournalRecord)| {
            *sequence > query.after_sequence
                && query.evacuation.is_none_or(|wanted| record.evacuation == wanted)
                && query.vm.is_none_or(|wanted| record.vm == Some(wanted))
        };
        let found = self.numbered().filter(fits).take(query.limit.min(PAGE_MAX));
        found.map(|(sequence, record)| (sequence, record.clone())).collect()
    }

    fn numbered(&self) -> impl Iterator<Item = (u64, &JournalRecord)> {
        (1..).zip(&self.records)
    }
}

impl State for JournalContents {
    type Error = Infallible;

    fn request(&self, request: RequestId) -> Result<Option<u64>, Infallible> {
        Ok(self.requests.get(&request).copied())
    }

    fn evacuation(&self, evacuation: EvacuationId) -> Result<Option<Ordered>, Infallible> {
        Ok(self.evacuations.get(&evacuation).cloned())
    }

    fn a_move(&self, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, Infallible> {
        Ok(self.moves.get(&(evacuation, vm)).cloned())
    }
}
