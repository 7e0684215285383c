//! The life of one process of a stage, and the points at which it can be made to end.
//!
//! Every durable write and every call that a process makes goes through a seam; each is a point, counted as it comes. A
//! plan names some of them, each with a moment. A dead process does nothing more: what it had under way never returns to it,
//! its connections are gone, and what had reached the outside stays done.

use crate::stage::Process;
use crate::trace::{Trace, What};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// The order in which the lives that share it pass their points and are hit. A clone is the same order.
#[derive(Debug, Clone, Default)]
pub struct Order(Arc<AtomicU64>);

impl Order {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A process's life.
#[derive(Debug, Clone)]
pub struct Life {
    ended: CancellationToken,
    struck: CancellationToken,
    order: Order,
    course: Arc<Mutex<Course>>,
    traced: Option<(Process, Trace)>,
}

/// What is to come and what was.
#[derive(Debug, Default)]
struct Course {
    /// Those to come, and those whose answer is waited for.
    hits: Vec<Hit>,
    /// The points passed, each with its place in the order.
    passed: Vec<(u64, &'static str)>,
    /// The places in the order at which it was hit.
    struck: Vec<u64>,
}

impl Life {
    /// A life that is hit where `hits` say, and otherwise never ends by itself.
    #[must_use]
    pub fn new(hits: impl IntoIterator<Item = Hit>) -> Self {
        let course = Course { hits: hits.into_iter().collect(), ..Course::default() };
        Life {
            ended: CancellationToken::new(),
            struck: CancellationToken::new(),
            order: Order::default(),
            course: Arc::new(Mutex::new(course)),
            traced: None,
        }
    }

    /// The same life, in one order with others.
    #[must_use]
    pub fn ordered(self, order: Order) -> Self {
        Life { order, ..self }
    }

    /// The same life, whose writes and calls are traced as this process's.
    #[must_use]
    pub fn traced(self, process: Process, trace: Trace) -> Self {
        Life { traced: Some((process, trace)), ..self }
    }

    /// It is to be hit at the point that comes so many after the ones passed so far.
    pub fn arm(&self, ahead: u64, moment: Moment) {
        let mut course = self.course();
        let point = course.passed.len() as u64 + ahead;
        course.hits = vec![Hit { point, moment }];
    }

    /// It is hit no more.
    pub fn spare(&self) {
        self.course().hits.clear();
    }

    /// Whether it is still to be hit: at a point to come, or when an answer comes.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        !self.course().hits.is_empty()
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

    /// Waits until it was hit for the first time where its plan says so. It lives on if only a reply was lost.
    pub async fn until_struck(&self) {
        self.struck.cancelled().await;
    }

    /// The names of the points passed so far, in order.
    #[must_use]
    pub fn points(&self) -> Vec<&'static str> {
        self.course().passed.iter().map(|(_, name)| *name).collect()
    }

    /// The counts and names of the points passed so far that come after this place in the order.
    #[must_use]
    pub fn points_after(&self, place: u64) -> Vec<(u64, &'static str)> {
        let course = self.course();
        let counted = course.passed.iter().zip(1..).filter(|((passed, _), _)| *passed > place);
        counted.map(|((_, name), count)| (count, *name)).collect()
    }

    /// The places in the order at which it was hit so far.
    #[must_use]
    pub fn strikes(&self) -> Vec<u64> {
        self.course().struck.clone()
    }

    /// Passes a point: a write or call named `name`. `lost` is what the caller hears when its reply is lost; a point
    /// without one can't lose its reply.
    pub async fn point<T>(&self, name: &'static str, effect: impl Future<Output = T>, lost: Option<T>) -> T {
        if self.has_ended() {
            return std::future::pending().await;
        }
        let hit = self.pass(name);
        if let Some(hit) = hit.filter(|hit| hit.moment == Moment::Before) {
            self.strike(hit);
            return std::future::pending().await;
        }
        let outcome = effect.await;
        if let Some(hit) = hit {
            self.strike(hit);
        }
        if self.has_ended() {
            return std::future::pending().await;
        }
        match (hit.map(|hit| hit.moment), lost) {
            (Some(Moment::ReplyLost), Some(lost)) => lost,
            (Some(Moment::Before | Moment::After | Moment::ReplyLost) | None, _) => outcome,
        }
    }

    /// A call to another process is about to be sent. Returns how it is to be hit, if it is one.
    pub(crate) fn begin_call(&self, name: &'static str) -> Option<Hit> {
        let hit = self.pass(name);
        if let Some(hit) = hit.filter(|hit| hit.moment == Moment::Before) {
            self.strike(hit);
        }
        hit
    }

    /// The answer came of the call that is to be hit.
    pub(crate) fn hit_answer(&self, hit: Hit) {
        self.strike(hit);
    }

    fn pass(&self, name: &'static str) -> Option<Hit> {
        let place = self.order.next();
        let mut course = self.course();
        course.passed.push((place, name));
        let count = course.passed.len() as u64;
        course.hits.iter().copied().find(|hit| hit.point == count)
    }

    /// Hits it, unless it was spared meanwhile.
    fn strike(&self, hit: Hit) {
        let place = self.order.next();
        let mut course = self.course();
        let Some(planned) = course.hits.iter().position(|planned| *planned == hit) else { return };
        course.hits.remove(planned);
        course.struck.push(place);
        drop(course);
        match hit.moment {
            Moment::Before | Moment::After => self.end(),
            Moment::ReplyLost => {}
        }
        self.struck.cancel();
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that changes nothing outside: it only stops returning once the process is dead.
    pub async fn alive<T>(&self, reading: impl Future<Output = T>) -> T {
        let outcome = reading.await;
        if self.has_ended() { std::future::pending().await } else { outcome }
    }
}
