//! A disk that is only imagined: what was synced lasts, what was written and not yet synced can be lost.
//!
//! It knows no ledger and no journal, starts no thread and reads no clock but the runtime's, so that a simulation
//! repeats. Writes are synced in the order in which they were made.

use crate::error::{Health, StoreError, Written};
use crate::pulse::Pulse;
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What a store keeps, and how a write changes it.
pub trait Contents: Clone + Default + Send + 'static {
    /// What one write changes.
    type Change: Clone + Send + 'static;
    /// Makes the change.
    fn apply(&mut self, change: Self::Change);
    /// The newest sequence number.
    fn newest(&self) -> u64;
}

/// How the next write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The disk is full: nothing is written, and the store stops.
    Full,
    /// The write is made and its sync fails: it is in doubt, and the store stops. [`Disk::crash`] says whether it
    /// survives; opened again without a crash, it is lost.
    Sync,
    /// Another program holds the lock: nothing is written, and the store goes on.
    Busy,
}

/// One store's disk. It outlives the handles that are opened on it; a clone is the same disk.
#[derive(Clone)]
pub struct Disk<C: Contents> {
    label: PathBuf,
    platter: Arc<Mutex<Platter<C>>>,
    /// Notified when a hold is released and when a handle dies.
    moved: Arc<Notify>,
}

struct Platter<C: Contents> {
    /// What was synced.
    durable: C,
    /// That, and every write since.
    written: C,
    /// The writes since, oldest first.
    unsynced: VecDeque<C::Change>,
    /// How many writes were ever synced.
    synced: u64,
    /// The handle that is open, counted from 1.
    open: Option<u64>,
    handles: u64,
    pulse: Option<Arc<Pulse>>,
    held: bool,
    delay: Duration,
    next: Option<Failure>,
}

impl<C: Contents> Disk<C> {
    /// An empty disk. Errors call it by this label.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let platter = Platter {
            durable: C::default(),
            written: C::default(),
            unsynced: VecDeque::new(),
            synced: 0,
            open: None,
            handles: 0,
            pulse: None,
            held: false,
            delay: Duration::ZERO,
            next: None,
        };
        Disk { label: PathBuf::from(label), platter: Arc::new(Mutex::new(platter)), moved: Arc::new(Notify::new()) }
    }

    /// Another disk with what was synced on this one up to now, as a backup has it.
    #[must_use]
    pub fn copy(&self, label: &str) -> Self {
        let copy = Disk::new(label);
        {
            let mut platter = copy.platter();
            platter.durable = self.durable();
            platter.written = platter.durable.clone();
        }
        copy
    }

    /// Makes every sync take this long, by the runtime's clock. Zero, as it is at first, syncs at once.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.platter().delay = delay;
    }

    /// Lets no write be synced, and so none be acknowledged, until [`Disk::release`].
    pub fn hold(&self) {
        self.platter().held = true;
    }

    /// Ends a hold; those who wait are answered in the order of their writes.
    pub fn release(&self) {
        self.platter().held = false;
        self.moved.notify_waiters();
    }

    /// How many writes are not synced, and so would be lost by a crash.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.platter().unsynced.len()
    }

    /// The machine dies: the open handle is dead, whoever waits on it gets an error of class `Unknown`, and what was
    /// not synced is lost, but for the oldest `kept` writes, which the disk happened to have already. Acknowledged
    /// writes were synced and are never lost. Open it again to go on.
    pub fn crash(&self, kept: usize) {
        {
            let mut platter = self.platter();
            platter.sync_oldest(kept);
            platter.forget_unsynced();
            platter.open = None;
            if let Some(pulse) = platter.pulse.take() {
                pulse.fail(StoreError::Closed { path: self.label.clone() });
            }
        }
        self.moved.notify_waiters();
    }

    /// Makes the next write fail.
    pub fn fail_next(&self, failure: Failure) {
        self.platter().next = Some(failure);
    }

    /// Ends every fault that is under way or still to come: no hold, no delay, no failure of the next write.
    pub fn calm(&self) {
        {
            let mut platter = self.platter();
            (platter.held, platter.delay, platter.next) = (false, Duration::ZERO, None);
        }
        self.moved.notify_waiters();
    }

    /// Whether its open store takes no more work.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.platter().pulse.as_ref().is_some_and(|pulse| !pulse.health().is_working())
    }

    /// What was synced.
    pub(super) fn durable(&self) -> C {
        self.look(C::clone)
    }

    /// Looks at what was synced, whatever the store that is open on it may still tell.
    pub(super) fn look<T>(&self, looking: impl FnOnce(&C) -> T) -> T {
        looking(&self.platter().durable)
    }

    pub(super) fn open(&self) -> Result<Handle<C>, StoreError> {
        let mut platter = self.platter();
        if platter.open.is_some() {
            return Err(StoreError::InUse { path: self.label.clone() });
        }
        platter.forget_unsynced();
        platter.handles += 1;
        platter.open = Some(platter.handles);
        let pulse = Arc::new(Pulse::new(platter.durable.newest()));
        platter.pulse = Some(Arc::clone(&pulse));
        Ok(Handle { disk: self.clone(), number: platter.handles, pulse })
    }

    fn platter(&self) -> MutexGuard<'_, Platter<C>> {
        // A panic in a change is a flaw that its simulation has reported already.
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Contents> fmt::Debug for Disk<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Disk").field("label", &self.label).finish_non_exhaustive()
    }
}

impl<C: Contents> Platter<C> {
    fn sync_oldest(&mut self, most: usize) {
        for _ in 0..most {
            let Some(change) = self.unsynced.pop_front() else { return };
            self.durable.apply(change);
            self.synced += 1;
        }
    }

    fn sync_up_to(&mut self, write: u64) {
        self.sync_oldest(usize::try_from(write.saturating_sub(self.synced)).unwrap_or(usize::MAX));
    }

    fn forget_unsynced(&mut self) {
        self.unsynced.clear();
        self.written = self.durable.clone();
    }

    fn write(&mut self, change: C::Change) -> u64 {
        self.written.apply(change.clone());
        self.unsynced.push_back(change);
        self.synced + self.unsynced.len() as u64
    }
}

/// A disk that is open.
#[derive(Debug)]
pub(super) struct Handle<C: Contents> {
    disk: Disk<C>,
    number: u64,
    pub(super) pulse: Arc<Pulse>,
}

impl<C: Contents> Handle<C> {
    /// Makes a reading of what is durable.
    pub(super) fn read<T>(&self, reading: impl FnOnce(&C) -> T) -> Result<T, StoreError> {
        self.pulse.readable()?;
        Ok(reading(&self.disk.platter().durable))
    }

    /// Makes a change on top of what was written, and returns once it is synced.
    pub(super) async fn write<A>(&self, make: impl FnOnce(&C) -> (C::Change, A)) -> Result<A, StoreError> {
        let (write, delay, answer) = self.begin(make)?;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.wait_until_synced(write).await?;
        Ok(answer)
    }

    fn begin<A>(&self, make: impl FnOnce(&C) -> (C::Change, A)) -> Result<(u64, Duration, A), StoreError> {
        self.pulse.working()?;
        let mut platter = self.disk.platter();
        let path = self.disk.label.clone();
        if platter.open != Some(self.number) {
            return Err(StoreError::Closed { path });
        }
        match platter.next.take() {
            None => {
                let (change, answer) = make(&platter.written);
                Ok((platter.write(change), platter.delay, answer))
            }
            Some(Failure::Busy) => Err(StoreError::Busy { path }),
            Some(Failure::Full) => {
                let error = StoreError::Full { path, written: Written::Nothing };
                Err(self.stop(&mut platter, error))
            }
            Some(Failure::Sync) => {
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
                let source = Arc::new(rusqlite::Error::SqliteFailure(code, None));
                let error = self.stop(&mut platter, StoreError::Engine { path, written: Written::InDoubt, source });
                let (change, _) = make(&platter.written);
                platter.write(change);
                Err(error)
            }
        }
    }

    /// Stops the store. The writes before this one had their turn before it.
    fn stop(&self, platter: &mut Platter<C>, error: StoreError) -> StoreError {
        platter.sync_oldest(usize::MAX);
        self.pulse.durable_up_to(platter.durable.newest());
        self.pulse.fail(error.clone());
        self.disk.moved.notify_waiters();
        error
    }

    async fn wait_until_synced(&self, write: u64) -> Result<(), StoreError> {
        loop {
            let mut moved = std::pin::pin!(self.disk.moved.notified());
            // Registered before looking, so that no change falls in between.
            moved.as_mut().enable();
            {
                let mut platter = self.disk.platter();
                if platter.open != Some(self.number) {
                    return Err(StoreError::Closed { path: self.disk.label.clone() });
                }
                // A store that has stopped syncs nothing more: what it had before is synced already.
                if !platter.held && self.pulse.health().is_working() {
                    platter.sync_up_to(write);
                    self.pulse.durable_up_to(platter.durable.newest());
                }
                if platter.synced >= write {
                    return Ok(());
                }
            }
            moved.await;
        }
    }
}

impl<C: Contents> Drop for Handle<C> {
    /// An orderly end: what was written is synced, unless the store has failed.
    fn drop(&mut self) {
        let mut platter = self.disk.platter();
        if platter.open != Some(self.number) {
            return;
        }
        match self.pulse.health() {
            Health::Working => platter.sync_oldest(usize::MAX),
            Health::Failed(_) => {}
        }
        platter.open = None;
        platter.pulse = None;
    }
}
