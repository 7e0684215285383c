//! Writes the journal's lines about steps. Without a journal, as in a recovery after the orchestrator is gone, the two
//! ledgers alone explain what was done: every line of theirs carries the token, and the claim names its holder.

use crate::error::LinkError;
use muster_core::env::Env;
use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::ids::{EvacuationId, VmId, clip};
use muster_core::ladder::Rung;
use muster_core::step::Action;
use muster_core::token::Token;
use muster_core::verdict::Verdict;
use muster_store::{Journal, JournalError};
use std::sync::Arc;

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
        action: Action,
        verdict: Verdict,
        token: Token,
    ) -> Result<(), JournalError> {
        self.write(vm, JournalKind::StepIntended { action, token, verdict: Some(verdict) }).await
    }

    pub(super) async fn failed(&self, vm: VmId, action: Action, error: &LinkError) -> Result<(), JournalError> {
        self.write(vm, JournalKind::StepFailed { action, error: clip(&error.to_string()) }).await
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
