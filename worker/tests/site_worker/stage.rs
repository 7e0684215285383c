//! Two workers over one world and one network in memory, each of which can be killed and started again on its ledger.

use crate::seams::{MortalHypervisors, MortalLedger, Network, TestEnv, WorkersDial, Writes};
use muster_core::claim::{Claims, Fenced, Holder, HolderKind};
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::{Attempt, EvacuationId, HostName, RequestId, SiteName, VmId};
use muster_core::ledger::RollEntry;
use muster_core::reading::SiteReading;
use muster_core::step::Side;
use muster_core::token::{Epoch, Token};
use muster_proto::channel::{Counterpart, Dial, SiteAddress, site_client};
use muster_proto::convert::{
    AssertFenced, ClaimEvacuation, EvacuationClaims, Execute, Observe, SiteAction, SiteCommand, SiteFailure,
    SiteStatus, VmAnswer, VmToken, WriteRoll,
};
use muster_proto::status::Fault as WireFault;
use muster_proto::worker::v1 as pb;
use muster_proto::worker::v1::site_client::SiteClient;
use muster_store::memory::{LedgerDisk, MemoryLedger};
use muster_worker::hypervisor::sim::direct::DirectHypervisors;
use muster_worker::hypervisor::sim::engine::{self, WorldHandle};
use muster_worker::hypervisor::sim::world::{Deed, Fault, Truth, VmSpec, Workload, WorldConfig};
use muster_worker::peers::Peers;
use muster_worker::service;
use muster_worker::site::{Site, SiteParts};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

pub const EVACUATION: EvacuationId = EvacuationId(Uuid::from_u128(0xe));
pub const VM: VmId = VmId(Uuid::from_u128(0x1));
const LONGEST_WAIT: Duration = Duration::from_secs(300);

pub fn site(side: Side) -> SiteName {
    match side {
        Side::Source => "source".parse().unwrap(),
        Side::Destination => "destination".parse().unwrap(),
    }
}

pub fn host(side: Side, number: u32) -> HostName {
    format!("{}-{number}", site(side)).parse().unwrap()
}

fn index(side: Side) -> usize {
    match side {
        Side::Source => 0,
        Side::Destination => 1,
    }
}

pub fn address(side: Side) -> SiteAddress {
    let port = match side {
        Side::Source => 7701,
        Side::Destination => 7702,
    };
    SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()
}

pub struct Worker {
    disk: LedgerDisk,
    pub site: Arc<Site>,
    pub client: SiteClient<Channel>,
    dead: CancellationToken,
    pub writes: Arc<Writes>,
    /// How many calls that seal it has made.
    pub seals: Arc<AtomicU64>,
}

pub struct Stage {
    pub world: WorldHandle,
    network: Network,
    workers: [Option<Worker>; 2],
    began: Instant,
    sequence: u64,
}

impl Stage {
    pub async fn set() -> Stage {
        let world = engine::start(&WorldConfig::two_sites(1, 2, 64 * 1024).unwrap(), CancellationToken::new()).unwrap();
        let network = Network::default();
        let mut stage = Stage { world, network, workers: [None, None], began: Instant::now(), sequence: 0 };
        for side in [Side::Source, Side::Destination] {
            stage.start(side, LedgerDisk::new("a ledger")).await;
        }
        stage
    }

    async fn start(&mut self, side: Side, disk: LedgerDisk) {
        self.begin(side, disk).await;
        self.until_working(side).await;
    }

    async fn begin(&mut self, side: Side, disk: LedgerDisk) {
        let dead = CancellationToken::new();
        let ledger = MemoryLedger::open(&disk).unwrap();
        let writes = Arc::new(Writes::default());
        let seals = Arc::new(AtomicU64::new(0));
        let hypervisors = DirectHypervisors::new(self.world.clone(), site(side));
        let addresses = [Side::Source, Side::Destination].map(|side| (site(side), address(side)));
        let begins = self.sequence;
        let worker = Site::start(SiteParts {
            name: site(side),
            ledger: Arc::new(MortalLedger { inner: ledger, dead: dead.clone(), writes: Arc::clone(&writes) }),
            hypervisor: Arc::new(MortalHypervisors {
                inner: hypervisors,
                dead: dead.clone(),
                seals: Arc::clone(&seals),
            }),
            peers: Peers::new(Arc::new(WorkersDial(self.network.clone())), BTreeMap::from(addresses)),
            env: Arc::new(TestEnv { began: self.began, drawn: AtomicU64::new(begins << 32) }),
        });
        let incoming = self.network.listen(side, dead.clone());
        let router = service::router(Arc::clone(&worker), dead.clone());
        tokio::spawn(router.serve_with_incoming(incoming));
        let client = site_client(self.network.dial(&address(side), &Counterpart::Worker(None)).await.unwrap());
        self.workers[index(side)] = Some(Worker { disk, site: Arc::clone(&worker), client, dead, writes, seals });
    }

    async fn until_working(&self, side: Side) {
        let site = &self.worker(side).site;
        tokio::time::timeout(LONGEST_WAIT, site.until_working()).await.expect("it takes work");
    }

    /// What a worker says of itself.
    pub async fn status(&self, side: Side) -> SiteStatus {
        let answer = self.client(side).get_site(pb::GetSiteRequest {}).await.unwrap();
        SiteStatus::try_from(answer.into_inner()).unwrap()
    }

    /// Its ledger as it is now, for another day.
    pub fn backup(&self, side: Side) -> LedgerDisk {
        self.worker(side).disk.copy("a copy of a ledger")
    }

    /// Starts a worker that may never take work.
    pub async fn start_untrusted(&mut self, side: Side, disk: LedgerDisk) {
        self.begin(side, disk).await;
    }

    /// Kills a worker as SIGKILL does and starts it again on the same ledger.
    pub async fn restart(&mut self, side: Side) {
        let disk = self.kill(side);
        self.start(side, disk).await;
    }

    pub fn kill(&mut self, side: Side) -> LedgerDisk {
        let worker = self.workers[index(side)].take().expect("it runs");
        worker.dead.cancel();
        worker.disk.crash(0);
        worker.disk
    }

    pub async fn start_again(&mut self, side: Side, disk: LedgerDisk) {
        self.start(side, disk).await;
    }

    pub fn worker(&self, side: Side) -> &Worker {
        self.workers[index(side)].as_ref().expect("it runs")
    }

    pub fn client(&self, side: Side) -> SiteClient<Channel> {
        self.worker(side).client.clone()
    }

    /// A channel of its own to a worker.
    pub async fn channel(&self, side: Side) -> Channel {
        self.network.dial(&address(side), &Counterpart::Worker(None)).await.unwrap()
    }

    /// Between the workers, not between them and the test.
    pub fn cut_between_workers(&self, cut: bool) {
        self.network.cut(cut);
    }

    pub async fn vm(&self, vm: VmId, disk: Disk, runs: bool) -> Definition {
        let (site, host, definition) = (site(Side::Source), host(Side::Source, 1), definition(vm, disk));
        self.world.create_vm(VmSpec { vm, site, host, definition: definition.clone(), runs }).await.unwrap();
        definition
    }

    /// A running VM on one of the source's hosts, with this much memory.
    pub async fn vm_on(&self, vm: VmId, number: u32, memory_mib: u64) {
        let (site, host) = (site(Side::Source), host(Side::Source, number));
        let definition = Definition { memory_mib, ..definition(vm, Disk::Shared) };
        self.world.create_vm(VmSpec { vm, site, host, definition, runs: true }).await.unwrap();
    }

    /// Puts running VMs on the source's roll.
    pub async fn enrol_all(&mut self, vms: &[VmId], mode: Mode) {
        let entries = vms.iter().map(|vm| roll_entry(*vm, mode, definition(*vm, Disk::Shared))).collect();
        let write = WriteRoll { request: self.request(), side: Side::Source, epoch: Epoch(1), entries };
        let answer = self.client(Side::Source).write_roll(pb::WriteRollRequest::from(write)).await.unwrap();
        assert_eq!(answer.into_inner().refused, Vec::new());
    }

    /// One action on many VMs in one request.
    pub async fn act_on_all(
        &mut self,
        vms: &[VmId],
        side: Side,
        action: SiteAction,
    ) -> Vec<(VmId, Result<SiteReading, SiteFailure>)> {
        let (request, token) = (self.request(), self.token());
        let commands = vms.iter().map(|vm| SiteCommand { vm: *vm, token, action: action.clone() }).collect();
        let execute = pb::ExecuteRequest::from(Execute { request, evacuation: EVACUATION, commands });
        let mut outcomes = self.client(side).execute(execute).await.unwrap().into_inner();
        let mut reached = Vec::new();
        while let Some(outcome) = outcomes.message().await.unwrap() {
            let VmAnswer { vm, result } = VmAnswer::try_from(outcome).unwrap();
            reached.push((vm, result));
        }
        reached
    }

    /// A person's word that a host can't run anything.
    pub async fn fence_host(&mut self, host: HostName) {
        let assertion = AssertFenced {
            request: self.request(),
            evacuation: EVACUATION,
            fenced: Fenced::Host(host),
            reason: "its plug is in my hand".to_owned(),
            by: "the test".to_owned(),
        };
        self.client(Side::Destination).assert_fenced(pb::AssertFencedRequest::from(assertion)).await.unwrap();
    }

    /// Deletes what the source's hypervisor has of a VM, past its worker.
    pub async fn delete_at_source(&self, vm: VmId) {
        let deleted = Fault::ByHand(site(Side::Source), host(Side::Source, 1), vm, Deed::Delete);
        self.world.inject(deleted).await.unwrap();
    }

    /// A VM, claimed and on both rolls.
    pub async fn enrolled(&mut self, vm: VmId, mode: Mode, disk: Disk) -> Definition {
        let definition = self.vm(vm, disk, mode != Mode::Off).await;
        if self.claims().await.epoch == Epoch(0) {
            self.claim(Epoch(0)).await.unwrap();
        }
        let entry = roll_entry(vm, mode, definition.clone());
        for side in [Side::Destination, Side::Source] {
            assert_eq!(self.write_roll(side, Epoch(1), entry.clone()).await, Vec::new());
        }
        definition
    }

    pub async fn write_roll(&mut self, side: Side, epoch: Epoch, entry: RollEntry) -> Vec<VmAnswer> {
        let write = WriteRoll { request: self.request(), side, epoch, entries: vec![entry] };
        let answer = self.client(side).write_roll(pb::WriteRollRequest::from(write)).await.unwrap().into_inner();
        answer.refused.into_iter().map(|refused| VmAnswer::try_from(refused).unwrap()).collect()
    }

    pub async fn claim(&mut self, expected: Epoch) -> Result<Claims, WireFault> {
        let claim = self.claim_request(expected);
        self.send_claim(claim).await
    }

    pub fn claim_request(&mut self, expected: Epoch) -> ClaimEvacuation {
        ClaimEvacuation {
            request: self.request(),
            evacuation: EVACUATION,
            holder: Holder::new("the test", HolderKind::Orchestrator),
            expected,
            at_least: Epoch(0),
            take_over: None,
        }
    }

    pub async fn send_claim(&self, claim: ClaimEvacuation) -> Result<Claims, WireFault> {
        let mut client = self.client(Side::Destination);
        let answer = client.claim_evacuation(pb::ClaimEvacuationRequest::from(claim)).await;
        let claims = answer.map_err(WireFault::from)?.into_inner();
        Ok(EvacuationClaims::try_from(claims).unwrap().claims)
    }

    pub async fn claims(&self) -> Claims {
        let mut client = self.client(Side::Destination);
        let listed = client.list_evacuations(pb::ListEvacuationsRequest {}).await.unwrap().into_inner();
        let known = muster_proto::convert::evacuations(listed).unwrap();
        known.into_iter().find(|known| known.evacuation == EVACUATION).map(|known| known.claims).unwrap_or_default()
    }

    pub fn request(&mut self) -> RequestId {
        self.sequence += 1;
        RequestId(Uuid::from_u128(u128::from(self.sequence) << 32))
    }

    /// The next token of the test's claim, above every one before.
    pub fn token(&mut self) -> Token {
        self.sequence += 1;
        Token::new(1, self.sequence)
    }

    /// Carries out an action under the next token, on the side it belongs to.
    pub async fn act(&mut self, vm: VmId, action: SiteAction) -> Result<SiteReading, SiteFailure> {
        let token = self.token();
        self.act_under(vm, token, action).await
    }

    pub async fn act_under(&mut self, vm: VmId, token: Token, action: SiteAction) -> Result<SiteReading, SiteFailure> {
        let side = action.side();
        let request = self.request();
        let commands = vec![SiteCommand { vm, token, action }];
        let execute = pb::ExecuteRequest::from(Execute { request, evacuation: EVACUATION, commands });
        let mut outcomes = self.client(side).execute(execute).await.unwrap().into_inner();
        let answer = VmAnswer::try_from(outcomes.message().await.unwrap().expect("an outcome")).unwrap();
        assert_eq!(answer.vm, vm);
        assert!(outcomes.message().await.unwrap().is_none());
        answer.result
    }

    pub async fn observe(&self, side: Side, vm: VmId, token: Option<Token>) -> Result<SiteReading, SiteFailure> {
        let observe = Observe { evacuation: EVACUATION, vms: vec![VmToken { vm, token }] };
        let mut stream = self.client(side).observe(pb::ObserveRequest::from(observe)).await.unwrap().into_inner();
        VmAnswer::try_from(stream.message().await.unwrap().expect("an observation")).unwrap().result
    }

    pub async fn seen(&self, side: Side, vm: VmId) -> SiteReading {
        self.observe(side, vm, None).await.unwrap()
    }

    /// Waits until a side's reading is as wanted.
    pub async fn until(&self, side: Side, vm: VmId, wanted: impl Fn(&SiteReading) -> bool) -> SiteReading {
        let waited = tokio::time::timeout(LONGEST_WAIT, async {
            loop {
                let reading = self.seen(side, vm).await;
                if wanted(&reading) {
                    return reading;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        match waited.await {
            Ok(reading) => reading,
            Err(_) => panic!("never as wanted: {:#?}", self.seen(side, vm).await),
        }
    }

    /// Lines 1 to 4 of a move.
    pub async fn transferred(&mut self, vm: VmId) {
        self.placed(vm).await;
        self.act(vm, SiteAction::Seal).await.unwrap();
        self.act(vm, transfer()).await.unwrap();
    }

    /// Lines 1 and 2 of a move.
    pub async fn placed(&mut self, vm: VmId) {
        self.act(vm, open()).await.unwrap();
        self.act(vm, SiteAction::MakePlaceholder { attempt: Attempt::FIRST }).await.unwrap();
    }

    /// The names of what a ledger's history holds of a VM.
    pub async fn history(&self, side: Side, vm: VmId) -> Vec<String> {
        let all = pb::ListEventsRequest::default();
        let lines = self.client(side).list_events(all).await.unwrap().into_inner().lines;
        lines.into_iter().filter(|line| line.vm == vm.to_string()).map(|line| line.event).collect()
    }

    pub async fn truth(&self, vm: VmId) -> Truth {
        self.world.truth_of(vm).await.unwrap().expect("there is such a VM")
    }
}

pub fn open() -> SiteAction {
    SiteAction::OpenAttempt { host: host(Side::Destination, 1), kind: muster_core::evidence::ArrivalKind::Transfer }
}

pub fn transfer() -> SiteAction {
    SiteAction::Transfer {
        attempt: Attempt::FIRST,
        destination_site: site(Side::Destination),
        destination_host: host(Side::Destination, 1),
        tuning: muster_core::terms::Tuning::default(),
    }
}

fn definition(vm: VmId, disk: Disk) -> Definition {
    Definition {
        name: format!("vm-{}", vm.0.as_u128()).parse().unwrap(),
        memory_mib: 1_024,
        vcpus: 1,
        disk,
        autostart: true,
        tags: Vec::new(),
        document: Workload { shutdown_ms: 500, ..Workload::default() }.to_document(),
    }
}

fn roll_entry(vm: VmId, mode: Mode, definition: Definition) -> RollEntry {
    RollEntry {
        evacuation: EVACUATION,
        vm,
        mode,
        source_site: site(Side::Source),
        destination_site: site(Side::Destination),
        destination_host: host(Side::Destination, 1),
        definition,
    }
}
