//! What preflight found.

use super::{given, span, table};
use muster_proto::v1 as wire;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most findings of one kind that a person is shown; the rest is counted.
const ROWS_OF_KIND_MAX: usize = 20;

/// A runbook, checked.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) source_site: String,
    pub(crate) destination_site: String,
    /// How many VMs would move; 0 if anything blocks.
    pub(crate) moves: u32,
    /// How long the source keeps retired copies without disks of their own; none for ever.
    pub(crate) retired_copies_kept_ms: Option<u64>,
    pub(crate) blocking: usize,
    pub(crate) warnings: usize,
    pub(crate) findings: Vec<Finding>,
}

/// One finding.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) vm: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) severity: &'static str,
    /// Stable, for programs.
    pub(crate) kind: String,
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) mend: String,
}

impl From<wire::CheckRunbookResponse> for Check {
    fn from(message: wire::CheckRunbookResponse) -> Self {
        let findings: Vec<Finding> = message.findings.into_iter().map(Finding::from).collect();
        let blocking = findings.iter().filter(|finding| finding.blocks()).count();
        Check {
            name: message.name,
            source_site: message.source_site,
            destination_site: message.destination_site,
            moves: message.moves,
            retired_copies_kept_ms: message.retired_copies_kept_ms,
            blocking,
            warnings: findings.len() - blocking,
            findings,
        }
    }
}

impl From<wire::Finding> for Finding {
    fn from(message: wire::Finding) -> Self {
        let severity = match message.severity() {
            // Of a newer orchestrator: what isn't known to be harmless isn't.
            wire::FindingSeverity::Blocking | wire::FindingSeverity::Unspecified => BLOCKING,
            wire::FindingSeverity::Warning => "warning",
        };
        Finding {
            vm: message.vm,
            name: given(&message.name),
            severity,
            kind: message.kind,
            what: message.what,
            why: message.why,
            mend: message.mend,
        }
    }
}

impl From<&muster_core::plan::Finding> for Finding {
    fn from(finding: &muster_core::plan::Finding) -> Self {
        wire::Finding::from(finding.clone()).into()
    }
}

const BLOCKING: &str = "blocking";

impl Finding {
    pub(crate) fn blocks(&self) -> bool {
        self.severity == BLOCKING
    }
}

/// A row a finding, then the sum.
pub(crate) fn text(check: &Check) -> String {
    let mut rows = table(["", "VM", "What", "Why it matters", "What to do"]);
    let mut shown: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for finding in &check.findings {
        let count = shown.entry((finding.severity, &finding.kind)).or_default();
        *count += 1;
        if *count <= ROWS_OF_KIND_MAX {
            let name = finding.name.clone().or_else(|| finding.vm.clone()).unwrap_or_default();
            rows.row([
                finding.severity.to_owned(),
                name,
                finding.what.clone(),
                finding.why.clone(),
                finding.mend.clone(),
            ]);
        }
    }
    let mut lines = Vec::new();
    if !check.findings.is_empty() {
        lines.push(rows.to_string());
    }
    for ((severity, kind), count) in shown.into_iter().filter(|(_, count)| *count > ROWS_OF_KIND_MAX) {
        lines.push(format!("{} more of {kind} ({severity}) with --output json", count - ROWS_OF_KIND_MAX));
    }
    let Check { name, source_site, destination_site, moves, blocking, warnings, .. } = check;
    let found = format!("blocking: {blocking}, warnings: {warnings}");
    lines.push(match blocking {
        0 => format!("{name}: ready, VMs to move from {source_site} to {destination_site}: {moves}; {found}"),
        _ => format!("{name}: not ready to leave {source_site} for {destination_site}; {found}"),
    });
    if let Some(kept_ms) = check.retired_copies_kept_ms {
        let kept = span(kept_ms);
        lines.push(format!("retired copies without disks of their own are deleted from {source_site} after {kept}"));
    }
    lines.join("\n")
}
