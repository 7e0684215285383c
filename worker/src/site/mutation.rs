//! The form of every mutation, and the only place that calls a hypervisor's `call`.
//!
//! ```text
//!  enter the VM's section ─▶ plan (look, test) ─▶ ledger: floor test + intent, durable
//!        ─▶ hypervisor ─▶ ledger: what came of it ─▶ leave the section
//! ```
//! Invariant 4 (Fenced): the floor test and the intent are one ledger transaction, and an intent stands until its call
//! can't take effect any more. A mutation runs in a task of its own: a caller that goes away, or stops waiting, cuts
//! nothing short. A call whose end is not known leaves its intent standing; [`super::mend`] clears it.

use super::{CALL_DEADLINE, Site};
use crate::error::SiteError;
use crate::hypervisor::{Call, HypervisorError, VmChange};
use futures::future::BoxFuture;
use muster_core::class::Class;
use muster_core::ids::{EvacuationId, HostName, VmId};
use muster_core::ledger::VmRow;
use muster_core::ledger::command::{Caller, Execution, FactKind, MutationResult, Refusal, VmCommand, VmFact, VmOrder};
use muster_core::token::{Token, TokenStanding};
use std::sync::Arc;

/// A command's place: which VM of which evacuation, under which token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) evacuation: EvacuationId,
    pub(super) vm: VmId,
    pub(super) token: Token,
}

/// A command in its place, and who gave it: for the history.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    pub(super) place: Place,
    pub(super) caller: Caller,
}

/// What the hypervisor is to be told, once the intent is durable.
pub(super) type Work = BoxFuture<'static, Result<MutationResult, HypervisorError>>;

/// A mutation whose conditions have been tested: the order for the ledger, and the work that follows it.
pub(super) struct Planned {
    pub(super) order: VmOrder,
    pub(super) work: Work,
}

/// Tests the conditions of a mutation on a VM's row, before anything is written.
pub(super) type Planner = Box<dyn FnOnce(Arc<Site>, VmRow) -> BoxFuture<'static, Result<Planned, SiteError>> + Send>;

impl Site {
    /// Carries out one mutation in the form above. Returns once it has ended, or its deadline has passed.
    pub(super) async fn mutate(self: &Arc<Self>, ordered: &Ordered, planner: Planner) -> Result<(), SiteError> {
        let (site, place, ordered) = (Arc::clone(self), ordered.place, ordered.clone());
        let task = self.tasks.spawn(async move {
            let outcome = site.mutate_in_section(&ordered, planner).await;
            site.touch(place.vm);
            outcome
        });
        match tokio::time::timeout(CALL_DEADLINE, task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(died)) => match died.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down.
                Err(_) => Err(self.not_ended_yet(place.vm)),
            },
            Err(_) => Err(self.not_ended_yet(place.vm)),
        }
    }

    async fn mutate_in_section(self: &Arc<Self>, ordered: &Ordered, planner: Planner) -> Result<(), SiteError> {
        let place = ordered.place;
        let Some(_section) = self.sections.enter(place.vm) else {
            return Err(SiteError::Busy { vm: place.vm });
        };
        let row = self.records.row(place.vm).await?;
        match place.token.against(row.floor) {
            // Tested again in the transaction below; here so that a repeated command needs no conditions to hold.
            TokenStanding::Equal => return Ok(()),
            TokenStanding::Below => {
                let floor = row.floor;
                return Err(Refusal::BelowFloor { vm: place.vm, token: place.token, floor }.into());
            }
            TokenStanding::Above => {}
        }
        if let Some(intent) = &row.intent {
            return Err(Refusal::Busy { vm: place.vm, mutation: intent.mutation }.into());
        }
        let planned = planner(Arc::clone(self), row).await?;
        let Execution::Now = self.order(ordered, planned.order).await? else {
            return Ok(());
        };
        match planned.work.await {
            Ok(result) => {
                self.take_unfinished(place.vm);
                self.mutation_ended(place, result).await
            }
            Err(error) => {
                match error.class() {
                    // It may still land: the intent stands until the hypervisor shows that it has ended.
                    Class::Unknown | Class::Bug => {}
                    Class::Retry | Class::Refused => {
                        self.note_unfinished(place.vm);
                        let result = MutationResult::Failed { error: error.to_string() };
                        self.mutation_ended(place, result).await?;
                    }
                }
                Err(error.into())
            }
        }
    }

    /// Writes an order that needs no hypervisor, or the intent of one that does.
    pub(super) async fn order(&self, ordered: &Ordered, order: VmOrder) -> Result<Execution, SiteError> {
        let Ordered { place: Place { evacuation, vm, token }, caller } = ordered.clone();
        let command = VmCommand { evacuation, vm, token, caller, at: self.env.now(), order };
        Ok(self.records.command(command).await?.execution)
    }

    async fn mutation_ended(&self, place: Place, result: MutationResult) -> Result<(), SiteError> {
        let kind = FactKind::MutationEnded { token: place.token, result };
        self.write_fact(place.vm, kind).await
    }

    pub(super) async fn write_fact(&self, vm: VmId, kind: FactKind) -> Result<(), SiteError> {
        self.records.fact(VmFact { vm, at: self.env.now(), kind }).await?;
        Ok(())
    }

    fn not_ended_yet(&self, vm: VmId) -> SiteError {
        SiteError::NotEndedYet { vm, deadline_ms: u64::try_from(CALL_DEADLINE.as_millis()).unwrap_or(u64::MAX) }
    }

    /// One call to a hypervisor. Only ever made from inside a mutation, or to make an inert definition inert again.
    pub(super) async fn call(&self, host: &HostName, vm: VmId, change: VmChange) -> Result<(), HypervisorError> {
        self.hypervisor.call(Call { vm, host: host.clone(), change }).await
    }
}
