//! When, on what and with which code something was measured.

use std::process::{Command, Stdio};

/// The date.
#[must_use]
pub fn today() -> String {
    told("date", &["-u", "+%Y-%m-%d"])
}

/// What is tested, and whether it is more than what was committed.
#[must_use]
pub fn commit() -> String {
    let commit = told("git", &["rev-parse", "--short", "HEAD"]);
    if told("git", &["status", "--porcelain"]).is_empty() { commit } else { format!("{commit} and changes") }
}

/// Its cores and its memory.
#[must_use]
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total_kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total_kib: u64 = total_kib.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    format!("{cores} cores, {} GiB", total_kib.div_ceil(1024 * 1024))
}

/// What a command prints; nothing where it can't be run.
fn told(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    output.unwrap_or_default()
}
