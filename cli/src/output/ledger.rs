//! A ledger that was made anew.

use super::{counted, table};
use muster_core::ledger::rebuild::Gap;
use muster_core::ledger::{ArrivalRecord, SourceState, Standing, VmRow};
use serde::Serialize;
use std::collections::BTreeMap;

/// What was known again.
#[derive(Debug, Serialize)]
pub(crate) struct Remade {
    pub(crate) ledger: String,
    /// How many VMs stand how.
    pub(crate) rows: BTreeMap<&'static str, u64>,
    /// What could not be known.
    pub(crate) gaps: Vec<ShownGap>,
    /// Sites that were not asked, since they do not answer.
    pub(crate) silent_peers: Vec<String>,
    /// Hosts that were not looked at, since they do not answer.
    pub(crate) silent_hosts: Vec<String>,
}

/// Something that could not be known again.
#[derive(Debug, Serialize)]
pub(crate) struct ShownGap {
    #[serde(flatten)]
    pub(crate) gap: Gap,
    /// What the VM is called there.
    pub(crate) name: String,
    pub(crate) message: &'static str,
}

impl Remade {
    pub(crate) fn is_complete(&self) -> bool {
        self.gaps.is_empty() && self.silent_peers.is_empty() && self.silent_hosts.is_empty()
    }
}

/// How a row stands, in a few words.
pub(crate) fn standing(row: &VmRow) -> &'static str {
    match row.standing() {
        Some(Standing::Destination(at)) => match at.record {
            ArrivalRecord::Enrolled => "comes here, nothing of it is here yet",
            ArrivalRecord::Started(_) => "came here, its move is begun",
            ArrivalRecord::Closed(_) => "came here, its move is over",
            ArrivalRecord::Abandoned(_) | ArrivalRecord::Completed(_) => "came here",
        },
        Some(Standing::Source(at)) => match at.state {
            SourceState::Unsealed => "leaves here, not sealed",
            SourceState::Sealed { .. } => "leaves here, sealed",
            SourceState::Gone { .. } => "has left here",
            SourceState::Retired => "has left here, its copy is retired",
        },
        None => "unknown",
    }
}

/// For people.
pub(crate) fn text(remade: &Remade) -> String {
    let mut lines = Vec::new();
    let mut rows = table(["VMs", "What is known of them"]);
    for (standing, count) in &remade.rows {
        rows.row([count.to_string(), (*standing).to_owned()]);
    }
    lines.push(rows.to_string());
    if !remade.gaps.is_empty() {
        let mut gaps = table(["VM", "Host", "What could not be known again"]);
        for shown in &remade.gaps {
            gaps.row([shown.name.clone(), shown.gap.host.to_string(), shown.message.to_owned()]);
        }
        lines.push(gaps.to_string());
    }
    lines.extend(
        remade
            .silent_peers
            .iter()
            .map(|site| format!("site {site} does not answer: what only its ledger knows is missing")),
    );
    lines.extend(
        remade.silent_hosts.iter().map(|host| format!("host {host} does not answer: what it holds is missing")),
    );
    let vms: u64 = remade.rows.values().sum();
    lines.push(format!(
        "{}: made anew with {}; start the site's worker on it, then call the roll with muster recover",
        remade.ledger,
        counted(vms, "VM", "VMs")
    ));
    lines.join("\n")
}
