//! Compares verdicts with the world's own truth. Knows nothing of how a verdict is reached.
//!
//! A verdict is wrong if the truth contradicts it, and also if it is `Indeterminate` where only one truth fits what
//! can be seen. With the source lost, two truths fit only where the destination holds what the VM moves by, without an
//! event: memory, whole or arriving; of a cold or powered-off move, a complete disk.

use crate::output::demo::Wrong;
use crate::output::roll_call::Line;
use muster_core::ids::{SiteName, VmId};
use muster_core::reading::{Instance, Stored};
use muster_worker::hypervisor::sim::world::{Place, Truth};
use std::collections::{BTreeMap, BTreeSet};

/// What the roll call could see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sees {
    /// The destination alone; the source is silent.
    DestinationAlone,
    /// Both sites.
    Both,
}

/// What was ordered, as far as the judge has to know it.
#[derive(Debug, Clone)]
pub(super) struct Ordered {
    /// The site that is left.
    pub(super) source: SiteName,
    /// The VMs that are moved with their memory; all others move by their disks.
    pub(super) live: BTreeSet<VmId>,
}

/// Every verdict that the truth doesn't bear out, and every VM without exactly one.
pub(super) fn judge(when: &str, lines: &[Line], truths: &[Truth], ordered: &Ordered, sees: Sees) -> Vec<Wrong> {
    let mut by_vm: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        by_vm.entry(line.vm.clone()).or_default().push(line);
    }
    let mut wrong = Vec::new();
    for truth in truths {
        let facts = Facts::of(truth, ordered);
        let allowed = facts.allowed(sees);
        let verdict = match by_vm.remove(&truth.vm.to_string()).as_deref() {
            Some([line]) if allowed.contains(&line.verdict.as_str()) => continue,
            Some([line]) => line.verdict.clone(),
            Some(several) => format!("{} lines on the roll", several.len()),
            None => "not on the roll".to_owned(),
        };
        let allowed = allowed.into_iter().map(str::to_owned).collect();
        let (vm, name, truth) = (truth.vm.to_string(), truth.name.to_string(), facts.words());
        wrong.push(Wrong { when: when.to_owned(), vm, name, verdict, allowed, truth });
    }
    wrong.extend(by_vm.into_values().flatten().map(|line| Wrong {
        when: when.to_owned(),
        vm: line.vm.clone(),
        name: line.name.clone(),
        verdict: line.verdict.clone(),
        allowed: Vec::new(),
        truth: "the world has no such VM".to_owned(),
    }));
    wrong
}

/// VMs that are not where a finished evacuation leaves them: at the destination, running if they ever ran, with nothing at
/// the source that could start.
pub(super) fn not_arrived(truths: &[Truth], ordered: &Ordered) -> Vec<Wrong> {
    let strays = truths.iter().filter_map(|truth| {
        let facts = Facts::of(truth, ordered);
        let is_home = facts.real_at_destination && facts.runs_at_destination == truth.has_run;
        let is_inert = !facts.instance_at_source && !facts.real_at_source && !facts.sealed_at_source;
        (!is_home || !is_inert).then(|| Wrong {
            when: "at the end".to_owned(),
            vm: truth.vm.to_string(),
            name: truth.name.to_string(),
            verdict: "FullyMigrated".to_owned(),
            allowed: Vec::new(),
            truth: facts.words(),
        })
    });
    strays.collect()
}

/// What is true of one VM, as far as verdicts hang on it.
#[derive(Debug, Clone, Copy)]
struct Facts {
    running: usize,
    runs_at_source: bool,
    paused_at_source: bool,
    instance_at_source: bool,
    real_at_source: bool,
    sealed_at_source: bool,
    retired_at_source: bool,
    runs_at_destination: bool,
    whole_at_destination: bool,
    arriving_at_destination: bool,
    anything_at_destination: bool,
    real_at_destination: bool,
    off_and_real_at_destination: bool,
    disk_at_destination: bool,
    dark_at_destination: bool,
    moves_by_disk: bool,
    job: bool,
    memory_lost: bool,
}

impl Facts {
    fn of(truth: &Truth, ordered: &Ordered) -> Facts {
        let source = &ordered.source;
        let at_source = |fits: fn(&Place) -> bool| truth.places.iter().any(|at| at.site == *source && fits(at));
        let at_destination = |fits: fn(&Place) -> bool| truth.places.iter().any(|at| at.site != *source && fits(at));
        Facts {
            running: truth.runs_on().len(),
            runs_at_source: at_source(|at| at.instance == Instance::Running),
            paused_at_source: at_source(|at| at.instance == Instance::Paused),
            instance_at_source: at_source(|at| !matches!(at.instance, Instance::Off(_))),
            real_at_source: at_source(|at| at.stored == Stored::Real),
            sealed_at_source: at_source(|at| at.stored == Stored::Sealed),
            retired_at_source: at_source(|at| at.stored == Stored::Retired),
            runs_at_destination: at_destination(|at| at.instance == Instance::Running),
            whole_at_destination: at_destination(|at| at.instance == Instance::Paused),
            arriving_at_destination: at_destination(|at| at.instance == Instance::Incoming),
            anything_at_destination: at_destination(|_| true),
            real_at_destination: at_destination(|at| at.stored == Stored::Real),
            off_and_real_at_destination: at_destination(|at| {
                at.stored == Stored::Real && matches!(at.instance, Instance::Off(_))
            }),
            disk_at_destination: at_destination(|at| at.disk_complete),
            dark_at_destination: at_destination(|at| !at.powered),
            moves_by_disk: !ordered.live.contains(&truth.vm),
            job: truth.places.iter().any(|at| at.job),
            memory_lost: truth.memory_lost(),
        }
    }

    /// The verdicts that fit, given what could be seen.
    fn allowed(&self, sees: Sees) -> Vec<&'static str> {
        if self.running > 1 {
            return vec!["SplitBrain"];
        }
        // The event comes before it may run, and retiring comes after the event.
        if self.runs_at_destination || self.retired_at_source || self.off_and_real_at_destination {
            return vec!["FullyMigrated"];
        }
        if self.dark_at_destination {
            return vec!["NotMigrated", "MemoryLost", "Indeterminate"];
        }
        match sees {
            Sees::DestinationAlone => self.allowed_alone(),
            Sees::Both => self.allowed_to_both(),
        }
    }

    /// The source is silent.
    fn allowed_alone(&self) -> Vec<&'static str> {
        if self.whole_at_destination {
            // It may be the source's or the destination's; but with an event, which only the ledger shows, and no
            // instance at the source, it is the destination's.
            let may_have_event = !self.instance_at_source;
            return if may_have_event { vec!["Indeterminate", "FullyMigrated"] } else { vec!["Indeterminate"] };
        }
        if self.arriving_at_destination {
            return vec!["NotMigrated", "Indeterminate"];
        }
        let mut allowed = self.without_memory_at_destination();
        // The source may have let go of it for good, which only its own ledger shows.
        let may_be_handed_over = self.moves_by_disk && self.disk_at_destination;
        allowed.extend(may_be_handed_over.then_some("Indeterminate"));
        allowed
    }

    /// Nobody is silent: only a handover under way leaves a doubt.
    fn allowed_to_both(&self) -> Vec<&'static str> {
        let has_memory_there = self.whole_at_destination || self.arriving_at_destination;
        if !has_memory_there {
            let mut allowed = self.without_memory_at_destination();
            allowed.extend(self.may_be_gone_with_its_disk().then_some("HandedOver"));
            return allowed;
        }
        if self.job || self.paused_at_source {
            return vec!["NotMigrated", "Indeterminate"];
        }
        if self.runs_at_source {
            return vec!["NotMigrated"];
        }
        if self.whole_at_destination {
            vec!["HandedOver", "FullyMigrated"]
        } else {
            vec!["MemoryLost", "Indeterminate"]
        }
    }

    /// No memory is at the destination, so there is no doubt. A seal or a trace there means that it was begun.
    fn without_memory_at_destination(&self) -> Vec<&'static str> {
        let mut allowed = vec!["NotMigrated"];
        let untouched = !self.sealed_at_source && !self.anything_at_destination;
        allowed.extend(untouched.then_some("NotStarted"));
        allowed.extend(self.memory_lost.then_some("MemoryLost"));
        // Cold and powered-off moves: the event may stand before its definition does.
        allowed.extend(self.may_be_gone_with_its_disk().then_some("FullyMigrated"));
        allowed
    }

    fn may_be_gone_with_its_disk(&self) -> bool {
        self.moves_by_disk && !self.instance_at_source && self.sealed_at_source && self.disk_at_destination
    }

    fn words(&self) -> String {
        let facts = [
            (self.runs_at_source, "runs at the source"),
            (self.paused_at_source, "paused at the source"),
            (self.real_at_source, "can be started at the source"),
            (self.sealed_at_source, "sealed at the source"),
            (self.retired_at_source, "retired at the source"),
            (self.runs_at_destination, "runs at the destination"),
            (self.whole_at_destination, "whole and paused at the destination"),
            (self.arriving_at_destination, "memory arriving at the destination"),
            (self.real_at_destination, "defined at the destination"),
            (self.anything_at_destination, "a trace at the destination"),
            (self.job, "a job on it"),
            (self.memory_lost, "memory lost"),
        ];
        let words: Vec<&str> = facts.iter().filter(|(is_so, _)| *is_so).map(|(_, words)| *words).collect();
        words.join(", ")
    }
}
