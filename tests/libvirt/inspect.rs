//! `muster inspect` after a script of plain `virsh migrate` has died: nobody's worker, ledger or record, and every guest is told for what
//! it is; nothing is changed by it.
//!
//! Red if one that runs twice, waits paused, would run twice at the next boot, or is run by nobody goes unmentioned.

use crate::stand::Stand;
use muster_tests::daemon::{Ended, run};
use muster_tests::lab::Kind;
use serde_json::Value;

const HERE: &str = "north-1";
const THERE: &str = "south-1";
/// By this exit code `muster` says that somebody should look.
const LOOK: i32 = 3;
/// And by this that something could not be read.
const FAILED: i32 = 1;

async fn virsh(stand: &Stand, host: &str, arguments: &[&str]) -> String {
    stand.lab.virsh(host, arguments).await.and_then(|ran| ran.well()).unwrap()
}

async fn migrate(stand: &Stand, guest: &str, options: &[&str]) {
    let there = stand.lab.host(THERE).unwrap();
    let mut arguments = vec!["migrate", "--live", "--p2p", "--persistent", "--unsafe"];
    arguments.extend(options);
    arguments.extend([guest, &there.peer_uri, &there.migrate_uri]);
    virsh(stand, HERE, &arguments).await;
}

/// What a script leaves that died in the middle, and what people do then.
async fn wreck(stand: &Stand) {
    virsh(stand, HERE, &["autostart", "vm2"]).await;
    migrate(stand, "vm2", &[]).await;
    migrate(stand, "vm3", &["--suspend"]).await;
    migrate(stand, "vm4", &[]).await;
    virsh(stand, HERE, &["start", "vm4"]).await;
    migrate(stand, "vm5", &[]).await;
    virsh(stand, THERE, &["destroy", "vm5"]).await;
    virsh(stand, THERE, &["undefine", "vm5"]).await;
    migrate(stand, "vm6", &["--undefinesource"]).await;
}

async fn inspect(stand: &Stand, destinations: &[&str]) -> Ended {
    let uri = |host: &str| stand.lab.host(host).unwrap().libvirt_uri.clone();
    let mut arguments = vec!["inspect".to_owned(), format!("--source={}", uri(HERE))];
    arguments.extend(destinations.iter().map(|host| format!("--destination={}", uri(host))));
    arguments.extend(["--all", "--output=json"].map(str::to_owned));
    run(&arguments).await.unwrap()
}

fn stands(report: &Value, guest: &str) -> (String, String) {
    let vms = report["vms"].as_array().unwrap();
    let one =
        vms.iter().find(|one| one["name"] == guest).unwrap_or_else(|| panic!("{guest} is not told of: {report:#}"));
    let word = |field: &str| one[field].as_str().unwrap().to_owned();
    (word("standing"), word("urgency"))
}

async fn everything(stand: &Stand) -> Vec<String> {
    let mut all = Vec::new();
    for host in [HERE, THERE, "south-2"] {
        all.push(virsh(stand, host, &["list", "--all"]).await);
        for guest in &stand.lab.record().guests {
            let told = stand.lab.virsh(host, &["dumpxml", "--inactive", &guest.name]).await.unwrap();
            all.push(told.stdout);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wreck_of_a_plain_script_is_told_for_what_it_is() {
    let Some(stand) = Stand::up("wreck", &[(Kind::Quiet, 6)]).await else { return };
    tokio::task::spawn_blocking(muster_tests::binary::muster).await.unwrap().unwrap();
    wreck(&stand).await;
    let before = everything(&stand).await;
    let ended = inspect(&stand, &[THERE, "south-2"]).await;
    assert_eq!(ended.code, LOOK, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let expected = [
        ("vm1", "runs_once", "fine"),
        ("vm2", "runs_once", "alarm"),
        ("vm3", "paused_once", "alarm"),
        ("vm4", "runs_twice", "alarm"),
        ("vm5", "lost", "alarm"),
        ("vm6", "runs_once", "fine"),
    ];
    for (guest, standing, urgency) in expected {
        assert_eq!(stands(&report, guest), (standing.to_owned(), urgency.to_owned()), "{guest}: {report:#}");
    }
    let next = report["vms"].as_array().unwrap().iter().filter(|one| one["urgency"] != "fine");
    assert!(next.clone().all(|one| !one["next"].as_array().unwrap().is_empty()), "{report:#}");
    assert_eq!(before, everything(&stand).await, "a look has changed something");
    // With a host silent nothing is called fine that it could spoil, and the host is named.
    stand.lab.kill_libvirtd("south-2").await.unwrap();
    let ended = inspect(&stand, &[THERE, "south-2"]).await;
    assert_eq!(ended.code, FAILED, "{ended:?}");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["unread"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(stands(&report, "vm4").0, "runs_twice", "{report:#}");
    let (standing, urgency) = stands(&report, "vm5");
    assert_eq!((standing.as_str(), urgency.as_str()), ("lost", "alarm"), "{report:#}");
}
