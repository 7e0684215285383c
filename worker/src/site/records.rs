//! The ledger as this site uses it: one command or fact at a time, typed answers. Decides nothing.

use crate::error::SiteError;
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::VmRow;
use muster_core::ledger::command::{
    Applied, EvacuationCommand, LedgerCommand, LedgerEvent, Refusal, VmCommand, VmFact,
};
use muster_store::{Health, Ledger, LedgerEvacuation, Receipt, RowQuery};
use std::sync::Arc;

/// A site's ledger.
pub(super) struct Records {
    ledger: Arc<dyn Ledger>,
}

impl Records {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Records { ledger }
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

    pub(super) fn newest(&self) -> u64 {
        self.ledger.newest()
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
