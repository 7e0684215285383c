//! The audit trail as it is exported: JSON lines, which can be verified by themselves, and CSV.

use super::given;
use muster_orchestrator::audit_line;
use muster_proto::v1 as wire;
use muster_store::StoredRecord;
use muster_store::chain::Unreadable;
use serde::{Deserialize, Serialize};

/// A line with all that is known of it. What its link covers is `sequence`, `at_ms`, `by`, `origin`, `request_id`, `call`,
/// `evacuation`, `vm` and `stored_json`; the rest follows from these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exported {
    pub(crate) sequence: u64,
    pub(crate) at_ms: u64,
    pub(crate) by: String,
    pub(crate) origin: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) call: Option<String>,
    pub(crate) evacuation: String,
    pub(crate) vm: Option<String>,
    pub(crate) record: String,
    pub(crate) attempt: Option<u32>,
    pub(crate) token_epoch: Option<u64>,
    pub(crate) token_sequence: Option<u64>,
    pub(crate) outcome: Option<String>,
    pub(crate) words: Option<String>,
    pub(crate) link: String,
    pub(crate) stored_json: String,
}

impl From<wire::AuditLine> for Exported {
    fn from(message: wire::AuditLine) -> Self {
        Exported {
            sequence: message.sequence,
            at_ms: message.at_ms,
            by: message.by,
            origin: given(&message.origin),
            request_id: given(&message.request_id),
            call: given(&message.call),
            evacuation: message.evacuation,
            vm: given(&message.vm),
            record: message.record,
            attempt: message.attempt,
            token_epoch: message.token_epoch,
            token_sequence: message.token_sequence,
            outcome: given(&message.outcome),
            words: given(&message.words),
            link: message.link,
            stored_json: message.stored_json,
        }
    }
}

impl Exported {
    /// What of it is stored.
    pub(crate) fn stored(&self) -> Option<StoredRecord> {
        Some(StoredRecord {
            sequence: self.sequence,
            at: muster_core::time::Timestamp(self.at_ms),
            by: self.by.clone(),
            origin: self.origin.clone(),
            request: self.request_id.clone(),
            call: self.call.clone(),
            evacuation: self.evacuation.clone(),
            vm: self.vm.clone(),
            kind: self.stored_json.clone(),
            link: self.link.parse().ok()?,
            is_whole: true,
        })
    }

    /// The line that is exported of what is stored.
    pub(crate) fn of(stored: &StoredRecord) -> Result<Self, Unreadable> {
        let kind = stored.read()?.kind;
        Ok(audit_line(stored, &kind).into())
    }

    /// As a row of CSV, in the order of [`CSV_HEAD`].
    pub(crate) fn csv(&self) -> String {
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let text = |text: &Option<String>| cell(text.as_deref().unwrap_or_default());
        let cells = [
            self.sequence.to_string(),
            self.at_ms.to_string(),
            cell(&super::instant(self.at_ms)),
            cell(&self.by),
            text(&self.origin),
            text(&self.request_id),
            text(&self.call),
            cell(&self.evacuation),
            text(&self.vm),
            cell(&self.record),
            number(self.attempt.map(u64::from)),
            number(self.token_epoch),
            number(self.token_sequence),
            text(&self.outcome),
            text(&self.words),
            cell(&self.link),
            cell(&self.stored_json),
        ];
        format!("{}\r\n", cells.join(","))
    }
}

/// The columns of CSV.
pub(crate) const CSV_HEAD: &str = "sequence,at_ms,at,by,origin,request_id,call,evacuation,vm,record,attempt,token_epoch,\
    token_sequence,outcome,words,link,stored_json\r\n";

/// A text as a cell. What a spreadsheet would take for a formula gets an apostrophe before it.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        for (text, written) in [
            ("", ""),
            ("web 1", "web 1"),
            ("a,b", "\"a,b\""),
            ("say \"no\"\r\n", "\"say \"\"no\"\"\r\n\""),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("\tx", "'\tx"),
            ("a=1", "a=1"),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
    }
}
