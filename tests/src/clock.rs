//! The clock of one process: right, unless a test puts it wrong or lets it run off. Only what a process reads of the time
//! goes wrong with it; its sleeps last as long as they should, as with a real machine's.

use muster_core::time::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Where a stage's clocks begin, in milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// A process's clock. It outlives the process: a restart mends no clock. A clone is the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    began: Instant,
    error: Arc<Mutex<Error>>,
}

/// How wrong it is.
#[derive(Debug, Clone, Copy)]
struct Error {
    ahead_ms: i64,
    since: Instant,
    gains_per_thousand: i64,
}

impl Clock {
    /// A right clock, of a stage that began then.
    #[must_use]
    pub fn right(began: Instant) -> Self {
        let error = Error { ahead_ms: 0, since: began, gains_per_thousand: 0 };
        Clock { began, error: Arc::new(Mutex::new(error)) }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let passed_ms = milliseconds(self.began.elapsed());
        let ahead_ms = self.ahead_ms();
        Timestamp((BEGINNING_MS + passed_ms).saturating_add_signed(ahead_ms))
    }

    /// Puts it forward, or back.
    pub fn jump(&self, by_ms: i64) {
        let ahead_ms = self.ahead_ms();
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        *error = Error { ahead_ms: ahead_ms + by_ms, since: Instant::now(), ..*error };
    }

    /// Lets it gain (or lose) so many milliseconds a second from now on.
    pub fn run_off(&self, gains_per_thousand: i64) {
        let ahead_ms = self.ahead_ms();
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        *error = Error { ahead_ms, since: Instant::now(), gains_per_thousand };
    }

    /// Puts it right.
    pub fn put_right(&self) {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        *error = Error { ahead_ms: 0, since: Instant::now(), gains_per_thousand: 0 };
    }

    fn ahead_ms(&self) -> i64 {
        let error = *self.error.lock().unwrap_or_else(PoisonError::into_inner);
        let passed_ms = i64::try_from(milliseconds(error.since.elapsed())).unwrap_or(i64::MAX);
        error.ahead_ms + passed_ms.saturating_mul(error.gains_per_thousand) / 1_000
    }
}

fn milliseconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[tokio::test(start_paused = true)]
async fn a_clock_is_wrong_as_told_and_right_again() {
    let clock = Clock::right(Instant::now());
    let shown_after = async |ms| {
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
        clock.now().0 - BEGINNING_MS
    };
    assert_eq!(shown_after(1_000).await, 1_000);
    clock.jump(5_000);
    assert_eq!(shown_after(1_000).await, 7_000);
    clock.run_off(-500);
    assert_eq!(shown_after(1_000).await, 7_500);
    clock.jump(-2_000);
    assert_eq!(shown_after(1_000).await, 6_000);
    clock.put_right();
    assert_eq!(shown_after(1_000).await, 5_000);
}
