//! One suite that every [`Hypervisor`] passes: what muster's safety hangs on, shown on a running VM and two sites.
//!
//! It changes and removes the VMs that its [`Fixture`] gives it, and nothing else.

mod cases;
mod stage;

pub use stage::{Stage, Subject};

use crate::hypervisor::{Hypervisor, HypervisorError};
use async_trait::async_trait;
use cases::Case;

/// How often the suite looks again while it waits, in milliseconds.
pub const LOOK_EVERY_MS: u64 = 20;

/// How long it waits for a job or a guest, in milliseconds.
pub const WAIT_MAX_MS: u64 = 120_000;

/// Gives the suite what it works on.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Two linked sites, and on the first a VM of this kind that runs, unmarked and with autostart on. Each call gives a VM
    /// that no other call has given.
    ///
    /// # Errors
    /// A text that says why there is none; the case then counts as broken.
    async fn stage(&self, subject: Subject) -> Result<Stage, String>;
}

/// A promise that a hypervisor breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{case}: {what}")]
pub struct Broken {
    /// The case that found it.
    pub case: &'static str,
    /// What was seen.
    pub what: String,
}

/// Runs every case and returns what is broken; nothing, if all is well.
pub async fn check(fixture: &dyn Fixture) -> Vec<Broken> {
    let mut broken = Vec::new();
    for case in Case::ALL {
        let result = match fixture.stage(case.subject()).await {
            Ok(stage) => case.run(&stage).await,
            Err(what) => Err(what),
        };
        if let Err(what) = result {
            broken.push(Broken { case: case.words(), what });
        }
    }
    broken
}
