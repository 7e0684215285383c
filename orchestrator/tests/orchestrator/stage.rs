//! Two workers over one world, an orchestrator, and a network in memory. Each of the three can be killed and started
//! again on what its disk kept. Time is the runtime's, paused: it passes as fast as there is nothing to do.

use crate::mortal::Mortal;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::env::Env;
use muster_core::evacuation::PlannedMove;
use muster_core::ids::{CommandName, HostName, SiteName, VmId};
use muster_core::reading::{Instance, Stored};
use muster_core::runbook::selection::Turn;
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_orchestrator::{Orchestrator, OrchestratorParts, Program, router};
use muster_proto::channel::{Counterpart, Dial, DialError, SiteAddress, endpoint, site_client};
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_proto::worker::v1::site_client::SiteClient;
use muster_recovery::link::Patience;
use muster_store::memory::{JournalDisk, LedgerDisk, MemoryJournal, MemoryLedger};
use muster_worker::hypervisor::sim::direct::DirectHypervisors;
use muster_worker::hypervisor::sim::engine::{self, WorldHandle};
use muster_worker::hypervisor::sim::world::{Truth, VmSpec, Workload, WorldConfig};
use muster_worker::peers::Peers;
use muster_worker::site::{Site, SiteParts};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Uri};
use uuid::Uuid;

pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub(crate) fn site(side: Side) -> SiteName {
    side.to_string().parse().unwrap()
}

pub(crate) fn host(side: Side, number: usize) -> HostName {
    format!("{side}-{number}").parse().unwrap()
}

pub(crate) fn vm(number: usize) -> VmId {
    VmId(Uuid::from_u128(number as u128 + 1))
}

fn address(of: &str) -> SiteAddress {
    let port = match of {
        "source" => 7701,
        "destination" => 7702,
        _ => 7700,
    };
    SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()
}

/// A runbook that takes everything, with more at its end.
pub(crate) fn runbook(more: &str) -> String {
    format!(
        "name = \"leave\"\nsource.site = \"source\"\ndestination.site = \"destination\"\n{more}\n[[select]]\nall = true\n"
    )
}

/// A move as a journal has it that was planned.
pub(crate) fn planned(number: usize) -> PlannedMove {
    PlannedMove {
        vm: vm(number),
        name: format!("vm-{number}").parse().unwrap(),
        mode: Mode::Live,
        wave: 0,
        source_host: host(Side::Source, number % 2 + 1),
        destination_host: host(Side::Destination, 1),
        memory_mib: 512,
        guardian: None,
        disk_mib: None,
        turn: Turn::default(),
        apart: None,
        expected: None,
        tags: Vec::new(),
    }
}

struct Worker {
    disk: LedgerDisk,
    _site: Arc<Site>,
    dead: CancellationToken,
}

struct Running {
    disk: JournalDisk,
    orchestrator: Arc<Orchestrator>,
    dead: CancellationToken,
}

pub(crate) struct Stage {
    pub(crate) world: WorldHandle,
    network: Network,
    workers: BTreeMap<String, Worker>,
    running: Option<Running>,
    /// The commands of the next orchestrator that is started.
    pub(crate) commands: BTreeMap<CommandName, Program>,
    began: Instant,
    drawn: u64,
}

impl Stage {
    /// Two sites of two hosts each, and these VMs running at the source.
    pub(crate) async fn set(vms: usize) -> Stage {
        // Says what happens where RUST_LOG asks for it.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .with_ansi(false)
            .with_timer(Paused)
            .try_init();
        let world = engine::start(&WorldConfig::two_sites(1, 2, 64 * 1024).unwrap(), CancellationToken::new()).unwrap();
        let network = Network::default();
        let (workers, commands, began) = (BTreeMap::new(), BTreeMap::new(), Instant::now());
        let mut stage = Stage { world, network, workers, running: None, commands, began, drawn: 1 };
        for number in 0..vms {
            stage.create(number, &[]).await;
        }
        for side in [Side::Source, Side::Destination] {
            stage.start_worker(side, LedgerDisk::new("a ledger")).await;
        }
        stage.start_orchestrator(JournalDisk::new("a journal")).await;
        stage
    }

    pub(crate) async fn create(&self, number: usize, tags: &[&str]) {
        let definition = Definition {
            name: format!("vm-{number}").parse().unwrap(),
            memory_mib: 512,
            vcpus: 1,
            disk: Disk::Shared,
            autostart: true,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            document: Workload { shutdown_ms: 500, ..Workload::default() }.to_document(),
        };
        let host = host(Side::Source, number % 2 + 1);
        let spec = VmSpec { vm: vm(number), site: site(Side::Source), host, definition, runs: true };
        self.world.create_vm(spec).await.unwrap();
    }

    fn env(&mut self) -> Arc<dyn Env> {
        self.drawn += 1;
        Arc::new(TestEnv { began: self.began, drawn: AtomicU64::new(self.drawn << 32) })
    }

    pub(crate) async fn start_worker(&mut self, side: Side, disk: LedgerDisk) {
        let dead = CancellationToken::new();
        let env = self.env();
        let ledger = MemoryLedger::open(&disk).unwrap();
        let addresses = [Side::Source, Side::Destination].map(|side| (site(side), address(&side.to_string())));
        let dial = NetworkDial { network: self.network.clone(), dead: dead.clone() };
        let worker = Site::start(SiteParts {
            name: site(side),
            ledger: Arc::new(Mortal { inner: ledger, dead: dead.clone() }),
            hypervisor: Arc::new(DirectHypervisors::new(self.world.clone(), site(side))),
            peers: Peers::new(Arc::new(dial), BTreeMap::from(addresses)),
            env,
        });
        let incoming = self.network.listen(&side.to_string(), dead.clone());
        let service = muster_worker::service::router(Arc::clone(&worker), dead.clone());
        tokio::spawn(service.serve_with_incoming(incoming));
        tokio::time::timeout(LONGEST_WAIT, worker.until_working()).await.expect("it takes work");
        self.workers.insert(side.to_string(), Worker { disk, _site: worker, dead });
    }

    /// Kills a worker as SIGKILL does.
    pub(crate) fn kill_worker(&mut self, side: Side) -> LedgerDisk {
        let worker = self.workers.remove(&side.to_string()).expect("it runs");
        worker.dead.cancel();
        let site = Arc::clone(&worker._site);
        // What it would go on to do it can't: its ledger never answers, and its following ends.
        tokio::spawn(async move { site.stop().await });
        worker.disk.crash(0);
        worker.disk
    }

    pub(crate) async fn start_orchestrator(&mut self, disk: JournalDisk) {
        let dead = CancellationToken::new();
        let journal = MemoryJournal::open(&disk).unwrap();
        let sites = [Side::Source, Side::Destination].map(|side| (site(side), address(&side.to_string())));
        let env = self.env();
        let orchestrator = Orchestrator::start(OrchestratorParts {
            name: "the orchestrator".to_owned(),
            journal: Arc::new(Mortal { inner: journal, dead: dead.clone() }),
            sites: BTreeMap::from(sites),
            dial: Arc::new(NetworkDial { network: self.network.clone(), dead: dead.clone() }),
            env,
            patience: Patience::default(),
            commands: self.commands.clone(),
        });
        let orchestrator = orchestrator.await.unwrap();
        let incoming = self.network.listen("orchestrator", dead.clone());
        tokio::spawn(router(Arc::clone(&orchestrator)).serve_with_incoming(incoming));
        self.running = Some(Running { disk, orchestrator, dead });
    }

    /// Kills the orchestrator as SIGKILL does.
    pub(crate) fn kill_orchestrator(&mut self) -> JournalDisk {
        let running = self.running.take().expect("it runs");
        running.dead.cancel();
        // What it would go on to do it can't: its journal never answers, and nobody hears it.
        drop(running.orchestrator);
        running.disk.crash(0);
        running.disk
    }

    pub(crate) async fn restart_orchestrator(&mut self) {
        let disk = self.kill_orchestrator();
        self.start_orchestrator(disk).await;
    }

    pub(crate) async fn client(&self) -> EvacuationsClient<Channel> {
        EvacuationsClient::new(self.network.channel("orchestrator").unwrap())
    }

    /// A client that takes no more than this of a stream before it is read.
    pub(crate) fn narrow_client(&self, window_bytes: u32) -> EvacuationsClient<Channel> {
        let never = CancellationToken::new();
        EvacuationsClient::new(self.network.channel_to(&address("orchestrator"), &never, Some(window_bytes)).unwrap())
    }

    pub(crate) fn site_client(&self, side: Side) -> SiteClient<Channel> {
        site_client(self.network.channel(&side.to_string()).unwrap())
    }

    pub(crate) fn request_id(&mut self) -> String {
        self.drawn += 1;
        Uuid::from_u128(u128::from(self.drawn)).to_string()
    }

    pub(crate) async fn create_evacuation(&mut self, runbook: &str) -> pb::Evacuation {
        let request = pb::CreateEvacuationRequest {
            request_id: self.request_id(),
            runbook: runbook.to_owned(),
            validate_only: false,
            ordered_by: "the test".to_owned(),
        };
        self.client().await.create_evacuation(request).await.unwrap().into_inner()
    }

    pub(crate) async fn evacuation(&self) -> pb::Evacuation {
        self.client().await.get_evacuation(pb::GetEvacuationRequest::default()).await.unwrap().into_inner()
    }

    pub(crate) async fn moves(&self) -> Vec<pb::Move> {
        let mut client = self.client().await;
        let evacuation = self.evacuation().await.evacuation;
        let mut moves = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListMovesRequest {
                evacuation: evacuation.clone(),
                page_size: 3,
                page_token,
                filter: String::new(),
            };
            let page = client.list_moves(request).await.unwrap().into_inner();
            moves.extend(page.moves);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return moves;
            }
        }
    }

    /// Waits until the newest evacuation is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&pb::Evacuation) -> bool) -> pb::Evacuation {
        let waited = tokio::time::timeout(LONGEST_WAIT, async {
            loop {
                let evacuation = self.evacuation().await;
                if wanted(&evacuation) {
                    return evacuation;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        match waited.await {
            Ok(evacuation) => evacuation,
            Err(_) => panic!("never as wanted: {:#?}\n{:#?}", self.evacuation().await, self.moves().await),
        }
    }

    pub(crate) async fn until_finished(&self) -> pb::Evacuation {
        self.until(|evacuation| evacuation.state() == pb::EvacuationState::Finished).await
    }

    /// The names of the journal's records about a VM, or about all.
    pub(crate) async fn audit(&self, vm: Option<VmId>) -> Vec<String> {
        let request = pb::ListAuditRequest {
            vm: vm.map(|vm| vm.to_string()).unwrap_or_default(),
            page_size: 1_000,
            ..pb::ListAuditRequest::default()
        };
        let lines = self.client().await.list_audit(request).await.unwrap().into_inner().lines;
        lines.into_iter().map(|line| line.record).collect()
    }

    pub(crate) async fn truth(&self) -> Vec<Truth> {
        self.world.truth().await.unwrap()
    }

    /// What must hold of every VM, whatever happened; and that each runs at this side.
    pub(crate) async fn assert_all_run_at(&self, side: Side) {
        for truth in self.truth().await {
            assert_sound(&truth);
            assert_eq!(runs_at(&truth), vec![site(side)], "{truth:#?}");
        }
    }
}

pub(crate) fn assert_sound(truth: &Truth) {
    assert!(!truth.ran_twice && !truth.lost && !truth.ran_stale && !truth.ran_on_partial_disk, "{truth:#?}");
    assert!(truth.definition_intact, "{truth:#?}");
}

pub(crate) fn runs_at(truth: &Truth) -> Vec<SiteName> {
    let runs = truth.places.iter().filter(|place| place.instance == Instance::Running);
    runs.map(|place| place.site.clone()).collect()
}

/// Whether the source's copy is as it was before.
pub(crate) fn is_as_before(truth: &Truth) -> bool {
    truth.places.len() == 1 && truth.places[0].stored == Stored::Real && truth.places[0].site == site(Side::Source)
}

struct TestEnv {
    began: Instant,
    drawn: AtomicU64,
}

impl Env for TestEnv {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + u64::try_from(self.began.elapsed().as_millis()).unwrap())
    }

    fn new_id(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.drawn.fetch_add(1, Ordering::Relaxed)) | 1 << 100)
    }

    fn random_below(&self, bound: u64) -> u64 {
        self.drawn.fetch_add(1, Ordering::Relaxed).checked_rem(bound).unwrap_or(0)
    }
}

type Streams = mpsc::Sender<io::Result<DuplexStream>>;
type Listening = BTreeMap<SiteAddress, (Streams, CancellationToken)>;

/// Streams in memory, by address.
#[derive(Clone, Default)]
struct Network {
    listening: Arc<Mutex<Listening>>,
}

impl Network {
    fn listen(&self, of: &str, dead: CancellationToken) -> ReceiverStream<io::Result<DuplexStream>> {
        let (sender, receiver) = mpsc::channel(64);
        self.listening.lock().unwrap().insert(address(of), (sender, dead));
        ReceiverStream::new(receiver)
    }

    fn channel(&self, to: &str) -> Result<Channel, DialError> {
        self.channel_to(&address(to), &CancellationToken::new(), None)
    }

    /// A channel that breaks when either end dies.
    fn channel_to(
        &self,
        to: &SiteAddress,
        dead: &CancellationToken,
        window_bytes: Option<u32>,
    ) -> Result<Channel, DialError> {
        let (network, to, dead) = (self.clone(), to.clone(), dead.clone());
        let endpoint = endpoint(&to)?.initial_stream_window_size(window_bytes);
        let connector = tower::service_fn(move |_: Uri| {
            let (network, to, dead) = (network.clone(), to.clone(), dead.clone());
            async move { network.connect(&to, dead).await.map(TokioIo::new) }
        });
        Ok(endpoint.connect_with_connector_lazy(connector))
    }

    async fn connect(&self, to: &SiteAddress, caller_dead: CancellationToken) -> io::Result<DuplexStream> {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens there");
        let listening = self.listening.lock().unwrap().get(to).cloned();
        let (sender, dead) = listening.ok_or_else(refused)?;
        if dead.is_cancelled() || caller_dead.is_cancelled() {
            return Err(refused());
        }
        let (near, mut near_inside) = tokio::io::duplex(1 << 20);
        let (mut far_inside, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = dead.cancelled() => {}
                () = caller_dead.cancelled() => {}
                _ = tokio::io::copy_bidirectional(&mut near_inside, &mut far_inside) => {}
            }
        });
        sender.send(Ok(far)).await.map_err(|_| refused())?;
        Ok(near)
    }
}

struct NetworkDial {
    network: Network,
    dead: CancellationToken,
}

impl Dial for NetworkDial {
    fn dial<'a>(
        &'a self,
        address: &'a SiteAddress,
        _expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        Box::pin(async move { self.network.channel_to(address, &self.dead, None) })
    }
}

/// Time as the test's, which is paused.
struct Paused;

impl tracing_subscriber::fmt::time::FormatTime for Paused {
    fn format_time(&self, writer: &mut tracing_subscriber::fmt::format::Writer<'_>) -> std::fmt::Result {
        static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        write!(writer, "{:>8} ms", BEGAN.get_or_init(Instant::now).elapsed().as_millis())
    }
}
