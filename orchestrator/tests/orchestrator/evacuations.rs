//! Evacuations that go well, and orders that can't be taken.

use crate::stage::{Stage, runbook, vm};
use muster_core::step::Side;
use muster_proto::status::Fault;
use muster_proto::v1 as pb;
use tonic::Code;

#[tokio::test(start_paused = true)]
async fn every_vm_is_moved_and_accounted_for() {
    let mut stage = Stage::set(10).await;
    let begun = stage.create_evacuation(&runbook("")).await;
    assert_eq!((begun.name.as_str(), begun.ordered_by.as_str()), ("leave", "the test"));
    let finished = stage.until_finished().await;
    assert_eq!(finished.counts.unwrap().migrated, 10);
    stage.assert_all_run_at(Side::Destination).await;
    let moves = stage.moves().await;
    assert_eq!(moves.len(), 10);
    for one in &moves {
        assert_eq!(one.state(), pb::MoveState::Migrated, "{one:#?}");
        assert_eq!((one.verdict.as_str(), one.attempts), ("FullyMigrated", 1), "{one:#?}");
        assert_eq!(one.source_copy, "Not Runnable", "{one:#?}");
        assert!(one.downtime_ms.is_some() && one.started_at_ms <= one.ended_at_ms, "{one:#?}");
    }
    let audit = stage.audit(None).await;
    assert_eq!(audit.first().map(String::as_str), Some("ordered"));
    assert_eq!(audit.last().map(String::as_str), Some("finished"));
    assert_eq!(audit.iter().filter(|record| *record == "settled").count(), 10);
    assert_eq!(audit.iter().filter(|record| *record == "claimed").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_is_told_everything_once_and_then_what_changes() {
    let mut stage = Stage::set(4).await;
    let begun = stage.create_evacuation(&runbook("limits.total = 1")).await;
    let request = pb::WatchEvacuationRequest { evacuation: begun.evacuation, ..Default::default() };
    let mut news = stage.client().await.watch_evacuation(request).await.unwrap().into_inner();
    let first = news.message().await.unwrap().expect("a first message");
    assert_eq!(first.moves.len(), 4);
    let (mut last, mut phases) = (first, std::collections::BTreeSet::new());
    while let Some(message) = news.message().await.unwrap() {
        phases.extend(message.moves.iter().map(|one| one.phase.clone()));
        let counts = message.evacuation.as_ref().unwrap().counts.unwrap();
        assert!(counts.moving <= 1, "{counts:?}");
        assert_eq!(counts.waiting + counts.moving + counts.migrated, 4, "{counts:?}");
        last = message;
    }
    assert_eq!(last.evacuation.unwrap().state(), pb::EvacuationState::Finished);
    assert!(phases.contains("pre-copy"), "{phases:?}");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_gets_its_first_answer_and_another_one_is_refused() {
    let mut stage = Stage::set(2).await;
    let mut client = stage.client().await;
    let request = pb::CreateEvacuationRequest {
        request_id: stage.request_id(),
        runbook: runbook(""),
        validate_only: false,
        ordered_by: "the test".to_owned(),
    };
    let first = client.create_evacuation(request.clone()).await.unwrap().into_inner();
    let again = client.create_evacuation(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.evacuation, again.evacuation);
    let other = pb::CreateEvacuationRequest { ordered_by: "another".to_owned(), ..request };
    let refused = client.create_evacuation(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(Fault::from(&refused).reason, "REQUEST_ID_REUSED");
    stage.until_finished().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_at_once_and_nothing_is_kept() {
    let mut stage = Stage::set(2).await;
    let mut client = stage.client().await;
    let wrong = "name = \"\"\nsorce.site = \"source\"\ndestination.site = \"destination\"\n[[select]]\nall = 7\n";
    let request = pb::CreateEvacuationRequest {
        request_id: stage.request_id(),
        runbook: wrong.to_owned(),
        ..pb::CreateEvacuationRequest::default()
    };
    let fault = Fault::from(client.create_evacuation(request.clone()).await.unwrap_err());
    let fields: Vec<&str> = fault.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert!(fields.len() >= 3 && fields.contains(&"runbook:2:1"), "{fault:#?}");

    let nothing =
        "name = \"n\"\nsource.site = \"source\"\ndestination.site = \"destination\"\n[[select]]\nnames = [\"x\"]\n";
    let blocked = pb::CreateEvacuationRequest { runbook: nothing.to_owned(), ..request.clone() };
    let fault = Fault::from(client.create_evacuation(blocked).await.unwrap_err());
    assert!(fault.violations[0].description.contains("matches nothing"), "{fault:#?}");

    let elsewhere = nothing.replace("\"source\"", "\"nowhere\"");
    let unknown = pb::CreateEvacuationRequest { runbook: elsewhere, ..request.clone() };
    assert_eq!(Fault::from(client.create_evacuation(unknown).await.unwrap_err()).reason, "UNKNOWN_SITE");

    let valid = pb::CreateEvacuationRequest { runbook: runbook(""), validate_only: true, ..request };
    let planned = client.create_evacuation(valid).await.unwrap().into_inner();
    assert_eq!((planned.evacuation.as_str(), planned.counts.unwrap().waiting), ("", 2));
    let listed = client.list_evacuations(pb::ListEvacuationsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.evacuations, Vec::new());
    assert_eq!(stage.audit(None).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn limits_hold_over_all_evacuations() {
    let mut stage = Stage::set(8).await;
    let some = |names: &str| runbook("limits.total = 3\nlimits.per_site = 3").replace("all = true", names);
    let first = stage.create_evacuation(&some("names = [\"vm-0\", \"vm-1\", \"vm-2\", \"vm-3\"]")).await;
    let second = stage.create_evacuation(&some("names = [\"vm-4\", \"vm-5\", \"vm-6\", \"vm-7\"]")).await;
    let mut most = 0;
    loop {
        let listed = stage.client().await.list_evacuations(pb::ListEvacuationsRequest::default()).await;
        let listed = listed.unwrap().into_inner().evacuations;
        assert_eq!(
            listed.iter().map(|one| &one.evacuation).collect::<Vec<_>>(),
            [&second.evacuation, &first.evacuation]
        );
        let moving: u32 = listed.iter().map(|one| one.counts.unwrap().moving).sum();
        most = most.max(moving);
        assert!(moving <= 3, "{listed:#?}");
        if listed.iter().all(|one| one.state() == pb::EvacuationState::Finished) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(most, 3);
    stage.assert_all_run_at(Side::Destination).await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_is_found_by_name_and_its_retired_copy_is_released_on_purpose() {
    let mut stage = Stage::set(2).await;
    stage.create_evacuation(&runbook("")).await;
    stage.until_finished().await;
    let mut client = stage.client().await;
    let found = client.get_vm(pb::GetVmRequest { vm: "vm-1".to_owned() }).await.unwrap().into_inner().moves;
    assert_eq!(found.iter().map(|one| one.vm.clone()).collect::<Vec<_>>(), [vm(1).to_string()]);
    let missing = client.get_vm(pb::GetVmRequest { vm: "vm-9".to_owned() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);

    let explained = client.explain_vm(pb::ExplainVmRequest { vm: "vm-1".to_owned(), ..Default::default() }).await;
    let explained = explained.unwrap().into_inner();
    assert_eq!(explained.verdict.as_ref().map(|line| line.verdict.as_str()), Some("FullyMigrated"));
    assert!(explained.lines.iter().any(|line| line.contains("Not Runnable")), "{explained:#?}");

    let release = pb::ReleaseVmRequest {
        request_id: stage.request_id(),
        vm: "vm-1".to_owned(),
        reason: "it is to be cloned".to_owned(),
        ordered_by: "an admin".to_owned(),
    };
    for _ in 0..2 {
        let released = client.release_vm(release.clone()).await.unwrap().into_inner().r#move.unwrap();
        assert_eq!(released.source_copy, "Runnable", "{released:#?}");
    }
    assert_eq!(stage.audit(Some(vm(1))).await.last().map(String::as_str), Some("released"));
    stage.assert_all_run_at(Side::Destination).await;
}
