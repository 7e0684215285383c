//! A stage: a world with two sites, their workers and an orchestrator, each a process that can be killed and started again.

use crate::clock::Clock;
use crate::life::{Hit, Life, Order};
use crate::network::Network;
pub use crate::process::Process;
use crate::trace::Trace;
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::env::Env;
use muster_core::ids::{HostName, SiteName, VmId, VmName};
use muster_core::runbook::Deadlines;
use muster_proto::channel::Counterpart;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_recovery::link::{Patience, SiteLink};
use muster_recovery::recover::{RecoverOrder, Recovered, Sites, recover};
use muster_recovery::roll_call::Wishes;
use muster_store::memory::{JournalDisk, LedgerDisk};
use muster_worker::hypervisor::sim::engine::{self, WorldHandle};
use muster_worker::hypervisor::sim::world::{Fault, Truth, VmSpec, WorldConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

/// How often the world is looked at by who waits for something.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often it is looked at before it never comes to pass.
const LOOKS_MAX: u32 = 30_000;

/// How a stage is set.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// What everything random is drawn from.
    pub seed: u64,
    /// Hosts on each side.
    pub hosts: u32,
    /// Memory of each host, in MiB.
    pub host_memory_mib: u64,
    /// How things may take in recovery.
    pub deadlines: Deadlines,
    /// What happens is traced.
    pub traced: bool,
}

impl Default for StageOptions {
    fn default() -> Self {
        let deadlines =
            Deadlines { transfer_ms: Some(60_000), handover_ms: 3_000, silence_ms: 3_000, ..Deadlines::default() };
        StageOptions { seed: 1, hosts: 2, host_memory_mib: 256 * 1024, deadlines, traced: false }
    }
}

/// The stage.
pub struct Stage {
    /// The world, for faults and for its truth.
    pub world: WorldHandle,
    /// The network between the processes.
    pub network: Network,
    /// The source.
    pub source: SiteName,
    /// The destination.
    pub destination: SiteName,
    /// The workers' ledgers, for faults.
    pub ledgers: BTreeMap<Process, LedgerDisk>,
    /// The orchestrator's journal, for faults.
    pub journal: JournalDisk,
    /// The processes' clocks, for faults.
    pub clocks: BTreeMap<Process, Clock>,
    /// What happens, if that is traced.
    pub trace: Option<Trace>,
    pub(crate) options: StageOptions,
    pub(crate) lives: BTreeMap<Process, Life>,
    pub(crate) incarnations: BTreeMap<Process, u32>,
    pub(crate) order: Order,
    end: CancellationToken,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.lives.values().for_each(Life::end);
        self.end.cancel();
    }
}

impl Stage {
    /// Sets a stage: the world and both workers; no orchestrator yet.
    ///
    /// # Panics
    /// If the stage can't be set, which is the test's own fault.
    pub async fn set(options: StageOptions) -> Stage {
        let config = WorldConfig::two_sites(options.seed, options.hosts, options.host_memory_mib).expect("sane names");
        Self::set_in(options, &config).await
    }

    /// Sets a stage in a world of one's own. Its first site is the source, its second the destination.
    ///
    /// # Panics
    /// If the stage can't be set, which is the test's own fault.
    pub async fn set_in(options: StageOptions, config: &WorldConfig) -> Stage {
        // Says what goes on where RUST_LOG asks for it; the first stage of a process sets it up.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().without_time().try_init();
        let end = CancellationToken::new();
        let world = engine::start(config, end.clone()).expect("a sane world");
        let clock = || Clock::right(Instant::now());
        let mut stage = Stage {
            world,
            network: Network::default(),
            source: config.sites[0].name.clone(),
            destination: config.sites[1].name.clone(),
            clocks: [Process::Source, Process::Destination, Process::Orchestrator, Process::Caller]
                .map(|process| (process, clock()))
                .into(),
            trace: options.traced.then(Trace::begin),
            options,
            ledgers: BTreeMap::from([
                (Process::Source, LedgerDisk::new("source.ledger")),
                (Process::Destination, LedgerDisk::new("destination.ledger")),
            ]),
            journal: JournalDisk::new("orchestrator.journal"),
            lives: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            order: Order::default(),
            end,
        };
        stage.start_worker(Process::Source, None).await;
        stage.start_worker(Process::Destination, None).await;
        stage
    }

    /// Makes a VM on the source's first host, with 1 GiB of memory and autostart.
    ///
    /// # Panics
    /// If it can't be made, which is the test's own fault.
    pub async fn vm(&self, name: &str, mode: Mode, disk: Disk) -> VmId {
        self.vm_of(definition(name, disk), mode).await
    }

    /// Makes a VM of a definition of one's own on the source's first host. It is tagged with its mode.
    ///
    /// # Panics
    /// If it can't be made, which is the test's own fault.
    pub async fn vm_of(&self, mut definition: Definition, mode: Mode) -> VmId {
        let vm = VmId(Uuid::new_v5(&Uuid::NAMESPACE_URL, definition.name.as_str().as_bytes()));
        let (site, host) = (self.source.clone(), self.source_host(1));
        let runs = mode != Mode::Off;
        definition.tags.push(mode.word().to_owned());
        self.world.create_vm(VmSpec { vm, site, host, definition, runs }).await.expect("room for a VM");
        vm
    }

    /// The source's host of this number, from 1.
    ///
    /// # Panics
    /// Never for sane numbers.
    #[must_use]
    pub fn source_host(&self, number: u32) -> HostName {
        format!("{}-{number}", self.source).parse().expect("a host's name")
    }

    /// The destination's host of this number, from 1.
    ///
    /// # Panics
    /// Never for sane numbers.
    #[must_use]
    pub fn destination_host(&self, number: u32) -> HostName {
        format!("{}-{number}", self.destination).parse().expect("a host's name")
    }

    /// A client of the orchestrator.
    ///
    /// # Panics
    /// Never: the address is a constant.
    pub async fn client(&self) -> EvacuationsClient<Channel> {
        let dial = self.network.dial_from(Process::Caller.port(), Life::new(None));
        let channel =
            dial.dial(&Process::Orchestrator.address(), &Counterpart::Orchestrator).await.expect("an address");
        EvacuationsClient::new(channel)
    }

    /// A link to a worker, as `muster recover` has it.
    ///
    /// # Panics
    /// Never: the addresses are constants.
    pub async fn link(&mut self, process: Process) -> Arc<SiteLink> {
        let (life, env) = self.caller(None);
        self.link_of(&life, env, process).await
    }

    /// A caller's life, with its time and ids: a process with points of its own, its calls.
    pub fn caller(&mut self, hits: impl IntoIterator<Item = Hit>) -> (Life, Arc<dyn Env>) {
        self.born(Process::Caller, hits)
    }

    /// This caller's link to a worker.
    ///
    /// # Panics
    /// Never: the addresses are constants.
    pub async fn link_of(&self, caller: &Life, env: Arc<dyn Env>, process: Process) -> Arc<SiteLink> {
        let dial = self.network.dial_from(Process::Caller.port(), caller.clone());
        let name = if process == Process::Destination { self.destination.clone() } else { self.source.clone() };
        let link = SiteLink::connect(name, &process.address(), dial.as_ref(), env, patience()).await;
        link.expect("an address")
    }

    /// `muster recover` against the workers, without an orchestrator.
    ///
    /// # Panics
    /// If it can't be carried out: the test then sees why.
    pub async fn recover(&mut self, apply: bool, with_source: bool) -> Recovered {
        let order = self.recover_order(apply);
        self.recover_as(&order, with_source).await
    }

    /// A plain order to recover, to be changed by the test.
    #[must_use]
    pub fn recover_order(&self, apply: bool) -> RecoverOrder {
        RecoverOrder {
            evacuation: None,
            apply,
            wishes: Wishes { further_attempts: 3, ..Wishes::default() },
            source_fenced: None,
            hosts_fenced: Vec::new(),
            take_over: None,
            by: "operator".to_owned(),
            deadlines: self.options.deadlines,
        }
    }

    /// `muster recover` with an order of one's own.
    ///
    /// # Panics
    /// If it can't be carried out: the test then sees why.
    pub async fn recover_as(&mut self, order: &RecoverOrder, with_source: bool) -> Recovered {
        let destination = self.link(Process::Destination).await;
        let source = if with_source { Some(self.link(Process::Source).await) } else { None };
        let (_, env) = self.caller(None);
        recover(&Sites { destination, source }, &env, order).await.expect("a recovery")
    }

    /// Time and ids for whoever calls.
    pub fn caller_env(&mut self) -> Arc<dyn Env> {
        self.caller(None).1
    }

    /// Makes something go wrong in the world.
    ///
    /// # Panics
    /// If it can't be made, which is the test's own fault.
    pub async fn inject(&self, fault: Fault) {
        self.world.inject(fault).await.expect("a fault that can be made");
    }

    /// The truth about one VM.
    ///
    /// # Panics
    /// If the world has ended, or never had it.
    pub async fn truth_of(&self, vm: VmId) -> Truth {
        self.world.truth_of(vm).await.expect("a world").expect("a VM")
    }

    /// Waits until the truth about a VM is as wanted.
    ///
    /// # Panics
    /// If that takes longer than ten minutes.
    pub async fn until_true(&self, vm: VmId, wanted: impl Fn(&Truth) -> bool) -> Truth {
        for _ in 0..LOOKS_MAX {
            let truth = self.truth_of(vm).await;
            if wanted(&truth) {
                return truth;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("never so: {:#?}", self.truth_of(vm).await);
    }

    /// The truth about every VM.
    ///
    /// # Panics
    /// If the world has ended.
    pub async fn truth(&self) -> BTreeMap<VmId, Truth> {
        let truth = self.world.truth().await.expect("a world");
        truth.into_iter().map(|truth| (truth.vm, truth)).collect()
    }
}

/// A definition with 1 GiB of memory and autostart.
///
/// # Panics
/// If the name is none.
#[must_use]
pub fn definition(name: &str, disk: Disk) -> Definition {
    Definition {
        name: name.parse::<VmName>().expect("a VM's name"),
        memory_mib: 1024,
        vcpus: 1,
        disk,
        autostart: true,
        tags: Vec::new(),
        document: String::new(),
    }
}

/// Short enough for simulated faults, long enough for simulated work.
pub(crate) fn patience() -> Patience {
    Patience { call: Duration::from_secs(5), command: Duration::from_secs(30), alive: Duration::from_secs(3) }
}
