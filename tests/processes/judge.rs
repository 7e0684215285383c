//! Judges roll calls and the end by the world's truth.

use crate::Outcome;
use crate::fleet::{DESTINATION, Ordered, SOURCE};
use muster_core::definition::Mode;
use muster_core::ids::SiteName;
use muster_core::reading::{Instance, Stored};
use muster_core::verdict::{Doubt, Verdict};
use muster_tests::judge::contradiction;
use muster_tests::roll_call::RollCall;
use muster_worker::hypervisor::sim::world::Truth;

/// How far a worker could be heard while the roll was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It was there and said that it works, whenever it was asked: at the begin, on the way and at the end.
    Working,
    /// Nobody asked it, or at some moment its process was dead, or had not said yet that it works.
    Away,
}

/// The time in which a roll was called: what was true in it, and who could be heard.
#[derive(Debug)]
pub(crate) struct Span {
    /// The truths, one after the other.
    pub(crate) times: Vec<Vec<Truth>>,
    pub(crate) source: Presence,
    pub(crate) destination: Presence,
}

impl Span {
    /// A moment in which both workers work.
    pub(crate) fn moment(truths: Vec<Truth>) -> Span {
        Span { times: vec![truths], source: Presence::Working, destination: Presence::Working }
    }
}

/// What is wrong with a roll call. The world went on while it was made, so that only what no moment of that time bears
/// out is wrong.
pub(crate) fn wrong_verdicts(call: &RollCall, fleet: &[Ordered], span: &Span) -> Outcome<Vec<String>> {
    let mut wrong = Vec::new();
    for vm in fleet {
        let id = vm.spec.vm;
        let Some(verdict) = call.lines.get(&id) else {
            wrong.push(format!("{} is not on the roll", vm.spec.definition.name));
            continue;
        };
        let truths: Option<Vec<&Truth>> =
            span.times.iter().map(|truths| truths.iter().find(|truth| truth.vm == id)).collect();
        let truths = truths.ok_or("the world has forgotten a VM")?;
        if let Some(how) = wrong_verdict(*verdict, vm.mode, &truths, span)? {
            wrong.push(format!("{}: {how}", vm.spec.definition.name));
        }
    }
    let strangers = call.lines.keys().filter(|vm| fleet.iter().all(|one| one.spec.vm != **vm));
    wrong.extend(strangers.map(|vm| format!("VM {vm} is on the roll, but nobody ordered it")));
    Ok(wrong)
}

/// What is wrong with one verdict, by the truths of its time, one after the other.
fn wrong_verdict(verdict: Verdict, mode: Mode, truths: &[&Truth], span: &Span) -> Outcome<Option<String>> {
    // A handover is over in less time than lies between two looks at the truth.
    let is_handover = matches!(verdict, Verdict::HandedOver | Verdict::Indeterminate(Doubt::HandoverUnderWay));
    let mut arrivals = Vec::new();
    let mut against = Vec::new();
    for truth in truths {
        match disagreement(verdict, mode, truth, span)? {
            Some(how) => against.push(how),
            None => return Ok(None),
        }
        arrivals.push(has_arrived(truth)?);
    }
    if is_handover && arrivals.windows(2).any(|pair| pair == [false, true]) {
        return Ok(None);
    }
    against.dedup();
    Ok(Some(against.join("; then ")))
}

/// Beyond what contradicts a verdict: a VM that runs at the destination has its event, no memory is ever lost here, and a
/// doubt is right only where two truths fit what could be heard. Nobody but muster touches a VM in this world and no host
/// of it falls silent, so all other doubts are wrong.
fn disagreement(verdict: Verdict, mode: Mode, truth: &Truth, span: &Span) -> Outcome<Option<String>> {
    let (source, destination) = (site(SOURCE)?, site(DESTINATION)?);
    if let Some(how) = contradiction(verdict, mode, truth, &source, &destination) {
        return Ok(Some(how));
    }
    let arrived = has_arrived(truth)?;
    let at = |site: &SiteName| truth.places.iter().filter(|place| place.site == *site).collect::<Vec<_>>();
    let nothing_there = at(&destination).is_empty();
    let source_is_off = at(&source).iter().all(|place| matches!(place.instance, Instance::Off(_)));
    let is_right = match verdict {
        Verdict::FullyMigrated => !nothing_there && source_is_off,
        Verdict::HandedOver => !arrived && !nothing_there,
        Verdict::Indeterminate(doubt) => match doubt {
            Doubt::DestinationSilent => span.destination == Presence::Away,
            Doubt::SourceSilent => span.source == Presence::Away && !arrived && !nothing_there,
            Doubt::HandoverUnderWay => !arrived && !nothing_there,
            Doubt::DestinationHostSilent
            | Doubt::RunsWithoutEvent
            | Doubt::EventWithoutVm
            | Doubt::SourceAfterEvent
            | Doubt::ForeignCopy
            | Doubt::AbandonedCopyRuns
            | Doubt::RecordsDisagree => false,
        },
        Verdict::NotStarted => nothing_there && !arrived,
        Verdict::NotMigrated => !arrived,
        Verdict::MemoryLost => truth.memory_lost(),
        Verdict::SplitBrain => true,
    };
    let heard = format!("source {:?}, destination {:?}", span.source, span.destination);
    Ok((!is_right).then(|| format!("{verdict:?} ({heard}), but {:?}", truth.places)))
}

/// Whether it is the destination's for good, as far as the world can show.
fn has_arrived(truth: &Truth) -> Outcome<bool> {
    let (source, destination) = (site(SOURCE)?, site(DESTINATION)?);
    let runs_there = truth.runs_on().iter().any(|(at, _)| *at == destination);
    let retired = truth.places.iter().any(|place| place.site == source && place.stored == Stored::Retired);
    Ok(runs_there || retired)
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

/// A live VM at its source, on its way, and arrived.
#[cfg(test)]
fn before_during_after() -> [Truth; 3] {
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
        vm: muster_core::ids::VmId(uuid::Uuid::nil()),
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
    [untouched, arriving, over]
}

#[test]
fn the_judge_knows_right_from_wrong() {
    let [untouched, arriving, over] = before_during_after();
    let all = [
        (Verdict::NotStarted, [true, false, false]),
        (Verdict::NotMigrated, [true, true, false]),
        (Verdict::HandedOver, [false, false, false]),
        (Verdict::FullyMigrated, [false, false, true]),
        (Verdict::MemoryLost, [false, false, false]),
        (Verdict::SplitBrain, [false, false, false]),
        (Verdict::Indeterminate(Doubt::HandoverUnderWay), [false, true, false]),
        (Verdict::Indeterminate(Doubt::SourceSilent), [false, false, false]),
        (Verdict::Indeterminate(Doubt::DestinationSilent), [false, false, false]),
        (Verdict::Indeterminate(Doubt::RunsWithoutEvent), [false, false, false]),
    ];
    let truths = [&untouched, &arriving, &over];
    let wrong = |verdict, truths: &[&Truth], source, destination| {
        let span = Span { times: Vec::new(), source, destination };
        wrong_verdict(verdict, Mode::Live, truths, &span).expect("a judgement").is_some()
    };
    let (here, away) = (Presence::Working, Presence::Away);
    for (verdict, right) in all {
        let judged = truths.map(|truth| !wrong(verdict, &[truth], here, here));
        assert_eq!(judged, right, "{verdict:?}");
    }
    // Silence is a reason only where somebody could not be heard.
    let silent = |doubt, source, destination| {
        truths.map(|truth| !wrong(Verdict::Indeterminate(doubt), &[truth], source, destination))
    };
    assert_eq!(silent(Doubt::DestinationSilent, here, away), [true, true, true]);
    assert_eq!(silent(Doubt::DestinationSilent, away, here), [false, false, false]);
    assert_eq!(silent(Doubt::SourceSilent, away, here), [false, true, false]);
    assert_eq!(silent(Doubt::SourceSilent, here, away), [false, false, false]);
    // What lies between two looks is borne out by both together, and only in their order.
    for verdict in [Verdict::HandedOver, Verdict::Indeterminate(Doubt::HandoverUnderWay)] {
        assert!(!wrong(verdict, &[&untouched, &over], here, here), "{verdict:?}");
        assert!(wrong(verdict, &[&over, &untouched], here, here), "{verdict:?}");
    }
    assert!(wrong(Verdict::SplitBrain, &[&untouched, &arriving, &over], here, here));
}
