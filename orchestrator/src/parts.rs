//! What an orchestrator is made of, and how it starts: it reads its journal and goes on with whatever isn't over.

use crate::commands::{Commands, Program};
use crate::error::OrchestratorError;
use crate::evacuate::Driver;
use crate::loads::Loads;
use crate::pen::Pen;
use crate::seats::{Driven, Seats};
use muster_core::claim::{Holder, HolderKind};
use muster_core::env::Env;
use muster_core::evacuation::{EvacuationState, EvacuationStatus};
use muster_core::ids::{CommandName, EvacuationId, SiteName, clip};
use muster_core::ledger::RollEntry;
use muster_proto::channel::{Dial, SiteAddress};
use muster_recovery::link::{Patience, SiteLink};
use muster_store::Journal;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Most evacuations that may be open at once.
pub const EVACUATIONS_OPEN_MAX: usize = 64;

/// What an orchestrator is made of.
pub struct OrchestratorParts {
    /// The name it goes by in claims and in the journal.
    pub name: String,
    /// Its history. Nobody else writes it.
    pub journal: Arc<dyn Journal>,
    /// The sites it may move between, and where their workers listen.
    pub sites: BTreeMap<SiteName, SiteAddress>,
    /// How they are reached.
    pub dial: Arc<dyn Dial>,
    /// Time and ids.
    pub env: Arc<dyn Env>,
    /// How long their answers are waited for.
    pub patience: Patience,
    /// The programs that runbooks may name.
    pub commands: BTreeMap<CommandName, Program>,
}

/// An orchestrator at work.
pub struct Orchestrator {
    parts: OrchestratorParts,
    links: Mutex<BTreeMap<SiteName, Arc<SiteLink>>>,
    pub(crate) seats: Seats,
    pub(crate) loads: Loads,
    pub(crate) commands: Commands,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// The two sites of an evacuation.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) source: Arc<SiteLink>,
    pub(crate) destination: Arc<SiteLink>,
}

impl Orchestrator {
    /// Starts, and goes on with every evacuation of the journal that isn't over, and with what is owed of those that are. Needs a tokio runtime.
    ///
    /// # Errors
    /// The journal can't be read.
    pub async fn start(mut parts: OrchestratorParts) -> Result<Arc<Self>, OrchestratorError> {
        let orchestrator = Arc::new(Orchestrator {
            commands: Commands::new(std::mem::take(&mut parts.commands)),
            parts,
            links: Mutex::default(),
            seats: Seats::default(),
            loads: Loads::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        orchestrator.give_back_all().await?;
        for site in orchestrator.parts.sites.keys() {
            orchestrator.tasks.spawn(Arc::clone(&orchestrator).hear_alarms(site.clone()));
        }
        for evacuation in orchestrator.open_evacuations().await? {
            orchestrator.drive(evacuation.id, None).await;
        }
        Ok(orchestrator)
    }

    /// Ends all driving, in order: what runs at the sites runs on, and stands in the ledgers. A kill does no more harm.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Has an evacuation driven, if it isn't already. `roll` is what its plan has just been made with.
    pub(crate) async fn drive(self: &Arc<Self>, evacuation: EvacuationId, roll: Option<Vec<RollEntry>>) {
        let seat = self.seats.of(evacuation);
        let mut driven = seat.driven.lock().await;
        self.drive_locked(evacuation, roll, &mut driven);
    }

    /// The same, for whoever holds the seat already.
    pub(crate) fn drive_locked(
        self: &Arc<Self>,
        evacuation: EvacuationId,
        roll: Option<Vec<RollEntry>>,
        driven: &mut Driven,
    ) {
        match driven {
            Driven::Yes => {}
            Driven::No => {
                *driven = Driven::Yes;
                let driver = Driver::new(Arc::clone(self), evacuation, roll);
                self.tasks.spawn(driver.drive());
            }
        }
    }

    pub(crate) async fn open_evacuations(&self) -> Result<Vec<EvacuationStatus>, OrchestratorError> {
        let all = self.journal().evacuations().await?;
        Ok(all.into_iter().filter(|evacuation| evacuation.state != EvacuationState::Finished).collect())
    }

    /// The link to a site; all evacuations share it.
    pub(crate) async fn link(&self, site: &SiteName) -> Result<Arc<SiteLink>, OrchestratorError> {
        let mut links = self.links.lock().await;
        if let Some(link) = links.get(site) {
            return Ok(Arc::clone(link));
        }
        let Some(address) = self.parts.sites.get(site) else {
            let known: Vec<&str> = self.parts.sites.keys().map(SiteName::as_str).collect();
            return Err(OrchestratorError::UnknownSite { site: site.clone(), known: clip(&known.join(", ")) });
        };
        let (dial, env) = (self.parts.dial.as_ref(), Arc::clone(&self.parts.env));
        let link = SiteLink::connect(site.clone(), address, dial, env, self.parts.patience).await?;
        links.insert(site.clone(), Arc::clone(&link));
        Ok(link)
    }

    pub(crate) async fn pair(&self, source: &SiteName, destination: &SiteName) -> Result<Pair, OrchestratorError> {
        Ok(Pair { source: self.link(source).await?, destination: self.link(destination).await? })
    }

    pub(crate) fn journal(&self) -> &Arc<dyn Journal> {
        &self.parts.journal
    }

    pub(crate) fn env(&self) -> &Arc<dyn Env> {
        &self.parts.env
    }

    /// Writes the journal in the orchestrator's own name.
    pub(crate) fn pen(&self, evacuation: EvacuationId) -> Pen {
        Pen::new(Arc::clone(&self.parts.journal), Arc::clone(&self.parts.env), evacuation, &self.parts.name)
    }

    /// As whom it claims.
    pub(crate) fn holder(&self) -> Holder {
        Holder::new(&self.parts.name, HolderKind::Orchestrator)
    }

    pub(crate) fn name(&self) -> &str {
        &self.parts.name
    }
}
