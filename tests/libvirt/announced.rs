//! The network learns where a guest is when it runs on: after an arrival that waited for its commit, and after a pause at its source.
//!
//! Red if a guest is let run without its address being announced: the switches know it where it was announced last.

use crate::inert::Pair;
use crate::stand::Stand;
use muster_core::ids::HostName;
use muster_core::reading::Instance;
use muster_tests::lab::{Capture, Kind};
use muster_worker::hypervisor::VmChange;
use std::time::Duration;

/// How long an announcement may take.
const LIMIT: Duration = Duration::from_secs(30);

async fn heard(capture: &Capture, mac: &str) {
    let hearing = async {
        while capture.announcements(mac).unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, hearing).await.expect("nobody was told where it is");
}

async fn silence(stand: &Stand, host: &HostName) -> Capture {
    stand.lab.capture(host.as_str()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_on_is_announced() {
    let Some(stand) = Stand::up("told", &[(Kind::Quiet, 1)]).await else { return };
    let pair = Pair::of(&stand).await;
    let mac = stand.lab.record().guests[0].mac.clone();
    stand.lab.virsh(pair.here.as_str(), &["suspend", &pair.name]).await.and_then(|ran| ran.well()).unwrap();
    // Each listens where the guest is not.
    let there = silence(&stand, &pair.there).await;
    pair.at_source(VmChange::Resume).await.unwrap();
    heard(&there, &mac).await;
    drop(there);
    pair.hand_over().await;
    // It announced itself when it arrived; what was learnt then may be forgotten by the time it is committed.
    assert_eq!(pair.stored(&pair.destination).await.1, Instance::Paused);
    let here = silence(&stand, &pair.here).await;
    pair.at_destination(VmChange::Resume).await.unwrap();
    heard(&here, &mac).await;
}
