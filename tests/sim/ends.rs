//! How an evacuation has to end: every VM where it is shown, as it was made, once.

use crate::fault::Side;
use crate::invariants::{isolated, none_lost, one_runner};
use crate::plan::Evacuation;
use crate::play::{End, Game};
use muster_core::definition::Mode;
use muster_core::ids::{SiteName, VmId};
use muster_core::reading::{Instance, Stored};
use muster_worker::hypervisor::sim::world::{Place, Truth};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a site may take to clear away what given-up attempts left.
const TIDIED_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Game {
    /// Judges every VM of the evacuation that is over, and counts.
    pub(crate) async fn judge_ends(
        &mut self,
        evacuation: &Evacuation,
        leaving: &BTreeSet<VmId>,
        ends: &BTreeMap<VmId, End>,
        before: &BTreeMap<VmId, Truth>,
    ) {
        let truths = self.once_tidied(leaving, ends).await;
        for truth in truths.values() {
            if let Some(what) = one_runner::breach(truth) {
                self.figures.ran_twice += 1;
                self.is_wrong("one_runner", format!("{} {what}: {truth:#?}", truth.name));
            }
            if let Some(what) = none_lost::breach(truth) {
                self.figures.lost += 1;
                self.is_wrong("none_lost", format!("{} {what}: {truth:#?}", truth.name));
            }
        }
        for vm in leaving {
            let end = ends.get(vm).copied().unwrap_or(End::Stayed);
            match end {
                End::Migrated => self.figures.migrated += 1,
                End::Stayed => self.figures.stayed += 1,
            }
            let truth = &truths[vm];
            if let Some(what) = self.wrong_end(truth, end) {
                self.is_wrong("explained", format!("{} is said to be {end:?}, but {what}: {truth:#?}", truth.name));
            }
            if none_lost::was_begun_anew(self.mode(*vm), &before[vm], truth, self.memory_may_be_lost) {
                self.is_wrong(
                    "none_lost",
                    format!("{} was begun anew though nothing had died: {truth:#?}", truth.name),
                );
            }
        }
        for vm in isolated::held_up(evacuation, |number| self.vm(number), ends, &self.attempts) {
            let what = format!("{} had no trouble of its own, and did not arrive at once", truths[&vm].name);
            self.is_wrong("isolated", what);
        }
    }

    /// The truth once nothing is left of given-up attempts, or when that has taken too long.
    async fn once_tidied(&self, leaving: &BTreeSet<VmId>, ends: &BTreeMap<VmId, End>) -> BTreeMap<VmId, Truth> {
        let begun = tokio::time::Instant::now();
        loop {
            let truths = self.stage.truth().await;
            let end = |vm: &VmId| ends.get(vm).copied().unwrap_or(End::Stayed);
            let is_tidy = leaving.iter().all(|vm| self.wrong_end(&truths[vm], end(vm)).is_none());
            if is_tidy || begun.elapsed() >= TIDIED_WITHIN {
                return truths;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What isn't as it ends so. What had lost its memory with its host is off until its owner starts it.
    fn wrong_end(&self, truth: &Truth, end: End) -> Option<&'static str> {
        let (home, other) = match end {
            End::Migrated => (self.site(Side::To), self.site(Side::From)),
            End::Stayed => (self.site(Side::From), self.site(Side::To)),
        };
        let runs_on: Vec<SiteName> = truth.runs_on().into_iter().map(|(site, _)| site).collect();
        let runs_right = match self.mode(truth.vm) {
            // Its host may have booted it.
            Mode::Off if self.memory_may_be_lost && !runs_on.is_empty() => runs_on == [home.clone()],
            Mode::Off => runs_on.is_empty(),
            Mode::Live | Mode::Cold if self.memory_may_be_lost && runs_on.is_empty() => truth.ended.is_some(),
            Mode::Live | Mode::Cold => runs_on == [home.clone()],
        };
        let at = |site: &SiteName| truth.places.iter().filter(|place| place.site == *site).collect::<Vec<&Place>>();
        let (at_home, elsewhere) = (at(&home), at(&other));
        let is_retired = |place: &&Place| {
            place.stored == Stored::Retired && !place.autostarts && matches!(place.instance, Instance::Off(_))
        };
        let original = &self.plan.vms[self.vms.iter().position(|vm| *vm == truth.vm)?];
        let real: Vec<&&Place> = at_home.iter().filter(|place| place.stored == Stored::Real).collect();
        let all = [
            (!runs_right, "it doesn't run where it should, or runs where it shouldn't"),
            (real.len() != 1, "its real definition isn't there once"),
            (real.iter().any(|place| place.autostarts != original.autostart), "its autostart isn't as it was"),
            (
                at_home.iter().any(|place| place.stored != Stored::Real && !is_retired(place)),
                "something else is there too",
            ),
            (!elsewhere.iter().all(is_retired), "what is at the other site isn't retired"),
            (end == End::Migrated && elsewhere.is_empty(), "no retired copy is kept at the other site"),
            (truth.places.iter().any(|place| place.job), "a job is on it"),
            (real.iter().any(|place| !place.disk_complete || place.disk_stale), "its disk isn't whole"),
        ];
        all.into_iter().find(|(is_so, _)| *is_so).map(|(_, what)| what)
    }
}
