//! A retired copy, after a whole move by muster's own workers and orchestrator: Not Runnable whoever edits it, until it is released.

use crate::house::House;
use crate::stand::Stand;
use muster_proto::v1::MoveState;
use muster_tests::lab::{Kind, Role};
use std::time::Duration;

/// How long the worker may take to see what was done.
const LIMIT: Duration = Duration::from_secs(60);

async fn dumped(stand: &Stand, guest: &str) -> String {
    let ran = stand.lab.virsh("north-1", &["dumpxml", "--inactive", guest]).await.and_then(|ran| ran.well());
    ran.unwrap()
}

async fn until(stand: &Stand, guest: &str, fits: impl Fn(&str) -> bool) {
    let looking = async {
        while !fits(&dumped(stand, guest).await) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.expect("it stays as it was edited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_copy_that_somebody_edits_is_retired_again_and_a_released_one_is_not() {
    let Some(stand) = Stand::up("retired", &[(Kind::Quiet, 1)]).await else { return };
    let house = House::build(&stand.lab).await;
    let guest = stand.lab.record().guests[0].clone();
    let name = guest.name.as_str();
    let evacuation = house.evacuate(name, "").await;
    assert_eq!(house.until_over(&evacuation).await.state(), MoveState::Migrated);
    let is_retired = |text: &str| text.contains("/muster/retired-not-runnable/");
    assert!(is_retired(&dumped(&stand, name).await));
    assert_eq!(house.events(Role::Source, "made_inert_again").await, 0);

    let definition = guest.definition.display().to_string();
    // In this order: the definition may be retired again before anything else is done with it.
    for command in [["autostart", name], ["define", definition.as_str()]] {
        stand.lab.virsh("north-1", &command).await.and_then(|ran| ran.well()).unwrap();
    }
    until(&stand, name, is_retired).await;
    let about = stand.lab.virsh("north-1", &["dominfo", name]).await.and_then(|ran| ran.well()).unwrap();
    let autostart = about.lines().find(|line| line.starts_with("Autostart:")).unwrap();
    assert!(autostart.ends_with("disable"), "{about}");
    let started = stand.lab.virsh("north-1", &["start", name]).await.unwrap();
    assert!(!started.success && format!("{started:?}").contains("retired-not-runnable-moved-to-south"), "{started:?}");
    house.until_events(Role::Source, "made_inert_again", 1).await;
    let told = house.until(&evacuation, |one| !one.alarms.is_empty()).await;
    assert_eq!(told.alarms[0].reason, "MADE_INERT_AGAIN", "its end doesn't keep it from being told");

    // No event of libvirt's tells of this one.
    stand.lab.virsh("north-1", &["autostart", name]).await.and_then(|ran| ran.well()).unwrap();
    house.until_events(Role::Source, "made_inert_again", 2).await;
    let about = stand.lab.virsh("north-1", &["dominfo", name]).await.and_then(|ran| ran.well()).unwrap();
    assert!(about.lines().any(|line| line.starts_with("Autostart:") && line.ends_with("disable")), "{about}");
    assert!(is_retired(&dumped(&stand, name).await));
    let told = house.until(&evacuation, |one| one.alarms.len() == 2).await;
    assert_eq!(told.alarms[0].reason, "AUTOSTART_OFF_AGAIN", "{told:?}");

    house.release(&guest.uuid).await;
    until(&stand, name, |text| !text.contains("/muster/")).await;
    assert_eq!(
        house.events(Role::Source, "made_inert_again").await,
        2,
        "what was released is no retired copy any more"
    );
}
