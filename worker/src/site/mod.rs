//! One site: its ledger, its hypervisors, and what may be done with them.
//!
//! Every mutation of a VM follows one form, kept in [`mutation`]: enter the VM's section, test what must hold, write
//! the intent (floor test included) durably, call the hypervisor, write down what came of it. What the site does:
//!
//! ```text
//!  command.rs      which order becomes which mutation
//!  mutation.rs     the form; nothing else calls a hypervisor's `call`
//!  observe.rs      readings, fenced or not
//!  departures.rs   source: seal, transfer, resume, start, unseal, retire, release
//!  arrivals.rs     destination: placeholder, event and run, discard
//!  handover.rs     source: proof of gone, then CommitArrival
//!  evacuations.rs  claims, the roll, inventory, history
//!  follow.rs       follow the hypervisors and the ledger; compare the one with the other
//!  mend.rs         what one VM's sight calls for
//!  inert.rs        what is inert stays inert
//!  retention.rs    source: retired copies whose time has come are deleted
//!  leftovers.rs    destination: what given-up attempts left after their move was over
//!  survey.rs       what preflight asks for
//!  watch.rs        tell who watches
//!  alarms.rs       what a person should know
//!  witness.rs      how far each site's ledger has come, by what the others have seen
//! ```

pub mod alarms;
mod arrivals;
mod command;
mod departures;
mod evacuations;
pub mod follow;
pub mod handover;
pub mod inert;
pub mod leftovers;
pub mod mend;
mod mutation;
pub(crate) mod observe;
mod records;
pub mod retention;
mod sections;
mod survey;
mod watch;
pub mod witness;

pub use watch::{CATCH_UP_BATCH, News, NewsStream};

use crate::error::SiteError;
use crate::hypervisor::Hypervisor;
use crate::peers::Peers;
use backon::ExponentialBackoff;
use muster_core::env::Env;
use muster_core::ids::{SiteName, VmId};
use muster_core::reading::Mark;
use muster_core::time::Timestamp;
use muster_store::Ledger;
use records::Records;
use sections::Sections;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch as watch_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest time that a caller waits for one hypervisor call. Past it the call still counts as under way.
pub const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// Longest wait for a look at the hypervisors.
pub const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// Longest wait for what is under way when a site stops.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Most pieces of news that wait for a slow watcher before it is told everything anew.
pub const NEWS_WAITING_MAX: usize = 8192;

/// What a site is made of.
pub struct SiteParts {
    /// Its name.
    pub name: SiteName,
    /// Its ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Its hypervisors.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The other sites' workers.
    pub peers: Peers,
    /// Time and ids.
    pub env: Arc<dyn Env>,
}

/// A site at work.
pub struct Site {
    name: SiteName,
    records: Records,
    hypervisor: Arc<dyn Hypervisor>,
    peers: Peers,
    env: Arc<dyn Env>,
    sections: Sections,
    news: broadcast::Sender<watch::Told>,
    /// The sequence number of the ledger up to which watchers have been told all.
    told: AtomicU64,
    working: watch_channel::Sender<Working>,
    /// Handovers that a task of their own follows up, or that were answered.
    followed_up: Mutex<BTreeMap<VmId, handover::FollowUp>>,
    /// VMs that are to be looked at, and the bell for it.
    touched: Mutex<BTreeSet<VmId>>,
    touch: Notify,
    /// VMs whose last mutation came to nothing, or to nobody knows what.
    unfinished: Mutex<BTreeSet<VmId>>,
    /// The placeholders that were seen, of attempts that are open or were given up last.
    placeholders: Mutex<BTreeMap<VmId, Mark>>,
    /// When an alarm was last raised.
    alarmed: Mutex<BTreeMap<(VmId, alarms::Alarm), Timestamp>>,
    /// The pauses that are left between tries to end half-done mutations.
    mend_pauses: Mutex<BTreeMap<VmId, ExponentialBackoff>>,
    /// Retired copies that could not be deleted, and when that is tried again.
    retention_pauses: Mutex<BTreeMap<VmId, retention::Pause>>,
    /// The sites that have seen no more of this ledger than it holds.
    confirmed_by: Mutex<BTreeSet<SiteName>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Working {
    /// As a result: why not, if it doesn't.
    ///
    /// # Errors
    /// Why not.
    pub fn into_result(self) -> Result<(), String> {
        match self {
            Working::Yes => Ok(()),
            Working::No(because) => Err(because),
        }
    }
}

/// Whether a site takes work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Working {
    /// Yes.
    Yes,
    /// Not, because.
    No(String),
}

impl Site {
    /// Starts a site: from here on it follows its hypervisors. It takes work once it has compared them with its ledger.
    #[must_use]
    pub fn start(parts: SiteParts) -> Arc<Site> {
        let told = AtomicU64::new(parts.ledger.newest());
        let site = Arc::new(Site {
            name: parts.name,
            records: Records::new(parts.ledger),
            hypervisor: parts.hypervisor,
            peers: parts.peers,
            env: parts.env,
            sections: Sections::default(),
            news: broadcast::Sender::new(NEWS_WAITING_MAX),
            told,
            working: watch_channel::Sender::new(Working::No(
                "it is still comparing its ledger with its hypervisors".to_owned(),
            )),
            followed_up: Mutex::default(),
            touched: Mutex::default(),
            touch: Notify::new(),
            unfinished: Mutex::default(),
            placeholders: Mutex::default(),
            alarmed: Mutex::default(),
            mend_pauses: Mutex::default(),
            retention_pauses: Mutex::default(),
            confirmed_by: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let follower = Arc::clone(&site);
        site.tasks.spawn(async move { follower.follow_hypervisors().await });
        site
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &SiteName {
        &self.name
    }

    /// Whether it takes work.
    #[must_use]
    pub fn working(&self) -> Working {
        match self.records.health() {
            Ok(()) => self.working.borrow().clone(),
            Err(because) => Working::No(because),
        }
    }

    /// Waits until it takes work.
    pub async fn until_working(&self) {
        let mut working = self.working.subscribe();
        // The sender lives as long as the site, so waiting can't fail while `self` is borrowed.
        let _ = working.wait_for(|working| *working == Working::Yes).await;
    }

    /// Waits until it takes work or, for `false`, until it takes none. For ever where that can't be any more.
    pub async fn until_working_is(&self, wanted: bool) {
        let mut working = self.working.subscribe();
        while (self.working() == Working::Yes) != wanted {
            tokio::select! {
                // The sender lives as long as the site.
                _ = working.changed() => {}
                // It never works again, and what changes now is no matter.
                () = self.records.until_failed() => if wanted { std::future::pending::<()>().await },
            }
        }
    }

    /// Stops following the hypervisors and waits for what is under way, but no longer than [`STOP_DEADLINE`]: an intent
    /// that stands is taken up by the next start. The ledger is let go once the last handle to the site is dropped.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_DEADLINE, self.tasks.wait()).await.is_err() {
            tracing::warn!(site = %self.name, "stopped with mutations still under way");
        }
    }

    fn must_work(&self) -> Result<(), SiteError> {
        match self.working() {
            Working::Yes => Ok(()),
            Working::No(because) => Err(SiteError::NotWorking { site: self.name.clone(), because }),
        }
    }
}
