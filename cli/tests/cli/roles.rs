//! Every method of both services, asked by every role: what is permitted is what the table here says, and nothing else.

use crate::secured_land::Secured;
use futures::future::BoxFuture;
use muster_core::time::Timestamp;
use muster_proto::channel::{Counterpart, Dial, SiteAddress};
use muster_proto::tls::{NOT_PERMITTED, Tls, TlsDial, TlsFiles};
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::site_client::SiteClient;
use prost::Message;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use time::OffsetDateTime;
use tonic::Status;
use tonic::transport::Channel;

/// One call: the method's name in the .proto, how it is made, and who may make it, in the order of the askers.
struct Row<C> {
    method: &'static str,
    call: fn(C) -> BoxFuture<'static, Result<(), Status>>,
    may: &'static str,
}

macro_rules! row {
    ($method:literal, $call:ident, $request:expr, $may:literal) => {
        Row {
            method: $method,
            call: |mut client| Box::pin(async move { client.$call($request).await.map(drop) }),
            may: $may,
        }
    };
}

/// What a runbook that can be read says: sites alone. It is refused later, for what it doesn't select.
fn runbook() -> String {
    "name = \"x\"\nsource.site = \"paris\"\ndestination.site = \"berlin\"\n[[select]]\nnames = [\"nobody\"]\n"
        .to_owned()
}

/// viewer, operator, admin, orchestrator, worker of paris.
fn of_muster() -> Vec<Row<EvacuationsClient<Channel>>> {
    vec![
        row!("CheckRunbook", check_runbook, pb::CheckRunbookRequest { runbook: runbook() }, "+++--"),
        row!("ListInventory", list_inventory, pb::ListInventoryRequest { site: "paris".to_owned() }, "+++--"),
        row!(
            "CreateEvacuation",
            create_evacuation,
            pb::CreateEvacuationRequest { runbook: runbook(), ..Default::default() },
            "-++--"
        ),
        row!(
            "CreateEvacuation",
            create_evacuation,
            pb::CreateEvacuationRequest { runbook: runbook(), validate_only: true, ..Default::default() },
            "+++--"
        ),
        row!("GetEvacuation", get_evacuation, pb::GetEvacuationRequest::default(), "+++--"),
        row!("ListEvacuations", list_evacuations, pb::ListEvacuationsRequest::default(), "+++--"),
        row!("ListMoves", list_moves, pb::ListMovesRequest::default(), "+++--"),
        row!("GetVm", get_vm, pb::GetVmRequest::default(), "+++--"),
        row!("WatchEvacuation", watch_evacuation, pb::WatchEvacuationRequest::default(), "+++--"),
        row!("PauseEvacuation", pause_evacuation, pb::ChangeEvacuationRequest::default(), "-++--"),
        row!("ResumeEvacuation", resume_evacuation, pb::ChangeEvacuationRequest::default(), "-++--"),
        row!("CancelEvacuation", cancel_evacuation, pb::ChangeEvacuationRequest::default(), "-++--"),
        row!("RetryMoves", retry_moves, pb::RetryMovesRequest::default(), "-++--"),
        row!("AdjustMoves", adjust_moves, pb::AdjustMovesRequest::default(), "-++--"),
        row!("ReleaseVm", release_vm, pb::ReleaseVmRequest::default(), "--+--"),
        row!("RecoverEvacuation", recover_evacuation, pb::RecoverEvacuationRequest::default(), "+++--"),
        row!(
            "RecoverEvacuation",
            recover_evacuation,
            pb::RecoverEvacuationRequest { apply: true, ..Default::default() },
            "-++--"
        ),
        row!(
            "RecoverEvacuation",
            recover_evacuation,
            pb::RecoverEvacuationRequest { assert_source_fenced_reason: Some(String::new()), ..Default::default() },
            "--+--"
        ),
        row!(
            "RecoverEvacuation",
            recover_evacuation,
            pb::RecoverEvacuationRequest {
                assert_hosts_fenced: vec![pb::HostAssertion::default()],
                apply: true,
                ..Default::default()
            },
            "--+--"
        ),
        row!("ExplainVm", explain_vm, pb::ExplainVmRequest::default(), "+++--"),
        row!("ListAudit", list_audit, pb::ListAuditRequest::default(), "+++--"),
        row!("GetAuditHead", get_audit_head, pb::GetAuditHeadRequest::default(), "+++--"),
        row!("VerifyAudit", verify_audit, pb::VerifyAuditRequest::default(), "+++--"),
    ]
}

/// viewer, operator, admin, orchestrator, worker of paris; asked of berlin's.
fn of_a_site() -> Vec<Row<SiteClient<Channel>>> {
    vec![
        row!("GetSite", get_site, wire::GetSiteRequest {}, "++++-"),
        row!("ListInventory", list_inventory, wire::ListInventoryRequest {}, "++++-"),
        row!("Survey", survey, wire::SurveyRequest::default(), "++++-"),
        row!("ListEvacuations", list_evacuations, wire::ListEvacuationsRequest {}, "++++-"),
        row!("ListRoll", list_roll, wire::ListRollRequest::default(), "++++-"),
        row!("GetGreatestEpoch", get_greatest_epoch, wire::GetGreatestEpochRequest::default(), "++++-"),
        row!("ClaimEvacuation", claim_evacuation, wire::ClaimEvacuationRequest::default(), "-+++-"),
        row!(
            "ClaimEvacuation",
            claim_evacuation,
            wire::ClaimEvacuationRequest { take_over_reason: Some(String::new()), ..Default::default() },
            "--++-"
        ),
        row!("ReleaseClaim", release_claim, wire::ReleaseClaimRequest::default(), "-+++-"),
        row!("AssertFenced", assert_fenced, wire::AssertFencedRequest::default(), "--++-"),
        row!("WriteRoll", write_roll, wire::WriteRollRequest::default(), "-+++-"),
        row!("Observe", observe, wire::ObserveRequest::default(), "+++++"),
        row!(
            "Observe",
            observe,
            wire::ObserveRequest {
                vms: vec![wire::VmToken { token: Some(wire::Token::default()), ..Default::default() }],
                ..Default::default()
            },
            "-+++-"
        ),
        row!("Execute", execute, wire::ExecuteRequest::default(), "-+++-"),
        row!(
            "Execute",
            execute,
            wire::ExecuteRequest {
                commands: vec![wire::Command {
                    action: Some(wire::command::Action::Release(String::new())),
                    ..Default::default()
                }],
                ..Default::default()
            },
            "--++-"
        ),
        row!("Watch", watch, wire::WatchRequest::default(), "++++-"),
        row!("ListEvents", list_events, wire::ListEventsRequest::default(), "++++-"),
        row!(
            "CommitArrival",
            commit_arrival,
            wire::CommitArrivalRequest { source_site: "paris".to_owned(), ..Default::default() },
            "----+"
        ),
        row!(
            "CommitArrival",
            commit_arrival,
            wire::CommitArrivalRequest { source_site: "berlin".to_owned(), ..Default::default() },
            "-----"
        ),
        row!(
            "ProvePath",
            prove_path,
            wire::ProvePathRequest { source_site: "paris".to_owned(), ..Default::default() },
            "----+"
        ),
        row!(
            "ProvePath",
            prove_path,
            wire::ProvePathRequest { source_site: "rome".to_owned(), ..Default::default() },
            "-----"
        ),
    ]
}

const ASKERS: [&str; 5] = ["eve", "bob", "alice", "main", "paris"];

#[test]
fn every_method_permits_what_its_role_may_and_nothing_else() {
    let land = Secured::with_fleet(2);
    land.evacuate("bob");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (orchestrator, worker) = (&land.land.orchestrator.address, &land.land.destination.address);
    runtime.block_on(async {
        for (place, who) in ASKERS.into_iter().enumerate() {
            let channel = channel(&land.of(who), orchestrator, Counterpart::Orchestrator).await;
            for row in of_muster() {
                check(who, place, &row, EvacuationsClient::new(channel.clone())).await;
            }
            let channel = self::channel(&land.of(who), worker, Counterpart::Worker(None)).await;
            for row in of_a_site() {
                check(who, place, &row, SiteClient::new(channel.clone())).await;
            }
        }
    });
}

async fn check<C>(who: &str, place: usize, row: &Row<C>, client: C) {
    let answer = (row.call)(client).await;
    let fault = answer.err().map(|status| muster_proto::status::Fault::from(&status));
    let is_denied = fault.as_ref().is_some_and(|fault| fault.reason == NOT_PERMITTED);
    let may = row.may.as_bytes()[place] == b'+';
    assert_eq!(!is_denied, may, "{who} asks {}: {fault:?}", row.method);
    let is_of_transport = fault.as_ref().is_some_and(|fault| fault.reason == muster_proto::status::TRANSPORT);
    assert!(!is_of_transport, "{who} asks {}, and nobody answers: {fault:?}", row.method);
}

async fn channel(directory: &str, address: &str, expected: Counterpart) -> Channel {
    let now = Timestamp(u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap() * 1_000);
    let tls = Tls::load(TlsFiles::in_directory(Path::new(directory)), now).unwrap();
    let address: SiteAddress = address.parse().unwrap();
    TlsDial::new(Arc::new(tls)).dial(&address, &expected).await.unwrap()
}

#[test]
fn the_table_has_every_method() {
    let files = prost_types::FileDescriptorSet::decode(muster_proto::FILE_DESCRIPTOR_SET).unwrap();
    let methods = |service: &str| -> BTreeSet<String> {
        let services = files.file.iter().flat_map(|file| &file.service);
        let named = services.filter(|one| one.name() == service).flat_map(|one| &one.method);
        named.map(|method| method.name().to_owned()).collect()
    };
    let of_muster: BTreeSet<String> = of_muster().iter().map(|row| row.method.to_owned()).collect();
    assert_eq!(of_muster, methods("Evacuations"));
    let of_a_site: BTreeSet<String> = of_a_site().iter().map(|row| row.method.to_owned()).collect();
    assert_eq!(of_a_site, methods("Site"));
}
