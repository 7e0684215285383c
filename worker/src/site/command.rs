//! Which order of the wire becomes which change here.

use super::Site;
use super::mutation::Place;
use crate::error::SiteError;
use muster_core::ids::EvacuationId;
use muster_core::ledger::command::VmOrder;
use muster_core::reading::SiteReading;
use muster_proto::convert::{CommitArrival, SiteAction, SiteCommand};
use std::sync::Arc;

impl Site {
    /// Carries out a command, or answers it again, and reports what is to be seen after it.
    ///
    /// # Errors
    /// Refused, busy, failed, or not known to have ended: see the error's class.
    pub async fn execute(
        self: &Arc<Self>,
        evacuation: EvacuationId,
        command: SiteCommand,
    ) -> Result<SiteReading, SiteError> {
        self.must_work()?;
        let place = Place { evacuation, vm: command.vm, token: command.token };
        match command.action {
            SiteAction::OpenAttempt { host, kind } => self.record(place, VmOrder::OpenAttempt { host, kind }).await?,
            SiteAction::Abandon { attempt } => self.record(place, VmOrder::Abandon { attempt }).await?,
            SiteAction::Reopen { attempt } => self.record(place, VmOrder::Reopen { attempt }).await?,
            SiteAction::CloseSource => self.record(place, VmOrder::CloseSource).await?,
            SiteAction::CloseDestination(outcome) => {
                self.record(place, VmOrder::CloseDestination { outcome }).await?;
            }
            SiteAction::MakePlaceholder { attempt } => self.place(place, attempt).await?,
            SiteAction::Commit { attempt } => self.complete(place, attempt).await?,
            SiteAction::Run => self.run(place).await?,
            SiteAction::Discard => self.discard(place).await?,
            SiteAction::Seal => self.seal(place).await?,
            SiteAction::Transfer { attempt, destination_site, destination_host, tuning } => {
                self.transfer(place, attempt, (destination_site, destination_host), tuning).await?;
            }
            SiteAction::AbortTransfer => self.abort(place).await?,
            SiteAction::AdjustTransfer { bandwidth_mib_s, downtime_ms } => {
                self.adjust(place, bandwidth_mib_s, downtime_ms).await?;
            }
            SiteAction::ResumeSource => self.resume(place).await?,
            SiteAction::StartSource => self.start_source(place).await?,
            SiteAction::Unseal => self.unseal(place).await?,
            SiteAction::Retire { keep_ms } => self.retire(place, keep_ms).await?,
            SiteAction::Release { reason } => self.release(place, &reason).await?,
        }
        self.read_one(place.vm).await
    }

    /// Commits an arrival by the word of the source's worker, under its transfer's token.
    ///
    /// # Errors
    /// As [`Site::execute`], and refused where the caller is not the worker of the VM's source.
    pub async fn commit_arrival(self: &Arc<Self>, commit: CommitArrival) -> Result<SiteReading, SiteError> {
        self.must_work()?;
        let CommitArrival { evacuation, vm, attempt, token, source_site, .. } = commit;
        match self.records.row(vm).await?.enrolled {
            Some(enrolled) if enrolled.entry.evacuation == evacuation => {
                if enrolled.entry.source_site != source_site {
                    return Err(SiteError::NotItsSource { vm, site: source_site });
                }
            }
            Some(_) | None => return Err(SiteError::NotOnRoll { vm, evacuation }),
        }
        self.execute(evacuation, SiteCommand { vm, token, action: SiteAction::Commit { attempt } }).await
    }

    /// An order that is a matter of the ledger alone. It keeps out of the way of a mutation that is being planned.
    async fn record(&self, place: Place, order: VmOrder) -> Result<(), SiteError> {
        let Some(_section) = self.sections.enter(place.vm) else {
            return Err(SiteError::Busy { vm: place.vm });
        };
        self.order(place, order).await?;
        self.touch(place.vm);
        Ok(())
    }
}
