//! One suite that every site passes: what muster's safety hangs on, shown by `muster.worker.v1` alone.
//!
//! It plays orchestrator and source's worker against a worker that it knows nothing of but its address. The VMs that it moves are
//! its own: powered off, on shared storage, made after a VM that the site has. It starts nothing and touches no other VM, but
//! for the one that it moves to a partner and back. What it can't take back by the protocol, it says.
//!
//! ```text
//!  cases/    the promises, one function each
//!  play.rs   one VM of the suite's own in an evacuation of its own, and how it is cleared away
//!  wire.rs   calls, each with a deadline; what was sent and what came is kept
//!  stage.rs  what the cases share
//!  report.rs what came of it
//! ```
//! It must never take a site's silence for an answer, nor look at anything but messages.

mod cases;
mod play;
mod report;
mod stage;
mod wire;

pub use cases::Case;
pub use report::{CaseReport, CaseResult, Exchange, Report};

use futures::future::BoxFuture;
use muster_core::class::Class;
use muster_core::env::Env;
use muster_core::ids::VmId;
use muster_proto::channel::{Dial, DialError, SiteAddress};
use muster_proto::status::Fault;
use stage::Stage;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for an answer from memory or the ledger.
pub const CALL_DEADLINE: Duration = muster_proto::limits::CALL_TIMEOUT;
/// Longest wait for what changes a hypervisor.
pub const COMMAND_DEADLINE: Duration = muster_proto::limits::HYPERVISOR_CALL_TIMEOUT;
/// Longest wait for something that the site does by itself: a transfer's end, its work after a restart.
pub const WAIT_MAX: Duration = Duration::from_secs(120);
/// Longest wait, in the beginning, for a site to take work.
pub const WORK_DEADLINE: Duration = Duration::from_secs(30);
/// How often the suite looks again while it waits.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a command is sent to a VM that stays busy, [`LOOK_EVERY`] apart.
pub const BUSY_TRIES_MAX: usize = 600;
/// The name of the site that the suite pretends to be: nobody answers for it.
pub const NOWHERE: &str = "conformance-suite";
/// Most exchanges that a case keeps; the rest is counted.
pub const EXCHANGES_MAX: usize = 400;

/// Kills the worker and starts it again on its ledger; returns once that was done, or why it was not.
pub type Restart = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What is to be checked, and with what.
pub struct Subject {
    /// How sites are reached, as an orchestrator.
    pub dial: Arc<dyn Dial>,
    /// How the checked site is reached as the worker of the site [`NOWHERE`], which the suite pretends to be.
    pub dial_as_worker: Arc<dyn Dial>,
    /// The worker.
    pub site: SiteAddress,
    /// Another site's worker: the two know each other's, and VMs can move between them.
    pub partner: Option<SiteAddress>,
    /// The VM after which the suite makes its own, and which moves to the partner and back, running; the first fit one where none
    /// is given.
    pub vm: Option<VmId>,
    /// How the worker is restarted.
    pub restart: Option<Restart>,
    /// Time and ids.
    pub env: Arc<dyn Env>,
}

/// Why nothing could be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// It can't be called.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It doesn't answer, or not as a site.
    #[error("{0}")]
    NoAnswer(Box<Fault>),
    /// It takes no work.
    #[error("site {site} takes no work: {because}")]
    NotWorking {
        /// Its name.
        site: String,
        /// Why.
        because: String,
    },
    /// The partner is the site itself.
    #[error("site {site} answers at both addresses; a partner is another site")]
    OwnPartner {
        /// Its name.
        site: String,
    },
}

impl NotBegun {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            NotBegun::Dial(error) => error.class(),
            NotBegun::NoAnswer(fault) => fault.class(),
            NotBegun::NotWorking { .. } => Class::Retry,
            NotBegun::OwnPartner { .. } => Class::Refused,
        }
    }
}

/// Runs every case, also where some fail, and clears away what they left.
///
/// # Errors
/// Nobody answers there, or nobody that takes work. What is wrong with an answer later on is in the report.
pub async fn check(subject: Subject) -> Result<Report, NotBegun> {
    let stage = Stage::set(subject).await?;
    let mut cases = Vec::with_capacity(Case::ALL.len());
    for case in Case::ALL {
        let end = Box::pin(case.run(&stage)).await;
        cases.push(stage.report(case, end));
        Box::pin(stage.clear_away()).await;
    }
    Ok(stage.end(cases))
}
