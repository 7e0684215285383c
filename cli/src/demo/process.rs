//! The demonstration's daemons: real processes of this very program, killed by their own process id.
//!
//! Each has a pipe for standard input and stops when that ends, so none outlives the demonstration, however it ends.

use crate::error::CliError;
use muster_proto::channel::SiteAddress;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Longest wait for a daemon to say where it listens.
const LISTENING_WITHIN: Duration = Duration::from_secs(30);
/// How often a daemon is started again if its port is still taken.
const START_TRIES: usize = 5;
/// Wait before it is.
const START_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A daemon in a process of its own.
pub(super) struct Daemon {
    name: &'static str,
    arguments: Vec<String>,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    /// A daemon that is not started yet. `arguments` are those of its command line; its output goes to a file of its
    /// name in `directory`.
    pub(super) fn new(name: &'static str, directory: &Path, arguments: Vec<String>) -> Self {
        let log = directory.join(format!("{name}.log"));
        Daemon { name, arguments, log, running: None }
    }

    /// Starts it and returns where it listens.
    pub(super) async fn start(&mut self) -> Result<SiteAddress, CliError> {
        let mut last = None;
        for _ in 0..START_TRIES {
            match self.start_once().await {
                Ok(address) => return Ok(address),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(START_AGAIN_AFTER).await;
        }
        Err(last.unwrap_or(CliError::Interrupted))
    }

    /// Kills it with SIGKILL and waits until it is dead.
    pub(super) async fn kill(&mut self) -> Result<(), CliError> {
        match self.running.take() {
            Some(mut running) => {
                running.child.kill().await.map_err(|source| CliError::System { doing: "killing a daemon", source })
            }
            None => Err(self.went_wrong("is not running, so it can't be killed".to_owned())),
        }
    }

    async fn start_once(&mut self) -> Result<SiteAddress, CliError> {
        let opened = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = opened.map_err(|source| CliError::File {
            path: self.log.clone(),
            doing: "opening a daemon's output file",
            source,
        })?;
        let mut child = this_program()?
            .args(&self.arguments)
            .arg("--stop-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|source| CliError::System { doing: "starting a daemon", source })?;
        let Some(stdout) = child.stdout.take() else {
            return Err(self.went_wrong("has no standard output".to_owned()));
        };
        let mut lines = BufReader::new(stdout).lines();
        let first = match tokio::time::timeout(LISTENING_WITHIN, lines.next_line()).await {
            Ok(Ok(line)) => line.unwrap_or_default(),
            Ok(Err(source)) => return Err(CliError::System { doing: "reading a daemon's output", source }),
            Err(_) => String::new(),
        };
        let address = first.strip_prefix("listening on ").and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| self.went_wrong("did not say where it listens".to_owned()))?;
        self.running = Some(Running { child, _stdout: lines });
        Ok(address)
    }

    fn went_wrong(&self, how: String) -> CliError {
        CliError::Demo { what: format!("the {} {how}", self.name), mend: format!("see {}", self.log.display()) }
    }
}

/// This program, in a process group of its own, so that Ctrl-C reaches the demonstration alone; killed when dropped.
fn this_program() -> Result<Command, CliError> {
    let mut command = Command::new(program()?);
    command.arg0("muster").kill_on_drop(true).process_group(0);
    Ok(command)
}

/// What this process runs, whatever has become of its file meanwhile: a build may replace it while a daemon is dead,
/// and what is started again must be what was killed.
#[cfg(target_os = "linux")]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere the file has to be found")]
fn program() -> Result<PathBuf, CliError> {
    Ok(PathBuf::from("/proc/self/exe"))
}

#[cfg(not(target_os = "linux"))]
fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|source| CliError::System { doing: "finding this program's file", source })
}

/// Runs a command of this program to its end and returns its exit code and what it wrote to standard output.
pub(super) async fn run(arguments: &[String]) -> Result<(i32, String, String), CliError> {
    let output = this_program()?
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|source| CliError::System { doing: "running a command", source })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
}

/// As many free loopback ports. They are free again when this returns; a daemon that finds one taken says so.
pub(super) fn free_ports<const PORTS: usize>() -> Result<[u16; PORTS], CliError> {
    let failed = |source| CliError::System { doing: "finding free ports", source };
    let mut listeners = Vec::new();
    let mut ports = [0; PORTS];
    for port in &mut ports {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        *port = listener.local_addr().map_err(failed)?.port();
        // Kept until all are found, so that no port is found twice.
        listeners.push(listener);
    }
    Ok(ports)
}
