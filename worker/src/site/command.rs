//! Which order of the wire becomes which change here.

use super::Site;
use super::mutation::{Ordered, Place};
use crate::error::SiteError;
use muster_core::ids::EvacuationId;
use muster_core::ledger::command::{Caller, VmOrder};
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
        caller: Caller,
    ) -> Result<SiteReading, SiteError> {
        self.must_work()?;
        let place = Place { evacuation, vm: command.vm, token: command.token };
        let ordered = &Ordered { place, caller };
        match command.action {
            SiteAction::OpenAttempt { host, kind } => self.record(ordered, VmOrder::OpenAttempt { host, kind }).await?,
            SiteAction::Abandon { attempt } => self.record(ordered, VmOrder::Abandon { attempt }).await?,
            SiteAction::Reopen { attempt } => self.record(ordered, VmOrder::Reopen { attempt }).await?,
            SiteAction::CloseSource => self.record(ordered, VmOrder::CloseSource).await?,
            SiteAction::CloseDestination(outcome) => {
                self.record(ordered, VmOrder::CloseDestination { outcome }).await?;
            }
            SiteAction::MakePlaceholder { attempt } => self.place(ordered, attempt).await?,
            SiteAction::Commit { attempt } => self.complete(ordered, attempt).await?,
            SiteAction::Run => self.run(ordered).await?,
            SiteAction::Discard => self.discard(ordered).await?,
            SiteAction::Seal => self.seal(ordered).await?,
            SiteAction::Transfer { attempt, destination_site, destination_host, tuning } => {
                self.transfer(ordered, attempt, (destination_site, destination_host), tuning).await?;
            }
            SiteAction::AbortTransfer => self.abort(ordered).await?,
            SiteAction::AdjustTransfer { bandwidth_mib_s, downtime_ms } => {
                self.adjust(ordered, bandwidth_mib_s, downtime_ms).await?;
            }
            SiteAction::ResumeSource => self.resume(ordered).await?,
            SiteAction::StartSource => self.start_source(ordered).await?,
            SiteAction::Unseal => self.unseal(ordered).await?,
            SiteAction::Retire { keep_ms } => self.retire(ordered, keep_ms).await?,
            SiteAction::Release { reason } => self.release(ordered, &reason).await?,
        }
        self.read_one(place.vm).await
    }

    /// Commits an arrival by the word of the source's worker, under its transfer's token.
    ///
    /// # Errors
    /// As [`Site::execute`], and refused where the caller is not the worker of the VM's source.
    pub async fn commit_arrival(
        self: &Arc<Self>,
        commit: CommitArrival,
        caller: Caller,
    ) -> Result<SiteReading, SiteError> {
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
        self.execute(evacuation, SiteCommand { vm, token, action: SiteAction::Commit { attempt } }, caller).await
    }

    /// An order that is a matter of the ledger alone. It keeps out of the way of a mutation that is being planned.
    async fn record(&self, ordered: &Ordered, order: VmOrder) -> Result<(), SiteError> {
        let vm = ordered.place.vm;
        let Some(_section) = self.sections.enter(vm) else {
            return Err(SiteError::Busy { vm });
        };
        self.order(ordered, order).await?;
        self.touch(vm);
        Ok(())
    }
}
