//! Judges roll calls, as `muster recover --output json` prints them, and the end, by the world's truth.

use crate::Outcome;
use crate::fleet::{DESTINATION, Ordered, SOURCE};
use muster_core::definition::Mode;
use muster_core::ids::{SiteName, VmId};
use muster_core::reading::{Instance, Stored};
use muster_core::verdict::{Doubt, Verdict};
use muster_tests::judge::contradiction;
use muster_worker::hypervisor::sim::world::Truth;
use serde_json::Value;
use std::collections::BTreeMap;

/// A roll call: a verdict a VM.
#[derive(Debug)]
pub(crate) struct RollCall {
    pub(crate) lines: BTreeMap<VmId, Verdict>,
    pub(crate) settled: bool,
    /// Recovery keeps its claim.
    pub(crate) claim_kept: bool,
    /// As it was printed.
    pub(crate) text: String,
}

impl RollCall {
    /// VMs of which the destination said nothing.
    pub(crate) fn unanswered(&self) -> usize {
        let silent = Verdict::Indeterminate(Doubt::DestinationSilent);
        self.lines.values().filter(|verdict| **verdict == silent).count()
    }

    /// Reads what was printed. A VM on two lines is an error.
    pub(crate) fn read(text: &str) -> Outcome<RollCall> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("no roll call: {error}: {text}"))?;
        let mut lines = BTreeMap::new();
        for line in value["lines"].as_array().ok_or("a roll call without lines")? {
            let vm = line["vm"].as_str().and_then(|vm| vm.parse().ok()).ok_or("a line without a VM")?;
            if lines.insert(vm, verdict(line)?).is_some() {
                return Err(format!("VM {vm} is on two lines of a roll call"));
            }
        }
        let is_so = |field: &str| value[field].as_bool().unwrap_or(false);
        let (settled, claim_kept) = (is_so("settled"), is_so("claim_kept"));
        Ok(RollCall { lines, settled, claim_kept, text: text.to_owned() })
    }
}

fn verdict(line: &Value) -> Outcome<Verdict> {
    let plain = [
        Verdict::NotStarted,
        Verdict::NotMigrated,
        Verdict::HandedOver,
        Verdict::FullyMigrated,
        Verdict::MemoryLost,
        Verdict::SplitBrain,
    ];
    let doubts = Doubt::ALL.into_iter().filter(|doubt| line["doubt"] == doubt.sentence()).map(Verdict::Indeterminate);
    let mut all = plain.into_iter().chain(doubts);
    all.find(|verdict| line["verdict"] == verdict.name()).ok_or_else(|| format!("no verdict that is known: {line}"))
}

/// What is wrong with a roll call. The world went on while it was made, so that only what no truth of that time bears
/// out is wrong.
pub(crate) fn wrong_verdicts(call: &RollCall, fleet: &[Ordered], times: &[Vec<Truth>]) -> Outcome<Vec<String>> {
    let mut wrong = Vec::new();
    for vm in fleet {
        let id = vm.spec.vm;
        let Some(verdict) = call.lines.get(&id) else {
            wrong.push(format!("{} is not on the roll", vm.spec.definition.name));
            continue;
        };
        let mut against = Vec::new();
        let mut bears_out = false;
        for truths in times {
            let truth = truths.iter().find(|truth| truth.vm == id).ok_or("the world has forgotten a VM")?;
            match disagreement(*verdict, vm.mode, truth)? {
                Some(how) => against.push(how),
                None => bears_out = true,
            }
        }
        if !bears_out {
            against.dedup();
            wrong.push(format!("{}: {}", vm.spec.definition.name, against.join("; then ")));
        }
    }
    let strangers = call.lines.keys().filter(|vm| fleet.iter().all(|one| one.spec.vm != **vm));
    wrong.extend(strangers.map(|vm| format!("VM {vm} is on the roll, but nobody ordered it")));
    Ok(wrong)
}

/// Beyond what contradicts a verdict: a VM that runs at the destination has its event, no memory is ever lost here,
/// and what runs only at one site leaves no doubt but a copy's that is whole or arriving.
fn disagreement(verdict: Verdict, mode: Mode, truth: &Truth) -> Outcome<Option<String>> {
    let (source, destination) = (site(SOURCE)?, site(DESTINATION)?);
    if let Some(how) = contradiction(verdict, mode, truth, &source, &destination) {
        return Ok(Some(how));
    }
    let runs_there = truth.runs_on().iter().any(|(at, _)| *at == destination);
    let retired = truth.places.iter().any(|place| place.site == source && place.stored == Stored::Retired);
    let arrived = runs_there || retired;
    let nothing_there = truth.places.iter().all(|place| place.site != destination);
    let is_right = match verdict {
        Verdict::FullyMigrated => !nothing_there,
        Verdict::HandedOver => !arrived && !nothing_there,
        // A worker that is just coming back has said nothing: any truth fits that. Whoever called the roll calls it again
        // until it is answered; at the end no doubt is allowed.
        Verdict::Indeterminate(Doubt::DestinationSilent) => true,
        Verdict::Indeterminate(_) => !arrived && !nothing_there,
        Verdict::NotStarted | Verdict::NotMigrated => !arrived,
        Verdict::MemoryLost => truth.memory_lost(),
        Verdict::SplitBrain => true,
    };
    Ok((!is_right).then(|| format!("{verdict:?}, but {:?}", truth.places)))
}

/// What isn't as a finished evacuation leaves a VM: at the destination, running if it ran, its memory carried along if
/// it was moved live, and a source copy that nobody can start.
pub(crate) fn wrong_end(vm: &Ordered, before: &Truth, truth: &Truth) -> Outcome<Vec<&'static str>> {
    let (source, destination) = (site(SOURCE)?, site(DESTINATION)?);
    let at_source = |place: &&muster_worker::hypervisor::sim::world::Place| place.site == source;
    let runs_on: Vec<SiteName> = truth.runs_on().into_iter().map(|(site, _)| site).collect();
    let is_home = truth.places.iter().any(|place| place.site == destination && place.stored == Stored::Real);
    let is_inert = truth.places.iter().filter(at_source).all(|place| {
        place.stored == Stored::Retired && !place.autostarts && matches!(place.instance, Instance::Off(_))
    });
    let runs_right = if vm.spec.runs { runs_on == [destination] } else { runs_on.is_empty() };
    let memory_right = vm.mode != Mode::Live || truth.memory_generation == before.memory_generation;
    let all = [
        (is_home, "is not defined at the destination"),
        (is_inert, "its source copy is not retired"),
        (runs_right, "does not run where it should"),
        (memory_right, "its memory was not carried along"),
        (!truth.places.iter().any(|place| place.job), "a job is still on it"),
    ];
    Ok(all.into_iter().filter(|(is_so, _)| !is_so).map(|(_, what)| what).collect())
}

fn site(name: &str) -> Outcome<SiteName> {
    name.parse().map_err(|error| format!("{name}: {error}"))
}

#[test]
fn the_judge_knows_right_from_wrong() {
    use muster_core::reading::OffCause;
    use muster_worker::hypervisor::sim::world::Place;
    let place = |site: &str, stored, instance| Place {
        site: site.parse().expect("a site"),
        host: format!("{site}-1").parse().expect("a host"),
        powered: true,
        reachable: true,
        stored,
        autostarts: false,
        instance,
        mark: None,
        job: false,
        generation: Some(1),
        stale: false,
        disk_complete: true,
        disk_stale: false,
        failure: None,
    };
    let truth = |places| Truth {
        vm: VmId(uuid::Uuid::nil()),
        name: "live-00".parse().expect("a name"),
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
    };
    let off = Instance::Off(OffCause::Migrated);
    let untouched = truth(vec![place(SOURCE, Stored::Real, Instance::Running)]);
    let arriving = truth(vec![
        place(SOURCE, Stored::Sealed, Instance::Running),
        place(DESTINATION, Stored::Placeholder, Instance::Incoming),
    ]);
    let over = truth(vec![place(SOURCE, Stored::Retired, off), place(DESTINATION, Stored::Real, Instance::Running)]);
    let doubt = Verdict::Indeterminate(Doubt::SourceSilent);
    let all = [
        (Verdict::NotStarted, [true, true, false]),
        (Verdict::NotMigrated, [true, true, false]),
        (Verdict::HandedOver, [false, false, false]),
        (Verdict::FullyMigrated, [false, false, true]),
        (Verdict::MemoryLost, [false, false, false]),
        (Verdict::SplitBrain, [false, false, false]),
        (doubt, [false, true, false]),
    ];
    for (verdict, right) in all {
        for (truth, is_right) in [&untouched, &arriving, &over].into_iter().zip(right) {
            let how = disagreement(verdict, Mode::Live, truth).expect("a judgement");
            assert_eq!(how.is_none(), is_right, "{verdict:?}: {how:?}, {truth:#?}");
        }
    }
}
