//! The processes of one evacuation: a world, two workers, an orchestrator; and what they are asked.

use crate::Outcome;
use crate::fleet::{DESTINATION, HANDOVER_MS, HOST_MEMORY_MIB, HOSTS, NIC_MIB_S, Ordered, SILENCE_MS, SOURCE, runbook};
use crate::judge::Presence;
use crate::plan::Part;
use muster_proto::channel::{Dial, SiteAddress, TcpDial};
use muster_proto::v1 as wire;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_tests::daemon::{self, Daemon, Ended, free_port, is_working, until_working};
use muster_tests::roll_call::RollCall;
use muster_worker::hypervisor::sim::client::WorldClient;
use muster_worker::hypervisor::sim::world::Truth;
use std::path::Path;
use std::time::Duration;
use tonic::transport::Channel;

/// How many simulated milliseconds pass in a real one.
const TIME_SCALE: u32 = 20;
/// Longest wait for an answer of the orchestrator.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// As whom the test orders. A recovery of the same name goes on with its own claim.
const BY: &str = "--by=processes";

/// Which way a roll call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Orchestrator,
    BothWorkers,
    DestinationAlone,
}

/// Everything that takes part.
pub(crate) struct Stage {
    world: WorldClient,
    world_daemon: Daemon,
    source: Daemon,
    destination: Daemon,
    orchestrator: Daemon,
    source_at: SiteAddress,
    destination_at: SiteAddress,
    orchestrator_at: SiteAddress,
    api: EvacuationsClient<Channel>,
}

impl Stage {
    /// Starts all processes and makes the fleet.
    pub(crate) async fn set(seed: u64, fleet: &[Ordered], directory: &Path) -> Outcome<Stage> {
        let mut world_daemon = Daemon::new("world", directory, world_arguments(seed));
        let world_at = world_daemon.start().await?;
        let world = WorldClient::connect(&format!("http://{world_at}")).map_err(|error| error.to_string())?;
        for vm in fleet {
            world.create_vm(&vm.spec).await.map_err(|error| format!("a VM can't be made: {error}"))?;
        }
        let (source_port, destination_port, port) = (free_port()?, free_port()?, free_port()?);
        let arguments = worker_arguments(SOURCE, source_port, DESTINATION, destination_port, &world_at, directory);
        let mut source = Daemon::new("source-worker", directory, arguments);
        let arguments = worker_arguments(DESTINATION, destination_port, SOURCE, source_port, &world_at, directory);
        let mut destination = Daemon::new("destination-worker", directory, arguments);
        let (source_at, destination_at) = (source.start().await?, destination.start().await?);
        until_working(&source_at).await?;
        until_working(&destination_at).await?;
        let arguments = vec![
            "orchestrator".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--journal={}", directory.join("journal").display()),
            format!("--site={SOURCE}={source_at}"),
            format!("--site={DESTINATION}={destination_at}"),
        ];
        let mut orchestrator = Daemon::new("orchestrator", directory, arguments);
        let orchestrator_at = orchestrator.start().await?;
        let channel = TcpDial.dial(&orchestrator_at).await.map_err(|error| error.to_string())?;
        let api = EvacuationsClient::new(channel);
        Ok(Stage {
            world,
            world_daemon,
            source,
            destination,
            orchestrator,
            source_at,
            destination_at,
            orchestrator_at,
            api,
        })
    }

    pub(crate) fn is_up(&self, part: Part) -> bool {
        match part {
            Part::Orchestrator => self.orchestrator.is_up(),
            Part::Source => self.source.is_up(),
            Part::Destination => self.destination.is_up(),
        }
    }

    /// Kills a process with SIGKILL.
    pub(crate) async fn kill(&mut self, part: Part) -> Outcome<()> {
        self.daemon(part).kill().await
    }

    /// Starts a process again, on its old port and its old files.
    pub(crate) async fn start(&mut self, part: Part) -> Outcome<()> {
        self.daemon(part).start().await.map(drop)
    }

    /// Fails if a process ended by itself.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        self.world_daemon.check()?;
        Part::ALL.into_iter().try_for_each(|part| self.daemon(part).check())
    }

    /// Waits until both workers have compared their ledgers with their hypervisors.
    pub(crate) async fn until_workers_ready(&self) -> Outcome<()> {
        until_working(&self.source_at).await?;
        until_working(&self.destination_at).await
    }

    /// Whether the source's and the destination's worker are there now and say that they work.
    pub(crate) async fn presence(&self) -> (Presence, Presence) {
        let of = |part: Part, address: &SiteAddress| {
            let (is_up, address) = (self.is_up(part), address.clone());
            async move { if is_up && is_working(&address).await { Presence::Working } else { Presence::Away } }
        };
        tokio::join!(of(Part::Source, &self.source_at), of(Part::Destination, &self.destination_at))
    }

    /// What is really so.
    pub(crate) async fn truth(&self) -> Outcome<Vec<Truth>> {
        self.world.truth(&[]).await.map_err(|error| format!("the world doesn't tell its truth: {error}"))
    }

    /// Orders the evacuation with the real command; returns its id.
    pub(crate) async fn evacuate(&self, directory: &Path) -> Outcome<String> {
        let path = directory.join("runbook.toml");
        std::fs::write(&path, runbook()).map_err(|error| format!("{}: {error}", path.display()))?;
        let orchestrator = format!("--orchestrator={}", self.orchestrator_at);
        let arguments = ["evacuate", &path.display().to_string(), &orchestrator, BY, "--output=json"];
        let ended = daemon::run(&arguments.map(str::to_owned)).await?;
        let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        let evacuation = answer["evacuation"].as_str().map(str::to_owned);
        evacuation.ok_or_else(|| format!("the evacuation can't be ordered: {ended:?}"))
    }

    /// The evacuation, as the orchestrator tells.
    pub(crate) async fn evacuation(&self, evacuation: &str) -> Result<wire::Evacuation, tonic::Status> {
        let request = wire::GetEvacuationRequest { evacuation: evacuation.to_owned() };
        Ok(self.api.clone().get_evacuation(in_time(request)).await?.into_inner())
    }

    /// Its moves.
    pub(crate) async fn moves(&self, evacuation: &str) -> Result<Vec<wire::Move>, tonic::Status> {
        let evacuation = evacuation.to_owned();
        let request =
            wire::ListMovesRequest { evacuation, page_size: 1_000, page_token: String::new(), filter: String::new() };
        Ok(self.api.clone().list_moves(in_time(request)).await?.into_inner().moves)
    }

    /// Calls the roll with the real command.
    pub(crate) async fn roll_call(&self, way: Way) -> Outcome<RollCall> {
        let ended = daemon::run(&self.recover_arguments(way)).await?;
        match ended.code {
            0 | 3 => RollCall::read(&ended.stdout),
            _ => Err(format!("the roll can't be called, {way:?}: {ended:?}")),
        }
    }

    /// Settles what can be settled, without the orchestrator: the real command.
    pub(crate) async fn recover_apply(&self) -> Outcome<Ended> {
        daemon::run(&self.apply_arguments()).await
    }

    /// The same, killed after a while. Returns whether it was still running then.
    pub(crate) async fn recover_apply_and_kill(&self, after: Duration) -> Outcome<bool> {
        daemon::run_and_kill(&self.apply_arguments(), after).await
    }

    /// What `muster status` prints, for people.
    pub(crate) async fn status(&self) -> Outcome<String> {
        let orchestrator = format!("--orchestrator={}", self.orchestrator_at);
        let ended = daemon::run(&["status".to_owned(), orchestrator]).await?;
        Ok(format!("{}{}", ended.stdout, ended.stderr))
    }

    /// The command line of a recovery that acts.
    pub(crate) fn apply_arguments(&self) -> Vec<String> {
        let mut arguments = self.recover_arguments(Way::BothWorkers);
        arguments.push("--apply".to_owned());
        arguments.push(format!("--handover-deadline-ms={HANDOVER_MS}"));
        arguments.push(format!("--silence-deadline-ms={SILENCE_MS}"));
        arguments
    }

    fn recover_arguments(&self, way: Way) -> Vec<String> {
        let mut arguments: Vec<String> = ["recover", "--output=json", BY].map(str::to_owned).to_vec();
        let destination = format!("--destination={}", self.destination_at);
        match way {
            Way::Orchestrator => arguments.push(format!("--orchestrator={}", self.orchestrator_at)),
            Way::BothWorkers => arguments.extend([destination, format!("--source={}", self.source_at)]),
            Way::DestinationAlone => arguments.extend([destination, "--source-lost".to_owned()]),
        }
        arguments
    }

    fn daemon(&mut self, part: Part) -> &mut Daemon {
        match part {
            Part::Orchestrator => &mut self.orchestrator,
            Part::Source => &mut self.source,
            Part::Destination => &mut self.destination,
        }
    }
}

fn in_time<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(ANSWER_WITHIN);
    request
}

fn world_arguments(seed: u64) -> Vec<String> {
    vec![
        "world".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        format!("--site={SOURCE}={HOSTS}"),
        format!("--site={DESTINATION}={HOSTS}"),
        format!("--host-memory-mib={HOST_MEMORY_MIB}"),
        format!("--nic-mib-s={NIC_MIB_S}"),
        format!("--link-mib-s={}", NIC_MIB_S * u64::from(HOSTS)),
        format!("--seed={seed}"),
        format!("--time-scale={TIME_SCALE}"),
    ]
}

fn worker_arguments(
    site: &str,
    port: u16,
    peer: &str,
    peer_port: u16,
    world: &SiteAddress,
    directory: &Path,
) -> Vec<String> {
    vec![
        "worker".to_owned(),
        format!("--site={site}"),
        format!("--listen=127.0.0.1:{port}"),
        format!("--ledger={}", directory.join(format!("{site}.ledger")).display()),
        format!("--hypervisor=sim:{world}"),
        format!("--peer={peer}=127.0.0.1:{peer_port}"),
    ]
}
