//! Runs programs, each with a deadline. No shell is called with what came in.

use super::error::LabError;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// How long a program may take that asks or changes something at once, in milliseconds.
pub const SHORT_LIMIT_MS: u64 = 60_000;
/// How long between two looks at something that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What was run.
    pub command: String,
    /// Whether it ended well.
    pub success: bool,
    /// How it ended, for a person.
    pub status: String,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Ran {
    /// What it wrote, or the failure it ended with.
    ///
    /// # Errors
    /// [`LabError::Command`] where it did not end well.
    pub fn well(self) -> Result<String, LabError> {
        if self.success {
            return Ok(self.stdout);
        }
        Err(LabError::Command { command: self.command, status: self.status, stderr: self.stderr.trim().to_owned() })
    }
}

/// Runs a program to its end, and gives what it wrote.
///
/// # Errors
/// Where it can't be run, takes more than [`SHORT_LIMIT_MS`], or ends with a failure.
pub async fn run(command: &[&str]) -> Result<String, LabError> {
    attempt(command, SHORT_LIMIT_MS).await?.well()
}

/// Runs a program to its end, whatever that is. It is killed when it takes longer than `limit_ms` milliseconds.
///
/// # Errors
/// Where it can't be run, or takes too long.
pub async fn attempt(command: &[&str], limit_ms: u64) -> Result<Ran, LabError> {
    let said = command.join(" ");
    let mut process = prepared(command);
    process.stdin(Stdio::null()).kill_on_drop(true);
    match timeout(Duration::from_millis(limit_ms), process.output()).await {
        Err(_) => Err(LabError::TooSlow { command: said, limit_ms }),
        Ok(Err(source)) => Err(LabError::CantRun { command: said, source }),
        Ok(Ok(output)) => Ok(Ran {
            command: said,
            success: output.status.success(),
            status: output.status.to_string(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
    }
}

/// A command that speaks plain English, whatever the caller's language, and inherits nothing of a terminal's session.
pub(super) fn prepared(command: &[&str]) -> Command {
    let mut process = Command::new(command.first().copied().unwrap_or("false"));
    process.args(command.iter().skip(1)).env("LC_ALL", "C").current_dir("/");
    process
}

/// Waits until something holds.
///
/// # Errors
/// [`LabError::NotInTime`] after `limit_ms` milliseconds, and whatever looking fails with.
pub async fn until<F>(what: &str, limit_ms: u64, mut holds: F) -> Result<(), LabError>
where
    F: AsyncFnMut() -> Result<bool, LabError>,
{
    let begun = Instant::now();
    while !holds().await? {
        if begun.elapsed() >= Duration::from_millis(limit_ms) {
            return Err(LabError::NotInTime { what: what.to_owned(), limit_ms });
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
