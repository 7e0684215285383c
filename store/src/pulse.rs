//! The pulse of an open store: the newest sequence number that is durable, and whether the store takes work.
//!
//! Whoever waits is woken in the order of waiting, so that simulations repeat. It touches no file.

use crate::error::{Health, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Pulse {
    beat: Mutex<Beat>,
    notify: Notify,
}

#[derive(Debug)]
struct Beat {
    newest: u64,
    health: Health,
}

impl Pulse {
    pub(crate) fn new(newest: u64) -> Self {
        Pulse { beat: Mutex::new(Beat { newest, health: Health::Working }), notify: Notify::new() }
    }

    /// Waits until something after `sequence` is durable; ends with an error once the store takes no more work.
    pub(crate) async fn wait_past(&self, sequence: u64) -> Result<u64, StoreError> {
        loop {
            let mut notified = std::pin::pin!(self.notify.notified());
            // Registered before looking, so that no change falls in between.
            notified.as_mut().enable();
            let newest = self.newest();
            if newest > sequence {
                return Ok(newest);
            }
            self.working()?;
            notified.await;
        }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.beat().newest
    }

    pub(crate) fn health(&self) -> Health {
        self.beat().health.clone()
    }

    /// Refuses once the store has failed.
    pub(crate) fn working(&self) -> Result<(), StoreError> {
        match self.health() {
            Health::Working => Ok(()),
            Health::Failed(because) => Err(StoreError::Stopped { because: Arc::new(because) }),
        }
    }

    /// Refuses where a reading could later turn out untrue.
    pub(crate) fn readable(&self) -> Result<(), StoreError> {
        match self.health() {
            Health::Failed(because) if because.leaves_doubt() => {
                Err(StoreError::Stopped { because: Arc::new(because) })
            }
            Health::Failed(_) | Health::Working => Ok(()),
        }
    }

    pub(crate) fn durable_up_to(&self, newest: u64) {
        self.beat().newest = newest;
        self.notify.notify_waiters();
    }

    /// The first failure stands.
    pub(crate) fn fail(&self, error: StoreError) {
        {
            let mut beat = self.beat();
            if beat.health.is_working() {
                tracing::error!(%error, "the store takes no more work");
                beat.health = Health::Failed(error);
            }
        }
        self.notify.notify_waiters();
    }

    fn beat(&self) -> MutexGuard<'_, Beat> {
        // Nothing can panic while it is held, and both fields are whole at any time.
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
