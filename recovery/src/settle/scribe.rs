//! Writes the journal's lines about steps. Without a journal, as in a recovery after the orchestrator is gone, the two
//! ledgers alone explain what was done: every line of theirs carries the token, and the claim names its holder.

use crate::error::LinkError;
use muster_core::env::Env;
use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::ids::{Attempt, EvacuationId, VmId, clip};
use muster_core::ladder::Rung;
use muster_core::step::Action;
use muster_core::token::Token;
use muster_core::verdict::Verdict;
use muster_store::{Journal, JournalError};
use std::sync::Arc;

/// A command, as the journal names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) action: Action,
    pub(super) token: Token,
    pub(super) attempt: Option<Attempt>,
}

/// Who writes, and where.
#[derive(Clone)]
pub struct Scribe {
    journal: Option<Arc<dyn Journal>>,
    evacuation: EvacuationId,
    by: String,
    env: Arc<dyn Env>,
}

impl Scribe {
    /// A scribe of `evacuation` in the name of `by`; without a journal it writes nothing.
    #[must_use]
    pub fn new(journal: Option<Arc<dyn Journal>>, evacuation: EvacuationId, by: &str, env: Arc<dyn Env>) -> Self {
        Scribe { journal, evacuation, by: clip(by), env }
    }

    pub(super) async fn intended(
        &self,
        vm: VmId,
        Sent { action, token, attempt }: Sent,
        verdict: Verdict,
    ) -> Result<(), JournalError> {
        let attempt = attempt.map(Attempt::count);
        self.write(vm, JournalKind::StepIntended { action, token, verdict: Some(verdict), attempt }).await
    }

    pub(super) async fn failed(
        &self,
        vm: VmId,
        Sent { action, token, attempt }: Sent,
        error: &LinkError,
    ) -> Result<(), JournalError> {
        let (token, attempt) = (Some(token), attempt.map(Attempt::count));
        self.write(vm, JournalKind::StepFailed { action, token, attempt, error: clip(&error.to_string()) }).await
    }

    /// What became of telling a transfer other terms.
    pub(super) async fn adjusted(
        &self,
        vm: VmId,
        token: Token,
        (bandwidth_mib_s, downtime_ms): (Option<u64>, Option<u64>),
        error: Option<&LinkError>,
    ) -> Result<(), JournalError> {
        let error = error.map(|error| clip(&error.to_string()));
        self.write(vm, JournalKind::TransferAdjusted { token, bandwidth_mib_s, downtime_ms, error }).await
    }

    pub(super) async fn took_rung(&self, vm: VmId, attempt: u32, rung: Rung) -> Result<(), JournalError> {
        self.write(vm, JournalKind::RungTaken { attempt, rung }).await
    }

    async fn write(&self, vm: VmId, kind: JournalKind) -> Result<(), JournalError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let (at, by, evacuation) = (self.env.now(), self.by.clone(), self.evacuation);
        let record = JournalRecord { at, by, origin: None, request: None, call: None, evacuation, vm: Some(vm), kind };
        journal.append(vec![record]).await.map(drop)
    }
}
