//! Stores whose owner can be killed: to the dead nothing returns.

use async_trait::async_trait;
use muster_core::claim::Claims;
use muster_core::evacuation::{EvacuationStatus, JournalRecord, MoveStatus};
use muster_core::ids::{EvacuationId, RequestId, SiteName, VmId};
use muster_core::ledger::command::{LedgerCommand, LedgerEvent, Refusal};
use muster_core::ledger::{HighWater, HistoryEntry, VmRow};
use muster_store::StoredRecord;
use muster_store::chain::Head;
use muster_store::memory::{MemoryJournal, MemoryLedger};
use muster_store::{
    Health, Journal, JournalError, JournalQuery, Ledger, LedgerEvacuation, ReadLedger, Receipt, RowQuery, StoreError,
};
use tokio_util::sync::CancellationToken;

/// A store whose owner can be killed: to the dead nothing returns.
pub(crate) struct Mortal<S> {
    pub(crate) inner: S,
    pub(crate) dead: CancellationToken,
}

impl<S> Mortal<S> {
    async fn alive<T>(&self, asked: impl Future<Output = T>) -> T {
        if self.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
        let answer = asked.await;
        if self.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
        answer
    }
}

#[async_trait]
impl ReadLedger for Mortal<MemoryLedger> {
    async fn row(&self, vm: VmId) -> Result<VmRow, StoreError> {
        self.alive(self.inner.row(vm)).await
    }
    async fn rows(&self, query: RowQuery) -> Result<Vec<VmRow>, StoreError> {
        self.alive(self.inner.rows(query)).await
    }
    async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, StoreError> {
        self.alive(self.inner.claims(evacuation)).await
    }
    async fn evacuations(&self) -> Result<Vec<LedgerEvacuation>, StoreError> {
        self.alive(self.inner.evacuations()).await
    }
    async fn events(&self, after_sequence: u64, limit: usize) -> Result<Vec<(u64, LedgerEvent)>, StoreError> {
        self.alive(self.inner.events(after_sequence, limit)).await
    }
    async fn entry(&self, sequence: u64) -> Result<Option<HistoryEntry>, StoreError> {
        self.alive(self.inner.entry(sequence)).await
    }
    async fn witnesses(&self) -> Result<Vec<(SiteName, HighWater)>, StoreError> {
        self.alive(self.inner.witnesses()).await
    }
}

#[async_trait]
impl Ledger for Mortal<MemoryLedger> {
    async fn execute(&self, commands: Vec<LedgerCommand>) -> Result<Vec<Result<Receipt, Refusal>>, StoreError> {
        self.alive(self.inner.execute(commands)).await
    }
    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.alive(self.inner.wait_past(after_sequence)).await
    }
    fn newest(&self) -> u64 {
        self.inner.newest()
    }
    fn fail(&self, because: StoreError) {
        self.inner.fail(because);
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
}

#[async_trait]
impl Journal for Mortal<MemoryJournal> {
    async fn append(&self, records: Vec<JournalRecord>) -> Result<u64, JournalError> {
        self.alive(self.inner.append(records)).await
    }
    async fn find_request(&self, request: RequestId) -> Result<Option<(u64, JournalRecord)>, StoreError> {
        self.alive(self.inner.find_request(request)).await
    }
    async fn evacuations(&self) -> Result<Vec<EvacuationStatus>, StoreError> {
        self.alive(self.inner.evacuations()).await
    }
    async fn evacuation(&self, evacuation: EvacuationId) -> Result<Option<EvacuationStatus>, StoreError> {
        self.alive(self.inner.evacuation(evacuation)).await
    }
    async fn moves(
        &self,
        evacuation: EvacuationId,
        after: Option<VmId>,
        limit: usize,
    ) -> Result<Vec<MoveStatus>, StoreError> {
        self.alive(self.inner.moves(evacuation, after, limit)).await
    }
    async fn a_move(&self, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, StoreError> {
        self.alive(self.inner.a_move(evacuation, vm)).await
    }
    async fn records(&self, query: JournalQuery) -> Result<Vec<(u64, JournalRecord)>, StoreError> {
        self.alive(self.inner.records(query)).await
    }
    async fn stored(&self, query: JournalQuery) -> Result<Vec<StoredRecord>, StoreError> {
        self.alive(self.inner.stored(query)).await
    }
    async fn head(&self) -> Result<Head, StoreError> {
        self.alive(self.inner.head()).await
    }
    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.alive(self.inner.wait_past(after_sequence)).await
    }
    fn newest(&self) -> u64 {
        self.inner.newest()
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
}
