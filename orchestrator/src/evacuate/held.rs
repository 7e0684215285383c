//! When a held move is worth another look: when what can be seen of it differs from what it was held on.

use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::Standing;
use muster_core::reading::{Job, Sight, SiteReading};
use muster_core::step::Hold;
use muster_core::time::Timestamp;
use muster_recovery::link::{Connection, SiteLink};
use std::sync::Arc;
use std::time::Duration;

/// Least wait before a held move is looked at again.
pub(crate) const LOOK_AGAIN_MIN: Duration = Duration::from_millis(500);
/// Longest such wait, after several looks in a row that changed nothing.
pub(crate) const LOOK_AGAIN_MAX: Duration = Duration::from_secs(30);
/// How often a step that keeps failing, or a job that doesn't end, is looked at again though nothing seems to change.
pub(crate) const LOOKS_UNASKED_MAX: u32 = 5;

/// What can be seen of one VM, without what changes all the time or by looking itself: floors, clocks, progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    source: SideView,
    destination: SideView,
    claims: Option<Arc<Claims>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SideView {
    heard: bool,
    standing: Option<Standing>,
    sight: Option<Sight>,
    under_way: bool,
}

impl View {
    pub(super) fn of(evacuation: EvacuationId, vm: VmId, source: &SiteLink, destination: &SiteLink) -> Self {
        View {
            source: SideView::of(source, vm),
            destination: SideView::of(destination, vm),
            claims: destination.feed().claims(evacuation),
        }
    }
}

impl SideView {
    fn of(site: &SiteLink, vm: VmId) -> Self {
        let reading = site.feed().last_reading(vm);
        SideView {
            heard: site.feed().connection() == Connection::Up,
            standing: reading.as_deref().and_then(|reading| reading.standing.clone()),
            sight: reading.as_deref().map(steady),
            under_way: reading.is_some_and(|reading| reading.mutation_under_way),
        }
    }
}

fn steady(reading: &SiteReading) -> Sight {
    let mut sight = reading.sight.clone();
    for sighting in &mut sight.sightings {
        sighting.stood_still_ms = None;
        if let Some(job) = &mut sighting.job {
            *job = Job::in_phase(job.phase);
        }
    }
    sight
}

/// A held move, as it waits.
#[derive(Debug, Clone)]
pub(super) struct Held {
    hold: Hold,
    seen: View,
    /// How many looks in a row ended in this hold.
    looks: u32,
    /// When the next look is due, if one is.
    pub(super) look_at: Option<Timestamp>,
}

impl Held {
    /// Held after a look: `before` was seen when the look began, `after` when it ended.
    pub(super) fn new(earlier: Option<&Held>, hold: Hold, after: View) -> Self {
        let looks = earlier.filter(|earlier| earlier.hold == hold).map_or(1, |earlier| earlier.looks.saturating_add(1));
        Held { hold, seen: after, looks, look_at: None }
    }

    /// Whether another look is due by itself: something changed while it was looked at, what it was held on contradicts
    /// what the feeds say, or it may pass.
    pub(super) fn is_unsettled(&self, before: &View) -> bool {
        let may_pass = match self.hold {
            Hold::SourceSilent | Hold::RetireOwed => self.seen.source.heard,
            Hold::DestinationSilent => self.seen.destination.heard,
            Hold::StepFails | Hold::Overdue => self.looks <= LOOKS_UNASKED_MAX,
            Hold::DestinationHostSilent
            | Hold::LeftBehind
            | Hold::ColdStartNotAllowed
            | Hold::NoGoodDisk
            | Hold::SplitBrain
            | Hold::Contradiction
            | Hold::NotRunning
            | Hold::NotOff
            | Hold::NotOnRoll
            | Hold::ForeignCopy
            | Hold::NotReady
            | Hold::HandsOffFails => false,
        };
        may_pass || *before != self.seen
    }

    /// Whether something has changed since.
    pub(super) fn differs(&self, now: &View) -> bool {
        self.seen != *now
    }

    /// How long to wait before the next look, in milliseconds.
    pub(super) fn wait_ms(&self) -> u64 {
        let doubled = LOOK_AGAIN_MIN.saturating_mul(1 << self.looks.saturating_sub(1).min(16)).min(LOOK_AGAIN_MAX);
        u64::try_from(doubled.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn hold(&self) -> Hold {
        self.hold
    }
}
