//! The ledger as this site uses it: one command or fact at a time, typed answers. Decides nothing.

use crate::error::SiteError;
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::ledger::command::{
    Applied, EvacuationCommand, EventKind, LedgerCommand, LedgerEvent, Refusal, VmCommand, VmFact,
};
use muster_core::ledger::{HighWater, HistoryEntry, VmRow};
use muster_core::time::Timestamp;
use muster_store::{Health, Ledger, LedgerEvacuation, Receipt, RowQuery, StoreError};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A site's ledger.
pub(super) struct Records {
    ledger: Arc<dyn Ledger>,
    /// When it was rebuilt, if ever: its first line says so, and no worker writes such a line.
    rebuilt_at: OnceCell<Option<Timestamp>>,
}

impl Records {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Records { ledger, rebuilt_at: OnceCell::new() }
    }

    pub(super) async fn row(&self, vm: VmId) -> Result<VmRow, SiteError> {
        Ok(self.ledger.row(vm).await?)
    }

    /// Every row of an evacuation, or of all, a page at a time.
    pub(super) async fn page(&self, query: RowQuery) -> Result<Vec<VmRow>, SiteError> {
        Ok(self.ledger.rows(query).await?)
    }

    pub(super) async fn command(&self, command: VmCommand) -> Result<Applied, SiteError> {
        let receipts = self.commands(vec![command]).await?;
        let receipt = receipts.into_iter().next().ok_or_else(no_receipt)?;
        Ok(receipt?)
    }

    pub(super) async fn commands(&self, commands: Vec<VmCommand>) -> Result<Vec<Result<Applied, Refusal>>, SiteError> {
        let commands = commands.into_iter().map(LedgerCommand::Vm).collect();
        let receipts = self.ledger.execute(commands).await?;
        receipts
            .into_iter()
            .map(|receipt| match receipt {
                Ok(receipt) => receipt.into_applied().map(Ok).ok_or_else(no_receipt),
                Err(refusal) => Ok(Err(refusal)),
            })
            .collect()
    }

    pub(super) async fn fact(&self, fact: VmFact) -> Result<(), SiteError> {
        let receipts = self.ledger.execute(vec![LedgerCommand::Fact(fact)]).await?;
        for receipt in receipts {
            receipt?;
        }
        Ok(())
    }

    pub(super) async fn evacuation(&self, command: EvacuationCommand) -> Result<Claims, SiteError> {
        let receipts = self.ledger.execute(vec![LedgerCommand::Evacuation(command)]).await?;
        let receipt: Receipt = receipts.into_iter().next().ok_or_else(no_receipt)??;
        receipt.into_claims().ok_or_else(no_receipt)
    }

    pub(super) async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, SiteError> {
        Ok(self.ledger.claims(evacuation).await?)
    }

    pub(super) async fn evacuations(&self) -> Result<Vec<LedgerEvacuation>, SiteError> {
        Ok(self.ledger.evacuations().await?)
    }

    pub(super) async fn events(&self, after: u64, limit: usize) -> Result<Vec<(u64, LedgerEvent)>, SiteError> {
        Ok(self.ledger.events(after, limit).await?)
    }

    pub(super) async fn wait_past(&self, sequence: u64) -> Result<u64, SiteError> {
        Ok(self.ledger.wait_past(sequence).await?)
    }

    /// How far the ledger has come.
    pub(super) async fn high_water(&self) -> Result<HighWater, SiteError> {
        let rebuilt_at = *self.rebuilt_at.get_or_try_init(|| self.read_rebuilt_at()).await?;
        let sequence = self.ledger.newest();
        let newest = self.entry(sequence).await?;
        let at = newest.map_or(Timestamp(0), |newest| newest.at);
        Ok(HighWater { rebuilt_at, sequence, at, link: newest.map(|newest| newest.link) })
    }

    async fn read_rebuilt_at(&self) -> Result<Option<Timestamp>, SiteError> {
        let first = self.ledger.events(0, 1).await?;
        let rebuilt = first.first().filter(|(_, event)| event.kind == EventKind::Rebuilt);
        Ok(rebuilt.map(|(_, event)| event.at))
    }

    /// The history's entry of this number; none where there is none.
    pub(super) async fn entry(&self, sequence: u64) -> Result<Option<HistoryEntry>, SiteError> {
        Ok(self.ledger.entry(sequence).await?)
    }

    /// How far another site's ledger has once been seen.
    pub(super) async fn witness(&self, site: &SiteName) -> Result<Option<HighWater>, SiteError> {
        let witnesses = self.ledger.witnesses().await?;
        Ok(witnesses.into_iter().find(|(of, _)| of == site).map(|(_, high_water)| high_water))
    }

    /// Keeps how far another site's ledger has come, if that is news.
    pub(super) async fn keep_witness(&self, site: &SiteName, high_water: HighWater) -> Result<(), SiteError> {
        if self.witness(site).await?.is_none_or(|kept| high_water.is_later_than(kept)) {
            let witness = LedgerCommand::Witness { site: site.clone(), high_water };
            for receipt in self.ledger.execute(vec![witness]).await? {
                receipt?;
            }
        }
        Ok(())
    }

    /// Lets the ledger say nothing more.
    pub(super) fn fail(&self, because: StoreError) {
        self.ledger.fail(because);
    }

    pub(super) fn newest(&self) -> u64 {
        self.ledger.newest()
    }

    /// Waits until the ledger takes no more work.
    pub(super) async fn until_failed(&self) {
        while self.ledger.wait_past(u64::MAX).await.is_ok() {}
    }

    pub(super) fn health(&self) -> Result<(), String> {
        match self.ledger.health() {
            Health::Working => Ok(()),
            Health::Failed(error) => Err(format!("its ledger has failed: {error}")),
        }
    }
}

/// The store answers every command; anything else is its bug, told as what it is.
fn no_receipt() -> SiteError {
    SiteError::BrokenPromise { promise: "the store gives every command a receipt of its own kind" }
}
