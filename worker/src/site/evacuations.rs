//! What concerns a whole evacuation at this site: claims, assertions, the roll, and the site's inventory and history.

use super::{News, Site};
use crate::error::SiteError;
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::{
    Caller, EvacuationCommand, EvacuationOrder, LedgerEvent, Refusal, VmCommand, VmOrder,
};
use muster_core::ledger::{Enrolled, RollEntry};
use muster_core::reading::{Inventory, Stored};
use muster_core::step::Side;
use muster_core::token::{Epoch, Sequence, Token};
use muster_store::{LedgerEvacuation, RowQuery};
use std::sync::Arc;

impl Site {
    /// Carries out an order on an evacuation.
    ///
    /// # Errors
    /// Refused by the ledger, or the ledger can't be written.
    pub async fn order_evacuation(
        &self,
        evacuation: EvacuationId,
        order: EvacuationOrder,
        caller: Caller,
    ) -> Result<Claims, SiteError> {
        self.must_work()?;
        let command = EvacuationCommand { evacuation, caller, at: self.env.now(), order };
        let claims = self.records.evacuation(command).await?;
        self.tell(News::Claims(evacuation, Arc::new(claims.clone())));
        Ok(claims)
    }

    /// The standing of an evacuation at this ledger.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, SiteError> {
        self.records.claims(evacuation).await
    }

    /// Every evacuation that the ledger knows.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub async fn evacuations(&self) -> Result<Vec<LedgerEvacuation>, SiteError> {
        self.records.evacuations().await
    }

    /// The greatest epoch that this ledger knows for an evacuation and for these VMs' floors.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub async fn greatest_epoch(&self, evacuation: EvacuationId, vms: &[VmId]) -> Result<Epoch, SiteError> {
        let mut greatest = self.records.claims(evacuation).await?.epoch;
        for vm in vms {
            greatest = greatest.max(self.records.row(*vm).await?.floor.epoch);
        }
        Ok(greatest)
    }

    /// Puts VMs on the roll and returns those that were refused. A VM that is on it already stays as it is.
    ///
    /// # Errors
    /// The ledger can't be written; nothing was then.
    pub async fn write_roll(
        &self,
        side: Side,
        epoch: Epoch,
        entries: Vec<RollEntry>,
        caller: &Caller,
    ) -> Result<Vec<(VmId, Refusal)>, SiteError> {
        self.must_work()?;
        let at = self.env.now();
        let evacuation = entries.first().map(|entry| entry.evacuation);
        let mut vms = Vec::with_capacity(entries.len());
        let mut commands = Vec::with_capacity(entries.len());
        for entry in entries {
            let (vm, evacuation) = (entry.vm, entry.evacuation);
            // The first token of the claim: every command of it comes after.
            let token = Token { epoch, sequence: Sequence(0) };
            vms.push(vm);
            let order = VmOrder::Enrol { entry: Box::new(entry), side };
            commands.push(VmCommand { evacuation, vm, token, caller: caller.clone(), at, order });
        }
        let outcomes = self.records.commands(commands).await?;
        let mut refused = Vec::new();
        for (vm, outcome) in vms.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => {}
                Err(refusal) if self.is_on_roll(vm, evacuation, epoch, &refusal).await? => {}
                Err(refusal) => refused.push((vm, refusal)),
            }
        }
        Ok(refused)
    }

    /// Whether a VM was refused only because commands of the same claim came after it was put on this roll.
    async fn is_on_roll(
        &self,
        vm: VmId,
        evacuation: Option<EvacuationId>,
        epoch: Epoch,
        refusal: &Refusal,
    ) -> Result<bool, SiteError> {
        match refusal {
            Refusal::BelowFloor { floor, .. } if floor.epoch == epoch => {
                let enrolled = self.records.row(vm).await?.enrolled;
                Ok(enrolled.map(|enrolled| enrolled.entry.evacuation) == evacuation)
            }
            Refusal::BelowFloor { .. }
            | Refusal::Busy { .. }
            | Refusal::InAnotherEvacuation { .. }
            | Refusal::NotOnRoll { .. }
            | Refusal::NotInOrder { .. }
            | Refusal::TooManyLeftovers { .. }
            | Refusal::ClaimedInBetween { .. }
            | Refusal::HeldByRecovery { .. }
            | Refusal::TooManyAssertions { .. } => Ok(false),
        }
    }

    /// A page of an evacuation's roll.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub async fn roll(&self, evacuation: EvacuationId, after: Option<VmId>) -> Result<Vec<RollEntry>, SiteError> {
        let query = RowQuery { after, ..RowQuery::of(evacuation) };
        let rows = self.records.page(query).await?;
        Ok(rows.into_iter().filter_map(|row| row.enrolled).map(|Enrolled { entry, .. }| entry).collect())
    }

    /// Every host and every VM of the site. Of a sealed or retired VM the definition is the ledger's, the real one.
    ///
    /// # Errors
    /// The hypervisors or the ledger can't be read.
    pub async fn inventory(&self) -> Result<Inventory, SiteError> {
        let mut inventory = self.listing().await?;
        for listing in &mut inventory.vms {
            let is_real = match listing.stored {
                Stored::Real | Stored::Nothing => true,
                Stored::Placeholder | Stored::Arrived | Stored::Sealed | Stored::Retired => false,
            };
            if !is_real && let Some(enrolled) = self.records.row(listing.vm).await?.enrolled {
                listing.definition = enrolled.entry.definition;
            }
        }
        Ok(inventory)
    }

    /// A page of the ledger's history, and how far it goes.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub async fn history(&self, after: u64, limit: usize) -> Result<Vec<(u64, LedgerEvent)>, SiteError> {
        self.records.events(after, limit).await
    }

    /// The newest sequence number of the ledger.
    #[must_use]
    pub fn newest_sequence(&self) -> u64 {
        self.records.newest()
    }

    /// Its clock.
    #[must_use]
    pub fn now(&self) -> muster_core::time::Timestamp {
        self.env.now()
    }

    /// Answers another worker that proves the path to this one.
    #[must_use]
    pub fn takes_work(&self) -> bool {
        self.must_work().is_ok()
    }
}
