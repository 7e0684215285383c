//! A place of a lab: a network, a mount and a host name of its own, held by a process that sleeps.
//!
//! Nothing is bound to a name outside: when the place's last process ends, its namespaces, links and mounts are gone. So a
//! crash leaves nothing behind but processes, which are found by their mark, and the lab's folder.

use super::command::{attempt, prepared, run, until};
use super::error::LabError;
use super::files::text;
use super::layout::Layout;
use super::processes::{self, Process, mark};
use std::process::Stdio;

/// How long a place may take to come about, in milliseconds.
const READY_LIMIT_MS: u64 = 10_000;
/// Marks the new namespaces before anything else happens in them, names the host, and sleeps. `$1` is the mark, `$2` the lab's
/// folder, `$3` the host's name. The mark is mounted over /run: that keeps the machine's system bus, and with it the machine's
/// firewall and sessions, out of sight, and no removal of a folder of the lab's can take the mark away. Where the lab's folder
/// is gone, somebody took the lab down before it was up. The last step leaves a sleeper, which is how its completion is seen.
const HOLD: &str = r#"set -e
mount -t tmpfs -o mode=755 "$1" /run
test -d "$2"
echo "$3" > /proc/sys/kernel/hostname
if [ -d /proc/sys/net/ipv6 ]; then echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; fi
exec sleep infinity"#;

/// Makes a place, and returns the number of the process that holds it.
pub(super) async fn make(layout: &Layout, place: &str) -> Result<u32, LabError> {
    let (mark, state) = (mark(layout.name(), place), layout.state());
    let hold = ["setsid", "unshare", "--mount", "--net", "--uts", "sh", "-c", HOLD, "hold", &mark, text(&state), place];
    let mut process = prepared(&hold);
    process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    process.spawn().map_err(|source| LabError::CantRun { command: "unshare".to_owned(), source })?;
    until(&format!("the place {place}"), READY_LIMIT_MS, async || Ok(holder(layout, place)?.is_some())).await?;
    holder(layout, place)?.ok_or_else(|| LabError::NoSuchHost { host: place.to_owned() })
}

/// The number of the process that holds a place, if it is there.
pub(super) fn holder(layout: &Layout, place: &str) -> Result<Option<u32>, LabError> {
    let found = processes::of_lab(layout.name())?;
    Ok(found.iter().find(|process| process.place == place && is_holder(process)).map(|process| process.pid))
}

/// Whether a process is one that only holds its place.
pub(super) fn is_holder(process: &Process) -> bool {
    process.arguments == ["sleep", "infinity"]
}

/// The words that have a program run inside a place, before that program's own.
pub(super) fn inside(holder: u32) -> Vec<String> {
    ["nsenter", "--target", &holder.to_string(), "--mount", "--net", "--uts", "--"].map(str::to_owned).to_vec()
}

/// Runs a program inside a place, to its end.
pub(super) async fn run_inside(holder: u32, command: &[&str]) -> Result<String, LabError> {
    run(&words(holder, command).iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Runs a program inside a place, whatever comes of it.
pub(super) async fn attempt_inside(
    holder: u32,
    command: &[&str],
    limit_ms: u64,
) -> Result<super::command::Ran, LabError> {
    attempt(&words(holder, command).iter().map(String::as_str).collect::<Vec<_>>(), limit_ms).await
}

fn words(holder: u32, command: &[&str]) -> Vec<String> {
    inside(holder).into_iter().chain(command.iter().map(|word| (*word).to_owned())).collect()
}
