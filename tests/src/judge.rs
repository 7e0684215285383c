//! The judge: whether a verdict, or a move's end, agrees with the world's truth. Written from the words of the verdicts
//! alone; it knows nothing of how they are reached.

use muster_core::definition::Mode;
use muster_core::ids::SiteName;
use muster_core::reading::{Instance, Stored};
use muster_core::verdict::{Doubt, Verdict};
use muster_proto::v1 as pb;
use muster_worker::hypervisor::sim::world::{Ended, Place, Truth};

/// What is wrong with a verdict; none if it agrees with the truth.
#[must_use]
pub fn contradiction(
    verdict: Verdict,
    mode: Mode,
    truth: &Truth,
    source: &SiteName,
    destination: &SiteName,
) -> Option<String> {
    let runs_at = |site: &SiteName| truth.runs_on().iter().any(|(at, _)| at == site);
    let memory_at = |site: &SiteName| places_at(truth, site).any(holds_memory);
    let agrees = match verdict {
        Verdict::NotStarted | Verdict::NotMigrated => !runs_at(destination),
        Verdict::HandedOver => !memory_at(source),
        Verdict::FullyMigrated => !runs_at(source),
        Verdict::MemoryLost => truth.runs_on().is_empty(),
        Verdict::SplitBrain => truth.runs_on().len() > 1,
        Verdict::Indeterminate(doubt) => match doubt {
            // Only what is, or may be, whole at the destination leaves two truths.
            Doubt::SourceSilent | Doubt::HandoverUnderWay => may_have_arrived(mode, truth, destination),
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

/// What is wrong with how a move is shown to have ended; none if it agrees with the truth, or hasn't ended.
#[must_use]
pub fn wrong_end(a_move: &pb::Move, truth: &Truth, source: &SiteName, destination: &SiteName) -> Option<String> {
    let runs_on: Vec<SiteName> = truth.runs_on().into_iter().map(|(site, _)| site).collect();
    let stored = |site: &SiteName, kind: Stored| places_at(truth, site).any(|place| place.stored == kind);
    // Its owner's shutdown is nobody's to take back.
    let expected_to_run = a_move.mode != "off" && (a_move.mode != "live" || truth.ended != Some(Ended::ShutDown));
    let agrees = match a_move.state() {
        pb::MoveState::Migrated => {
            let runs_right = if expected_to_run { runs_on == [destination.clone()] } else { runs_on.is_empty() };
            runs_right && stored(destination, Stored::Real) && stored(source, Stored::Retired)
        }
        pb::MoveState::StayedAtSource => {
            let runs_right = if expected_to_run { runs_on == [source.clone()] } else { runs_on.is_empty() };
            runs_right && stored(source, Stored::Real) && places_at(truth, destination).next().is_none()
        }
        pb::MoveState::Waiting | pb::MoveState::Moving | pb::MoveState::Held | pb::MoveState::Unspecified => true,
    };
    (!agrees).then(|| format!("{} is shown as {:?}, but {truth:#?}", a_move.name, a_move.state()))
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

/// A host that has lost power can't be asked: what was sent there may be there. What moves by its disk may have arrived
/// as soon as that is good.
fn may_have_arrived(mode: Mode, truth: &Truth, destination: &SiteName) -> bool {
    places_at(truth, destination).any(|place| {
        let disk_is_here = mode != Mode::Live && place.disk_complete;
        holds_memory(place) || disk_is_here || !place.powered
    })
}

fn holds_memory(place: &Place) -> bool {
    match place.instance {
        Instance::Running | Instance::Paused | Instance::Incoming => true,
        Instance::Off(_) => false,
    }
}

fn places_at<'a>(truth: &'a Truth, site: &SiteName) -> impl Iterator<Item = &'a Place> {
    truth.places.iter().filter(move |place| place.site == *site)
}
