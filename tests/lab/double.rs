//! The judge's own proof. Red if two instances of a guest on one disk go unseen, or one instance after another is blamed.

use crate::stand::Stand;
use muster_tests::lab::{Answer, Kind};

const LEFT_OUT: &str = "a deliberate double run, seen by the judge";

#[tokio::test]
async fn double_runs_are_seen_and_nothing_else_is() {
    let Some(mut stand) = Stand::up("double", LEFT_OUT).await else { return };
    a_deliberate_double_run_turns_the_judge_red(&mut stand).await;
    a_double_run_on_two_local_disks_is_seen_by_its_counters(&mut stand).await;
    one_after_the_other_is_no_double_run(&mut stand).await;
}

async fn a_deliberate_double_run_turns_the_judge_red(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    let vm2 = &stand.add_one(Kind::Quiet).await;
    stand.runs_on(vm1, "north-1").await;
    let definition = stand.lab.guest(vm1).expect("a guest").definition.display().to_string();
    stand.virsh("south-1", &["define", &definition]).await;
    stand.virsh("south-1", &["start", vm1]).await;
    let opinion = stand.opinion(vm1).await;
    assert!(matches!(opinion.answer, Answer::TwoWriters { .. }), "{opinion:#?}");
    // Each kind of evidence by itself.
    let disk = opinion.disk.as_ref().expect("a disk");
    assert!(disk.is_marked, "{disk:?}");
    let runs = |host: &str| {
        let on = opinion.hosts.iter().find(|on| on.host == host).expect("a host");
        on.instances == 1 && on.state.as_deref() == Some("running") && on.counts
    };
    assert!(runs("north-1") && runs("south-1"), "{opinion:#?}");
    assert!(opinion.hosts.iter().any(|on| on.printed.clashes > 0), "{opinion:#?}");
    assert!(matches!(stand.opinion(vm2).await.answer, Answer::Once { .. }), "its neighbour is not blamed");
    // It stays, when one of the two is gone and the other looks well.
    stand.virsh("south-1", &["destroy", vm1]).await;
    let opinion = stand.opinion(vm1).await;
    assert!(opinion.answer.is_red(), "{opinion:#?}");
}

async fn a_double_run_on_two_local_disks_is_seen_by_its_counters(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Local).await;
    stand.runs_on(vm1, "north-1").await;
    let [north, south] = ["north-1", "south-1"].map(|host| stand.lab.host(host).expect("a host").local_folder.clone());
    std::fs::copy(north.join(format!("{vm1}.img")), south.join(format!("{vm1}.img"))).expect("a copy");
    let definition = stand.lab.guest(vm1).expect("a guest").definition.display().to_string();
    stand.virsh("south-1", &["define", &definition]).await;
    stand.virsh("south-1", &["start", vm1]).await;
    let opinion = stand.opinion(vm1).await;
    assert!(matches!(opinion.answer, Answer::Twice { .. }), "{opinion:#?}");
}

async fn one_after_the_other_is_no_double_run(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    stand.runs_on(vm1, "north-1").await;
    stand.lab.kill_guest("north-1", vm1).await.expect("a kill");
    assert_eq!(stand.opinion(vm1).await.answer, Answer::Nowhere);
    let definition = stand.lab.guest(vm1).expect("a guest").definition.display().to_string();
    stand.virsh("south-1", &["define", &definition]).await;
    stand.virsh("south-1", &["start", vm1]).await;
    stand.runs_on(vm1, "south-1").await;
    let opinion = stand.opinion(vm1).await;
    assert_eq!(opinion.newest().expect("records").boot, 2, "{opinion:#?}");
}
