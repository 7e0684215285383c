//! The seams as a mortal process sees them: each write and call is a point of its life.

use crate::life::Life;
use crate::trace::What;
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use muster_core::claim::Claims;
use muster_core::definition::Definition;
use muster_core::evacuation::{EvacuationStatus, JournalRecord, MoveStatus};
use muster_core::ids::{EvacuationId, HostName, RequestId, SiteName, VmId};
use muster_core::ledger::command::{LedgerCommand, LedgerEvent, Refusal};
use muster_core::ledger::{HighWater, HistoryEntry, VmRow};
use muster_core::preflight::survey::VmNeeds;
use muster_core::reading::{Inventory, Sight};
use muster_store::StoredRecord;
use muster_store::chain::Head;
use muster_store::memory::{JournalDisk, LedgerDisk};
use muster_store::{
    Health, Journal, JournalError, JournalQuery, Ledger, LedgerEvacuation, ReadLedger, Receipt, RowQuery, StoreError,
};
use muster_worker::hypervisor::{Call, Change, Hypervisor, HypervisorError, ProcessorOnHost, Survey, VmChange};
use std::sync::Arc;

/// A ledger in a mortal's hands.
pub struct MortalLedger {
    inner: Arc<dyn Ledger>,
    disk: LedgerDisk,
    life: Life,
}

impl MortalLedger {
    /// `inner`, which is open on `disk`, for as long as `life` lasts.
    #[must_use]
    pub fn new(inner: Arc<dyn Ledger>, disk: LedgerDisk, life: Life) -> Self {
        MortalLedger { inner, disk, life }
    }
}

#[async_trait]
impl ReadLedger for MortalLedger {
    async fn row(&self, vm: VmId) -> Result<VmRow, StoreError> {
        self.life.alive(self.inner.row(vm)).await
    }
    async fn rows(&self, query: RowQuery) -> Result<Vec<VmRow>, StoreError> {
        self.life.alive(self.inner.rows(query)).await
    }
    async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, StoreError> {
        self.life.alive(self.inner.claims(evacuation)).await
    }
    async fn evacuations(&self) -> Result<Vec<LedgerEvacuation>, StoreError> {
        self.life.alive(self.inner.evacuations()).await
    }
    async fn events(&self, after_sequence: u64, limit: usize) -> Result<Vec<(u64, LedgerEvent)>, StoreError> {
        self.life.alive(self.inner.events(after_sequence, limit)).await
    }
    async fn entry(&self, sequence: u64) -> Result<Option<HistoryEntry>, StoreError> {
        self.life.alive(self.inner.entry(sequence)).await
    }
    async fn witnesses(&self) -> Result<Vec<(SiteName, HighWater)>, StoreError> {
        self.life.alive(self.inner.witnesses()).await
    }
}

#[async_trait]
impl Ledger for MortalLedger {
    async fn execute(&self, commands: Vec<LedgerCommand>) -> Result<Vec<Result<Receipt, Refusal>>, StoreError> {
        let name = match commands.first() {
            Some(LedgerCommand::Evacuation(_)) => "ledger: evacuation",
            Some(LedgerCommand::Vm(_)) => "ledger: order",
            Some(LedgerCommand::Fact(_)) => "ledger: fact",
            Some(LedgerCommand::Witness { .. }) => "ledger: witness",
            Some(LedgerCommand::Rebuilt { .. }) => "ledger: rebuilt",
            None => "ledger: nothing",
        };
        let written = async {
            let answer = self.inner.execute(commands).await;
            if let Some((process, trace)) = self.life.trace() {
                trace.follow_ledger(*process, &self.disk);
            }
            answer
        };
        self.life.point(name, written, None).await
    }
    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.life.alive(self.inner.wait_past(after_sequence)).await
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

/// A journal in a mortal's hands.
pub struct MortalJournal {
    inner: Arc<dyn Journal>,
    disk: JournalDisk,
    life: Life,
}

impl MortalJournal {
    /// `inner`, which is open on `disk`, for as long as `life` lasts.
    #[must_use]
    pub fn new(inner: Arc<dyn Journal>, disk: JournalDisk, life: Life) -> Self {
        MortalJournal { inner, disk, life }
    }
}

#[async_trait]
impl Journal for MortalJournal {
    async fn append(&self, records: Vec<JournalRecord>) -> Result<u64, JournalError> {
        let written = async {
            let answer = self.inner.append(records).await;
            if let Some((_, trace)) = self.life.trace() {
                trace.follow_journal(&self.disk);
            }
            answer
        };
        self.life.point("journal: append", written, None).await
    }
    async fn find_request(&self, request: RequestId) -> Result<Option<(u64, JournalRecord)>, StoreError> {
        self.life.alive(self.inner.find_request(request)).await
    }
    async fn evacuations(&self) -> Result<Vec<EvacuationStatus>, StoreError> {
        self.life.alive(self.inner.evacuations()).await
    }
    async fn evacuation(&self, evacuation: EvacuationId) -> Result<Option<EvacuationStatus>, StoreError> {
        self.life.alive(self.inner.evacuation(evacuation)).await
    }
    async fn moves(
        &self,
        evacuation: EvacuationId,
        after: Option<VmId>,
        limit: usize,
    ) -> Result<Vec<MoveStatus>, StoreError> {
        self.life.alive(self.inner.moves(evacuation, after, limit)).await
    }
    async fn a_move(&self, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, StoreError> {
        self.life.alive(self.inner.a_move(evacuation, vm)).await
    }
    async fn records(&self, query: JournalQuery) -> Result<Vec<(u64, JournalRecord)>, StoreError> {
        self.life.alive(self.inner.records(query)).await
    }
    async fn stored(&self, query: JournalQuery) -> Result<Vec<StoredRecord>, StoreError> {
        self.life.alive(self.inner.stored(query)).await
    }
    async fn head(&self) -> Result<Head, StoreError> {
        self.life.alive(self.inner.head()).await
    }
    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.life.alive(self.inner.wait_past(after_sequence)).await
    }
    fn newest(&self) -> u64 {
        self.inner.newest()
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
}

/// Hypervisors in a mortal's hands.
pub struct MortalHypervisor {
    inner: Arc<dyn Hypervisor>,
    life: Life,
}

impl MortalHypervisor {
    /// `inner`, for as long as `life` lasts.
    #[must_use]
    pub fn new(inner: Arc<dyn Hypervisor>, life: Life) -> Self {
        MortalHypervisor { inner, life }
    }
}

#[async_trait]
impl Hypervisor for MortalHypervisor {
    async fn inventory(&self) -> Result<Inventory, HypervisorError> {
        self.life.alive(self.inner.inventory()).await
    }
    async fn look(&self, vms: &[VmId]) -> Result<Vec<Sight>, HypervisorError> {
        self.life.alive(self.inner.look(vms)).await
    }
    async fn definition(&self, host: &HostName, vm: VmId) -> Result<Definition, HypervisorError> {
        self.life.alive(self.inner.definition(host, vm)).await
    }
    async fn survey(&self, hosts: &[HostName]) -> Result<Survey, HypervisorError> {
        self.life.alive(self.inner.survey(hosts)).await
    }
    async fn needs(&self, vms: &[VmId], hosts: &[HostName]) -> Result<Vec<VmNeeds>, HypervisorError> {
        self.life.alive(self.inner.needs(vms, hosts)).await
    }
    async fn processors(
        &self,
        processors: &[String],
        hosts: &[HostName],
    ) -> Result<Vec<ProcessorOnHost>, HypervisorError> {
        self.life.alive(self.inner.processors(processors, hosts)).await
    }
    async fn call(&self, call: Call) -> Result<(), HypervisorError> {
        let name = match &call.change {
            VmChange::DefinePlaceholder { .. } => "hypervisor: define placeholder",
            VmChange::DefineSealed { .. } => "hypervisor: define sealed",
            VmChange::DefineRetired { .. } => "hypervisor: define retired",
            VmChange::DeleteRetired => "hypervisor: delete retired",
            VmChange::DefineReal { .. } => "hypervisor: define real",
            VmChange::BeginTransfer { .. } => "hypervisor: begin transfer",
            VmChange::BeginDiskCopy { .. } => "hypervisor: begin disk copy",
            VmChange::AbortJob => "hypervisor: abort job",
            VmChange::AdjustJob { .. } => "hypervisor: adjust job",
            VmChange::ShutDown => "hypervisor: shut down",
            VmChange::Start => "hypervisor: start",
            VmChange::Resume => "hypervisor: resume",
            VmChange::Remove { .. } => "hypervisor: remove",
        };
        let host = call.host.clone();
        // The call was sent: it goes on at the hypervisor even if its caller dies meanwhile.
        let (inner, life) = (Arc::clone(&self.inner), self.life.clone());
        let sent = async move {
            let carried_out = async move {
                let vm = call.vm;
                life.note(|| What::Called(Box::new(call.clone())));
                let answer = inner.call(call).await;
                life.note(|| What::Answered(vm, answer.clone()));
                answer
            };
            match tokio::spawn(carried_out).await {
                Ok(answer) => answer,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        };
        let lost = HypervisorError::HostSilent { host, message: "the reply was lost".to_owned() };
        self.life.point(name, sent, Some(Err(lost))).await
    }
    async fn changes(&self) -> Result<BoxStream<'static, Change>, HypervisorError> {
        let changes = self.life.alive(self.inner.changes()).await?;
        let life = self.life.clone();
        Ok(changes.take_until(async move { life.until_ended().await }).boxed())
    }
}
