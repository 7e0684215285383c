//! A place of a lab: a network, mounts, a host name and process numbers of its own, held by a process that sleeps.
//!
//! Its first process is a shell, which takes leave of every process that ends there at once: whoever waits for a guest's QEMU
//! to be gone waits for that, and not for the machine's first process to look around. Nothing is bound to a name outside: when the place's last process ends, its namespaces, links and mounts are gone. So a
//! crash leaves nothing behind but processes, which are found by their mark, and the lab's folder.

use super::command::{attempt, prepared, run, until};
use super::error::LabError;
use super::files::text;
use super::layout::{Layout, SWITCH};
use super::processes::{self, Process, mark};
use std::process::Stdio;

/// How long a place may take to come about, in milliseconds.
const READY_LIMIT_MS: u64 = 10_000;
/// Marks the new namespaces before anything else happens in them, names the host, and sleeps. `$1` is the mark, `$2` the lab's
/// folder, `$3` the host's name, `$4` whether its processes are numbered apart. The mark is mounted over /run: that keeps the machine's system bus, and with it the machine's
/// firewall and sessions, out of sight, and no removal of a folder of the lab's can take the mark away. Where the lab's folder
/// is gone, somebody took the lab down before it was up. The last step but one leaves a sleeper, which is how its completion is
/// seen; the shell stays, as the one who takes leave.
const HOLD: &str = r#"set -e
mount -t tmpfs -o mode=755 "$1" /run
if [ "$4" = apart ]; then mount -t proc proc /proc; fi
test -d "$2"
echo "$3" > /proc/sys/kernel/hostname
if [ -d /proc/sys/net/ipv6 ]; then echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; fi
sleep infinity
exit 0"#;

/// Makes a place, and returns the number of the process that holds it. The switch is only wires: who works in it looks for
/// the lab's processes, and has to see the machine's.
pub(super) async fn make(layout: &Layout, place: &str) -> Result<u32, LabError> {
    let (mark, state) = (mark(layout.name(), place), layout.state());
    let (apart, is_apart): (&[&str], _) = if place == SWITCH { (&[], "") } else { (&["--pid", "--fork"], "apart") };
    let hold = ["sh", "-c", HOLD, "hold", &mark, text(&state), place, is_apart];
    let words = [&["setsid", "unshare", "--mount", "--net", "--uts"], apart, &hold].concat();
    let mut process = prepared(&words);
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

/// The words that have a program run in a place's network, before that program's own. It keeps its process number of the
/// machine's: it knows other places' processes, and is ended as any other.
pub(super) fn inside(holder: u32) -> Vec<String> {
    enter(holder, &["--mount", "--net", "--uts"])
}

/// The words that make a program one of the place's own: what it leaves behind belongs to the place, and sees the place's
/// processes only. The program itself ends with whoever runs it.
fn at_home(holder: u32) -> Vec<String> {
    let mut words = enter(holder, &["--mount", "--net", "--uts", "--pid"]);
    words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned));
    words
}

fn enter(holder: u32, namespaces: &[&str]) -> Vec<String> {
    let target = holder.to_string();
    let words = ["nsenter", "--target", &target].into_iter().chain(namespaces.iter().copied()).chain(["--"]);
    words.map(str::to_owned).collect()
}

/// Runs a program in a place's network, to its end.
pub(super) async fn run_inside(holder: u32, command: &[&str]) -> Result<String, LabError> {
    run(&words(&inside(holder), command)).await
}

/// Runs a program as one of the place's own, to its end.
pub(super) async fn run_at_home(holder: u32, command: &[&str]) -> Result<String, LabError> {
    run(&words(&at_home(holder), command)).await
}

/// Runs a program as one of the place's own, whatever comes of it.
pub(super) async fn attempt_at_home(
    holder: u32,
    command: &[&str],
    limit_ms: u64,
) -> Result<super::command::Ran, LabError> {
    attempt(&words(&at_home(holder), command), limit_ms).await
}

fn words<'a>(before: &'a [String], command: &[&'a str]) -> Vec<&'a str> {
    before.iter().map(String::as_str).chain(command.iter().copied()).collect()
}
