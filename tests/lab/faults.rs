//! Deaths, hangs and restarts on order. Red if what should die lives, or what should live dies.

use crate::stand::Stand;
use muster_tests::lab::{Answer, Kind};

const LEFT_OUT: &str = "deaths and restarts of real hosts";

#[tokio::test]
async fn hosts_break_and_mend_on_order() {
    let Some(mut stand) = Stand::up("faults", LEFT_OUT).await else { return };
    guests_outlive_their_libvirtd(&mut stand).await;
    a_libvirtd_that_was_only_restarted_starts_nothing_again(&mut stand).await;
    a_host_dies_with_its_guests_and_boots_those_with_autostart(&mut stand).await;
}

async fn guests_outlive_their_libvirtd(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    let before = stand.runs_on(vm1, "north-1").await;
    stand.lab.kill_libvirtd("north-1").await.expect("a kill");
    assert!(!stand.lab.is_whole());
    let without = stand.opinion(vm1).await;
    assert!(!without.hosts[0].answers, "{without:#?}");
    assert_eq!(without.answer, Answer::Once { host: "north-1".to_owned() }, "{without:#?}");
    stand.lab.start_libvirtd("north-1").await.expect("a start");
    assert!(stand.lab.is_whole());
    let after = stand.runs_on(vm1, "north-1").await;
    assert!(after > before && stand.opinion(vm1).await.newest().expect("records").boot == 1);
    stand.lab.hang_libvirtd("north-1").expect("a stop");
    assert!(!stand.opinion(vm1).await.hosts[0].answers);
    stand.lab.release_libvirtd("north-1").expect("a release");
    stand.runs_on(vm1, "north-1").await;
}

async fn a_host_dies_with_its_guests_and_boots_those_with_autostart(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    let vm2 = &stand.add_one(Kind::Quiet).await;
    stand.virsh("north-1", &["autostart", vm1]).await;
    stand.runs_on(vm2, "north-1").await;
    stand.lab.kill_host("north-1").await.expect("a death");
    for guest in [vm1, vm2] {
        assert_eq!(stand.opinion(guest).await.answer, Answer::Nowhere);
    }
    stand.lab.boot_host("north-1").await.expect("a boot");
    stand.runs_on(vm1, "north-1").await;
    assert_eq!(stand.opinion(vm1).await.newest().expect("records").boot, 2);
    assert_eq!(stand.opinion(vm2).await.answer, Answer::Nowhere, "it has no autostart");
    assert!(stand.migrate(vm1, "south-1", &["--unsafe"]).await, "its wire is plugged in again");
}

async fn a_libvirtd_that_was_only_restarted_starts_nothing_again(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    stand.virsh("north-1", &["autostart", vm1]).await;
    stand.virsh("north-1", &["destroy", vm1]).await;
    stand.lab.kill_libvirtd("north-1").await.expect("a kill");
    stand.lab.start_libvirtd("north-1").await.expect("a start");
    assert_eq!(stand.opinion(vm1).await.answer, Answer::Nowhere);
}
