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

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::reading::OffCause;

    const OFF: Instance = Instance::Off(OffCause::ShutDown);

    fn ordered(live: bool) -> Ordered {
        let live = if live { BTreeSet::from([VmId(uuid::Uuid::nil())]) } else { BTreeSet::new() };
        Ordered { source: "paris".parse().unwrap(), live }
    }

    fn place(site: &str, stored: Stored, instance: Instance) -> Place {
        Place {
            site: site.parse().unwrap(),
            host: format!("{site}-1").parse().unwrap(),
            powered: true,
            reachable: true,
            stored,
            autostarts: false,
            instance,
            mark: None,
            job: false,
            generation: None,
            stale: false,
            disk_complete: true,
            disk_stale: false,
            failure: None,
        }
    }

    fn truth(places: Vec<Place>) -> Truth {
        Truth {
            vm: VmId(uuid::Uuid::nil()),
            name: "web-1".parse().unwrap(),
            has_run: true,
            places,
            memory_generation: 1,
            ran_twice: false,
            disk_writers_max: 1,
            ran_stale: false,
            ran_on_partial_disk: false,
            ended: None,
            lost: false,
            definition_intact: true,
        }
    }

    fn line(verdict: &str) -> Line {
        Line {
            vm: uuid::Uuid::nil().to_string(),
            name: "web-1".to_owned(),
            verdict: verdict.to_owned(),
            doubt: None,
            step: String::new(),
            held_because: None,
            remedy: None,
            settled: true,
            as_of_ms: None,
            fenced: false,
            error: None,
        }
    }

    fn right(truth: &Truth, live: bool, sees: Sees) -> Vec<&'static str> {
        let all =
            ["NotStarted", "NotMigrated", "HandedOver", "FullyMigrated", "MemoryLost", "SplitBrain", "Indeterminate"];
        let is_right = |verdict: &&str| {
            judge("now", &[line(verdict)], std::slice::from_ref(truth), &ordered(live), sees).is_empty()
        };
        all.into_iter().filter(is_right).collect()
    }

    #[test]
    fn only_memory_at_the_destination_leaves_a_live_move_in_doubt() {
        let untouched = truth(vec![place("paris", Stored::Real, Instance::Running)]);
        assert_eq!(right(&untouched, true, Sees::DestinationAlone), ["NotStarted", "NotMigrated"]);
        let begun = vec![
            place("paris", Stored::Sealed, Instance::Running),
            place("berlin", Stored::Placeholder, Instance::Off(OffCause::ShutDown)),
        ];
        assert_eq!(right(&truth(begun), true, Sees::DestinationAlone), ["NotMigrated"]);
        let whole =
            vec![place("paris", Stored::Sealed, Instance::Running), place("berlin", Stored::Real, Instance::Paused)];
        assert_eq!(right(&truth(whole.clone()), true, Sees::DestinationAlone), ["Indeterminate"]);
        assert_eq!(right(&truth(whole), true, Sees::Both), ["NotMigrated"]);
    }

    #[test]
    fn a_complete_disk_leaves_a_cold_move_in_doubt_and_an_incomplete_one_does_not() {
        let mut places = vec![place("paris", Stored::Sealed, OFF), place("berlin", Stored::Placeholder, OFF)];
        let complete = truth(places.clone());
        assert_eq!(right(&complete, false, Sees::DestinationAlone), ["NotMigrated", "FullyMigrated", "Indeterminate"]);
        assert_eq!(right(&complete, false, Sees::Both), ["NotMigrated", "HandedOver", "FullyMigrated"]);
        assert_eq!(right(&complete, true, Sees::DestinationAlone), ["NotMigrated"]);
        places[1].disk_complete = false;
        assert_eq!(right(&truth(places), false, Sees::DestinationAlone), ["NotMigrated"]);
    }

    #[test]
    fn what_runs_at_the_destination_has_migrated_and_two_that_run_are_a_split_brain() {
        let arrived = vec![place("paris", Stored::Retired, OFF), place("berlin", Stored::Real, Instance::Running)];
        for sees in [Sees::DestinationAlone, Sees::Both] {
            assert_eq!(right(&truth(arrived.clone()), true, sees), ["FullyMigrated"]);
        }
        let two =
            vec![place("paris", Stored::Real, Instance::Running), place("berlin", Stored::Real, Instance::Running)];
        assert_eq!(right(&truth(two), true, Sees::Both), ["SplitBrain"]);
    }

    #[test]
    fn a_vm_without_exactly_one_line_is_wrong() {
        let truths = [truth(vec![place("paris", Stored::Real, Instance::Running)])];
        let wrong = |lines: &[Line]| judge("now", lines, &truths, &ordered(true), Sees::Both);
        assert_eq!(wrong(&[]).len(), 1);
        assert_eq!(wrong(&[line("NotStarted"), line("NotStarted")]).len(), 1);
        let stranger = Line { vm: "x".to_owned(), ..line("NotStarted") };
        assert_eq!(wrong(&[line("NotStarted"), stranger]).len(), 1);
    }

    #[test]
    fn a_copy_that_could_start_at_the_source_has_not_been_left_behind_properly() {
        let home = place("berlin", Stored::Real, Instance::Running);
        let ended = |source: Stored| truth(vec![place("paris", source, OFF), home.clone()]);
        assert!(not_arrived(&[ended(Stored::Retired)], &ordered(true)).is_empty());
        for source in [Stored::Real, Stored::Sealed] {
            assert_eq!(not_arrived(&[ended(source)], &ordered(true)).len(), 1);
        }
        let mut off = ended(Stored::Retired);
        off.places[1].instance = OFF;
        assert_eq!(not_arrived(&[off], &ordered(true)).len(), 1);
    }
}
