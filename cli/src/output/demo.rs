//! What the demonstration found.

use super::{counted, roll_call::meaning, span, table};
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole demonstration, as one object.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Demo {
    /// The truth agreed both times, no VM ever ran twice, none was lost, all have arrived, and every planned fault fell
    /// into its moment.
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
    /// What was to be broken, in its order, and whether it was at its moment; empty if nothing was to be.
    pub(crate) planned_faults: Vec<Planned>,
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

/// A fault that belongs to the demonstration.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Planned {
    pub(crate) fault: &'static str,
    /// It fell into the moment that it was meant for, by the world's truth.
    pub(crate) happened: bool,
    /// VMs that had still to arrive.
    pub(crate) open: u64,
    /// Of these, those whose move had begun.
    pub(crate) begun: u64,
    /// Transfers, copies and shutdowns that were under way.
    pub(crate) transfers: u64,
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
        "{}, seed {}: {} migrated, {} killed, in {}",
        counted(u64::from(demo.vms), "VM", "VMs"),
        demo.seed,
        demo.migrated,
        counted(demo.kills, "process", "processes"),
        span(demo.elapsed_ms)
    ));
    lines.push(format!(
        "by the world's truth: {}, {} ran twice, {} lost, {} ran stale, {} changed",
        counted(demo.wrong_verdicts, "wrong verdict", "wrong verdicts"),
        counted(demo.ran_twice, "VM", "VMs"),
        demo.lost,
        demo.ran_stale,
        counted(demo.definition_changed, "definition", "definitions"),
    ));
    lines.extend(planned(&demo.planned_faults));
    if let Some(directory) = &demo.kept_in {
        lines.push(format!("kept in {directory}"));
    }
    lines.push(if demo.passed { "passed: every VM is accounted for".to_owned() } else { "FAILED".to_owned() });
    lines.join("\n")
}

/// Whether everything was broken that was to be.
fn planned(faults: &[Planned]) -> Vec<String> {
    let missed: Vec<&Planned> = faults.iter().filter(|planned| !planned.happened).collect();
    let summary = match (faults.len(), missed.len()) {
        (0, _) => return Vec::new(),
        (all, 0) => format!("all {all} planned faults fell into their moment"),
        (all, missed) => format!("{missed} of {all} planned faults missed their moment; try another seed or more VMs:"),
    };
    let each = missed.iter().map(|one| {
        format!(
            "  {}: {} had still to arrive, {} of them begun, {} under way",
            one.fault,
            counted(one.open, "VM", "VMs"),
            one.begun,
            counted(one.transfers, "transfer", "transfers")
        )
    });
    std::iter::once(summary).chain(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_missed_its_moment_is_told() {
        let fault = |happened| Planned { fault: "the worker killed", happened, open: 1, begun: 0, transfers: 0 };
        assert!(planned(&[]).is_empty());
        assert_eq!(planned(&[fault(true), fault(true)]), ["all 2 planned faults fell into their moment"]);
        let told = planned(&[fault(true), fault(false)]);
        assert!(told[0].starts_with("1 of 2 planned faults missed"), "{told:?}");
        assert_eq!(told[1], "  the worker killed: 1 VM had still to arrive, 0 of them begun, 0 transfers under way");
    }
}
