//! What replaces the outside of a worker: its clock, its network, and a ledger and hypervisors that a kill takes away.

use crate::stage::address;
use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use hyper_util::rt::TokioIo;
use muster_core::claim::Claims;
use muster_core::definition::Definition;
use muster_core::env::Env;
use muster_core::ids::{EvacuationId, HostName, SiteName, VmId};
use muster_core::ledger::command::{FactKind, LedgerCommand, LedgerEvent, Refusal, VmFact};
use muster_core::ledger::{HighWater, HistoryEntry, VmRow};
use muster_core::preflight::survey::VmNeeds;
use muster_core::reading::{Inventory, Sight};
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_proto::channel::{Counterpart, Dial, DialError, SiteAddress, endpoint};
use muster_store::memory::MemoryLedger;
use muster_store::{Health, Ledger, LedgerEvacuation, ReadLedger, Receipt, RowQuery, StoreError};
use muster_worker::hypervisor::sim::direct::DirectHypervisors;
use muster_worker::hypervisor::{Call, Change, Hypervisor, HypervisorError, ProcessorOnHost, Survey, VmChange};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Uri};
use uuid::Uuid;

/// What happens to the ledger writes of a worker.
#[derive(Default)]
pub struct Writes {
    /// Proofs of gone never become durable.
    pub lose_gone: AtomicBool,
}

/// Time and ids that repeat.
pub struct TestEnv {
    pub began: Instant,
    pub drawn: AtomicU64,
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

/// Streams in memory, by address. Workers and the test use the same one; only the workers' can be cut.
#[derive(Clone, Default)]
pub struct Network {
    listening: Arc<Mutex<BTreeMap<SiteAddress, (Streams, CancellationToken)>>>,
    links: Arc<Mutex<Links>>,
}

/// The connections between workers.
#[derive(Default)]
struct Links {
    cut: bool,
    open: Vec<CancellationToken>,
}

impl Network {
    pub fn cut(&self, cut: bool) {
        let mut links = self.links.lock().unwrap();
        links.cut = cut;
        links.open.drain(..).for_each(|link| link.cancel());
    }

    pub fn listen(&self, side: Side, dead: CancellationToken) -> ReceiverStream<io::Result<DuplexStream>> {
        let (sender, receiver) = mpsc::channel(64);
        self.listening.lock().unwrap().insert(address(side), (sender, dead));
        ReceiverStream::new(receiver)
    }

    async fn connect(&self, to: &SiteAddress, broken: CancellationToken) -> io::Result<DuplexStream> {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens there");
        let listening = self.listening.lock().unwrap().get(to).cloned();
        let (sender, dead) = listening.ok_or_else(refused)?;
        let (near, mut near_inside) = tokio::io::duplex(1 << 20);
        let (mut far_inside, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = dead.cancelled() => {}
                () = broken.cancelled() => {}
                _ = tokio::io::copy_bidirectional(&mut near_inside, &mut far_inside) => {}
            }
        });
        sender.send(Ok(far)).await.map_err(|_| refused())?;
        Ok(near)
    }
}

impl Dial for Network {
    fn dial<'a>(
        &'a self,
        address: &'a SiteAddress,
        _expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        let (network, address) = (self.clone(), address.clone());
        Box::pin(async move {
            let endpoint = endpoint(&address)?;
            let connector = tower::service_fn(move |_: Uri| {
                let (network, address) = (network.clone(), address.clone());
                async move { network.connect(&address, CancellationToken::new()).await.map(TokioIo::new) }
            });
            Ok(endpoint.connect_with_connector_lazy(connector))
        })
    }
}

/// How workers reach each other.
pub struct WorkersDial(pub Network);

impl Dial for WorkersDial {
    fn dial<'a>(
        &'a self,
        address: &'a SiteAddress,
        _expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        let (network, address) = (self.0.clone(), address.clone());
        Box::pin(async move {
            let endpoint = endpoint(&address)?;
            let connector = tower::service_fn(move |_: Uri| {
                let (network, address) = (network.clone(), address.clone());
                async move {
                    let broken = CancellationToken::new();
                    {
                        let mut links = network.links.lock().unwrap();
                        if links.cut {
                            return Err(io::Error::new(io::ErrorKind::HostUnreachable, "the path is cut"));
                        }
                        links.open.push(broken.clone());
                    }
                    network.connect(&address, broken).await.map(TokioIo::new)
                }
            });
            Ok(endpoint.connect_with_connector_lazy(connector))
        })
    }
}

/// A ledger whose owner can be killed: to the dead nothing returns.
pub struct MortalLedger {
    pub inner: MemoryLedger,
    pub dead: CancellationToken,
    pub writes: Arc<Writes>,
}

impl MortalLedger {
    async fn alive<T>(&self, asked: impl Future<Output = T>) -> T {
        while_alive(&self.dead, asked).await
    }
}

async fn while_alive<T>(dead: &CancellationToken, asked: impl Future<Output = T>) -> T {
    if dead.is_cancelled() {
        std::future::pending::<()>().await;
    }
    let answer = asked.await;
    if dead.is_cancelled() {
        std::future::pending::<()>().await;
    }
    answer
}

#[async_trait]
impl ReadLedger for MortalLedger {
    async fn row(&self, vm: VmId) -> Result<VmRow, StoreError> {
        self.alive(self.inner.row(vm)).await
    }
    async fn rows(&self, query: RowQuery) -> Result<Vec<VmRow>, StoreError> {
        self.alive(self.inner.rows(query)).await
    }
    async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, StoreError> {
        self.alive(self.inner.claims(evacuation)).await
    }
    async fn evacuations(&self) -> Result<Vec<LedgerEvacuation>, StoreError> {
        self.alive(self.inner.evacuations()).await
    }
    async fn events(&self, after_sequence: u64, limit: usize) -> Result<Vec<(u64, LedgerEvent)>, StoreError> {
        self.alive(self.inner.events(after_sequence, limit)).await
    }
    async fn entry(&self, sequence: u64) -> Result<Option<HistoryEntry>, StoreError> {
        self.alive(self.inner.entry(sequence)).await
    }
    async fn witnesses(&self) -> Result<Vec<(SiteName, HighWater)>, StoreError> {
        self.alive(self.inner.witnesses()).await
    }
}

#[async_trait]
impl Ledger for MortalLedger {
    async fn execute(&self, commands: Vec<LedgerCommand>) -> Result<Vec<Result<Receipt, Refusal>>, StoreError> {
        let proves_gone = |command: &LedgerCommand| {
            matches!(command, LedgerCommand::Fact(VmFact { kind: FactKind::Gone { .. }, .. }))
        };
        if self.writes.lose_gone.load(Ordering::SeqCst) && commands.iter().any(proves_gone) {
            std::future::pending::<()>().await;
        }
        self.alive(self.inner.execute(commands)).await
    }
    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.alive(self.inner.wait_past(after_sequence)).await
    }
    fn newest(&self) -> u64 {
        self.inner.newest()
    }
    fn fail(&self, because: StoreError) {
        self.inner.fail(because);
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
}

/// Hypervisors whose worker can be killed, and which count the calls that seal.
pub struct MortalHypervisors {
    pub inner: DirectHypervisors,
    pub dead: CancellationToken,
    pub seals: Arc<AtomicU64>,
}

#[async_trait]
impl Hypervisor for MortalHypervisors {
    async fn inventory(&self) -> Result<Inventory, HypervisorError> {
        while_alive(&self.dead, self.inner.inventory()).await
    }
    async fn look(&self, vms: &[VmId]) -> Result<Vec<Sight>, HypervisorError> {
        while_alive(&self.dead, self.inner.look(vms)).await
    }
    async fn definition(&self, host: &HostName, vm: VmId) -> Result<Definition, HypervisorError> {
        while_alive(&self.dead, self.inner.definition(host, vm)).await
    }
    async fn survey(&self, hosts: &[HostName]) -> Result<Survey, HypervisorError> {
        while_alive(&self.dead, self.inner.survey(hosts)).await
    }
    async fn needs(&self, vms: &[VmId], hosts: &[HostName]) -> Result<Vec<VmNeeds>, HypervisorError> {
        while_alive(&self.dead, self.inner.needs(vms, hosts)).await
    }
    async fn processors(
        &self,
        processors: &[String],
        hosts: &[HostName],
    ) -> Result<Vec<ProcessorOnHost>, HypervisorError> {
        while_alive(&self.dead, self.inner.processors(processors, hosts)).await
    }
    async fn call(&self, call: Call) -> Result<(), HypervisorError> {
        if matches!(call.change, VmChange::DefineSealed { .. }) {
            self.seals.fetch_add(1, Ordering::SeqCst);
        }
        while_alive(&self.dead, self.inner.call(call)).await
    }
    async fn changes(&self) -> Result<BoxStream<'static, Change>, HypervisorError> {
        let changes = while_alive(&self.dead, self.inner.changes()).await?;
        let dead = self.dead.clone();
        Ok(changes.take_until(async move { dead.cancelled().await }).boxed())
    }
}
