//! Muster's own processes for one trial: two workers and an orchestrator on loopback, with ledgers that begin anew.

use crate::processor::processor_ms;
use muster_tests::Outcome;
use muster_tests::daemon::{Daemon, free_port, run};
use muster_tests::lab::{Lab, Role};
use muster_tests::sites::{libvirt_configuration, runbook};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::sleep;

/// How often it is asked whether both sites are ready.
const TRIES: usize = 100;
/// The pause between two asks.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Processor time that muster's processes took, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Processing {
    pub(crate) orchestrator_ms: u64,
    pub(crate) workers_ms: u64,
}

/// The three of them, up and ready.
pub(crate) struct Daemons {
    folder: TempDir,
    orchestrator: Daemon,
    workers: [Daemon; 2],
    address: String,
    before: Processing,
}

impl Daemons {
    pub(crate) async fn start(lab: &Lab, per_host: Option<u32>) -> Outcome<Self> {
        let folder = TempDir::new().map_err(|error| format!("no folder: {error}"))?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let write = |name: &str, text: String| {
            std::fs::write(path(name), text).map_err(|error| format!("{name} can't be written: {error}"))
        };
        let limits =
            per_host.map(|most| format!("[limits]\nper_source_host = {most}\nper_destination_host = {most}\n"));
        write("runbook.toml", runbook(lab.record()) + &limits.unwrap_or_default())?;
        let ports = [free_port()?, free_port()?];
        let [north, south] = ports.map(|port| format!("127.0.0.1:{port}"));
        let mut workers = Vec::new();
        for (name, role, here, peer) in [
            ("north", Role::Source, &north, format!("south={south}")),
            ("south", Role::Destination, &south, format!("north={north}")),
        ] {
            let config = format!("{name}.toml");
            write(&config, libvirt_configuration(lab.record(), role, None))?;
            let (ledger, driver) = (path(&format!("{name}.ledger")), format!("libvirt:{}", path(&config)));
            let arguments = [
                "worker",
                "--site",
                name,
                "--listen",
                here,
                "--ledger",
                &ledger,
                "--hypervisor",
                &driver,
                "--peer",
                &peer,
            ];
            let mut worker = Daemon::new(name, folder.path(), arguments.map(str::to_owned).to_vec());
            worker.start().await?;
            workers.push(worker);
        }
        let [north, south] = [format!("north={north}"), format!("south={south}")];
        let address = format!("127.0.0.1:{}", free_port()?);
        let arguments = ["orchestrator", "--listen", &address, "--journal", &path("journal")].map(str::to_owned);
        let sites = ["--site", &north, "--site", &south].map(str::to_owned);
        let mut orchestrator = Daemon::new("orchestrator", folder.path(), arguments.into_iter().chain(sites).collect());
        orchestrator.start().await?;
        let workers = workers.try_into().map_err(|_| "there are two workers".to_owned())?;
        let before = Processing { orchestrator_ms: 0, workers_ms: 0 };
        let mut daemons = Self { folder, orchestrator, workers, address, before };
        daemons.until_ready().await?;
        daemons.before = daemons.processing()?;
        Ok(daemons)
    }

    async fn until_ready(&self) -> Outcome<()> {
        let mut last = String::new();
        for _ in 0..TRIES {
            let ended = self.muster("check").await?;
            if ended.code == 0 {
                return Ok(());
            }
            last = format!("{}{}", ended.stdout, ended.stderr);
            sleep(AGAIN_AFTER).await;
        }
        Err(format!("the sites don't get ready: {last}"))
    }

    /// Evacuates everything, and returns when the last VM is accounted for.
    pub(crate) async fn evacuate(&self) -> Outcome<()> {
        let ended = self.muster("evacuate").await?;
        if ended.code == 0 { Ok(()) } else { Err(format!("muster evacuate: {}{}", ended.stdout, ended.stderr)) }
    }

    async fn muster(&self, command: &str) -> Outcome<muster_tests::daemon::Ended> {
        let runbook = self.folder.path().join("runbook.toml").display().to_string();
        let mut words = vec![command.to_owned(), runbook, "--orchestrator".to_owned(), self.address.clone()];
        if command == "evacuate" {
            words.extend(["--watch", "--by", "the benchmark"].map(str::to_owned));
        }
        run(&words).await
    }

    /// Ends them, and says what they took since they were ready.
    pub(crate) async fn stop(mut self) -> Outcome<Processing> {
        let now = self.processing()?;
        for daemon in [&mut self.orchestrator].into_iter().chain(&mut self.workers) {
            daemon.kill().await?;
        }
        Ok(Processing {
            orchestrator_ms: now.orchestrator_ms - self.before.orchestrator_ms,
            workers_ms: now.workers_ms - self.before.workers_ms,
        })
    }

    fn processing(&self) -> Outcome<Processing> {
        let of = |daemon: &Daemon| daemon.pid().ok_or("a daemon is dead".to_owned()).and_then(processor_ms);
        let workers = self.workers.iter().map(of).sum::<Outcome<u64>>()?;
        Ok(Processing { orchestrator_ms: of(&self.orchestrator)?, workers_ms: workers })
    }
}
