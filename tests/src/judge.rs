//! The judge: whether a verdict agrees with the world's truth. Written from the words of the verdicts alone; it knows nothing
//! of how they are reached.

use muster_core::ids::SiteName;
use muster_core::reading::Instance;
use muster_core::verdict::{Doubt, Verdict};
use muster_worker::hypervisor::sim::world::Truth;

/// What is wrong with a verdict; none if it agrees with the truth.
#[must_use]
pub fn contradiction(verdict: Verdict, truth: &Truth, source: &SiteName, destination: &SiteName) -> Option<String> {
    let runs_at = |site: &SiteName| truth.runs_on().iter().any(|(at, _)| at == site);
    let memory_at = |site: &SiteName| {
        let whole = |instance: Instance| matches!(instance, Instance::Running | Instance::Paused | Instance::Incoming);
        truth.places.iter().any(|place| place.site == *site && whole(place.instance))
    };
    let agrees = match verdict {
        Verdict::NotStarted | Verdict::NotMigrated => !runs_at(destination),
        Verdict::HandedOver => !memory_at(source),
        Verdict::FullyMigrated => !runs_at(source),
        Verdict::MemoryLost => truth.runs_on().is_empty(),
        Verdict::SplitBrain => truth.runs_on().len() > 1,
        Verdict::Indeterminate(doubt) => match doubt {
            // Only memory that is, or may be, at the destination leaves two truths.
            Doubt::SourceSilent | Doubt::HandoverUnderWay => memory_at(destination),
            Doubt::DestinationSilent
            | Doubt::DestinationHostSilent
            | Doubt::RunsWithoutEvent
            | Doubt::EventWithoutVm
            | Doubt::SourceAfterEvent
            | Doubt::ForeignCopy
            | Doubt::AbandonedCopyRuns
            | Doubt::RecordsDisagree => true,
        },
    };
    (!agrees).then(|| format!("{verdict:?}, but runs on {:?}, paused on {:?}", truth.runs_on(), truth.paused_on()))
}

/// What may never be so of any VM, whatever happened; none if all is well.
#[must_use]
pub fn violation(truth: &Truth) -> Option<String> {
    let broken = [
        (truth.ran_twice, "ran twice at once"),
        (truth.ran_stale, "ran on stale memory or a stale disk"),
        (truth.ran_on_partial_disk, "was started from a partial disk"),
        (truth.disk_writers_max > 1, "its disk had two writers"),
        (truth.lost, "is lost"),
        (!truth.definition_intact, "its definition is not what it was"),
    ];
    let found: Vec<&str> = broken.iter().filter(|(is_so, _)| *is_so).map(|(_, what)| *what).collect();
    (!found.is_empty()).then(|| format!("VM {} ({}): {}", truth.vm, truth.name, found.join(", ")))
}
