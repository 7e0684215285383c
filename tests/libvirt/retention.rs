//! Retention on real hypervisors: the retired copy's definition goes when its time has come, the guest runs on elsewhere, its disk
//! stays; and the driver deletes nothing but a retired copy that is off and holds no memory.

use crate::house::House;
use crate::inert::Pair;
use crate::stand::Stand;
use muster_core::reading::{Instance, Stored};
use muster_proto::v1::MoveState;
use muster_tests::lab::{Answer, Kind, Role};
use muster_worker::hypervisor::VmChange;

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_copy_goes_when_its_time_has_come_and_its_guest_runs_on() {
    let Some(stand) = Stand::up("retention", &[(Kind::Quiet, 1)]).await else { return };
    let house = House::build(&stand.lab).await;
    let guest = stand.lab.record().guests[0].clone();
    let name = guest.name.as_str();
    let evacuation = house.evacuate(name, "retention.retired_copies_ms = 5_000").await;
    let moved = house.until_over(&evacuation).await;
    assert_eq!(moved.state(), MoveState::Migrated);
    assert!(
        stand
            .virsh("north-1", &["dumpxml", "--inactive", name])
            .await
            .unwrap()
            .contains("/muster/retired-not-runnable/")
    );

    house.until_events(Role::Source, "retired_copy_deleted", 1).await;
    assert!(stand.virsh("north-1", &["dominfo", name]).await.is_none(), "its definition is still there");
    let gone = house.until(&evacuation, |one| one.source_copy == "Deleted").await;
    assert_eq!(gone.source_copy_kept_until_ms, None);
    let opinions = stand.lab.judge(muster_tests::lab::judge::WATCH_MS).await.unwrap();
    let opinion = opinions.into_iter().find(|opinion| opinion.guest == name).unwrap();
    assert_eq!(opinion.answer, Answer::Once { host: moved.destination_host }, "{opinion:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_retired_copy_that_is_off_and_holds_no_memory_is_deleted() {
    let Some(stand) = Stand::up("undefine", &[(Kind::Quiet, 1)]).await else { return };
    let pair = Pair::of(&stand).await;
    let (here, name) = (pair.here.to_string(), pair.name.as_str());
    let delete = || VmChange::DeleteRetired;
    for change in [None, Some(Pair::seal())] {
        if let Some(change) = change {
            pair.at_source(change).await.unwrap();
        }
        assert!(pair.at_source(delete()).await.unwrap_err().contains("no retired copy"));
    }
    pair.hand_over().await;
    pair.at_source(VmChange::DefineRetired { reason: "retired-by-this-test".to_owned() }).await.unwrap();
    assert_eq!(pair.stored(&pair.source).await.0, Stored::Retired);
    // Somebody makes it real, runs and saves it, and then it is retired by hand: its memory is nobody's to take.
    let retired = stand.virsh(&here, &["dumpxml", "--inactive", name]).await.unwrap();
    pair.give_back().await;
    for command in [["start", name], ["managedsave", name]] {
        stand.virsh(&here, &command).await.unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &retired).unwrap();
    stand.virsh(&here, &["define", &file.path().display().to_string()]).await.unwrap();
    assert_eq!(pair.stored(&pair.source).await.0, Stored::Retired);
    assert!(pair.at_source(delete()).await.unwrap_err().contains("managedsave-remove"));
    stand.virsh(&here, &["managedsave-remove", name]).await.unwrap();

    for _ in 0..2 {
        pair.at_source(delete()).await.unwrap();
        assert!(stand.virsh(&here, &["dominfo", name]).await.is_none(), "its definition is still there");
    }
    assert_eq!(pair.stored(&pair.destination).await, (Stored::Arrived, Instance::Paused));
}
