//! Finds and ends a lab's processes.
//!
//! Everything of a lab runs in a mount namespace in which a mark is mounted: a tmpfs whose source is `muster-lab:LAB:PLACE`.
//! A process's own /proc/PID/mountinfo thus says whether it belongs to a lab, to which, and to which of its places: a QEMU
//! that nobody recorded is found too, also after a crash, and a recycled process number is never taken for one of ours.

use super::error::LabError;
use std::fs;
use std::process::{Command, Stdio};

/// Rounds of killing before a process counts as one that can't be ended.
const ROUNDS_MAX: u32 = 100;
/// The pause between two rounds, as `sleep` wants it.
const ROUND_S: &str = "0.05";

/// A process of a lab.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The place whose namespaces it lives in: a host's name, or the switch.
    pub place: String,
    /// Its program and arguments.
    pub arguments: Vec<String>,
}

impl Process {
    /// Whether it is the program of this name, wherever that is installed.
    #[must_use]
    pub fn is(&self, program: &str) -> bool {
        self.arguments.first().and_then(|path| path.rsplit('/').next()) == Some(program)
    }

    /// The guest that it is the QEMU of, if it is one.
    #[must_use]
    pub fn guest(&self) -> Option<&str> {
        let mut arguments = self.arguments.iter().skip_while(|argument| *argument != "-name").skip(1);
        arguments.next()?.strip_prefix("guest=")?.split(',').next()
    }
}

/// What the mark of a place is called.
pub(super) fn mark(lab: &str, place: &str) -> String {
    format!("muster-lab:{lab}:{place}")
}

/// Every process of a lab, in the order of their numbers.
///
/// # Errors
/// Where /proc can't be read.
pub fn of_lab(lab: &str) -> Result<Vec<Process>, LabError> {
    let failed = |source| LabError::File { path: "/proc".into(), action: "read", source };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        found.extend(look(lab, pid));
    }
    found.sort_unstable();
    Ok(found)
}

/// A process, if it is one of this lab's. One that has just ended, or waits to be reaped, is none.
fn look(lab: &str, pid: u32) -> Option<Process> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()?;
    let prefix = mark(lab, "");
    let mut sources = mounts.lines().filter_map(|line| line.split_once(" - ")?.1.split(' ').nth(1));
    let place = sources.find_map(|source| source.strip_prefix(&prefix))?.to_owned();
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = line.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let arguments = arguments.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    Some(Process { pid, place, arguments })
}

/// Sends a signal to processes in one stroke, in the order given. Those that have ended in the meantime are passed over.
///
/// # Errors
/// Where the program `kill` can't be run.
pub fn signal(name: &str, processes: &[Process]) -> Result<(), LabError> {
    if processes.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("kill");
    command.arg(format!("-{name}")).args(processes.iter().map(|process| process.pid.to_string()));
    quiet(&mut command)
}

/// Ends whatever of a lab's processes `wanted` picks, and returns when they are gone. Blocks for up to five seconds.
///
/// # Errors
/// Where one of them can't be ended.
pub fn end(lab: &str, wanted: impl Fn(&Process) -> bool) -> Result<(), LabError> {
    for _ in 0..ROUNDS_MAX {
        let alive: Vec<Process> = of_lab(lab)?.into_iter().filter(|process| wanted(process)).collect();
        if alive.is_empty() {
            return Ok(());
        }
        signal("KILL", &alive)?;
        quiet(Command::new("sleep").arg(ROUND_S))?;
    }
    Err(LabError::NotInTime { what: format!("the end of the processes of the lab {lab}"), limit_ms: 5_000 })
}

fn quiet(command: &mut Command) -> Result<(), LabError> {
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let said = format!("{process:?}");
    process.status().map(|_| ()).map_err(|source| LabError::CantRun { command: said, source })
}
