//! Retention by the runbook: retired copies go when their time has come, and everything is said and done as before.

use crate::stage::{Stage, runbook, site, vm};
use muster_core::step::Side;
use muster_proto::status::Fault;
use muster_proto::v1 as pb;
use std::time::Duration;

const KEPT: Duration = Duration::from_secs(3_600);

async fn verdicts(stage: &mut Stage, evacuation: &str, apply: bool) -> Vec<(String, bool)> {
    let request = pb::RecoverEvacuationRequest {
        request_id: stage.request_id(),
        evacuation: evacuation.to_owned(),
        apply,
        ordered_by: "the test".to_owned(),
        ..pb::RecoverEvacuationRequest::default()
    };
    let mut lines = stage.client().await.recover_evacuation(request).await.unwrap().into_inner();
    let mut verdicts = Vec::new();
    while let Some(line) = lines.message().await.unwrap() {
        verdicts.push((line.verdict, line.settled));
    }
    verdicts
}

async fn copies(stage: &Stage) -> Vec<(String, bool)> {
    let moves = stage.moves().await;
    moves.into_iter().map(|one| (one.source_copy, one.source_copy_kept_until_ms.is_some())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_retired_copy_goes_by_the_runbook_and_the_vm_is_still_accounted_for_and_can_come_back() {
    let mut stage = Stage::set(2).await;
    let left = stage.create_evacuation(&runbook("retention.retired_copies_ms = 3_600_000")).await.evacuation;
    stage.until_finished().await;
    let kept = ("Not Runnable".to_owned(), true);
    assert_eq!(copies(&stage).await, [kept.clone(), kept.clone()]);
    let release = async |stage: &mut Stage, number: usize| {
        let request = pb::ReleaseVmRequest {
            request_id: stage.request_id(),
            vm: vm(number).to_string(),
            reason: "it is to be cloned".to_owned(),
            ordered_by: "an admin".to_owned(),
        };
        stage.client().await.release_vm(request).await
    };
    // One is released before its time has come, and stays.
    release(&mut stage, 1).await.unwrap();
    tokio::time::sleep(KEPT / 2).await;
    assert_eq!(copies(&stage).await, [kept, ("Runnable".to_owned(), false)]);
    tokio::time::sleep(KEPT).await;
    let gone = ("Deleted".to_owned(), false);
    assert_eq!(copies(&stage).await, [gone.clone(), ("Runnable".to_owned(), false)]);
    let truth = stage.world.truth_of(vm(0)).await.unwrap().unwrap();
    assert_eq!(truth.places.iter().map(|place| place.site.clone()).collect::<Vec<_>>(), [site(Side::Destination)]);
    let refused = release(&mut stage, 0).await.unwrap_err();
    assert!(Fault::from(&refused).message.contains("was deleted when its time had come"), "{refused:?}");

    let migrated = ("FullyMigrated".to_owned(), true);
    for apply in [false, true] {
        assert_eq!(verdicts(&mut stage, &left, apply).await, [migrated.clone(), migrated.clone()]);
    }
    stage.restart_orchestrator().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(copies(&stage).await[0], gone, "its worker tells it again");

    let back = "name = \"back\"\nsource.site = \"destination\"\ndestination.site = \"source\"\n\
                [[select]]\nnames = [\"vm-0\"]\n";
    stage.create_evacuation(back).await;
    stage.until_finished().await;
    let truth = stage.world.truth_of(vm(0)).await.unwrap().unwrap();
    crate::stage::assert_sound(&truth);
    assert_eq!(crate::stage::runs_at(&truth), [site(Side::Source)]);
    // Whoever came home is not what was retired there once.
    tokio::time::sleep(KEPT * 2).await;
    let truth = stage.world.truth_of(vm(0)).await.unwrap().unwrap();
    assert_eq!(crate::stage::runs_at(&truth), [site(Side::Source)]);
}

#[tokio::test(start_paused = true)]
async fn a_check_says_how_long_retired_copies_are_kept() {
    let stage = Stage::set(1).await;
    for (more, kept_ms) in [("", None), ("retention.retired_copies_ms = 3_600_000", Some(3_600_000))] {
        let request = pb::CheckRunbookRequest { runbook: runbook(more) };
        let checked = stage.client().await.check_runbook(request).await.unwrap().into_inner();
        assert_eq!((checked.moves, checked.retired_copies_kept_ms), (1, kept_ms));
    }
}
