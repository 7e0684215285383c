//! A daemon of muster as a child process, killed by its own process id.
//!
//! Each has a pipe for standard input and stops when that ends, and is killed when it is dropped: none outlives the test,
//! however that ends.

use crate::{Outcome, binary};
use muster_proto::channel::{Counterpart, Dial, SiteAddress, TcpDial, site_client};
use muster_proto::worker::v1::GetSiteRequest;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

/// Longest wait for a daemon to say where it listens.
const LISTENING_WITHIN: Duration = Duration::from_secs(30);
/// How often a daemon is started again if its port is still taken.
const START_TRIES: usize = 5;
/// Wait before it is.
const START_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Longest wait for a worker to take work.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked whether it does.
const READY_ASKED_EVERY: Duration = Duration::from_millis(25);
/// Longest wait for a worker to say whether it takes work.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest run of a command that isn't a daemon.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);
/// The ports to choose from: below those that the kernel gives to whoever connects, so that none is taken by a client
/// while its daemon is dead.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A daemon in a process of its own.
pub struct Daemon {
    name: &'static str,
    arguments: Vec<String>,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Daemon {
    /// A daemon that is not started yet. Its errors go to a file of its name in `directory`.
    #[must_use]
    pub fn new(name: &'static str, directory: &Path, arguments: Vec<String>) -> Self {
        let log = directory.join(format!("{name}.log"));
        Daemon { name, arguments, log, running: None }
    }

    /// Whether it was started and not killed since.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Starts it and returns where it listens.
    ///
    /// # Errors
    /// Where it can't be run, or doesn't say in time where it listens.
    pub async fn start(&mut self) -> Outcome<SiteAddress> {
        let mut last = String::new();
        for _ in 0..START_TRIES {
            match self.start_once().await {
                Ok(address) => return Ok(address),
                Err(error) => last = error,
            }
            tokio::time::sleep(START_AGAIN_AFTER).await;
        }
        Err(last)
    }

    /// Kills it with SIGKILL and waits until it is dead.
    ///
    /// # Errors
    /// Where it is dead already, or ended by itself.
    pub async fn kill(&mut self) -> Outcome<()> {
        let Some(mut running) = self.running.take() else { return Err(format!("{} is dead already", self.name)) };
        if let Ok(Some(status)) = running.child.try_wait() {
            return Err(format!("{} ended by itself with {status}", self.name));
        }
        running.child.kill().await.map_err(|error| format!("{} can't be killed: {error}", self.name))
    }

    /// Stops it in its tracks: it neither answers nor ends, until [`Self::release`].
    ///
    /// # Errors
    /// Where it is dead, or no signal can be sent.
    pub fn hang(&self) -> Outcome<()> {
        self.signal("STOP")
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// Where it is dead, or no signal can be sent.
    pub fn release(&self) -> Outcome<()> {
        self.signal("CONT")
    }

    /// The signal that ended it, though nobody of this test sent one; none while it is up, or was killed on purpose.
    pub fn ended_by_signal(&mut self) -> Option<i32> {
        let running = self.running.as_mut()?;
        running.child.try_wait().ok().flatten().and_then(|status| status.signal())
    }

    /// Its process id, while it is up.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// Fails if it ended by itself.
    ///
    /// # Errors
    /// Where it did.
    pub fn check(&mut self) -> Outcome<()> {
        match self.running.as_mut().map(|running| running.child.try_wait()) {
            Some(Ok(Some(status))) => Err(format!("{} ended by itself with {status}", self.name)),
            Some(Ok(None) | Err(_)) | None => Ok(()),
        }
    }

    fn signal(&self, name: &str) -> Outcome<()> {
        let pid = self.pid().ok_or_else(|| format!("{} is dead", self.name))?;
        let sent = BlockingCommand::new("kill").args([format!("-{name}"), pid.to_string()]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{} can't be sent {name}: {status}", self.name)),
            Err(error) => Err(format!("{} can't be sent {name}: {error}", self.name)),
        }
    }

    async fn start_once(&mut self) -> Outcome<SiteAddress> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|error| format!("{}: {error}", self.log.display()))?;
        let mut child = muster()?
            .args(&self.arguments)
            .arg("--stop-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{} can't be started: {error}", self.name))?;
        let stdout = child.stdout.take().ok_or("a daemon has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(LISTENING_WITHIN, lines.next_line()).await;
        let first = first.ok().and_then(Result::ok).flatten().unwrap_or_default();
        let address = first.strip_prefix("listening on ").and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| format!("{} did not say where it listens: {first:?}", self.name))?;
        self.running = Some(Running { child, _stdout: lines });
        Ok(address)
    }
}

/// A command of muster, in a process group of its own, killed when it is dropped.
fn muster() -> Outcome<Command> {
    let mut command = Command::new(binary::muster()?);
    command.kill_on_drop(true).process_group(0).env_remove("MUSTER_ORCHESTRATOR");
    Ok(command)
}

/// Runs a command of muster to its end.
///
/// # Errors
/// Where it can't be run, or does not end in time.
pub async fn run(arguments: &[String]) -> Outcome<Ended> {
    let ended = muster()?.args(arguments).stdin(Stdio::null()).output();
    let ended = tokio::time::timeout(COMMAND_WITHIN, ended).await;
    let ended = ended.map_err(|_| format!("muster {} has not ended in time", arguments.join(" ")))?;
    let output = ended.map_err(|error| format!("muster {} can't be run: {error}", arguments.join(" ")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Ok(Ended { code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// Runs a command of muster and kills it with SIGKILL after a while. Returns whether it was still running then.
///
/// # Errors
/// Where it can't be run or killed.
pub async fn run_and_kill(arguments: &[String], after: Duration) -> Outcome<bool> {
    let spawned = muster()?.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = spawned.map_err(|error| format!("muster {} can't be run: {error}", arguments.join(" ")))?;
    if tokio::time::timeout(after, child.wait()).await.is_ok() {
        return Ok(false);
    }
    child.kill().await.map_err(|error| format!("a recovery can't be killed: {error}"))?;
    Ok(true)
}

/// Waits until a worker takes work.
///
/// # Errors
/// Where it doesn't in time.
pub async fn until_working(address: &SiteAddress) -> Outcome<()> {
    let begun = Instant::now();
    while begun.elapsed() < READY_WITHIN {
        if is_working(address).await {
            return Ok(());
        }
        tokio::time::sleep(READY_ASKED_EVERY).await;
    }
    Err(format!("the worker at {address} takes no work"))
}

/// Whether a worker says that it has compared its ledger with its hypervisors and takes work.
pub async fn is_working(address: &SiteAddress) -> bool {
    let Ok(channel) = TcpDial.dial(address, &Counterpart::Worker(None)).await else { return false };
    let asked = tokio::time::timeout(ANSWER_WITHIN, site_client(channel).get_site(GetSiteRequest {})).await;
    matches!(asked, Ok(Ok(answer)) if answer.get_ref().working)
}

/// A loopback port that nobody has, and that this process gives to nobody else.
///
/// # Errors
/// Where none is free.
pub fn free_port() -> Outcome<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = PORTS.end - PORTS.start;
    // Runs of these tests at the same time begin to look at different places.
    let begin = u16::try_from(std::process::id() * 37 % u32::from(count)).unwrap_or_default();
    let ports = (0..count).map(|step| PORTS.start + (begin + step) % count);
    for port in ports {
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err("no port is free".to_owned())
}
