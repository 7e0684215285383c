//! Who did what: the journal, page by page, and whether its chain is whole.

use super::{Api, page, resume};
use crate::error::OrchestratorError;
use muster_core::evacuation::JournalKind;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::time::Timestamp;
use muster_proto::convert::{InvalidMessage, Problem, parsed, require_items};
use muster_proto::v1 as pb;
use muster_store::StoredRecord;
use muster_store::chain::{ChainCheck, ChainFault, Head};
use muster_store::{JournalQuery, PAGE_MAX, StoreError};
use std::collections::BTreeSet;
use tonic::Status;

/// Most names of lines in one request.
const RECORDS_WANTED_MAX: usize = 64;

/// Most lines that are looked through for one page.
const LINES_SEARCHED_MAX: usize = 16 * PAGE_MAX;

/// Which lines of those that the journal finds.
struct Filter {
    by: String,
    records: BTreeSet<String>,
    from: Timestamp,
    to: Option<Timestamp>,
}

impl Filter {
    fn of(request: &pb::ListAuditRequest) -> Result<Self, InvalidMessage> {
        require_items("records", request.records.len(), RECORDS_WANTED_MAX)?;
        for (place, name) in request.records.iter().enumerate() {
            if !JournalKind::NAMES.contains(&name.as_str()) {
                return Err(InvalidMessage::new(format!("records[{place}]"), Problem::NoSuchRecord));
            }
        }
        Ok(Filter {
            by: request.by.clone(),
            records: request.records.iter().cloned().collect(),
            from: Timestamp(request.from_ms),
            to: Some(Timestamp(request.to_ms)).filter(|to| to.0 != 0),
        })
    }

    fn takes(&self, stored: &StoredRecord, kind: &JournalKind) -> bool {
        (self.by.is_empty() || self.by == stored.by)
            && (self.records.is_empty() || self.records.contains(kind.name()))
            && self.from <= stored.at
            && self.to.is_none_or(|to| stored.at < to)
    }
}

impl Api {
    pub(super) async fn audit(&self, request: pb::ListAuditRequest) -> Result<pb::ListAuditResponse, Status> {
        let evacuation: Option<EvacuationId> = given("evacuation", &request.evacuation)?;
        let vm: Option<VmId> = given("vm", &request.vm)?;
        let filter = Filter::of(&request)?;
        let list = format!(
            "audit/{}/{}/{}/{:?}/{}/{}",
            request.evacuation, request.vm, request.by, filter.records, request.from_ms, request.to_ms
        );
        // A token of this list holds a number, or it would not have passed.
        let after = page::after(&list, &request.page_token)?.and_then(|last| last.parse().ok()).unwrap_or(0);
        let size = page::size(request.page_size)?;
        let mut query = JournalQuery { evacuation, vm, after_sequence: after, limit: size };
        let (mut lines, mut searched, mut is_end) = (Vec::new(), 0, false);
        while lines.len() < size && searched < LINES_SEARCHED_MAX && !is_end {
            query.limit = size - lines.len();
            let found = self.house.journal().stored(query).await.map_err(OrchestratorError::from)?;
            is_end = found.is_empty();
            searched += found.len();
            for stored in &found {
                query.after_sequence = stored.sequence;
                let kind = kind_of(stored)?;
                if filter.takes(stored, &kind) {
                    lines.push(audit_line(stored, &kind));
                }
            }
        }
        let has_more = !is_end && query.after_sequence < self.house.journal().newest();
        let next_page_token =
            if has_more { page::token(&list, &query.after_sequence.to_string()) } else { String::new() };
        Ok(pb::ListAuditResponse { lines, next_page_token })
    }

    pub(super) async fn audit_head(&self) -> Result<pb::GetAuditHeadResponse, OrchestratorError> {
        let journal = self.house.journal();
        let head = journal.head().await?;
        let newest = resume::mark_of(journal.as_ref(), head.sequence).await?;
        let at_ms = newest.filter(|newest| newest.sequence == head.sequence).map_or(0, |newest| newest.at.0);
        Ok(pb::GetAuditHeadResponse { head: Some(shown(head)), at_ms })
    }

    pub(super) async fn check_audit(
        &self,
        request: pb::VerifyAuditRequest,
    ) -> Result<pb::VerifyAuditResponse, OrchestratorError> {
        let against = request.against.map(kept).transpose()?;
        let journal = self.house.journal();
        // What is written meanwhile is for the next verification.
        let newest = journal.newest();
        let mut check = ChainCheck::new(against);
        let fault = loop {
            let head = check.head();
            if head.sequence >= newest {
                break check.end(newest).err();
            }
            let limit = usize::try_from(newest - head.sequence).map_or(PAGE_MAX, |left| left.min(PAGE_MAX));
            let page = JournalQuery { after_sequence: head.sequence, limit, ..JournalQuery::all() };
            let page = journal.stored(page).await?;
            if page.is_empty() {
                break check.end(newest).err();
            }
            if let Some(fault) = page.iter().find_map(|stored| check.take(stored).err()) {
                break Some(fault);
            }
        };
        Ok(audit_verified(check.head(), fault))
    }
}

/// What a walk along a chain has found that came to this head.
#[must_use]
pub fn audit_verified(head: Head, fault: Option<ChainFault>) -> pb::VerifyAuditResponse {
    pb::VerifyAuditResponse { lines: head.sequence, head: Some(shown(head)), fault: fault.map(fault_shown) }
}

fn given<C>(field: &str, text: &str) -> Result<Option<C>, InvalidMessage>
where
    C: std::str::FromStr<Err = muster_core::ids::IdError>,
{
    if text.is_empty() { Ok(None) } else { parsed(field, text).map(Some) }
}

fn kept(against: pb::AuditHead) -> Result<Head, InvalidMessage> {
    let link =
        against.link.parse().map_err(|error| InvalidMessage::new("against.link", Problem::Fingerprint(error)))?;
    Ok(Head { sequence: against.sequence, link })
}

fn shown(head: Head) -> pb::AuditHead {
    pb::AuditHead { sequence: head.sequence, link: head.link.to_string() }
}

fn fault_shown(fault: ChainFault) -> pb::AuditFault {
    let kind = match fault {
        ChainFault::Changed { .. } => pb::audit_fault::Kind::Changed,
        ChainFault::Gap { .. } => pb::audit_fault::Kind::Gap,
        ChainFault::CutOff { .. } => pb::audit_fault::Kind::CutOff,
        ChainFault::AnotherHead { .. } => pb::audit_fault::Kind::AnotherHead,
    };
    pb::AuditFault { kind: kind.into(), sequence: fault.sequence(), message: fault.to_string() }
}

/// What a line says, only if it is as it was written.
fn kind_of(stored: &StoredRecord) -> Result<JournalKind, OrchestratorError> {
    let damaged = |found: String| StoreError::Damaged { path: "the journal".into(), found };
    if !stored.is_whole {
        return Err(damaged(format!("record {} isn't what was written: its digest differs", stored.sequence)).into());
    }
    let record = stored.read().map_err(|unreadable| damaged(unreadable.to_string()))?;
    Ok(record.kind)
}

/// A record as the audit trail shows it; `kind` is what it says.
#[must_use]
pub fn audit_line(stored: &StoredRecord, kind: &JournalKind) -> pb::AuditLine {
    // It was read as JSON a moment ago.
    let mut detail: serde_json::Value = serde_json::from_str(&stored.kind).unwrap_or_default();
    if let Some(fields) = detail.as_object_mut() {
        fields.remove("record");
    }
    let facts = kind.facts();
    pb::AuditLine {
        sequence: stored.sequence,
        at_ms: stored.at.0,
        by: stored.by.clone(),
        evacuation: stored.evacuation.clone(),
        vm: stored.vm.clone().unwrap_or_default(),
        record: kind.name().to_owned(),
        detail_json: detail.to_string(),
        words: kind.guardian_words().unwrap_or_default(),
        origin: stored.origin.clone().unwrap_or_default(),
        request_id: stored.request.clone().unwrap_or_default(),
        call: stored.call.clone().unwrap_or_default(),
        attempt: facts.attempt,
        token_epoch: facts.token.map(|token| token.epoch.0),
        token_sequence: facts.token.map(|token| token.sequence.0),
        outcome: facts.outcome.unwrap_or_default().to_owned(),
        link: stored.link.to_string(),
        stored_json: stored.kind.clone(),
    }
}
