//! Time and ids that repeat: a clock of the stage, and numbers counted from a seed.

use crate::clock::Clock;
use muster_core::env::Env;
use muster_core::time::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// A process's time and ids.
#[derive(Debug)]
pub struct SimulatedEnv {
    clock: Clock,
    space: Uuid,
    drawn: AtomicU64,
}

impl SimulatedEnv {
    /// The env of one incarnation of a process.
    #[must_use]
    pub fn new(clock: Clock, seed: u64, process: &str, incarnation: u32) -> Self {
        let name = format!("{seed}/{process}/{incarnation}");
        SimulatedEnv { clock, space: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()), drawn: AtomicU64::new(0) }
    }

    fn draw(&self) -> Uuid {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        Uuid::new_v5(&self.space, &count.to_le_bytes())
    }
}

impl Env for SimulatedEnv {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn new_id(&self) -> Uuid {
        self.draw()
    }

    fn random_below(&self, bound: u64) -> u64 {
        let drawn = self.draw().as_u64_pair().0;
        if bound == 0 { 0 } else { drawn % bound }
    }
}
