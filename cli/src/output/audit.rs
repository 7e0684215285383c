//! The audit trail.

use super::{given, instant, table};
use muster_proto::v1 as wire;
use serde::Serialize;

/// Lines of the journal, oldest first.
#[derive(Debug, Serialize)]
pub(crate) struct Audit {
    pub(crate) lines: Vec<Line>,
}

/// One line of the journal.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) sequence: u64,
    pub(crate) at_ms: u64,
    pub(crate) by: String,
    pub(crate) evacuation: Option<String>,
    pub(crate) vm: Option<String>,
    /// The record's name.
    pub(crate) record: String,
    /// Its particulars.
    pub(crate) detail: serde_json::Value,
    /// What it says, where its name and particulars don't say it by themselves.
    pub(crate) words: Option<String>,
}

impl From<wire::AuditLine> for Line {
    fn from(message: wire::AuditLine) -> Self {
        Line {
            sequence: message.sequence,
            at_ms: message.at_ms,
            by: message.by,
            evacuation: given(&message.evacuation),
            vm: given(&message.vm),
            record: message.record,
            words: given(&message.words),
            detail: serde_json::from_str(&message.detail_json)
                .unwrap_or(serde_json::Value::String(message.detail_json)),
        }
    }
}

/// The trail, a row a line.
pub(crate) fn text(audit: &Audit) -> String {
    let mut table = table(["#", "At", "By", "VM", "What", "Particulars"]);
    for line in &audit.lines {
        table.row([
            line.sequence.to_string(),
            instant(line.at_ms),
            line.by.clone(),
            line.vm.clone().unwrap_or_default(),
            line.record.clone(),
            line.words.clone().unwrap_or_else(|| line.detail.to_string()),
        ]);
    }
    table.to_string()
}
