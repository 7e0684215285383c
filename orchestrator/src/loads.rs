//! What every evacuation has under way, so that limits hold across all of them.

use muster_core::ids::EvacuationId;
use muster_core::schedule::{Admission, Load, Schedule};
use muster_core::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The loads of all evacuations that are driven here.
#[derive(Default)]
pub(crate) struct Loads {
    inner: Mutex<BTreeMap<EvacuationId, Place>>,
}

#[derive(Default)]
struct Place {
    load: Load,
    room: Arc<Notify>,
}

impl Loads {
    /// Takes part, and returns the bell that rings when another evacuation's load has changed.
    pub(crate) fn enter(&self, evacuation: EvacuationId) -> Arc<Notify> {
        Arc::clone(&self.places().entry(evacuation).or_default().room)
    }

    /// Takes part no more.
    pub(crate) fn leave(&self, evacuation: EvacuationId) {
        let mut places = self.places();
        places.remove(&evacuation);
        places.values().for_each(|place| place.room.notify_one());
    }

    /// Admits what fits beside all others, in one go, so that two evacuations never fill the same gap.
    pub(crate) fn admit(&self, evacuation: EvacuationId, schedule: &mut Schedule, now: Timestamp) -> Admission {
        let mut places = self.places();
        let mut elsewhere = Load::default();
        for (_, place) in places.iter().filter(|(other, _)| **other != evacuation) {
            elsewhere.add(&place.load);
        }
        let admission = schedule.admit(now, &elsewhere);
        let load = schedule.load();
        let place = places.entry(evacuation).or_default();
        if place.load != load {
            place.load = load;
            for (_, place) in places.iter().filter(|(other, _)| **other != evacuation) {
                place.room.notify_one();
            }
        }
        admission
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<EvacuationId, Place>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
