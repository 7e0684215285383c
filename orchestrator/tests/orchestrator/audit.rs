//! The audit trail: calls that are repeated, lines that tell what they should, and a chain that is whole.

use crate::stage::{Stage, runbook, vm};
use muster_core::step::Side;
use muster_proto::status::Fault;
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use std::collections::BTreeSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A mutating call.
#[derive(Debug, Clone)]
enum Order {
    Create(pb::CreateEvacuationRequest),
    Pause(pb::ChangeEvacuationRequest),
    Resume(pb::ChangeEvacuationRequest),
    Cancel(pb::ChangeEvacuationRequest),
    Retry(pb::RetryMovesRequest),
    Adjust(pb::AdjustMovesRequest),
    Recover(pb::RecoverEvacuationRequest),
    Release(pb::ReleaseVmRequest),
}

impl Order {
    /// Which evacuation or VM the answer is about.
    async fn send(&self, client: &mut EvacuationsClient<Channel>) -> Result<String, Status> {
        let evacuation = |answer: tonic::Response<pb::Evacuation>| answer.into_inner().evacuation;
        match self.clone() {
            Order::Create(request) => client.create_evacuation(request).await.map(evacuation),
            Order::Pause(request) => client.pause_evacuation(request).await.map(evacuation),
            Order::Resume(request) => client.resume_evacuation(request).await.map(evacuation),
            Order::Cancel(request) => client.cancel_evacuation(request).await.map(evacuation),
            Order::Retry(request) => client.retry_moves(request).await.map(evacuation),
            Order::Adjust(request) => client.adjust_moves(request).await.map(evacuation),
            Order::Recover(request) => {
                let mut lines = client.recover_evacuation(request).await?.into_inner();
                Ok(lines.message().await?.map(|line| line.vm).unwrap_or_default())
            }
            Order::Release(request) => {
                let answer = client.release_vm(request).await?.into_inner();
                Ok(answer.r#move.map(|one| one.vm).unwrap_or_default())
            }
        }
    }
}

/// The lines of what people ordered.
async fn ordered(stage: &Stage) -> Vec<pb::AuditLine> {
    let request = pb::ListAuditRequest { by: "ada".to_owned(), page_size: 1_000, ..Default::default() };
    stage.client().await.list_audit(request).await.unwrap().into_inner().lines
}

/// Makes a call twice, and then others of the same id. Returns the call's answer.
async fn only_to_the_letter(stage: &Stage, order: Order, others: &[Order]) -> String {
    let mut client = stage.client().await;
    let answer = order.send(&mut client).await.unwrap_or_else(|status| panic!("{order:?}: {status}"));
    let lines = ordered(stage).await;
    assert_eq!(order.send(&mut client).await.unwrap(), answer, "{order:?}, repeated");
    assert!(!others.is_empty());
    for other in others {
        let refused = other.send(&mut client).await.expect_err(&format!("{other:?} after {order:?}"));
        assert_eq!(refused.code(), Code::InvalidArgument, "{other:?}: {refused}");
        assert_eq!(Fault::from(&refused).reason, "REQUEST_ID_REUSED", "{other:?}");
    }
    assert_eq!(ordered(stage).await, lines, "{order:?} had another effect");
    answer
}

/// The names of the lines of what people ordered, but those of the plan; also after a restart.
async fn order_names(stage: &mut Stage) -> Vec<String> {
    stage.restart_orchestrator().await;
    let names = ordered(stage).await.into_iter().map(|line| line.record);
    names.filter(|name| name != "move_planned" && name != "planned").collect()
}

/// Five VMs, one at a time, and one of them has arrived at least.
async fn begun(stage: &mut Stage) -> String {
    let create = pb::CreateEvacuationRequest {
        request_id: stage.request_id(),
        runbook: runbook("limits.total = 1"),
        validate_only: false,
        ordered_by: "ada".to_owned(),
    };
    let others = [
        Order::Create(pb::CreateEvacuationRequest { runbook: runbook("limits.total = 2"), ..create.clone() }),
        Order::Create(pb::CreateEvacuationRequest { validate_only: true, ..create.clone() }),
        Order::Create(pb::CreateEvacuationRequest { ordered_by: "eve".to_owned(), ..create.clone() }),
    ];
    let evacuation = only_to_the_letter(stage, Order::Create(create), &others).await;
    stage.until(|evacuation| evacuation.counts.unwrap().migrated > 0).await;
    evacuation
}

fn change(stage: &mut Stage, evacuation: &str) -> pb::ChangeEvacuationRequest {
    let (request_id, ordered_by) = (stage.request_id(), "ada".to_owned());
    pb::ChangeEvacuationRequest { request_id, evacuation: evacuation.to_owned(), ordered_by }
}

async fn in_state(stage: &Stage, state: pb::MoveState) -> Vec<String> {
    stage.moves().await.into_iter().filter(|one| one.state() == state).map(|one| one.vm).collect()
}

#[tokio::test(start_paused = true)]
async fn an_evacuations_course_is_changed_once_by_a_call() {
    let mut stage = Stage::set(5).await;
    let evacuation = begun(&mut stage).await;
    let pause = change(&mut stage, &evacuation);
    let by_eve = pb::ChangeEvacuationRequest { ordered_by: "eve".to_owned(), ..pause.clone() };
    let elsewhere = pb::ChangeEvacuationRequest { evacuation: vm(7).to_string(), ..pause.clone() };
    let others =
        [Order::Resume(pause.clone()), Order::Cancel(pause.clone()), Order::Pause(by_eve), Order::Pause(elsewhere)];
    only_to_the_letter(&stage, Order::Pause(pause), &others).await;
    let resume = change(&mut stage, &evacuation);
    only_to_the_letter(&stage, Order::Resume(resume.clone()), &[Order::Pause(resume)]).await;
    let cancel = change(&mut stage, &evacuation);
    only_to_the_letter(&stage, Order::Cancel(cancel.clone()), &[Order::Pause(cancel)]).await;
    stage.until_finished().await;
    assert_eq!(order_names(&mut stage).await, ["ordered", "paused", "resumed", "cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_about_several_vms_is_the_same_only_for_the_same_vms() {
    let mut stage = Stage::set(5).await;
    let evacuation = begun(&mut stage).await;
    let pause = change(&mut stage, &evacuation);
    stage.client().await.pause_evacuation(pause).await.unwrap();
    stage.until(|evacuation| evacuation.counts.unwrap().moving == 0).await;
    let waiting = in_state(&stage, pb::MoveState::Waiting).await;
    assert!(waiting.len() > 2, "{waiting:?}");
    let adjust = pb::AdjustMovesRequest {
        request_id: stage.request_id(),
        evacuation: evacuation.clone(),
        vms: waiting[..2].to_vec(),
        adjustment: Some(pb::Adjustment { bandwidth_mib_s: Some(100), ..Default::default() }),
        ordered_by: "ada".to_owned(),
    };
    let retry = pb::RetryMovesRequest {
        request_id: stage.request_id(),
        evacuation,
        vms: waiting[..2].to_vec(),
        ordered_by: "ada".to_owned(),
    };
    let sets = [waiting[..1].to_vec(), vec![waiting[0].clone(), waiting[2].clone()], Vec::new()];
    let adjusts = sets.iter().map(|vms| Order::Adjust(pb::AdjustMovesRequest { vms: vms.clone(), ..adjust.clone() }));
    let another = Order::Retry(pb::RetryMovesRequest { request_id: adjust.request_id.clone(), ..retry.clone() });
    let others: Vec<Order> = adjusts.chain([another]).collect();
    only_to_the_letter(&stage, Order::Adjust(adjust), &others).await;
    let retries = sets.iter().map(|vms| Order::Retry(pb::RetryMovesRequest { vms: vms.clone(), ..retry.clone() }));
    let others: Vec<Order> = retries.collect();
    only_to_the_letter(&stage, Order::Retry(retry.clone()), &others).await;
    // One that finds nothing to try again.
    let nothing = pb::RetryMovesRequest { request_id: stage.request_id(), vms: Vec::new(), ..retry };
    let others = [Order::Retry(pb::RetryMovesRequest { vms: waiting[..1].to_vec(), ..nothing.clone() })];
    only_to_the_letter(&stage, Order::Retry(nothing), &others).await;
    let recover = pb::RecoverEvacuationRequest {
        request_id: stage.request_id(),
        apply: true,
        wait_ms: 1,
        ordered_by: "ada".to_owned(),
        ..Default::default()
    };
    let with_order = pb::RecoverEvacuationRequest { cold_start_vms: waiting[..1].to_vec(), ..recover.clone() };
    only_to_the_letter(&stage, Order::Recover(recover), &[Order::Recover(with_order)]).await;
    let mut expected = vec!["ordered", "paused", "adjusted", "adjusted"];
    expected.extend(["retry_ordered", "retry_ordered", "retry_ordered", "recovery_ordered"]);
    assert_eq!(order_names(&mut stage).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_release_repeated_for_another_vm_releases_nothing() {
    let mut stage = Stage::set(5).await;
    begun(&mut stage).await;
    stage.until_finished().await;
    let migrated = in_state(&stage, pb::MoveState::Migrated).await;
    let release = pb::ReleaseVmRequest {
        request_id: stage.request_id(),
        vm: migrated[0].clone(),
        reason: "it is to be cloned".to_owned(),
        ordered_by: "ada".to_owned(),
    };
    let others = [
        // The same reason, of another VM that has migrated as well.
        Order::Release(pb::ReleaseVmRequest { vm: migrated[1].clone(), ..release.clone() }),
        Order::Release(pb::ReleaseVmRequest { reason: "it is to be burnt".to_owned(), ..release.clone() }),
    ];
    only_to_the_letter(&stage, Order::Release(release), &others).await;
    let released: Vec<String> =
        stage.moves().await.into_iter().filter(|one| one.source_copy == "Runnable").map(|one| one.vm).collect();
    assert_eq!(released, migrated[..1]);
    assert_eq!(order_names(&mut stage).await, ["ordered", "release_ordered", "released"]);
}

#[tokio::test(start_paused = true)]
async fn lines_are_filtered_and_paged_and_tell_what_they_are_about() {
    let mut stage = Stage::set(3).await;
    stage.create_evacuation(&runbook("")).await;
    stage.until_finished().await;
    let mut client = stage.client().await;
    let all = pb::ListAuditRequest { page_size: 1_000, ..Default::default() };
    let lines = client.list_audit(all).await.unwrap().into_inner().lines;
    for line in &lines {
        let stored: serde_json::Value = serde_json::from_str(&line.stored_json).unwrap();
        assert_eq!(stored["record"], line.record.as_str());
        assert_eq!(line.token_epoch.is_some(), line.record == "step_intended", "{line:?}");
        if line.record == "settled" {
            assert_eq!((line.outcome.as_str(), line.attempt), ("migrated", Some(1)), "{line:?}");
        }
    }
    assert_eq!(lines[0].request_id.len(), 36, "the order's line says which call it was");
    assert_eq!(lines[0].call.len(), 64);

    let wanted = pb::ListAuditRequest {
        by: lines.last().unwrap().by.clone(),
        records: vec!["settled".to_owned(), "claimed".to_owned()],
        from_ms: lines[2].at_ms,
        page_size: 2,
        ..Default::default()
    };
    let (mut found, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = client.list_audit(pb::ListAuditRequest { page_token, ..wanted.clone() }).await.unwrap().into_inner();
        assert!(page.lines.len() <= 2);
        pages += 1;
        found.extend(page.lines);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let fits = |line: &&pb::AuditLine| ["settled", "claimed"].contains(&line.record.as_str());
    let expected: Vec<pb::AuditLine> = lines.iter().filter(fits).cloned().collect();
    assert_eq!((expected.len(), pages > 1), (4, true));
    assert_eq!(found, expected);
    let before = pb::ListAuditRequest { to_ms: lines[2].at_ms, page_size: 1_000, ..Default::default() };
    let before = client.list_audit(before).await.unwrap().into_inner().lines;
    assert!(before.iter().all(|line| line.at_ms < lines[2].at_ms));
    let wrong = pb::ListAuditRequest { records: vec!["setled".to_owned()], ..Default::default() };
    assert_eq!(client.list_audit(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    stage.assert_all_run_at(Side::Destination).await;
}

#[tokio::test(start_paused = true)]
async fn the_trail_leads_to_its_head_and_to_no_other() {
    let mut stage = Stage::set(2).await;
    stage.create_evacuation(&runbook("")).await;
    stage.until_finished().await;
    let mut client = stage.client().await;
    let answer = client.get_audit_head(pb::GetAuditHeadRequest {}).await.unwrap().into_inner();
    let head = answer.head.unwrap();
    let all = pb::ListAuditRequest { page_size: 1_000, ..Default::default() };
    let lines = client.list_audit(all).await.unwrap().into_inner().lines;
    let newest = lines.last().unwrap();
    assert_eq!((head.sequence, &head.link, answer.at_ms), (newest.sequence, &newest.link, newest.at_ms));
    let distinct: BTreeSet<&str> = lines.iter().map(|line| line.link.as_str()).collect();
    assert_eq!(distinct.len(), lines.len());

    let mut verify = async |against: Option<pb::AuditHead>| {
        client.verify_audit(pb::VerifyAuditRequest { against }).await.map(tonic::Response::into_inner)
    };
    let earlier = pb::AuditHead { sequence: lines[2].sequence, link: lines[2].link.clone() };
    for kept in [None, Some(head.clone()), Some(earlier.clone())] {
        let verified = verify(kept).await.unwrap();
        assert_eq!((verified.fault, verified.lines), (None, head.sequence));
        assert_eq!(verified.head.as_ref(), Some(&head));
    }
    let another = pb::AuditHead { link: head.link.clone(), ..earlier };
    let beyond = pb::AuditHead { sequence: head.sequence + 1, ..head.clone() };
    for (kept, kind, sequence) in
        [(another, pb::audit_fault::Kind::AnotherHead, 3), (beyond, pb::audit_fault::Kind::CutOff, head.sequence + 1)]
    {
        let fault = verify(Some(kept)).await.unwrap().fault.unwrap();
        assert_eq!((fault.kind(), fault.sequence), (kind, sequence), "{fault:?}");
    }
    let wrong = pb::AuditHead { sequence: 1, link: "0".to_owned() };
    assert_eq!(verify(Some(wrong)).await.unwrap_err().code(), Code::InvalidArgument);
}
