//! Readings: what the ledger holds and what the hypervisors show, together, now.
//!
//! Invariant 5 (Silent is not absent): a look that was not answered is an error, never an empty sight.

use super::mutation::{Ordered, Place};
use super::{LOOK_DEADLINE, Site};
use crate::error::SiteError;
use crate::hypervisor::{Change, HypervisorError};
use futures::stream::BoxStream;
use muster_core::definition::Definition;
use muster_core::ids::{EvacuationId, HostName, VmId};
use muster_core::ledger::VmRow;
use muster_core::ledger::command::{Caller, Refusal, VmOrder};
use muster_core::reading::{Inventory, Sight, SiteReading};
use muster_core::time::Timestamp;
use muster_core::token::{Token, TokenStanding};
use std::sync::Arc;

impl Site {
    /// Observes a VM. With a token the floor is raised to it first: no older command takes effect after the answer, and
    /// one that is still under way shows in it. What the sight proves is written down before it is answered.
    ///
    /// # Errors
    /// Its floor is above the token, the site takes no work, or the ledger or the hypervisors can't be read.
    pub async fn observe(
        self: &Arc<Self>,
        evacuation: EvacuationId,
        vm: VmId,
        token: Option<Token>,
        caller: Caller,
    ) -> Result<SiteReading, SiteError> {
        self.must_work()?;
        if let Some(token) = token {
            self.raise_floor(&Ordered { place: Place { evacuation, vm, token }, caller }).await?;
        }
        self.read_one(vm).await
    }

    async fn raise_floor(&self, ordered: &Ordered) -> Result<(), SiteError> {
        let place = ordered.place;
        let row = self.records.row(place.vm).await?;
        match place.token.against(row.floor) {
            TokenStanding::Equal => Ok(()),
            TokenStanding::Below => {
                let floor = row.floor;
                Err(Refusal::BelowFloor { vm: place.vm, token: place.token, floor }.into())
            }
            TokenStanding::Above => self.order(ordered, VmOrder::RaiseFloor).await.map(drop),
        }
    }

    /// One VM's reading, with everything that its sight proves written down first.
    pub(super) async fn read_one(self: &Arc<Self>, vm: VmId) -> Result<SiteReading, SiteError> {
        // Before anything is read: one that took long must not pass for newer than what was told meanwhile.
        let at = self.env.now();
        let row = self.records.row(vm).await?;
        let sight = self.look_one(vm).await?;
        let (row, sight) = self.write_what_is_seen(row, sight).await?;
        Ok(self.reading(&row, sight, at))
    }

    pub(super) async fn look_one(&self, vm: VmId) -> Result<Sight, SiteError> {
        let mut sights = self.look(&[vm]).await?;
        sights.pop().ok_or(SiteError::BrokenPromise { promise: "a look has as many sights as VMs" })
    }

    /// What the hypervisors show of these VMs, in the order asked; as many sights as VMs.
    pub(super) async fn look(&self, vms: &[VmId]) -> Result<Vec<Sight>, SiteError> {
        if vms.is_empty() {
            return Ok(Vec::new());
        }
        let sights = in_time(self.hypervisor.look(vms)).await?;
        if sights.len() == vms.len() {
            Ok(sights)
        } else {
            // A sight too few would make an absence of what was not looked at.
            let message = format!("{} VMs were asked for and {} sights came", vms.len(), sights.len());
            Err(HypervisorError::Nonsense { message }.into())
        }
    }

    pub(super) async fn definition(&self, host: &HostName, vm: VmId) -> Result<Definition, SiteError> {
        Ok(in_time(self.hypervisor.definition(host, vm)).await?)
    }

    pub(super) async fn listing(&self) -> Result<Inventory, SiteError> {
        Ok(in_time(self.hypervisor.inventory()).await?)
    }

    pub(super) async fn changes(&self) -> Result<BoxStream<'static, Change>, SiteError> {
        Ok(in_time(self.hypervisor.changes()).await?)
    }

    /// Puts a row and a sight together; the sight must not be older than the row. What this process has under way counts
    /// as much as what the ledger remembers, and so does what was seen and is not written down yet.
    pub(super) fn reading(&self, row: &VmRow, sight: Sight, at: Timestamp) -> SiteReading {
        let is_taken = self.sections.is_taken(row.vm);
        SiteReading {
            vm: row.vm,
            floor: row.floor,
            standing: row.standing().cloned(),
            mutation_under_way: row.intent.is_some() || is_taken || super::handover::is_unwritten(row, &sight),
            sight,
            at,
        }
    }
}

/// A look's answer, or silence past [`LOOK_DEADLINE`].
pub(crate) async fn in_time<T>(asked: impl Future<Output = Result<T, HypervisorError>>) -> Result<T, HypervisorError> {
    let silent = |_| HypervisorError::Unreachable { message: "no answer in time".to_owned() };
    tokio::time::timeout(LOOK_DEADLINE, asked).await.map_err(silent)?
}
