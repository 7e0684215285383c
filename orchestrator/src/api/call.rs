//! A mutating call: which one it is, and whether it was made before.
//!
//! Two calls are the same where their id, their method and their whole message are: also the order of a list counts, and who
//! orders. From where a call comes doesn't. The journal keeps what a call was beside its id, in the transaction of its effect,
//! and for ever. A record of before it kept that is never taken for a repeated call.

use super::Api;
use super::caller::Caller;
use crate::error::OrchestratorError;
use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::fingerprint::Fingerprint;
use muster_core::ids::{EvacuationId, RequestId, VmId};
use muster_proto::convert::{InvalidMessage, payload, request_id};
use muster_proto::v1 as pb;
use muster_store::{Journal, JournalError, RECORDS_MAX};
use sha2::{Digest, Sha256};
use tonic::Request;

/// A mutating call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its id.
    pub(crate) request: RequestId,
    /// A SHA-256 over its method and its message without the id.
    pub(crate) fingerprint: Fingerprint,
    /// Who makes it.
    pub(crate) caller: Caller,
}

/// A message that orders something.
pub(crate) trait Order {
    /// Its request id.
    fn request_id(&self) -> &str;
    /// Who orders, as it says.
    fn ordered_by(&self) -> &str;
    /// All of it but the id, encoded.
    fn payload(&self) -> Vec<u8>;
}

macro_rules! orders {
    ($($message:ident),*) => { $(
        impl Order for pb::$message {
            fn request_id(&self) -> &str {
                &self.request_id
            }
            fn ordered_by(&self) -> &str {
                &self.ordered_by
            }
            fn payload(&self) -> Vec<u8> {
                payload(&Self { request_id: String::new(), ..self.clone() })
            }
        }
    )* };
}

orders!(
    CreateEvacuationRequest,
    ChangeEvacuationRequest,
    RetryMovesRequest,
    AdjustMovesRequest,
    ReleaseVmRequest,
    RecoverEvacuationRequest
);

impl Call {
    /// This call of this method.
    pub(crate) fn of<M: Order>(method: &str, request: &Request<M>) -> Result<Self, InvalidMessage> {
        let message = request.get_ref();
        let id = request_id(message.request_id())?;
        let caller = Caller::of(request, message.ordered_by())?;
        let hasher = Sha256::new().chain_update(method).chain_update([0]).chain_update(message.payload());
        Ok(Call { request: id, fingerprint: Fingerprint(hasher.finalize().into()), caller })
    }

    /// The first record that this very call left, if it was made before.
    pub(crate) async fn earlier(&self, journal: &dyn Journal) -> Result<Option<JournalRecord>, OrchestratorError> {
        match journal.find_request(self.request).await? {
            None => Ok(None),
            Some((_, earlier)) if earlier.call == Some(self.fingerprint) && earlier.by == self.caller.by => {
                Ok(Some(earlier))
            }
            Some(_) => Err(OrchestratorError::RequestIdReused { request: self.request }),
        }
    }
}

impl Api {
    /// Journals an order. False if the same call did so before.
    pub(super) async fn ordered(&self, call: &Call, records: Vec<JournalRecord>) -> Result<bool, OrchestratorError> {
        match self.house.journal().append(records).await {
            Ok(_) => Ok(true),
            Err(error @ JournalError::RequestKnown { .. }) => match self.earlier(call).await? {
                Some(_) => Ok(false),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Journals what a call orders about each of these VMs, or, where there is none, about the evacuation. The first record
    /// carries the call; what the same call has journaled before isn't journaled again.
    pub(super) async fn ordered_about(
        &self,
        call: &Call,
        evacuation: EvacuationId,
        vms: impl IntoIterator<Item = VmId>,
        kind: &JournalKind,
    ) -> Result<(), OrchestratorError> {
        let pen = self.house.pen(evacuation).of(&call.caller);
        let mut first = Some(call);
        let mut records: Vec<JournalRecord> =
            vms.into_iter().map(|vm| pen.record(first.take(), Some(vm), kind.clone())).collect();
        records.extend(first.take().map(|call| pen.record(Some(call), None, kind.clone())));
        for batch in records.chunks(RECORDS_MAX) {
            if !self.ordered(call, batch.to_vec()).await? {
                break;
            }
        }
        Ok(())
    }

    /// The first record that this very call left, if it was made before.
    pub(super) async fn earlier(&self, call: &Call) -> Result<Option<JournalRecord>, OrchestratorError> {
        call.earlier(self.house.journal().as_ref()).await
    }
}
