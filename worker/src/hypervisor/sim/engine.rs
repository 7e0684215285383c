//! One task that owns a [`World`] and lets its time pass with the runtime's, and the handle by which all others speak to it.
//!
//! It wakes for the world's next event and for requests, never otherwise. Simulated time is the runtime's times the
//! clock's scale, so a paused test clock drives it as well. Callers may come and go: a call that was taken in goes on.

use super::error::SimulationError;
use super::world::{CallId, Clock, Fault, FleetSpec, Output, Truth, VmSpec, World, WorldConfig};
use crate::hypervisor::changes::{Teller, pair};
use crate::hypervisor::{Call, Change, HypervisorError};
use futures::stream::BoxStream;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::{Inventory, Sight};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Most requests that wait for the world; further ones wait with their callers.
pub const REQUESTS_WAITING_MAX: usize = 1024;

type Answer = oneshot::Sender<Result<(), HypervisorError>>;
type Deed = Box<dyn FnOnce(&mut World) + Send>;

enum Request {
    Call { site: SiteName, call: Box<Call>, answer: Answer },
    Changes { site: SiteName, answer: oneshot::Sender<Result<BoxStream<'static, Change>, HypervisorError>> },
    With(Deed),
    SetClock(Clock, oneshot::Sender<u64>),
    Advance { by_ms: u64, answer: oneshot::Sender<u64> },
}

/// Speaks to a world in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorldHandle {
    requests: mpsc::Sender<Request>,
}

/// Starts a world on the current runtime; it lives until `cancelled` is, or until every handle is dropped.
///
/// # Errors
/// `World` where the configuration contradicts itself.
pub fn start(config: &WorldConfig, cancelled: CancellationToken) -> Result<WorldHandle, SimulationError> {
    let world = World::new(config)?;
    let (sender, requests) = mpsc::channel(REQUESTS_WAITING_MAX);
    let engine = Engine {
        world,
        clock: config.clock,
        since: Instant::now(),
        since_ms: 0,
        answers: BTreeMap::new(),
        tellers: BTreeMap::new(),
    };
    tokio::spawn(engine.run(requests, cancelled));
    Ok(WorldHandle { requests: sender })
}

impl WorldHandle {
    /// Does something with the world itself, at its present time.
    ///
    /// # Errors
    /// `Gone` when the world has ended.
    pub async fn with<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Result<T, SimulationError> {
        let (answer, answered) = oneshot::channel();
        let deed: Deed = Box::new(move |world| {
            // Nobody waits for it any more: that is their business.
            let _unheard = answer.send(deed(world));
        });
        self.ask(Request::With(deed), answered).await
    }

    /// What is really so, for every VM there ever was.
    ///
    /// # Errors
    /// `Gone` when the world has ended.
    pub async fn truth(&self) -> Result<Vec<Truth>, SimulationError> {
        self.with(|world| world.truth()).await
    }

    /// What is really so for one VM.
    ///
    /// # Errors
    /// `Gone` when the world has ended.
    pub async fn truth_of(&self, vm: VmId) -> Result<Option<Truth>, SimulationError> {
        self.with(move |world| world.truth_of(vm)).await
    }

    /// Makes something go wrong, or lays a rule.
    ///
    /// # Errors
    /// `Fault` where it can't be made, `Gone` when the world has ended.
    pub async fn inject(&self, fault: Fault) -> Result<(), SimulationError> {
        Ok(self.with(move |world| world.inject(&fault)).await??)
    }

    /// Makes one VM.
    ///
    /// # Errors
    /// `Fleet` where it can't be made, `Gone` when the world has ended.
    pub async fn create_vm(&self, spec: VmSpec) -> Result<(), SimulationError> {
        Ok(self.with(move |world| world.create_vm(&spec)).await??)
    }

    /// Makes a fleet.
    ///
    /// # Errors
    /// `Fleet` where it can't be made, `Gone` when the world has ended.
    pub async fn create_fleet(&self, spec: FleetSpec) -> Result<Vec<VmId>, SimulationError> {
        Ok(self.with(move |world| world.create_fleet(&spec)).await??)
    }

    /// Changes how time passes; returns the simulated time.
    ///
    /// # Errors
    /// `Gone` when the world has ended.
    pub async fn set_clock(&self, clock: Clock) -> Result<u64, SimulationError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::SetClock(clock, answer), answered).await
    }

    /// Lets simulated time pass at once, whatever the clock; returns the simulated time.
    ///
    /// # Errors
    /// `Gone` when the world has ended.
    pub async fn advance(&self, by_ms: u64) -> Result<u64, SimulationError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Advance { by_ms, answer }, answered).await
    }

    /// The simulated time, in milliseconds since the world began.
    ///
    /// # Errors
    /// `Gone` when the world has ended.
    pub async fn now_ms(&self) -> Result<u64, SimulationError> {
        self.with(|world| world.now_ms()).await
    }

    pub(super) async fn inventory(&self, site: SiteName, hosts: Vec<HostName>) -> Result<Inventory, HypervisorError> {
        self.with(move |world| world.inventory(&site, &hosts)).await.map_err(unreachable)?
    }

    pub(super) async fn look(&self, site: SiteName, vms: Vec<VmId>) -> Result<Vec<Sight>, HypervisorError> {
        self.with(move |world| world.look(&site, &vms)).await.map_err(unreachable)?
    }

    pub(super) async fn definition(
        &self,
        site: SiteName,
        host: HostName,
        vm: VmId,
    ) -> Result<Definition, HypervisorError> {
        self.with(move |world| world.definition(&site, &host, vm)).await.map_err(unreachable)?
    }

    pub(super) async fn definitions(
        &self,
        site: SiteName,
        vms: Vec<VmId>,
        hosts: Vec<HostName>,
    ) -> Result<Vec<(VmId, Definition)>, HypervisorError> {
        self.with(move |world| world.definitions(&site, &vms, &hosts)).await.map_err(unreachable)?
    }

    pub(super) async fn call(&self, site: SiteName, call: Call) -> Result<(), HypervisorError> {
        self.take_in(site, call).await.ended().await
    }

    /// Hands a call over: whatever is asked from here on comes after it.
    pub(super) async fn take_in(&self, site: SiteName, call: Call) -> TakenIn {
        let (answer, answered) = oneshot::channel();
        let request = Request::Call { site, call: Box::new(call), answer };
        // A world that has ended drops the answer's sender, which is what the caller then hears of.
        let _ended = self.requests.send(request).await;
        TakenIn { answered }
    }

    pub(super) async fn changes(&self, site: SiteName) -> Result<BoxStream<'static, Change>, HypervisorError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Changes { site, answer }, answered).await.map_err(unreachable)?
    }

    async fn ask<T>(&self, request: Request, answered: oneshot::Receiver<T>) -> Result<T, SimulationError> {
        self.requests.send(request).await.map_err(|_| SimulationError::ended())?;
        answered.await.map_err(|_| SimulationError::ended())
    }
}

/// A call that the world has, or will never have.
pub(super) struct TakenIn {
    answered: oneshot::Receiver<Result<(), HypervisorError>>,
}

impl TakenIn {
    /// What came of it.
    pub(super) async fn ended(self) -> Result<(), HypervisorError> {
        self.answered.await.map_err(|_| unreachable(SimulationError::ended()))?
    }
}

fn unreachable(error: SimulationError) -> HypervisorError {
    HypervisorError::Unreachable { message: error.to_string() }
}

struct Engine {
    world: World,
    clock: Clock,
    /// Where the runtime's clock and the world's were last made to meet.
    since: Instant,
    since_ms: u64,
    answers: BTreeMap<CallId, Answer>,
    tellers: BTreeMap<SiteName, Vec<Teller>>,
}

impl Engine {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>, cancelled: CancellationToken) {
        loop {
            let wake = self.wakes_at();
            tokio::select! {
                biased;
                () = cancelled.cancelled() => break,
                request = requests.recv() => match request {
                    Some(request) => {
                        self.catch_up();
                        self.serve(request);
                    }
                    None => break,
                },
                () = sleep_until(wake) => self.catch_up(),
            }
            self.deliver();
        }
        for teller in self.tellers.into_values().flatten() {
            teller.end();
        }
    }

    /// When the world's next event is due, by the runtime's clock.
    fn wakes_at(&self) -> Option<Instant> {
        let Clock::Running { simulated_ms_per_ms } = self.clock else { return None };
        let ahead_ms = self.world.next_event_ms()?.saturating_sub(self.since_ms);
        let ahead_us = ahead_ms.saturating_mul(1000).div_ceil(u64::from(simulated_ms_per_ms.max(1)));
        self.since.checked_add(Duration::from_micros(ahead_us))
    }

    fn catch_up(&mut self) {
        let Clock::Running { simulated_ms_per_ms } = self.clock else { return };
        let passed_us = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let passed_ms = passed_us.saturating_mul(u64::from(simulated_ms_per_ms.max(1))) / 1000;
        self.world.advance(self.since_ms.saturating_add(passed_ms));
    }

    /// From here on the runtime's clock counts from the world's present.
    fn meet_clocks(&mut self) {
        self.since = Instant::now();
        self.since_ms = self.world.now_ms();
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::With(deed) => deed(&mut self.world),
            Request::Call { site, call, answer } => {
                let id = self.world.begin_call(&site, *call);
                self.answers.insert(id, answer);
            }
            Request::Changes { site, answer } => {
                let stream = if self.world.is_site_reachable(&site) {
                    Ok(self.add_reader(site))
                } else {
                    Err(HypervisorError::Unreachable { message: format!("no way to site {site}") })
                };
                // A reader that went away while it asked is dropped with its stream.
                let _unheard = answer.send(stream);
            }
            Request::SetClock(clock, answer) => {
                self.clock = clock;
                self.meet_clocks();
                let _unheard = answer.send(self.world.now_ms());
            }
            Request::Advance { by_ms, answer } => {
                self.world.advance(self.world.now_ms().saturating_add(by_ms));
                self.meet_clocks();
                let _unheard = answer.send(self.world.now_ms());
            }
        }
    }

    fn add_reader(&mut self, site: SiteName) -> BoxStream<'static, Change> {
        let (teller, stream) = pair();
        let tellers = self.tellers.entry(site).or_default();
        tellers.retain(Teller::is_heard);
        tellers.push(teller);
        stream
    }

    fn deliver(&mut self) {
        for output in self.world.take_outputs() {
            match output {
                Output::CallEnded { call, result } => {
                    if let Some(answer) = self.answers.remove(&call) {
                        // The caller may be gone; the call has ended all the same.
                        let _unheard = answer.send(result);
                    }
                }
                Output::Changed { site, vm } => self.tell(&site, Change::Vm(vm)),
                Output::EverythingChanged { site } => self.tell(&site, Change::Everything),
                Output::SiteLost { site } => {
                    for teller in self.tellers.remove(&site).into_iter().flatten() {
                        teller.end();
                    }
                }
            }
        }
    }

    fn tell(&mut self, site: &SiteName, change: Change) {
        for teller in self.tellers.get(site).into_iter().flatten() {
            teller.tell(change);
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
