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
    /// The address from which its order came.
    pub(crate) origin: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) attempt: Option<u32>,
    pub(crate) outcome: Option<String>,
    /// Its link in the chain.
    pub(crate) link: String,
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
            origin: given(&message.origin),
            request_id: given(&message.request_id),
            attempt: message.attempt,
            outcome: given(&message.outcome),
            link: message.link,
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

/// How far the trail has come.
#[derive(Debug, Serialize)]
pub(crate) struct HeadShown {
    pub(crate) sequence: u64,
    pub(crate) link: String,
    /// When the newest line was written; none before the first.
    pub(crate) at_ms: Option<u64>,
    /// As it is kept: `SEQUENCE:LINK`.
    pub(crate) head: String,
}

impl From<wire::GetAuditHeadResponse> for HeadShown {
    fn from(message: wire::GetAuditHeadResponse) -> Self {
        let head = message.head.unwrap_or_default();
        let at_ms = Some(message.at_ms).filter(|_| head.sequence > 0);
        let written = kept(&head);
        HeadShown { sequence: head.sequence, link: head.link, at_ms, head: written }
    }
}

pub(crate) fn head_text(head: &HeadShown) -> String {
    head.head.clone()
}

/// What a verification has found.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    /// How many lines are whole, from the first on.
    pub(crate) lines: u64,
    /// The last of them, as it is kept.
    pub(crate) head: String,
    pub(crate) fault: Option<Fault>,
}

/// The first thing that is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Fault {
    /// `changed`, `gap`, `cut_off` or `another_head`.
    pub(crate) kind: &'static str,
    /// The line where it is.
    pub(crate) sequence: u64,
    pub(crate) message: String,
}

impl From<wire::VerifyAuditResponse> for Verified {
    fn from(message: wire::VerifyAuditResponse) -> Self {
        let fault = message.fault.map(|fault| {
            let kind = match fault.kind() {
                wire::audit_fault::Kind::Changed => "changed",
                wire::audit_fault::Kind::Gap => "gap",
                wire::audit_fault::Kind::CutOff => "cut_off",
                wire::audit_fault::Kind::AnotherHead => "another_head",
                wire::audit_fault::Kind::Unspecified => "unknown",
            };
            Fault { kind, sequence: fault.sequence, message: fault.message }
        });
        Verified { lines: message.lines, head: kept(&message.head.unwrap_or_default()), fault }
    }
}

/// A head as it is kept.
fn kept(head: &wire::AuditHead) -> String {
    format!("{}:{}", head.sequence, head.link)
}

pub(crate) fn verified_text(verified: &Verified) -> String {
    let whole = super::counted(verified.lines, "line is", "lines are");
    match &verified.fault {
        None => format!("{whole} whole; the head is {}", verified.head),
        Some(fault) => format!("the audit trail is broken: {}; before that {whole} whole", fault.message),
    }
}
