//! Plain virsh moves guests, and the judge sees it. Red if memory's counter begins anew, or the disk's sequence breaks.

use crate::stand::Stand;
use muster_tests::lab::{Answer, Kind, Opinion};

const LEFT_OUT: &str = "moves of real guests by virsh";

#[tokio::test]
async fn guests_move_by_plain_virsh() {
    let Some(mut stand) = Stand::up("moves", LEFT_OUT).await else { return };
    a_guest_moves_with_its_memory_and_is_announced(&mut stand).await;
    a_guest_arrives_paused_and_runs_on_from_the_same_count(&mut stand).await;
    a_local_disk_is_copied(&mut stand).await;
    a_guest_shuts_down_when_asked_and_begins_anew_when_started(&mut stand).await;
}

async fn a_guest_moves_with_its_memory_and_is_announced(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    let before = stand.runs_on(vm1, "north-1").await;
    let mac = stand.lab.guest(vm1).expect("a guest").mac.clone();
    let capture = stand.lab.capture("north-1").await.expect("a capture");
    assert!(stand.migrate(vm1, "south-1", &["--unsafe"]).await);
    let after = stand.runs_on(vm1, "south-1").await;
    assert!(after > before);
    let opinion = stand.opinion(vm1).await;
    goes_on(&opinion);
    assert!(opinion.hosts.iter().all(|host| host.host == "south-2" || !host.printed.records.is_empty()));
    assert!(capture.announcements(&mac).expect("what was heard") > 0, "north-1 never heard where it went");
}

async fn a_guest_arrives_paused_and_runs_on_from_the_same_count(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    stand.runs_on(vm1, "north-1").await;
    assert!(stand.migrate(vm1, "south-2", &["--unsafe", "--suspend"]).await);
    let opinion = stand.opinion(vm1).await;
    assert_eq!(opinion.answer, Answer::Paused { hosts: vec!["south-2".to_owned()] });
    stand.virsh("south-2", &["resume", vm1]).await;
    stand.runs_on(vm1, "south-2").await;
    goes_on(&stand.opinion(vm1).await);
}

async fn a_local_disk_is_copied(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Local).await;
    stand.runs_on(vm1, "north-1").await;
    assert!(!stand.migrate(vm1, "south-1", &[]).await, "there is no disk at the destination");
    assert!(stand.migrate(vm1, "south-1", &["--copy-storage-all"]).await);
    stand.runs_on(vm1, "south-1").await;
    let opinion = stand.opinion(vm1).await;
    goes_on(&opinion);
    let [north, south] = ["north-1", "south-1"].map(|host| {
        let folder = &stand.lab.host(host).expect("a host").local_folder;
        std::fs::read(folder.join(format!("{vm1}.img"))).expect("a disk")
    });
    let half = north.len() / 2;
    assert!(north[half..].iter().any(|byte| *byte != 0));
    assert!(north[half..] == south[half..], "what the guest doesn't write has to arrive identical");
}

async fn a_guest_shuts_down_when_asked_and_begins_anew_when_started(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    stand.runs_on(vm1, "north-1").await;
    stand.virsh("north-1", &["shutdown", vm1]).await;
    let opinion = stand.opinion(vm1).await;
    assert_eq!(opinion.answer, Answer::Nowhere, "{opinion:#?}");
    assert_eq!(opinion.hosts[0].printed.power_offs, 1);
    stand.virsh("north-1", &["start", vm1]).await;
    stand.runs_on(vm1, "north-1").await;
    let opinion = stand.opinion(vm1).await;
    let second = opinion.life().into_iter().find(|record| record.boot == 2).expect("a second boot");
    assert_eq!(second.count, 1, "memory begins anew");
    assert!(second.slot > 1, "the disk goes on");
}

/// One boot, whose counts go up by one; a line that the move cut in two may be missing.
fn goes_on(opinion: &Opinion) {
    let life = opinion.life();
    assert!(life.iter().all(|record| record.boot == 1 && record.count == record.slot), "{life:?}");
    let missing: u32 = life.windows(2).map(|pair| pair[1].count - pair[0].count - 1).sum();
    assert!(missing <= 1, "{missing} counts are missing in {life:?}");
    let disk = opinion.disk.as_ref().expect("a disk");
    assert!(disk.broken.is_none() && !disk.is_marked, "{disk:?}");
    assert!(disk.head >= opinion.newest(), "what was printed was written before");
}
