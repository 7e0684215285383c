//! What hypervisors show of anybody's migrations.

use super::table;
use muster_core::inspect::{Inspection, Seen, Standing, Urgency};
use muster_core::reading::Stored;
use serde::Serialize;

/// Every VM that was seen, the most urgent first.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) vms: Vec<Inspection>,
    /// Hypervisors that could not be read, each with why.
    pub(crate) unread: Vec<String>,
}

impl Report {
    pub(crate) fn new(vms: Vec<Inspection>, unread: Vec<String>) -> Self {
        Report { vms, unread }
    }
}

/// A row a VM that needs a look, or a row each; then the sums.
pub(crate) fn text(report: &Report, all: bool) -> String {
    let mut lines: Vec<String> = report.unread.iter().map(|unread| format!("unknown: {unread}")).collect();
    let shown: Vec<&Inspection> = report.vms.iter().filter(|vm| all || vm.urgency != Urgency::Fine).collect();
    if !shown.is_empty() {
        let mut rows = table(["", "VM", "Stands", "Where", "What to look at next"]);
        for vm in &shown {
            rows.row([
                urgency(vm.urgency).to_owned(),
                vm.name.clone(),
                standing(vm.standing).to_owned(),
                vm.seen.iter().map(place).collect::<Vec<_>>().join("\n"),
                vm.next.join("\n"),
            ]);
        }
        lines.push(rows.to_string());
    }
    let count = |of: Urgency| report.vms.iter().filter(|vm| vm.urgency == of).count();
    let (alarms, others, fine) = (count(Urgency::Alarm), count(Urgency::Attention), count(Urgency::Fine));
    lines.push(format!("VMs seen: {}; alarms: {alarms}, to be looked at: {others}, fine: {fine}", report.vms.len()));
    lines.join("\n")
}

fn place(seen: &Seen) -> String {
    let stored = match seen.stored {
        Stored::Real => "",
        Stored::Nothing => ", transient",
        Stored::Placeholder => ", muster's placeholder",
        Stored::Arrived => ", arrived by muster and not committed",
        Stored::Sealed => ", sealed by muster",
        Stored::Retired => ", retired by muster",
    };
    let autostart = if seen.autostart { ", autostart" } else { "" };
    format!("{} {}: {}{stored}{autostart}", seen.side, seen.host, seen.words)
}

fn urgency(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::Alarm => "ALARM",
        Urgency::Attention => "look",
        Urgency::Fine => "",
    }
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::RunsTwice => "runs twice",
        Standing::Lost => "nobody runs it",
        Standing::PausedTwice => "paused twice",
        Standing::PausedOnce => "paused",
        Standing::Incomplete => "incomplete",
        Standing::Stopped => "ended by itself",
        Standing::Migrating => "migrating",
        Standing::RunsOnce => "runs once",
        Standing::ShutDown => "off",
        Standing::Inert => "inert copies only",
    }
}
