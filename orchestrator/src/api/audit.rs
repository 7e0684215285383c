//! Who did what: the journal, page by page.

use super::{Api, page};
use crate::error::OrchestratorError;
use muster_core::evacuation::JournalRecord;
use muster_core::ids::{EvacuationId, VmId};
use muster_proto::convert::{InvalidMessage, parsed};
use muster_proto::v1 as pb;
use muster_store::JournalQuery;
use tonic::Status;

impl Api {
    pub(super) async fn audit(&self, request: pb::ListAuditRequest) -> Result<pb::ListAuditResponse, Status> {
        let evacuation: Option<EvacuationId> = given("evacuation", &request.evacuation)?;
        let vm: Option<VmId> = given("vm", &request.vm)?;
        let list = format!("audit/{}/{}", request.evacuation, request.vm);
        // A token of this list holds a number, or it would not have passed.
        let after_sequence = page::after(&list, &request.page_token)?.and_then(|last| last.parse().ok()).unwrap_or(0);
        let limit = page::size(request.page_size)?;
        let query = JournalQuery { evacuation, vm, after_sequence, limit };
        let records = self.house.journal().records(query).await.map_err(OrchestratorError::from)?;
        let next_page_token = match records.last() {
            Some((last, _)) if *last < self.house.journal().newest() => page::token(&list, &last.to_string()),
            Some(_) | None => String::new(),
        };
        let lines = records.iter().map(|(sequence, record)| line(*sequence, record)).collect();
        Ok(pb::ListAuditResponse { lines, next_page_token })
    }
}

fn given<C>(field: &str, text: &str) -> Result<Option<C>, InvalidMessage>
where
    C: std::str::FromStr<Err = muster_core::ids::IdError>,
{
    if text.is_empty() { Ok(None) } else { parsed(field, text).map(Some) }
}

fn line(sequence: u64, record: &JournalRecord) -> pb::AuditLine {
    // The journal holds what was JSON before: it can't fail to be JSON again.
    let mut detail = serde_json::to_value(&record.kind).unwrap_or_default();
    let name = detail.as_object_mut().and_then(|fields| fields.remove("record"));
    pb::AuditLine {
        sequence,
        at_ms: record.at.0,
        by: record.by.clone(),
        evacuation: record.evacuation.to_string(),
        vm: record.vm.map(|vm| vm.to_string()).unwrap_or_default(),
        record: name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
        detail_json: detail.to_string(),
        words: record.kind.guardian_words().unwrap_or_default(),
    }
}
