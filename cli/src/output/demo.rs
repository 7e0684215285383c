//! What the demonstration found.

use super::{roll_call::meaning, span, table};
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole demonstration, as one object.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Demo {
    /// The truth agreed both times, no VM ever ran twice, none was lost, and all have arrived.
    pub(crate) passed: bool,
    pub(crate) vms: u32,
    pub(crate) seed: u64,
    pub(crate) faults: bool,
    pub(crate) evacuation: String,
    /// At the end.
    pub(crate) migrated: u64,
    /// At the end: how many VMs have which verdict.
    pub(crate) verdicts: BTreeMap<String, u64>,
    /// With the source lost, from the destination alone; empty if nothing was broken.
    pub(crate) verdicts_source_lost: BTreeMap<String, u64>,
    /// With the source lost: how many VMs were held.
    pub(crate) held_source_lost: u64,
    /// After the source's return: recovery settled all that it held.
    pub(crate) settled_after_return: Option<bool>,
    /// Verdicts that the truth does not bear out, both times together.
    pub(crate) wrong_verdicts: u64,
    pub(crate) wrong: Vec<Wrong>,
    /// VMs of which two instances ever ran at once.
    pub(crate) ran_twice: u64,
    /// VMs that ran and are nowhere any more.
    pub(crate) lost: u64,
    /// VMs that ever ran on memory or disk older than what had run elsewhere.
    pub(crate) ran_stale: u64,
    /// VMs that were ever started from an incomplete disk.
    pub(crate) ran_on_partial_disk: u64,
    /// VMs whose definition is no longer the one they were made with.
    pub(crate) definition_changed: u64,
    /// How many processes were killed.
    pub(crate) kills: u64,
    pub(crate) kill_log: Vec<Kill>,
    pub(crate) elapsed_ms: u64,
    /// Where ledgers, journal, runbook and output were kept.
    pub(crate) kept_in: Option<String>,
}

/// A process that was killed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kill {
    pub(crate) what: &'static str,
    pub(crate) after_ms: u64,
    /// How many VMs had migrated by then.
    pub(crate) migrated: u32,
}

/// A verdict that the truth does not bear out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Wrong {
    pub(crate) when: String,
    pub(crate) vm: String,
    pub(crate) name: String,
    pub(crate) verdict: String,
    /// The verdicts that would have been right.
    pub(crate) allowed: Vec<String>,
    pub(crate) truth: String,
}

/// What came out, for people.
pub(crate) fn text(demo: &Demo) -> String {
    let mut lines = Vec::new();
    let mut verdicts = table(["Verdict at the end", "VMs", "What it means"]);
    for (verdict, count) in &demo.verdicts {
        verdicts.row([verdict.clone(), count.to_string(), meaning(verdict).to_owned()]);
    }
    lines.push(verdicts.to_string());
    if !demo.wrong.is_empty() {
        let mut wrong = table(["When", "VM", "Verdict", "Right would be", "The truth"]);
        for one in &demo.wrong {
            let Wrong { when, name, verdict, allowed, truth, .. } = one.clone();
            wrong.row([when, name, verdict, allowed.join(" or "), truth]);
        }
        lines.push(wrong.to_string());
    }
    lines.push(format!(
        "{} VMs, seed {}: {} migrated, {} processes killed, in {}",
        demo.vms,
        demo.seed,
        demo.migrated,
        demo.kills,
        span(demo.elapsed_ms)
    ));
    lines.push(format!(
        "by the world's truth: {} wrong verdicts, {} VMs ran twice, {} lost, {} ran stale, {} definitions changed",
        demo.wrong_verdicts, demo.ran_twice, demo.lost, demo.ran_stale, demo.definition_changed
    ));
    if let Some(directory) = &demo.kept_in {
        lines.push(format!("kept in {directory}"));
    }
    lines.push(if demo.passed { "passed: every VM is accounted for".to_owned() } else { "FAILED".to_owned() });
    lines.join("\n")
}
