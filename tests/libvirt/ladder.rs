//! Guests that dirty their memory faster than it may be sent, evacuated by muster's own workers and orchestrator, in this process but
//! over the network, from real hypervisors to real ones. Judged from outside.
//!
//! Red if an aborted transfer leaves anything but the guest as it was, running on and unsealed, or a placeholder behind; and if a rung,
//! a slowed guest or another bandwidth doesn't let a transfer arrive that wouldn't without.

use crate::house::House;
use crate::stand::Stand;
use muster_proto::v1::{self as pb, MoveState};
use muster_tests::lab::judge::WATCH_MS;
use muster_tests::lab::{Answer, Kind, Order};
use std::time::Duration;

/// It rewrites 12 MiB more than five times a second: at [`SLOW`] a round never gets smaller.
const BUSY: Order = Order { kind: Kind::Dirty, memory_mib: 16, dirty_kib_per_second: 65_536, disk_mib: 4 };
/// A round of such a guest takes a second and a half.
const SLOW: &str = "[transfer]\nbandwidth_mib_s = 8\n";

impl Stand {
    /// The only host that the judge finds running the guest, and its newest count.
    async fn runs_on(&self, guest: &str) -> (String, u32) {
        let opinions = self.lab.judge(WATCH_MS).await.unwrap();
        let opinion = opinions.into_iter().find(|opinion| opinion.guest == guest).unwrap();
        let Answer::Once { host } = &opinion.answer else { panic!("{opinion:#?}") };
        (host.clone(), opinion.newest().unwrap().count)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_do_not_converge_go_up_the_ladder() {
    let Some(mut stand) = Stand::up("ladder", &[]).await else { return };
    let guests = stand.lab.add_guests(4, &BUSY).await.unwrap();
    let house = House::build(&stand.lab).await;
    a_guest_that_no_rung_helps_is_aborted_cleanly(&stand, &house, &guests[0]).await;
    a_longer_downtime_lets_it_arrive(&stand, &house, &guests[1]).await;
    a_slowed_guest_converges(&stand, &house, &guests[2]).await;
    more_bandwidth_ordered_meanwhile_lets_it_arrive(&stand, &house, &guests[3]).await;
}

async fn a_guest_that_no_rung_helps_is_aborted_cleanly(stand: &Stand, house: &House, guest: &str) {
    let (_, before) = stand.runs_on(guest).await;
    let ladder = "[ladder]\ndowntimes_ms = [400, 600]\nauto_converge = \"never\"\nstalled_rounds = 2\n";
    let evacuation = house.evacuate(guest, &format!("[retry]\nattempts = 2\nbackoff_ms = 100\n{SLOW}{ladder}")).await;
    let ended = house.until_over(&evacuation).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::StayedAtSource, 2), "{ended:?}");
    assert!(ended.error.contains("doesn't converge"), "{ended:?}");
    assert_eq!(house.rungs(&evacuation).await, [1, 1, 2, 2], "both attempts go up both rungs");
    let (host, after) = stand.runs_on(guest).await;
    assert!(host == "north-1" && after > before, "{host}: {before}, then {after}");
    let definition = stand.virsh("north-1", &["dumpxml", "--inactive", guest]).await.unwrap();
    assert!(!definition.contains("/muster/"), "it is still sealed:\n{definition}");
    for south in ["south-1", "south-2"] {
        assert!(stand.virsh(south, &["dominfo", guest]).await.is_none(), "something of it is left on {south}");
    }
}

async fn a_longer_downtime_lets_it_arrive(stand: &Stand, house: &House, guest: &str) {
    let (_, before) = stand.runs_on(guest).await;
    let ladder = "[ladder]\ndowntimes_ms = [400, 10000]\nauto_converge = \"never\"\nstalled_rounds = 2\n";
    let evacuation = house.evacuate(guest, &format!("{SLOW}{ladder}")).await;
    let ended = house.until_over(&evacuation).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 1), "{ended:?}");
    assert_eq!(house.rungs(&evacuation).await, [1, 1]);
    // Measured to the guest's run there. QEMU sends the rest at full speed, so it is shorter than it may be.
    assert!(ended.downtime_ms.is_some_and(|ms| ms > 0 && ms <= 10_000), "{ended:?}");
    arrived(stand, guest, before).await;
}

async fn a_slowed_guest_converges(stand: &Stand, house: &House, guest: &str) {
    let (_, before) = stand.runs_on(guest).await;
    let ladder = "[ladder]\ndowntimes_ms = []\nauto_converge = \"always\"\nstalled_rounds = 100\n";
    let evacuation = house.evacuate(guest, &format!("{SLOW}{ladder}")).await;
    let ended = house.until_over(&evacuation).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 1), "{ended:?}");
    arrived(stand, guest, before).await;
}

async fn more_bandwidth_ordered_meanwhile_lets_it_arrive(stand: &Stand, house: &House, guest: &str) {
    let (_, before) = stand.runs_on(guest).await;
    let ladder = "[ladder]\ndowntimes_ms = []\nauto_converge = \"never\"\nstalled_rounds = 1000\n";
    let evacuation = house.evacuate(guest, &format!("{SLOW}{ladder}")).await;
    let seen = house.until(&evacuation, |one| one.phase == "pre-copy" && one.round > 4).await;
    assert!(seen.sent_mib > 12 && seen.left_mib > 0, "{seen:?}");
    assert!(seen.expected_downtime_ms.is_some_and(|ms| ms > 300), "{seen:?}");
    assert!(seen.dirty_rate_mib_s > 0, "{seen:?}");
    house.adjust(&evacuation, pb::Adjustment { bandwidth_mib_s: Some(0), ..pb::Adjustment::default() }).await;
    let ended = house.until_over(&evacuation).await;
    assert_eq!((ended.state(), ended.attempts), (MoveState::Migrated, 1), "{ended:?}");
    arrived(stand, guest, before).await;
}

async fn arrived(stand: &Stand, guest: &str, before: u32) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (host, after) = stand.runs_on(guest).await;
    assert!(host.starts_with("south-") && after > before, "{host}: {before}, then {after}");
}
