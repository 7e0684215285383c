//! Runs the real command.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> std::io::Result<Ran> {
        command.stdin(Stdio::null()).output().map(|output| Ran::from(&output))
    }
}

impl From<&Output> for Ran {
    fn from(output: &Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Ran { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Runs `muster` to its end.
pub(crate) fn muster(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(arguments).env_remove("MUSTER_ORCHESTRATOR").env_remove("MUSTER_LOG").env("USER", "tester");
    Ran::of(&mut command).unwrap()
}

/// Runs `muster` until it has written a line to standard error that holds this, sends it SIGINT, and waits for its end.
pub(crate) fn interrupted(arguments: &[&str], once_it_says: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(arguments).env_remove("MUSTER_LOG").env("USER", "tester");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut stderr = String::new();
    while !stderr.contains(once_it_says) {
        assert!(told.read_line(&mut stderr).unwrap() > 0, "it ended without saying {once_it_says:?}: {stderr}");
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    told.read_to_string(&mut stderr).unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr,
    }
}

/// A daemon in a process of its own; killed when dropped.
pub(crate) struct Daemon {
    pub(crate) address: String,
    child: Child,
}

impl Daemon {
    pub(crate) fn start(arguments: &[&str]) -> Daemon {
        Daemon::of(Command::new(env!("CARGO_BIN_EXE_muster")).args(arguments))
    }

    /// One that is another program's, with muster's ways: it says where it listens, and stops with its standard input.
    pub(crate) fn of(command: &mut Command) -> Daemon {
        let mut child = command.arg("--stop-with-stdin").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Daemon { address, child }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Sends SIGKILL and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}
