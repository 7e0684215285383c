//! The commands of the orchestrator's own configuration: programs that a runbook may name and never bring.
//!
//! It runs one and says what came of it; what for is [`crate::guardians`]' business. No shell is ever involved: a program gets a
//! VM's UUID as its only argument, all else by an environment made for it, and nothing to read. It is bounded in time, in what is
//! kept of what it says, and in how many run at once. It must never run what isn't configured.

use muster_core::class::Class;
use muster_core::ids::{CommandName, VmId, clip};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Most commands that run at once, over all evacuations; further ones wait.
pub const COMMANDS_AT_ONCE_MAX: usize = 16;
/// Most that is kept of what a command says, in bytes: the end of it. The rest is read and dropped.
pub const OUTPUT_KEPT_MAX_BYTES: usize = 512;
/// How long a command's output is still read once it has ended: whatever it has started may hold it open.
pub const OUTPUT_AFTER_END: Duration = Duration::from_millis(200);
/// Where a command finds other programs.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where a command runs.
const FOLDER: &str = "/";
/// How much of its output is read in one go, in bytes.
const PIECE_BYTES: usize = 4096;

/// A program that can be run: at an absolute path, a file, executable. As it was when it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program(PathBuf);

/// Why a path is no program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It depends on where the orchestrator was started.
    #[error("{} is not an absolute path; write it from / on", .path.display())]
    NotAbsolute {
        /// What was given.
        path: PathBuf,
    },
    /// It isn't there, or can't be looked at.
    #[error("{} can't be looked at: {source}", .path.display())]
    Unseen {
        /// What was given.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a folder, a socket or the like.
    #[error("{} is not a file", .path.display())]
    NotAFile {
        /// What was given.
        path: PathBuf,
    },
    /// Nobody may execute it.
    #[error("{} is not executable; chmod +x it", .path.display())]
    NotExecutable {
        /// What was given.
        path: PathBuf,
    },
}

impl ProgramError {
    /// What the caller may do now: name another.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Refused
    }
}

impl Program {
    /// The program at a path.
    ///
    /// # Errors
    /// It is not an absolute path, not there, no file, or not executable.
    pub fn at(path: PathBuf) -> Result<Self, ProgramError> {
        if !path.is_absolute() {
            return Err(ProgramError::NotAbsolute { path });
        }
        let about = match std::fs::metadata(&path) {
            Ok(about) => about,
            Err(source) => return Err(ProgramError::Unseen { path, source }),
        };
        if !about.is_file() {
            return Err(ProgramError::NotAFile { path });
        }
        if about.permissions().mode() & 0o111 == 0 {
            return Err(ProgramError::NotExecutable { path });
        }
        Ok(Program(path))
    }
}

/// What is to be run.
pub(crate) struct Run<'a> {
    pub(crate) command: &'a CommandName,
    /// Its only argument.
    pub(crate) vm: VmId,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// How long it may take, once it runs.
    pub(crate) within: Duration,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It ended with exit code 0.
    Succeeded,
    /// It didn't, took too long, or could not be run: why, in words fit to be kept and shown.
    Failed(String),
    /// It was told to stop: not begun, or killed.
    Stopped,
}

/// How a child process ended.
enum End {
    Exited(io::Result<ExitStatus>),
    TookTooLong,
    Stopped,
}

/// Every command that may be run.
pub(crate) struct Commands {
    programs: BTreeMap<CommandName, Program>,
    room: Semaphore,
}

impl Commands {
    pub(crate) fn new(programs: BTreeMap<CommandName, Program>) -> Self {
        Commands { programs, room: Semaphore::new(COMMANDS_AT_ONCE_MAX) }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &CommandName> {
        self.programs.keys()
    }

    /// Runs a command to its end. Whatever comes of it, its process is gone then.
    pub(crate) async fn run(&self, run: Run<'_>, stop: &CancellationToken) -> Ran {
        let name = run.command;
        let Some(program) = self.programs.get(name) else {
            let mend = "start the orchestrator with --command NAME=/absolute/path for it";
            return Ran::Failed(format!("the orchestrator has no command {name}; {mend}"));
        };
        let _room = tokio::select! {
            biased;
            () = stop.cancelled() => return Ran::Stopped,
            room = self.room.acquire() => room,
        };
        let within = run.within;
        let mut child = match command(program, run).spawn() {
            Ok(child) => child,
            Err(error) => return Ran::Failed(clip(&format!("command {name} can't be run: {error}"))),
        };
        let (end, said) = follow(&mut child, within, stop).await;
        let said = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said last: {said}") };
        match end {
            End::Exited(Ok(status)) if status.success() => Ran::Succeeded,
            End::Exited(Ok(status)) => Ran::Failed(clip(&format!("command {name} ended with {status}; {said}"))),
            End::Exited(Err(error)) => Ran::Failed(clip(&format!("command {name} can't be waited for: {error}"))),
            End::TookTooLong => {
                let within_ms = within.as_millis();
                Ran::Failed(clip(&format!("command {name} has not ended within {within_ms} ms and was killed; {said}")))
            }
            End::Stopped => Ran::Stopped,
        }
    }
}

fn command(program: &Program, run: Run<'_>) -> Command {
    let mut command = Command::new(&program.0);
    command.arg(run.vm.to_string());
    command.env_clear().env("PATH", SEARCH_PATH).envs(run.environment).current_dir(FOLDER);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Waits for a child's end, or kills it; reads what it says meanwhile, so that it never waits for a reader.
async fn follow(child: &mut Child, within: Duration, stop: &CancellationToken) -> (End, String) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut output, mut errors) = (Tail::default(), Tail::default());
    let end = {
        let mut reading = pin!(async { tokio::join!(output.read(stdout), errors.read(stderr)) });
        let mut deadline = pin!(tokio::time::sleep(within));
        let mut is_read = false;
        let end = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break End::Stopped,
                status = child.wait() => break End::Exited(status),
                () = &mut deadline => break End::TookTooLong,
                _ = &mut reading, if !is_read => is_read = true,
            }
        };
        match &end {
            End::TookTooLong | End::Stopped => {
                // Reaps it as well.
                if let Err(error) = child.kill().await {
                    tracing::error!(%error, "a command can't be killed");
                }
            }
            End::Exited(_) => {}
        }
        if !is_read {
            // What it has started and left behind may write on for ever.
            let _ = tokio::time::timeout(OUTPUT_AFTER_END, reading).await;
        }
        end
    };
    // Errors come last, and say more.
    let said = if errors.is_empty() { output.text() } else { errors.text() };
    (end, said)
}

/// The end of what was read.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    async fn read(&mut self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut piece = [0; PIECE_BYTES];
        loop {
            match from.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    self.0.extend_from_slice(&piece[..length]);
                    let surplus = self.0.len().saturating_sub(OUTPUT_KEPT_MAX_BYTES);
                    self.0.drain(..surplus);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.0.trim_ascii().is_empty()
    }

    /// As it can be kept and shown.
    fn text(&self) -> String {
        // A character that was cut in two at the beginning is none.
        let whole = self.0.iter().position(|byte| byte & 0b1100_0000 != 0b1000_0000).unwrap_or_default();
        clip(&String::from_utf8_lossy(&self.0[whole..])).trim().to_owned()
    }
}

#[cfg(test)]
mod tests;
