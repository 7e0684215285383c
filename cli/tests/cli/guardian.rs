//! A VM that something else starts and stops, through real processes: its guardian's commands, the orchestrator killed between
//! one's beginning and its end, and what a person is told.

use crate::site::{ALL, Land};
use muster_core::definition::{Definition, Disk};
use muster_core::ids::VmId;
use muster_worker::hypervisor::sim::client::WorldClient;
use muster_worker::hypervisor::sim::world::{VmSpec, Workload};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// Guards against hanging alone.
const HANG: Duration = Duration::from_secs(60);

const PROGRAM: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$MUSTER_ASK $MUSTER_VM_NAME $1 ${MUSTER_OUTCOME:-none}" >> runs
while [ -e dawdles ]; do sleep 0.02; done
if [ "$MUSTER_ASK" = hands_off ] && [ -e locked ]; then echo 'the cluster is locked' >&2; exit 4; fi
if [ "$MUSTER_ASK" = give_back ] && [ -e away ]; then echo 'the cluster is away' >&2; exit 1; fi
"#;

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < HANG, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn runs(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("runs")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Installed by another process: a file that this one has open for writing, be it through a fork elsewhere, can't be run.
fn install(folder: &Path) -> String {
    let (text, path) = (folder.join("text"), folder.join("program"));
    fs::write(&text, PROGRAM).unwrap();
    assert!(Command::new("install").arg("-m755").args([&text, &path]).status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

async fn create_guarded(land: &Land, vm: VmId) {
    let definition = Definition {
        name: "shop".parse().unwrap(),
        memory_mib: 256,
        vcpus: 1,
        disk: Disk::Shared,
        autostart: false,
        tags: vec!["guardian:ha".to_owned()],
        document: Workload::default().to_document(),
    };
    let (site, host) = ("paris".parse().unwrap(), "paris-1".parse().unwrap());
    let spec = VmSpec { vm, site, host, definition, runs: true };
    let address = format!("http://{}", land.world.address);
    WorldClient::connect(&address).unwrap().create_vm(&spec).await.unwrap();
}

#[tokio::test]
async fn a_guarded_vm_is_taken_out_of_its_guardian_s_hands_and_given_back_whatever_is_killed() {
    let mut land = Land::with_fleet(2, 50);
    let vm = VmId(uuid::Uuid::from_u128(0x5110));
    create_guarded(&land, vm).await;
    let folder = land.directory.path().join("cluster");
    fs::create_dir(&folder).unwrap();
    let program = install(&folder);

    let refused = land.ask(&["check", &land.runbook(ALL)]);
    assert!(refused.code == 4 && refused.stdout.contains("[[guardian]]"), "{refused:?}");
    let pair = "guardian = [{ name = \"ha\", hands_off = \"off\", give_back = \"back\" }]\n";
    let runbook = land.runbook(&format!("{pair}{ALL}"));
    let refused = land.ask(&["evacuate", &runbook]);
    assert!(refused.code == 4 && refused.stderr.contains("has no command off"), "{refused:?}");
    assert!(refused.stderr.contains("start the orchestrator with --command"), "{refused:?}");

    let commands = [format!("off={program}"), format!("back={program}")];
    let commands = ["--command", &commands[0], "--command", &commands[1]];
    land.restart_orchestrator(&commands);
    let ready = land.ask(&["check", &runbook]);
    assert!(ready.code == 0 && ready.stdout.contains("off is run before its move"), "{ready:?}");

    // Where the hands stay on, that move alone is held, and a person reads why.
    fs::write(folder.join("locked"), "").unwrap();
    land.json(&["evacuate", &runbook]);
    let why = "guardian: asking ha failed: command off ended with exit status: 4; it said last: the cluster is locked";
    until("it is held", || land.ask(&["show", "shop"]).stdout.contains(why).then_some(())).await;
    let status = land.ask(&["status"]).stdout;
    assert!(status.contains("1 held") && status.contains("asking"), "{status}");
    fs::remove_file(folder.join("locked")).unwrap();

    // Killed while the command runs, it runs it again.
    fs::write(folder.join("dawdles"), "").unwrap();
    fs::write(folder.join("away"), "").unwrap();
    let evacuation = land.json(&["status"])["evacuation"].as_str().unwrap().to_owned();
    let retried = land.ask(&["retry", &evacuation, "shop"]);
    assert_eq!(retried.code, 0, "{retried:?}");
    until("the command", || (runs(&folder).len() == 2).then_some(())).await;
    land.restart_orchestrator(&commands);
    until("the command again", || (runs(&folder).len() == 3).then_some(())).await;
    fs::remove_file(folder.join("dawdles")).unwrap();
    let watched = land.ask(&["status", "--watch"]);
    assert_eq!(watched.code, 0, "what is owed to a guardian is no part of the outcome: {watched:?}");

    let told = until("what is owed", || {
        let told = land.ask(&["status"]).stdout;
        told.contains("the cluster is away").then_some(told)
    })
    .await;
    assert!(told.contains("3 migrated") && told.contains("1 VM still to be given back"), "{told}");
    land.restart_orchestrator(&commands);
    fs::remove_file(folder.join("away")).unwrap();
    let is_given_back = || {
        let shown = land.json(&["show", "shop"])["moves"][0].clone();
        (shown["guardian_state"] == "given_back").then_some(shown)
    };
    let shown = until("it is given back", is_given_back).await;
    assert_eq!((&shown["state"], &shown["guardian"]), (&Value::from("migrated"), &Value::from("ha")), "{shown}");
    assert!(land.ask(&["show", "shop"]).stdout.contains("guardian: given back to ha"));
    let audit = land.ask(&["audit", "--vm", "shop"]).stdout;
    for words in ["about to take ha's hands off it, by command off", "done: give it back to ha, by command back"] {
        assert!(audit.contains(words), "{audit}");
    }
    let runs = runs(&folder);
    let off = format!("hands_off shop {vm} none");
    assert_eq!(runs[..3], [off.clone(), off.clone(), off], "{runs:?}");
    let back = format!("give_back shop {vm} destination");
    assert!(runs.len() >= 5 && runs[3..].iter().all(|run| *run == back), "{runs:?}");
}
