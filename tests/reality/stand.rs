//! A lab of real hypervisors, and for each row of the proof guests and processes of muster of its own.
//!
//! The paths between the processes lead through gates, so that they can be cut like the lab's own link.

use crate::Outcome;
use crate::row::Row;
use muster_core::ids::VmId;
use muster_proto::channel::{Counterpart, Dial, SiteAddress, TcpDial};
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_tests::daemon::{Daemon, free_port, until_working};
use muster_tests::lab::command::until;
use muster_tests::lab::gate::{Gate, Passage};
use muster_tests::lab::serial::printed;
use muster_tests::lab::testing::{can, name};
use muster_tests::lab::{Guest, Lab, Order, Role};
use muster_tests::sites::libvirt_configuration;
use std::path::Path;
use tempfile::TempDir;
use tonic::transport::Channel;

/// The site that is left, and its only host.
pub(crate) const SOURCE: &str = "north";
pub(crate) const SOURCE_HOST: &str = "north-1";
/// The site that is moved to.
pub(crate) const DESTINATION: &str = "south";
/// The most that a transfer sends, in MiB a second: a slow guest takes some seconds, a quiet one none.
const BANDWIDTH_MIB_S: u64 = 15;
/// Longest wait for a guest's first sign of life, in milliseconds.
const BOOT_LIMIT_MS: u64 = 60_000;

/// A lab, reused from row to row.
pub(crate) struct Stand {
    pub(crate) lab: Lab,
    name: String,
}

/// The processes of muster, and the ways between them.
pub(crate) struct Muster {
    pub(crate) source: Daemon,
    pub(crate) destination: Daemon,
    pub(crate) orchestrator: Daemon,
    pub(crate) source_at: SiteAddress,
    pub(crate) destination_at: SiteAddress,
    pub(crate) orchestrator_at: SiteAddress,
    pub(crate) api: EvacuationsClient<Channel>,
    gates: Vec<(Way, Gate)>,
}

/// Who can be killed of muster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Orchestrator,
    Source,
    Destination,
}

/// A way from one process to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    OrchestratorToSource,
    OrchestratorToDestination,
    SourceToDestination,
    DestinationToSource,
}

impl Part {
    pub(crate) const ALL: [Part; 3] = [Part::Orchestrator, Part::Source, Part::Destination];
}

impl Way {
    pub(crate) const ALL: [Way; 4] =
        [Way::OrchestratorToSource, Way::OrchestratorToDestination, Way::SourceToDestination, Way::DestinationToSource];
    /// All that lead out of the source's site, or into it, with the orchestrator at the destination's.
    pub(crate) const BETWEEN_SITES: [Way; 3] =
        [Way::OrchestratorToSource, Way::SourceToDestination, Way::DestinationToSource];
}

impl Stand {
    /// None where there can be no lab, which is said.
    pub(crate) async fn up(word: &str, left_out: &str) -> Option<Stand> {
        if !can(left_out) {
            return None;
        }
        let name = name(word);
        let lab = Lab::up(&name).await.expect("a lab");
        Some(Stand { lab, name })
    }

    /// A fresh lab in place of this one, after a row that has left it as it should not be.
    pub(crate) async fn renew(&mut self) {
        Lab::down(&self.name).expect("it goes down");
        self.lab = Lab::up(&self.name).await.expect("a lab");
    }

    /// Fresh guests and fresh processes.
    pub(crate) async fn row(&mut self, guests: &[(Order, u16)]) -> Outcome<Row<'_>> {
        let names = self.add(guests).await?;
        let directory = tempfile::Builder::new().prefix("muster-row-").tempdir();
        let directory: TempDir = directory.map_err(|error| format!("no temporary directory: {error}"))?;
        let muster = Muster::start(&self.lab, directory.path()).await?;
        Row::begin(&self.lab, muster, names, directory).await
    }

    /// Adds guests that their host starts at boot, and waits until each has written its first record.
    async fn add(&mut self, guests: &[(Order, u16)]) -> Outcome<Vec<String>> {
        let mut names = Vec::new();
        for (order, count) in guests {
            names.extend(self.lab.add_guests(*count, order).await.map_err(|error| error.to_string())?);
        }
        let source = self.lab.source().map_err(|error| error.to_string())?;
        for guest in &names {
            let set = self.lab.virsh(&source.name, &["autostart", guest]).await.and_then(|ran| ran.well());
            set.map_err(|error| error.to_string())?;
        }
        let counts = async || {
            let mut all = true;
            for guest in &names {
                all &= !printed(source, guest)?.records.is_empty();
            }
            Ok(all)
        };
        until("the guests' first records", BOOT_LIMIT_MS, counts).await.map_err(|error| error.to_string())?;
        Ok(names)
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        Lab::down(&self.name).expect("it goes down");
    }
}

impl Muster {
    /// Two workers with fresh ledgers, and an orchestrator with a fresh journal.
    async fn start(lab: &Lab, directory: &Path) -> Outcome<Muster> {
        for (site, role) in [(SOURCE, Role::Source), (DESTINATION, Role::Destination)] {
            let path = directory.join(format!("{site}.toml"));
            let text = libvirt_configuration(lab.record(), role, Some(BANDWIDTH_MIB_S));
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let (source_port, destination_port, port) = (free_port()?, free_port()?, free_port()?);
        let mut gates = Vec::new();
        for way in Way::ALL {
            let to = match way {
                Way::OrchestratorToSource | Way::DestinationToSource => source_port,
                Way::OrchestratorToDestination | Way::SourceToDestination => destination_port,
            };
            let gate = Gate::before(([127, 0, 0, 1], to).into()).await.map_err(|error| error.to_string())?;
            gates.push((way, gate));
        }
        let through = |way| gates.iter().find(|(of, _)| *of == way).map(|(_, gate)| gate.address()).ok_or("no gate");
        let peer = format!("{DESTINATION}={}", through(Way::SourceToDestination)?);
        let arguments = worker_arguments(SOURCE, source_port, &peer, directory);
        let mut source = Daemon::new("source-worker", directory, arguments);
        let peer = format!("{SOURCE}={}", through(Way::DestinationToSource)?);
        let arguments = worker_arguments(DESTINATION, destination_port, &peer, directory);
        let mut destination = Daemon::new("destination-worker", directory, arguments);
        let (source_at, destination_at) = (source.start().await?, destination.start().await?);
        until_working(&source_at).await?;
        until_working(&destination_at).await?;
        let arguments = vec![
            "orchestrator".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--journal={}", directory.join("journal").display()),
            format!("--site={SOURCE}={}", through(Way::OrchestratorToSource)?),
            format!("--site={DESTINATION}={}", through(Way::OrchestratorToDestination)?),
        ];
        let mut orchestrator = Daemon::new("orchestrator", directory, arguments);
        let orchestrator_at = orchestrator.start().await?;
        let channel =
            TcpDial.dial(&orchestrator_at, &Counterpart::Orchestrator).await.map_err(|error| error.to_string())?;
        let api = EvacuationsClient::new(channel);
        Ok(Muster { source, destination, orchestrator, source_at, destination_at, orchestrator_at, api, gates })
    }

    pub(crate) fn part(&mut self, part: Part) -> &mut Daemon {
        match part {
            Part::Orchestrator => &mut self.orchestrator,
            Part::Source => &mut self.source,
            Part::Destination => &mut self.destination,
        }
    }

    /// Cuts or mends ways.
    pub(crate) fn set(&self, ways: &[Way], passage: Passage) {
        for (_, gate) in self.gates.iter().filter(|(way, _)| ways.contains(way)) {
            gate.set(passage);
        }
    }
}

fn worker_arguments(site: &str, port: u16, peer: &str, directory: &Path) -> Vec<String> {
    vec![
        "worker".to_owned(),
        format!("--site={site}"),
        format!("--listen=127.0.0.1:{port}"),
        format!("--ledger={}", directory.join(format!("{site}.ledger")).display()),
        format!("--hypervisor=libvirt:{}", directory.join(format!("{site}.toml")).display()),
        format!("--peer={peer}"),
    ]
}

/// A guest's id.
pub(crate) fn vm_of(guest: &Guest) -> Outcome<VmId> {
    guest.uuid.parse().map_err(|error| format!("{}: {error}", guest.uuid))
}
