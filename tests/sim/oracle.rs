//! The oracle: what may be said of a VM, by what was so while it was said. It knows the world's truth and what stands in the
//! destination's ledger, and takes for unknown what nobody could know: a site that was, or may have been, out of hearing.
//!
//! It is written from the words of the verdicts; how they are reached it doesn't know. The world goes on while a roll is
//! called, so that only what no moment of that time bears out is wrong.

use muster_core::definition::Mode;
use muster_core::ids::SiteName;
use muster_core::reading::{Instance, Stored};
use muster_core::verdict::{Doubt, Verdict};
use muster_tests::judge::contradiction;
use muster_worker::hypervisor::sim::world::{Place, Truth};

/// What was so of one VM while a verdict on it was reached.
#[derive(Debug, Clone)]
pub(crate) struct Seen<'a> {
    pub(crate) mode: Mode,
    /// One after the other.
    pub(crate) truths: Vec<&'a Truth>,
    /// The completion event stood when it began,
    pub(crate) event_before: bool,
    /// or stood by its end.
    pub(crate) event_by_then: bool,
    /// The source could be out of hearing at some moment.
    pub(crate) source_may_be_hidden: bool,
    pub(crate) destination_may_be_hidden: bool,
    pub(crate) source: &'a SiteName,
    pub(crate) destination: &'a SiteName,
}

/// What is wrong with the verdict; none if it may be so.
pub(crate) fn wrong(verdict: Verdict, seen: &Seen<'_>) -> Option<String> {
    let because = match verdict {
        Verdict::NotStarted | Verdict::NotMigrated => {
            if seen.event_before {
                Some("its event stood already")
            } else {
                seen.contradicted(verdict)
            }
        }
        Verdict::HandedOver => {
            if seen.event_before {
                Some("its event stood already")
            } else if !(seen.something_at_the_destination() || seen.event_by_then) {
                Some("nothing of it was at the destination")
            } else if seen.event_by_then {
                None
            } else {
                seen.contradicted(verdict)
            }
        }
        Verdict::FullyMigrated => {
            if seen.event_by_then {
                seen.contradicted(verdict)
            } else {
                Some("no event stood")
            }
        }
        Verdict::MemoryLost => {
            let is_whole_at_home = |truth: &&Truth| places(truth, seen.source).any(is_whole);
            if seen.event_before {
                Some("its event stood already")
            } else if seen.truths.iter().all(is_whole_at_home) {
                Some("its memory was whole at the source all the time")
            } else {
                seen.contradicted(verdict)
            }
        }
        Verdict::SplitBrain => seen.contradicted(verdict),
        Verdict::Indeterminate(doubt) => seen.needless(doubt),
    };
    because.map(|because| {
        let Seen { event_before, event_by_then, source_may_be_hidden, destination_may_be_hidden, .. } = seen;
        let places: Vec<&Vec<Place>> = seen.truths.iter().map(|truth| &truth.places).collect();
        format!(
            "{verdict:?}, but {because} (event before: {event_before}, by then: {event_by_then}, may be hidden: source \
             {source_may_be_hidden}, destination {destination_may_be_hidden}): {places:#?}"
        )
    })
}

impl Seen<'_> {
    /// No moment bears it out.
    fn contradicted(&self, verdict: Verdict) -> Option<&'static str> {
        let contradicts =
            |truth: &&Truth| contradiction(verdict, self.mode, truth, self.source, self.destination).is_some();
        self.truths.iter().all(contradicts).then_some("no moment of that time bears it out")
    }

    /// A doubt is right only where two truths fit what could be heard. Nobody but muster touches a VM here.
    fn needless(&self, doubt: Doubt) -> Option<&'static str> {
        let (is_right, why_not) = match doubt {
            Doubt::SourceSilent => {
                // Where the destination's hosts are out of hearing as well, nobody could know.
                let may_have_arrived = self.event_by_then
                    || self.destination_may_be_hidden
                    || self.contradicted(Verdict::Indeterminate(Doubt::SourceSilent)).is_none();
                (self.source_may_be_hidden && may_have_arrived, "the source could be heard, or nothing had arrived")
            }
            Doubt::DestinationSilent => (self.destination_may_be_hidden, "the destination could be heard"),
            Doubt::DestinationHostSilent => (self.destination_may_be_hidden, "the destination's hosts could be heard"),
            Doubt::HandoverUnderWay => {
                (self.something_at_the_destination() || self.event_by_then, "nothing of it was at the destination")
            }
            Doubt::RunsWithoutEvent
            | Doubt::EventWithoutVm
            | Doubt::SourceAfterEvent
            | Doubt::ForeignCopy
            | Doubt::AbandonedCopyRuns
            | Doubt::RecordsDisagree => (false, "nothing in this world makes that so"),
        };
        (!is_right).then_some(why_not)
    }

    /// At some moment the destination held something of this move. What an earlier one left there is retired.
    fn something_at_the_destination(&self) -> bool {
        let fresh = |place: &Place| place.stored != Stored::Retired;
        self.truths.iter().any(|truth| places(truth, self.destination).any(fresh))
    }
}

fn places<'a>(truth: &'a Truth, site: &SiteName) -> impl Iterator<Item = &'a Place> {
    truth.places.iter().filter(move |place| place.site == *site)
}

/// Its memory is whole there, and the newest.
fn is_whole(place: &Place) -> bool {
    matches!(place.instance, Instance::Running | Instance::Paused) && !place.stale
}
