//! The processes of a stage: how each is born, killed and born again. What they run is the product, unmodified.

use crate::env::SimulatedEnv;
use crate::life::{Hit, Life};
use crate::network::Port;
use crate::post::Post;
use crate::seams::{MortalHypervisor, MortalJournal, MortalLedger};
use crate::stage::{Stage, patience};
use muster_core::env::Env;
use muster_core::ids::SiteName;
use muster_orchestrator::{Orchestrator, OrchestratorParts};
use muster_proto::channel::{self, SiteAddress};
use muster_store::memory::{JournalDisk, MemoryJournal, MemoryLedger};
use muster_worker::hypervisor::sim::direct::DirectHypervisors;
use muster_worker::peers::Peers;
use muster_worker::service::SiteService;
use muster_worker::site::{Site, SiteParts};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

/// The processes of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// The source's worker.
    Source,
    /// The destination's worker.
    Destination,
    /// The orchestrator.
    Orchestrator,
    /// Whoever calls: a person's tool, or `muster recover`.
    Caller,
}

impl Process {
    /// Its port on the stage's network.
    #[must_use]
    pub fn port(self) -> Port {
        match self {
            Process::Source => 7701,
            Process::Destination => 7702,
            Process::Orchestrator => 7700,
            Process::Caller => 7799,
        }
    }

    /// Its name in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Process::Source => "source",
            Process::Destination => "destination",
            Process::Orchestrator => "orchestrator",
            Process::Caller => "caller",
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(self) -> SiteAddress {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port())).into()
    }
}

impl Stage {
    /// Starts a worker on its ledger, as after a crash or for the first time; it is waited for until it works.
    pub async fn start_worker(&mut self, process: Process, hits: impl IntoIterator<Item = Hit>) -> Life {
        let (life, site) = self.begin_worker(process, hits).await;
        let working = site.until_working();
        tokio::select! {
            biased;
            () = life.until_ended() => {}
            () = working => {}
            // A site that is unplugged comes up later.
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
        life
    }

    /// Starts a worker on its ledger, and doesn't wait for it.
    ///
    /// # Panics
    /// If its ledger can't be opened, which is the test's own fault.
    pub async fn begin_worker(&mut self, process: Process, hits: impl IntoIterator<Item = Hit>) -> (Life, Arc<Site>) {
        let (life, env) = self.born(process, hits);
        let name = match process {
            Process::Destination => self.destination.clone(),
            Process::Source | Process::Orchestrator | Process::Caller => self.source.clone(),
        };
        // Whatever was not synced when the last incarnation ended is lost.
        self.ledgers[&process].crash(0);
        let disk = self.ledgers[&process].clone();
        let ledger = MemoryLedger::open(&disk).expect("a ledger");
        if let Some((process, trace)) = life.trace() {
            trace.follow_ledger(*process, &disk);
        }
        let hypervisors = DirectHypervisors::new(self.world.clone(), name.clone());
        let site = Site::start(SiteParts {
            name,
            ledger: Arc::new(MortalLedger::new(Arc::new(ledger), disk, life.clone())),
            hypervisor: Arc::new(MortalHypervisor::new(Arc::new(hypervisors), life.clone())),
            peers: Peers::new(self.network.dial_from(process.port(), life.clone()), self.addresses()),
            env,
        });
        let incoming = self.network.listen(process.port(), life.clone());
        // As the product's own router makes it, but for the post: how calls come in late or twice.
        let service = channel::site_server(SiteService::new(Arc::clone(&site), CancellationToken::new()));
        let post = Post::new(self.network.clone(), process.port(), life.clone());
        let router = channel::server().layer(post).add_service(service);
        let served = life.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = served.until_ended() => {}
                _ = router.serve_with_incoming(ReceiverStream::new(incoming)) => {}
            }
        });
        (life, site)
    }

    /// Starts the orchestrator on its journal.
    ///
    /// # Panics
    /// If it can't start, which is the test's own fault.
    pub async fn start_orchestrator(&mut self, hits: impl IntoIterator<Item = Hit>) -> Life {
        let (life, env) = self.born(Process::Orchestrator, hits);
        self.journal.crash(0);
        let journal = MemoryJournal::open(&self.journal).expect("a journal");
        if let Some((_, trace)) = life.trace() {
            trace.follow_journal(&self.journal);
        }
        let parts = OrchestratorParts {
            name: "orchestrator".to_owned(),
            journal: Arc::new(MortalJournal::new(Arc::new(journal), self.journal.clone(), life.clone())),
            sites: self.addresses(),
            dial: self.network.dial_from(Process::Orchestrator.port(), life.clone()),
            env,
            patience: patience(),
            commands: BTreeMap::new(),
        };
        let incoming = self.network.listen(Process::Orchestrator.port(), life.clone());
        let lived = life.clone();
        tokio::spawn(async move {
            let serve = async move {
                let orchestrator = Orchestrator::start(parts).await.expect("an orchestrator");
                let router = muster_orchestrator::router(orchestrator);
                let _ = router.serve_with_incoming(ReceiverStream::new(incoming)).await;
            };
            tokio::select! {
                biased;
                () = lived.until_ended() => {}
                () = serve => {}
            }
        });
        life
    }

    /// Kills a process as SIGKILL does: nothing that it had under way returns to it.
    pub fn kill(&mut self, process: Process) {
        self.kill_keeping(process, 0);
    }

    /// The same; of the writes that were under way the oldest `kept` had reached the disk.
    pub fn kill_keeping(&mut self, process: Process, kept: usize) {
        if let Some(life) = self.lives.get(&process) {
            life.end();
        }
        if let Some(ledger) = self.ledgers.get(&process) {
            ledger.crash(kept);
        }
        if process == Process::Orchestrator {
            self.journal.crash(kept);
        }
    }

    /// The orchestrator's journal is lost for good: the next one that starts begins with an empty one.
    pub fn lose_journal(&mut self) {
        self.journal = JournalDisk::new("orchestrator.journal");
        if let Some(trace) = &self.trace {
            trace.forget_journal();
        }
    }

    /// The present life of a process; none before its first.
    #[must_use]
    pub fn life(&self, process: Process) -> Option<&Life> {
        self.lives.get(&process)
    }

    pub(crate) fn born(&mut self, process: Process, hits: impl IntoIterator<Item = Hit>) -> (Life, Arc<dyn Env>) {
        let incarnation = self.incarnations.entry(process).or_default();
        *incarnation += 1;
        let mut life = Life::new(hits).ordered(self.order.clone());
        let clock = self.clocks[&process].clone();
        let env = SimulatedEnv::new(clock, self.options.seed, process.word(), *incarnation);
        if process != Process::Caller {
            if let Some(trace) = &self.trace {
                life = life.traced(process, trace.clone());
            }
            self.lives.insert(process, life.clone());
        }
        (life, Arc::new(env))
    }

    fn addresses(&self) -> BTreeMap<SiteName, SiteAddress> {
        BTreeMap::from([
            (self.source.clone(), Process::Source.address()),
            (self.destination.clone(), Process::Destination.address()),
        ])
    }
}
