//! Writing the journal: records in the orchestrator's or a person's name, in bounded batches.

use crate::api::call::Call;
use crate::api::caller::Caller;
use muster_core::class::Class;
use muster_core::env::Env;
use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::ids::{EvacuationId, VmId, clip};
use muster_store::{Journal, JournalError, RECORDS_MAX};
use std::sync::Arc;
use std::time::Duration;

/// How often a write is tried again when nothing was written and the same call may succeed later.
pub(crate) const WRITE_TRIES_MAX: u32 = 5;
/// Wait between two of these tries.
pub(crate) const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Writes records of one evacuation in one name.
#[derive(Clone)]
pub(crate) struct Pen {
    journal: Arc<dyn Journal>,
    env: Arc<dyn Env>,
    evacuation: EvacuationId,
    by: String,
    origin: Option<String>,
}

impl Pen {
    /// In the orchestrator's own name.
    pub(crate) fn new(journal: Arc<dyn Journal>, env: Arc<dyn Env>, evacuation: EvacuationId, name: &str) -> Self {
        Pen { journal, env, evacuation, by: clip(name), origin: None }
    }

    /// In the name of whoever calls.
    pub(crate) fn of(self, caller: &Caller) -> Self {
        Pen { by: clip(&caller.by), origin: caller.origin.clone(), ..self }
    }

    /// A record about the evacuation.
    pub(crate) fn line(&self, kind: JournalKind) -> JournalRecord {
        self.record(None, None, kind)
    }

    /// A record about one of its VMs.
    pub(crate) fn about(&self, vm: VmId, kind: JournalKind) -> JournalRecord {
        self.record(None, Some(vm), kind)
    }

    /// A record of what a call has ordered.
    pub(crate) fn record(&self, call: Option<&Call>, vm: Option<VmId>, kind: JournalKind) -> JournalRecord {
        JournalRecord {
            at: self.env.now(),
            by: self.by.clone(),
            origin: self.origin.clone(),
            request: call.map(|call| call.request),
            call: call.map(|call| call.fingerprint),
            evacuation: self.evacuation,
            vm,
            kind,
        }
    }

    /// Appends them in order. What fits one batch is appended whole or not at all.
    pub(crate) async fn write(&self, mut records: Vec<JournalRecord>) -> Result<(), JournalError> {
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(RECORDS_MAX));
            self.write_batch(records).await?;
            records = rest;
        }
        Ok(())
    }

    async fn write_batch(&self, records: Vec<JournalRecord>) -> Result<(), JournalError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.journal.append(records.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if error.class() == Class::Retry && tries < WRITE_TRIES_MAX => {
                    tokio::time::sleep(WRITE_AGAIN_AFTER).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
