//! The life of one process of a stage, and the points at which it can be made to end.
//!
//! Every durable write and every call that a process makes goes through a seam; each is a point, counted as it comes. A
//! plan names one of them and a moment. A dead process does nothing more: what it had under way never returns to it, its
//! connections are gone, and what had reached the outside stays done.

use crate::stage::Process;
use crate::trace::{Trace, What};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// When, at its point, a process is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Killed before the write or call takes effect.
    Before,
    /// Killed after it took effect, before it hears so.
    After,
    /// It lives, the call took effect, and its reply is lost.
    ReplyLost,
}

/// Where a process is to be hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// The count of its points, from 1.
    pub point: u64,
    /// When.
    pub moment: Moment,
}

/// A process's life.
#[derive(Debug, Clone)]
pub struct Life {
    ended: CancellationToken,
    struck: CancellationToken,
    hit: Arc<Mutex<Option<Hit>>>,
    counted: Arc<AtomicU64>,
    names: Arc<Mutex<Vec<&'static str>>>,
    traced: Option<(Process, Trace)>,
}

impl Life {
    /// A life that ends where `hit` says, or never by itself.
    #[must_use]
    pub fn new(hit: Option<Hit>) -> Self {
        Life {
            ended: CancellationToken::new(),
            struck: CancellationToken::new(),
            hit: Arc::new(Mutex::new(hit)),
            counted: Arc::new(AtomicU64::new(0)),
            names: Arc::new(Mutex::default()),
            traced: None,
        }
    }

    /// The same life, whose writes and calls are traced as this process's.
    #[must_use]
    pub fn traced(self, process: Process, trace: Trace) -> Self {
        Life { traced: Some((process, trace)), ..self }
    }

    /// It is to be hit at the point that comes so many after the ones passed so far.
    pub fn arm(&self, ahead: u64, moment: Moment) {
        let point = self.counted.load(Ordering::SeqCst) + ahead;
        *self.hit.lock().unwrap_or_else(PoisonError::into_inner) = Some(Hit { point, moment });
    }

    /// Whether it is still to be hit: at a point to come, or when an answer comes.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        let hit = *self.hit.lock().unwrap_or_else(PoisonError::into_inner);
        hit.is_some() && !self.struck.is_cancelled()
    }

    /// Where its writes and calls are traced, and as whose.
    pub(crate) fn trace(&self) -> Option<&(Process, Trace)> {
        self.traced.as_ref()
    }

    /// Traces something that it does.
    pub(crate) fn note(&self, what: impl FnOnce() -> What) {
        if let Some((process, trace)) = &self.traced {
            trace.add(*process, what());
        }
    }

    /// Ends it now.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits for its end.
    pub async fn until_ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits until it was hit where its plan says so. It lives on if only a reply was lost.
    pub async fn until_struck(&self) {
        self.struck.cancelled().await;
    }

    /// The names of the points passed so far, in order.
    #[must_use]
    pub fn points(&self) -> Vec<&'static str> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Passes a point: a write or call named `name`. `lost` is what the caller hears when its reply is lost; a point
    /// without one can't lose its reply.
    pub async fn point<T>(&self, name: &'static str, effect: impl Future<Output = T>, lost: Option<T>) -> T {
        if self.has_ended() {
            return std::future::pending().await;
        }
        let moment = self.pass(name);
        if moment == Some(Moment::Before) {
            self.strike(Moment::Before);
            return std::future::pending().await;
        }
        let outcome = effect.await;
        if let Some(moment) = moment {
            self.strike(moment);
        }
        if self.has_ended() {
            return std::future::pending().await;
        }
        match (moment, lost) {
            (Some(Moment::ReplyLost), Some(lost)) => lost,
            (Some(Moment::Before | Moment::After | Moment::ReplyLost) | None, _) => outcome,
        }
    }

    /// A call to another process is about to be sent. Returns the moment at which it is to be hit, if it is the one.
    pub(crate) fn begin_call(&self, name: &'static str) -> Option<Moment> {
        let moment = self.pass(name);
        if moment == Some(Moment::Before) {
            self.strike(Moment::Before);
        }
        moment
    }

    /// The answer came of the call that is to be hit.
    pub(crate) fn hit_answer(&self, moment: Moment) {
        self.strike(moment);
    }

    fn pass(&self, name: &'static str) -> Option<Moment> {
        let count = self.counted.fetch_add(1, Ordering::SeqCst) + 1;
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        let hit = *self.hit.lock().unwrap_or_else(PoisonError::into_inner);
        hit.filter(|hit| hit.point == count).map(|hit| hit.moment)
    }

    fn strike(&self, moment: Moment) {
        match moment {
            Moment::Before | Moment::After => self.end(),
            Moment::ReplyLost => {}
        }
        self.struck.cancel();
    }

    /// Something that changes nothing outside: it only stops returning once the process is dead.
    pub async fn alive<T>(&self, reading: impl Future<Output = T>) -> T {
        let outcome = reading.await;
        if self.has_ended() { std::future::pending().await } else { outcome }
    }
}
