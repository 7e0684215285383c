//! Where orders meet the task that drives an evacuation. An order is in the journal before it is left here, and what
//! is left here only says where to look: whoever drives reads the journal again.

use muster_core::evacuation::Outlook;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::time::Timestamp;
use muster_core::token::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Whether a task drives the evacuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driven {
    /// One does, and looks at what is left for it.
    Yes,
    /// None does: it is over, or was never begun here.
    No,
}

/// One evacuation's seat.
pub(crate) struct Seat {
    /// Held while an order is journaled, and while the end is: so that no order falls between the two.
    pub(crate) driven: tokio::sync::Mutex<Driven>,
    pending: Mutex<Pending>,
    /// Rings when something was left.
    pub(crate) bell: Notify,
    live: Mutex<Live>,
    /// Whether everything that was left has been looked at, to its end.
    quiet: watch::Sender<bool>,
}

/// What a driver has to look at again.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The evacuation's status.
    pub(crate) status: bool,
    /// These moves, which a person wants tried again.
    pub(crate) moves: BTreeSet<VmId>,
    /// Moves whose own terms a person has changed.
    pub(crate) adjusted: BTreeSet<VmId>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        !self.status && self.moves.is_empty() && self.adjusted.is_empty()
    }
}

/// What people may want to know and no journal keeps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Live {
    /// Found when it was planned, in words.
    pub(crate) warnings: Vec<String>,
    /// What keeps it from going on now, in words.
    pub(crate) trouble: Option<String>,
    /// The claim that is held.
    pub(crate) epoch: Option<Epoch>,
    /// What is expected of what is left, once anything is known better than when it was planned.
    pub(crate) outlook: Option<Outlook>,
    /// Whether moves wait for the runbook's windows.
    pub(crate) windows: Windows,
}

/// Whether moves wait for the runbook's windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Windows {
    /// None does.
    #[default]
    Open,
    /// Until then.
    ClosedUntil(Timestamp),
    /// They never open again.
    ClosedForGood,
}

impl Seat {
    fn new() -> Self {
        Seat {
            driven: tokio::sync::Mutex::new(Driven::No),
            pending: Mutex::default(),
            bell: Notify::new(),
            live: Mutex::default(),
            quiet: watch::Sender::new(true),
        }
    }

    /// Has the driver look at the status, and at these moves.
    pub(crate) fn leave(&self, moves: impl IntoIterator<Item = VmId>) {
        {
            let mut pending = lock(&self.pending);
            pending.status = true;
            pending.moves.extend(moves);
        }
        self.quiet.send_replace(false);
        self.bell.notify_one();
    }

    /// Has the driver look at the terms, and at those of these moves.
    pub(crate) fn leave_terms(&self, moves: impl IntoIterator<Item = VmId>) {
        lock(&self.pending).adjusted.extend(moves);
        self.leave([]);
    }

    /// Takes what was left.
    pub(crate) fn take(&self) -> Pending {
        std::mem::take(&mut *lock(&self.pending))
    }

    pub(crate) fn has_pending(&self) -> bool {
        !lock(&self.pending).is_empty()
    }

    /// Says that nothing is under way that was asked for.
    pub(crate) fn is_quiet(&self) {
        if !self.has_pending() {
            self.quiet.send_if_modified(|quiet| !std::mem::replace(quiet, true));
        }
    }

    /// Tells whether everything that was left has been looked at, to its end.
    pub(crate) fn quiet(&self) -> watch::Receiver<bool> {
        self.quiet.subscribe()
    }

    pub(crate) fn live(&self) -> Live {
        lock(&self.live).clone()
    }

    pub(crate) fn warn(&self, warnings: Vec<String>) {
        lock(&self.live).warnings = warnings;
    }

    /// Says what keeps the evacuation from going on, or that nothing does.
    pub(crate) fn trouble(&self, trouble: Option<String>) {
        lock(&self.live).trouble = trouble;
    }

    /// Says what is expected of what is left.
    pub(crate) fn expect(&self, outlook: Outlook) {
        lock(&self.live).outlook = Some(outlook);
    }

    /// Says whether moves wait for the runbook's windows.
    pub(crate) fn windows(&self, windows: Windows) {
        lock(&self.live).windows = windows;
    }

    pub(crate) fn claimed(&self, epoch: Option<Epoch>) {
        lock(&self.live).epoch = epoch;
    }
}

/// The seats of all evacuations.
#[derive(Default)]
pub(crate) struct Seats {
    inner: Mutex<BTreeMap<EvacuationId, Arc<Seat>>>,
}

impl Seats {
    pub(crate) fn of(&self, evacuation: EvacuationId) -> Arc<Seat> {
        Arc::clone(lock(&self.inner).entry(evacuation).or_insert_with(|| Arc::new(Seat::new())))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
