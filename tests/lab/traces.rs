//! What is left of a lab: nothing. Red if a process, a mount, a network device or a file outlives it.

use muster_tests::lab::testing::{can, name};
use muster_tests::lab::{Kind, Lab, LabError, Order, processes};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::sleep;

const LEFT_OUT: &str = "that nothing is left of a lab";

/// What a lab could leave behind: mounts, network devices, device files, its own folder.
fn traces(lab: &str) -> Vec<String> {
    let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let mut found: Vec<String> = lines(mounts).into_iter().filter(|line| line.contains("muster-lab")).collect();
    // Others may come and go on this machine: what counts is the lab's own names.
    let devices = std::fs::read_to_string("/proc/net/dev").expect("devices");
    let ours = ["north", "south", "relay-", "link-", "tap-"];
    found.extend(lines(devices).into_iter().filter(|line| ours.iter().any(|name| line.trim().starts_with(name))));
    found.extend(processes::of_lab(lab).expect("processes").into_iter().map(|process| format!("{process:?}")));
    found.extend(Lab::names().into_iter().filter(|name| name == lab));
    found
}

/// A lab's processes and their network namespaces, to be recognised without the mark that the lab itself goes by.
fn inhabitants(lab: &str) -> Vec<(u32, PathBuf)> {
    let found = processes::of_lab(lab).expect("processes").into_iter();
    found.filter_map(|process| Some((process.pid, network_of(process.pid)?))).collect()
}

fn network_of(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[tokio::test]
async fn nothing_is_left_also_of_one_that_is_taken_down_twice() {
    if !can(LEFT_OUT) {
        return;
    }
    let name = name("whole");
    let mut lab = Lab::up(&name).await.expect("a lab");
    lab.add_guests(2, &Order::of(Kind::Quiet)).await.expect("guests");
    assert!(matches!(Lab::up(&name).await, Err(LabError::AlreadyUp { .. })));
    // A relay that outlives the command that began it goes too.
    assert!(command(&["--name", &name, "link", "--delay-ms", "5"]).status().expect("a lab").success());
    assert!(!traces(&name).is_empty(), "this test sees nothing");
    let inhabitants = inhabitants(&name);
    assert!(inhabitants.len() > 8, "places, libvirtds, guests and a relay: {inhabitants:?}");
    for _ in 0..2 {
        Lab::down(&name).expect("it goes down");
        assert_eq!(traces(&name), Vec::<String>::new());
        let left: Vec<_> =
            inhabitants.iter().filter(|(pid, network)| network_of(*pid).as_ref() == Some(network)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(matches!(Lab::open(&name), Err(LabError::NotUp { .. })));
}

#[tokio::test]
async fn a_crash_while_it_comes_up_leaves_nothing_that_can_not_be_cleared() {
    if !can(LEFT_OUT) {
        return;
    }
    let name = name("crash");
    let mut left = 0;
    for after_ms in [5, 50, 150, 400, 1_000] {
        let mut up = command(&["--name", &name, "up"]).spawn().expect("a lab");
        sleep(Duration::from_millis(after_ms)).await;
        up.kill().expect("a kill");
        up.wait().expect("its end");
        // What it was waiting for may still be coming about.
        sleep(Duration::from_millis(100)).await;
        left += usize::from(!traces(&name).is_empty());
        Lab::down(&name).expect("it goes down");
        assert_eq!(traces(&name), Vec::<String>::new(), "killed after {after_ms} ms");
    }
    assert!(left > 0, "no kill met it on its way");
    // The next one comes up over what a crash left.
    let mut up = command(&["--name", &name, "up"]).spawn().expect("a lab");
    sleep(Duration::from_millis(400)).await;
    up.kill().expect("a kill");
    up.wait().expect("its end");
    let lab = Lab::up(&name).await.expect("a lab");
    assert!(lab.is_whole());
    Lab::down(&name).expect("it goes down");
    assert_eq!(traces(&name), Vec::<String>::new());
}

#[test]
fn without_root_it_says_so_and_does_nothing() {
    if !can(LEFT_OUT) {
        return;
    }
    let name = name("user");
    for action in ["up", "down", "install"] {
        // A file of its own, as a user can't reach this one's folder everywhere.
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        let program = folder.path().join("lab");
        std::fs::copy(env!("CARGO_BIN_EXE_lab"), &program).expect("a copy");
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program);
        let output = command.args(["--name", &name, action]).output().expect("a lab");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("needs root"), "{output:?}");
    }
    assert!(!Path::new("/var/lib/muster-lab").join(&name).exists());
}
