//! Time and ids from the system: the one place of muster that reads the clock and draws ids.

use muster_core::env::Env;
use muster_core::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The system's clock and random ids.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemEnv;

impl Env for SystemEnv {
    #[allow(clippy::disallowed_methods, reason = "this is the Env that everybody else takes the time from")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 counts as 1970: times are for people and for waiting, and prove nothing.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the Env that everybody else takes ids from")]
    fn new_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    fn random_below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { fastrand::u64(0..bound) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_of_nothing_is_answered() {
        assert_eq!(SystemEnv.random_below(0), 0);
        assert!((0..1_000).all(|_| SystemEnv.random_below(7) < 7));
    }

    #[test]
    fn the_clock_is_not_at_its_beginning_and_ids_differ() {
        assert!(SystemEnv.now().0 > 1_600_000_000_000);
        assert_ne!(SystemEnv.new_id(), SystemEnv.new_id());
    }
}
