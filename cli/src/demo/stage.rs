//! The demonstration's world, sites and orchestrator: starts them, breaks them, asks them.

use super::fleet::{self, HANDOVER_MS, SILENCE_MS, Size, WAITING};
use super::judge::Ordered;
use super::process::{self, Daemon, free_ports};
use crate::error::CliError;
use crate::orders::DemoOrder;
use crate::output::roll_call::RollCall;
use crate::run::{Api, Transport};
use futures::{StreamExt, TryStreamExt};
use muster_core::ids::{SiteName, VmId};
use muster_proto::channel::{Counterpart, Dial, SiteAddress, TcpDial, site_client};
use muster_proto::worker::v1::GetSiteRequest;
use muster_worker::hypervisor::sim::client::WorldClient;
use muster_worker::hypervisor::sim::world::{Fault, SiteFault, Truth, VmSpec};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The site that is left.
const SOURCE: &str = "paris";
/// The site that is moved to.
const DESTINATION: &str = "berlin";
/// How many simulated milliseconds pass in a real one.
const TIME_SCALE: u32 = 10;
/// What a host's network card carries, in MiB per second: 10 Gbit/s.
const NIC_MIB_S: u64 = 1_192;
/// VMs that are made at the same time.
const MADE_AT_ONCE: usize = 32;
/// Longest wait for a worker to take work.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often a worker is asked whether it does.
const READY_ASKED_EVERY: Duration = Duration::from_millis(50);

/// Everything that takes part.
pub(super) struct Stage {
    pub(super) ordered: Ordered,
    pub(super) size: Size,
    pub(super) fleet: Vec<VmSpec>,
    pub(super) runbook: String,
    world: WorldClient,
    _world: Daemon,
    source_worker: Daemon,
    destination_worker: Daemon,
    orchestrator: Daemon,
    source_address: SiteAddress,
    destination_address: SiteAddress,
    orchestrator_address: SiteAddress,
}

/// Who can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    SourceWorker,
    DestinationWorker,
    Orchestrator,
}

impl Part {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Part::SourceWorker => "the source's worker",
            Part::DestinationWorker => "the destination's worker",
            Part::Orchestrator => "the orchestrator",
        }
    }
}

impl Stage {
    /// Starts all processes and makes the fleet.
    pub(super) async fn set(order: &DemoOrder, directory: &Path) -> Result<Stage, CliError> {
        let (source, destination): (SiteName, SiteName) = (SOURCE.parse()?, DESTINATION.parse()?);
        let size = Size::of(order.vms);
        let fleet = fleet::draw(order.seed, order.vms, &source, size)?;
        let runbook = fleet::runbook(&fleet, &source, &destination, size);
        write(&directory.join("runbook.toml"), &runbook)?;
        let mut world_daemon = Daemon::new("world", directory, world_arguments(order.seed, size));
        let world_at = world_daemon.start().await?;
        let world = WorldClient::connect(&format!("http://{world_at}"))?;
        make(&world, &fleet).await?;
        // The workers have to know each other's address before either of them listens.
        let [at_source, at_destination, at_orchestrator] = free_ports()?;
        let mut source_worker = Daemon::new(
            "worker-paris",
            directory,
            worker_arguments(&source, at_source, &destination, at_destination, &world_at, directory),
        );
        let mut destination_worker = Daemon::new(
            "worker-berlin",
            directory,
            worker_arguments(&destination, at_destination, &source, at_source, &world_at, directory),
        );
        let source_address = source_worker.start().await?;
        let destination_address = destination_worker.start().await?;
        until_ready(&source_address).await?;
        until_ready(&destination_address).await?;
        let sites = [(&source, &source_address), (&destination, &destination_address)];
        let mut orchestrator =
            Daemon::new("orchestrator", directory, orchestrator_arguments(at_orchestrator, sites, directory));
        let orchestrator_address = orchestrator.start().await?;
        Ok(Stage {
            ordered: Ordered { source, live: fleet::live(&fleet) },
            size,
            fleet,
            runbook,
            world,
            _world: world_daemon,
            source_worker,
            destination_worker,
            orchestrator,
            source_address,
            destination_address,
            orchestrator_address,
        })
    }

    /// The orchestrator's client.
    pub(super) async fn api(&self) -> Result<Api, CliError> {
        Api::connect(self.orchestrator_address.clone(), &Transport::loopback()).await
    }

    /// The last VMs of the fleet that are moved with their memory, as many as wait for what is to be broken.
    pub(super) fn last_live_vms(&self) -> Vec<VmId> {
        let live = self.fleet.iter().rev().map(|vm| vm.vm).filter(|vm| self.ordered.live.contains(vm));
        live.take(WAITING as usize).collect()
    }

    /// Kills a process with SIGKILL.
    pub(super) async fn kill(&mut self, part: Part) -> Result<(), CliError> {
        self.daemon(part).kill().await
    }

    /// Starts a process again, on its old port and its old files; a worker until it takes work.
    pub(super) async fn restart(&mut self, part: Part) -> Result<(), CliError> {
        let address = self.daemon(part).start().await?;
        match part {
            Part::SourceWorker | Part::DestinationWorker => until_ready(&address).await,
            Part::Orchestrator => Ok(()),
        }
    }

    /// Makes something go wrong in the world.
    pub(super) async fn inject(&self, fault: Fault) -> Result<(), CliError> {
        Ok(self.world.inject(&fault).await?)
    }

    /// Something happens to the source site as a whole.
    pub(super) async fn at_source(&self, fault: SiteFault) -> Result<(), CliError> {
        self.inject(Fault::Site(self.ordered.source.clone(), fault)).await
    }

    /// What is really so.
    pub(super) async fn truth(&self) -> Result<Vec<Truth>, CliError> {
        Ok(self.world.truth(&[]).await?)
    }

    /// Calls the roll against the destination alone: the real command, in a process of its own.
    pub(super) async fn roll_call_source_lost(&self) -> Result<RollCall, CliError> {
        self.recover(&["--source-lost".to_owned()]).await
    }

    /// Calls the roll against both sites.
    pub(super) async fn roll_call(&self) -> Result<RollCall, CliError> {
        self.recover(&["--source".to_owned(), self.source_address.to_string()]).await
    }

    /// Settles what can be settled, with both sites there.
    pub(super) async fn recover_apply(&self) -> Result<RollCall, CliError> {
        let arguments = [
            "--source".to_owned(),
            self.source_address.to_string(),
            "--apply".to_owned(),
            format!("--handover-deadline-ms={HANDOVER_MS}"),
            format!("--silence-deadline-ms={SILENCE_MS}"),
        ];
        self.recover(&arguments).await
    }

    async fn recover(&self, more: &[String]) -> Result<RollCall, CliError> {
        let mut arguments = vec!["recover".to_owned(), "--output=json".to_owned(), "--by=demo".to_owned()];
        arguments.extend(["--destination".to_owned(), self.destination_address.to_string()]);
        arguments.extend_from_slice(more);
        let (code, stdout, stderr) = process::run(&arguments).await?;
        let told = stderr.trim();
        let failed = |what: String| CliError::Demo { what, mend: format!("it said: {told}") };
        match code {
            0 | 3 => serde_json::from_str(&stdout)
                .map_err(|error| failed(format!("the roll call of \"muster recover\" can't be read: {error}"))),
            _ => Err(failed(format!("\"muster {}\" ended with exit code {code}", arguments.join(" ")))),
        }
    }

    fn daemon(&mut self, part: Part) -> &mut Daemon {
        match part {
            Part::SourceWorker => &mut self.source_worker,
            Part::DestinationWorker => &mut self.destination_worker,
            Part::Orchestrator => &mut self.orchestrator,
        }
    }
}

async fn make(world: &WorldClient, fleet: &[VmSpec]) -> Result<(), CliError> {
    let made = futures::stream::iter(fleet).map(|vm| async move { world.create_vm(vm).await });
    made.buffered(MADE_AT_ONCE).try_collect::<()>().await?;
    Ok(())
}

/// Waits until a worker has compared its ledger with its hypervisors.
async fn until_ready(address: &SiteAddress) -> Result<(), CliError> {
    let channel = TcpDial.dial(address, &Counterpart::Worker(None)).await?;
    let begun = Instant::now();
    loop {
        if let Ok(answer) = site_client(channel.clone()).get_site(GetSiteRequest {}).await
            && answer.into_inner().working
        {
            return Ok(());
        }
        if begun.elapsed() > READY_WITHIN {
            let what = format!("the worker at {address} taking work");
            let mend = "see its output with --keep".to_owned();
            return Err(CliError::Overdue { what, waited_s: READY_WITHIN.as_secs(), mend });
        }
        tokio::time::sleep(READY_ASKED_EVERY).await;
    }
}

fn world_arguments(seed: u64, size: Size) -> Vec<String> {
    let link_mib_s = NIC_MIB_S * u64::from(size.hosts);
    vec![
        "world".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        format!("--site={SOURCE}={}", size.hosts),
        format!("--site={DESTINATION}={}", size.hosts),
        format!("--host-memory-mib={}", size.host_memory_mib),
        format!("--nic-mib-s={NIC_MIB_S}"),
        format!("--link-mib-s={link_mib_s}"),
        format!("--seed={seed}"),
        format!("--time-scale={TIME_SCALE}"),
    ]
}

fn worker_arguments(
    site: &SiteName,
    port: u16,
    peer: &SiteName,
    peer_port: u16,
    world: &SiteAddress,
    directory: &Path,
) -> Vec<String> {
    vec![
        "worker".to_owned(),
        format!("--site={site}"),
        format!("--listen=127.0.0.1:{port}"),
        format!("--ledger={}", file(directory, &format!("{site}.ledger")).display()),
        format!("--hypervisor=sim:{world}"),
        format!("--peer={peer}=127.0.0.1:{peer_port}"),
    ]
}

fn orchestrator_arguments(port: u16, sites: [(&SiteName, &SiteAddress); 2], directory: &Path) -> Vec<String> {
    let mut arguments = vec![
        "orchestrator".to_owned(),
        format!("--listen=127.0.0.1:{port}"),
        format!("--journal={}", file(directory, "journal").display()),
    ];
    arguments.extend(sites.iter().map(|(site, address)| format!("--site={site}={address}")));
    arguments
}

fn file(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), doing: "writing the runbook", source };
    std::fs::write(path, text).map_err(failed)
}
