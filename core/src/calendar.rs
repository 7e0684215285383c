//! When moves may begin: not before a start, in windows that come back each week, and never in a lockout. Pure; what is under way
//! when a window closes goes on.
//!
//! All times are UTC. It must never read a clock.

use crate::time::Timestamp;
use serde::Serialize;

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;
/// Most windows.
pub const WINDOWS_MAX: usize = 100;
/// Most lockouts.
pub const LOCKOUTS_MAX: usize = 100;
/// Most openings that are followed: with one a day, 27 years.
const OPENINGS_MAX: usize = 10_000;
/// Days of a week.
const WEEK: u64 = 7;
/// The day of the week of the first day of the Unix epoch, a Thursday, with Monday as 0.
const EPOCH_WEEKDAY: u64 = 3;

/// A time of day in which moves may begin, on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Whether it opens on each day of the week, Monday first.
    pub days: [bool; WEEK as usize],
    /// When it opens, in milliseconds of the day: below [`DAY_MS`].
    pub from_ms: u64,
    /// How long it is open, in milliseconds: 1 to [`DAY_MS`]; past midnight it is still that day's.
    pub length_ms: u64,
}

/// A time in which none may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lockout {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it; later than `from`.
    pub until: Timestamp,
}

/// When moves may begin. By default always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Calendar {
    /// Not before this.
    pub start_at: Option<Timestamp>,
    /// In any of these, at most [`WINDOWS_MAX`]; without any, all the time.
    pub windows: Vec<Window>,
    /// In none of these, at most [`LOCKOUTS_MAX`].
    pub lockouts: Vec<Lockout>,
}

impl Calendar {
    /// The first moment from `now` on at which a move may begin: `now` itself where it may. None where that is never, or not
    /// within decades.
    #[must_use]
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let mut at = self.start_at.map_or(now, |start_at| start_at.max(now));
        // Each round goes on past a lockout, or to an opening; the lockouts are finitely many.
        for _ in 0..=2 * LOCKOUTS_MAX + 1 {
            let locked = self.lockouts.iter().filter(|lockout| lockout.holds(at)).map(|lockout| lockout.until).max();
            if let Some(until) = locked {
                at = until;
                continue;
            }
            let opening = self.windows.iter().filter_map(|window| window.opens_at(at)).min();
            match opening {
                Some(opening) if opening > at => at = opening,
                Some(_) => return Some(at),
                None if self.windows.is_empty() => return Some(at),
                None => return None,
            }
        }
        None
    }

    /// Until when moves may begin that may begin at `at`. None: for ever.
    fn closes_at(&self, at: Timestamp) -> Option<Timestamp> {
        let lockout = self.lockouts.iter().map(|lockout| lockout.from).filter(|from| *from > at).min();
        let window = self.windows.iter().filter_map(|window| window.closes_at(at)).max();
        lockout.into_iter().chain(window).min()
    }

    /// Each stretch from `now` on in which moves may begin, with its end. The last has none.
    fn stretches(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Option<Timestamp>)> {
        let opening = self.opens_at(now);
        let stretch = move |from: Timestamp| (from, self.closes_at(from));
        let next = move |(_, until): &(Timestamp, Option<Timestamp>)| until.and_then(|until| self.opens_at(until));
        std::iter::successors(opening.map(stretch), move |last| next(last).map(stretch)).take(OPENINGS_MAX)
    }

    /// The moment after so many milliseconds, from `now` on, in which moves may begin. None where that is never, or not within decades.
    #[must_use]
    pub fn after_open_ms(&self, now: Timestamp, open_ms: u64) -> Option<Timestamp> {
        let mut left_ms = open_ms;
        for (from, until) in self.stretches(now) {
            let length_ms = until.map_or(u64::MAX, |until| until.since_ms(from));
            if left_ms < length_ms {
                return Some(from.plus_ms(left_ms));
            }
            left_ms -= length_ms;
        }
        None
    }

    /// For how many milliseconds moves may begin between `now` and then.
    #[must_use]
    pub fn open_ms(&self, now: Timestamp, then: Timestamp) -> u64 {
        let before = self.stretches(now).take_while(|(from, _)| *from < then);
        let length_ms =
            |(from, until): (Timestamp, Option<Timestamp>)| until.map_or(then, |until| until.min(then)).since_ms(from);
        before.map(length_ms).fold(0, u64::saturating_add)
    }
}

impl Window {
    /// When it is next open, from `at` on: at once where it is.
    fn opens_at(&self, at: Timestamp) -> Option<Timestamp> {
        if self.closes_at(at).is_some() {
            return Some(at);
        }
        let today = at.0 / DAY_MS;
        let openings = (today..=today.saturating_add(WEEK)).filter(|day| self.is_of(*day));
        openings.map(|day| self.opening(day)).find(|opening| *opening >= at)
    }

    /// When it closes that is open at `at`; none where it is closed then.
    fn closes_at(&self, at: Timestamp) -> Option<Timestamp> {
        let today = at.0 / DAY_MS;
        let of_day = |day: u64| {
            let closing = self.opening(day).plus_ms(self.length_ms);
            (self.is_of(day) && self.opening(day) <= at && at < closing).then_some(closing)
        };
        [today.checked_sub(1), Some(today)].into_iter().flatten().filter_map(of_day).max()
    }

    fn opening(&self, day: u64) -> Timestamp {
        Timestamp(day.saturating_mul(DAY_MS)).plus_ms(self.from_ms)
    }

    fn is_of(&self, day: u64) -> bool {
        let weekday = (day % WEEK + EPOCH_WEEKDAY) % WEEK;
        usize::try_from(weekday).ok().and_then(|weekday| self.days.get(weekday)).copied().unwrap_or(false)
    }
}

impl Lockout {
    fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}
