//! What comes in over the wire is validated before anything is done, and what goes out says what it means.

use crate::stage::{EVACUATION, Stage, VM, host};
use muster_core::class::Class;
use muster_core::definition::{Disk, Mode};
use muster_core::ids::{HostName, VmId};
use muster_core::step::Side;
use muster_proto::channel::{Counterpart, Dial, SiteAddress, TcpDial, site_client};
use muster_proto::convert::{SiteStatus, SurveyEntry, SurveyOrder};
use muster_proto::limits::{ITEMS_MAX, MESSAGE_MAX_BYTES};
use muster_proto::serve::calls::{MESSAGE_TOO_LARGE, NO_SUCH_METHOD, NOT_A_MESSAGE};
use muster_proto::status::{Fault, INVALID_MESSAGE};
use muster_proto::tls::ListenError;
use muster_proto::worker::v1 as pb;
use muster_proto::worker::v1::site_client::SiteClient;
use muster_worker::service::{ServeError, serve};
use muster_worker::site::Site;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use uuid::Uuid;

const ID: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

fn seal() -> pb::Command {
    pb::Command {
        vm: VM.to_string(),
        token: Some(pb::Token { epoch: 1, sequence: 9 }),
        action: Some(pb::command::Action::Seal(true)),
        ..pb::Command::default()
    }
}

fn execute(commands: Vec<pb::Command>) -> pb::ExecuteRequest {
    pb::ExecuteRequest { request_id: ID.to_owned(), evacuation: EVACUATION.to_string(), commands }
}

fn assert_invalid(status: &Status, field: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let fault = Fault::from(status);
    assert_eq!(fault.reason, INVALID_MESSAGE);
    assert_eq!(fault.violations.iter().map(|violation| violation.field.as_str()).collect::<Vec<_>>(), [field]);
}

#[tokio::test(start_paused = true)]
async fn commands_that_make_no_sense_name_their_field_and_do_nothing() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    let mut client = stage.client(Side::Source);
    let cases = [
        (pb::ExecuteRequest { request_id: String::new(), ..execute(vec![seal()]) }, "request_id"),
        (pb::ExecuteRequest { evacuation: "all".to_owned(), ..execute(vec![seal()]) }, "evacuation"),
        (execute(vec![seal(), pb::Command { vm: "1".to_owned(), ..seal() }]), "commands[1].vm"),
        (execute(vec![pb::Command { token: None, ..seal() }]), "commands[0].token"),
        (execute(vec![pb::Command { token: Some(pb::Token::default()), ..seal() }]), "commands[0].token.epoch"),
        (execute(vec![pb::Command { action: None, ..seal() }]), "commands[0].action"),
        (execute(vec![seal(), seal()]), "commands[1].vm"),
        (execute(vec![seal(); ITEMS_MAX + 1]), "commands"),
    ];
    for (request, field) in cases {
        assert_invalid(&client.execute(request).await.unwrap_err(), field);
    }
    let history = stage.history(Side::Source, VM).await;
    assert_eq!(history, ["enrolled"], "nothing was done");
}

#[tokio::test(start_paused = true)]
async fn every_mutating_call_demands_a_request_id() {
    let stage = Stage::set().await;
    let mut client = stage.client(Side::Destination);
    let evacuation = EVACUATION.to_string();
    let claim = pb::ClaimEvacuationRequest { evacuation: evacuation.clone(), ..Default::default() };
    assert_invalid(&client.claim_evacuation(claim).await.unwrap_err(), "request_id");
    let release = pb::ReleaseClaimRequest { evacuation: evacuation.clone(), epoch: 1, ..Default::default() };
    assert_invalid(&client.release_claim(release).await.unwrap_err(), "request_id");
    let assertion = pb::AssertFencedRequest { evacuation: evacuation.clone(), ..Default::default() };
    assert_invalid(&client.assert_fenced(assertion).await.unwrap_err(), "request_id");
    let roll = pb::WriteRollRequest::default();
    assert_invalid(&client.write_roll(roll).await.unwrap_err(), "request_id");
    let commit = pb::CommitArrivalRequest { evacuation, ..Default::default() };
    assert_invalid(&client.commit_arrival(commit).await.unwrap_err(), "request_id");
}

#[tokio::test(start_paused = true)]
async fn readings_are_bounded_too() {
    let stage = Stage::set().await;
    let mut client = stage.client(Side::Destination);
    let events = pb::ListEventsRequest { page_size: 1_001, ..Default::default() };
    assert_invalid(&client.list_events(events).await.unwrap_err(), "page_size");
    let nonce = pb::ProvePathRequest { nonce: "n".repeat(65), source_site: "source".to_owned(), ..Default::default() };
    assert_invalid(&client.prove_path(nonce).await.unwrap_err(), "nonce");
    let nobody =
        pb::ProvePathRequest { nonce: "n".to_owned(), source_site: "no name".to_owned(), ..Default::default() };
    assert_invalid(&client.prove_path(nobody).await.unwrap_err(), "source_site");
    let roll = pb::ListRollRequest { evacuation: "all".to_owned() };
    assert_invalid(&client.list_roll(roll).await.unwrap_err(), "evacuation");
    let proven = pb::ProvePathRequest { nonce: ID.to_owned(), source_site: "source".to_owned(), ..Default::default() };
    let proven = client.prove_path(proven).await.unwrap().into_inner();
    assert_eq!((proven.nonce.as_str(), proven.site.as_str(), proven.working), (ID, "destination", true));
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_is_not_on_the_roll_is_refused_by_itself() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    let stranger = pb::Command { vm: ID.to_owned(), ..seal() };
    let outcomes = stage.client(Side::Source).execute(execute(vec![stranger, seal()])).await;
    let mut outcomes = outcomes.unwrap().into_inner();
    let mut reasons = Vec::new();
    while let Some(outcome) = outcomes.message().await.unwrap() {
        match outcome.result.expect("a result") {
            pb::command_outcome::Result::Reading(reading) => reasons.push((reading.vm, String::new())),
            pb::command_outcome::Result::Failure(failure) => reasons.push((outcome.vm, failure.reason)),
        }
    }
    reasons.sort();
    assert_eq!(reasons, [(VM.to_string(), String::new()), (ID.to_owned(), "NOT_ON_ROLL".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn history_names_its_events_and_pages_through() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    let mut client = stage.client(Side::Destination);
    let (mut after_sequence, mut events) = (0, Vec::new());
    loop {
        let page =
            client.list_events(pb::ListEventsRequest { after_sequence, page_size: 2, ..Default::default() }).await;
        let lines = page.unwrap().into_inner().lines;
        assert!(lines.len() <= 2);
        let Some(last) = lines.last() else { break };
        after_sequence = last.sequence;
        events.extend(lines);
    }
    let names: Vec<&str> = events.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(names, ["claimed", "enrolled", "attempt_opened", "mutation_begun", "mutation_ended"]);
    let opened: serde_json::Value = serde_json::from_str(&events[2].detail_json).unwrap();
    assert_eq!(opened["attempt"], 1);
    assert_eq!(opened["host"], "destination-1");
    assert!(opened.get("event").is_none());
}

/// Real sockets and real time.
#[tokio::test]
async fn a_site_is_served_on_loopback_alone() {
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = SiteAddress::from(listener.local_addr().unwrap());
    let stage = Stage::set().await;
    let site: Arc<Site> = Arc::clone(&stage.worker(Side::Source).site);
    let shutdown = CancellationToken::new();
    let refused = serve(Arc::clone(&site), everywhere, None, shutdown.clone()).await;
    assert!(matches!(refused, Err(ServeError::Listen(ListenError::NotLoopback(_)))));

    let served = tokio::spawn(serve(Arc::clone(&site), listener, None, shutdown.clone()));
    let mut client = site_client(TcpDial.dial(&address, &Counterpart::Worker(None)).await.unwrap());
    let status = SiteStatus::try_from(client.get_site(pb::GetSiteRequest {}).await.unwrap().into_inner()).unwrap();
    assert_eq!((status.site.as_str(), status.working), ("source", Ok(())));
    let mut news = client.watch(pb::WatchRequest::default()).await.unwrap().into_inner();
    assert!(news.message().await.unwrap().is_some());
    // A watch doesn't keep the server from ending.
    shutdown.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(10), served).await.expect("in time").unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_survey_asks_the_hosts_that_are_named_and_no_others() {
    let stage = Stage::set().await;
    let other = VmId(Uuid::from_u128(0x2));
    stage.vm_on(VM, 1, 512).await;
    stage.vm_on(other, 2, 512).await;
    let survey = async |hosts: &[HostName]| {
        let order = SurveyOrder { vms: vec![VM, other], processors: vec!["any".to_owned()], hosts: hosts.to_vec() };
        let answer = stage.worker(Side::Source).client.clone().survey(pb::SurveyRequest::from(order)).await;
        let (mut items, mut told) = (answer.unwrap().into_inner(), (Vec::new(), Vec::new(), Vec::new()));
        while let Some(item) = items.message().await.unwrap() {
            match SurveyEntry::try_from(item).unwrap() {
                SurveyEntry::Site { .. } => {}
                SurveyEntry::Host(host) => told.0.push(host.host),
                SurveyEntry::Needs(needs) => told.1.push(needs.vm),
                SurveyEntry::Processor { host, .. } => told.2.push(host),
            }
        }
        told
    };
    let [first, second] = [1, 2].map(|number| host(Side::Source, number));
    let both = vec![first.clone(), second.clone()];
    assert_eq!(survey(&[]).await, (both.clone(), vec![VM, other], both));
    assert_eq!(survey(std::slice::from_ref(&second)).await, (vec![second.clone()], vec![other], vec![second]));
    assert_eq!(survey(&["nobody".parse().unwrap()]).await, (vec![], vec![], vec![]));
}

/// What comes of this message sent to a method by its bare name.
async fn sent(stage: &Stage, method: &'static str, message: pb::WatchRequest) -> Status {
    let mut client = Grpc::new(stage.channel(Side::Destination).await).max_encoding_message_size(usize::MAX);
    client.ready().await.unwrap();
    let codec = ProstCodec::<pb::WatchRequest, pb::GetSiteResponse>::default();
    let path = PathAndQuery::from_static(method);
    client.unary(Request::new(message), path, codec).await.expect_err("it was taken")
}

/// Before the service sees a call, the transport may refuse it; also then its caller is told that nothing was done, and why.
#[tokio::test(start_paused = true)]
async fn what_no_method_takes_is_refused_in_musters_words() {
    let stage = Stage::set().await;
    // Its number stands where this method has a text.
    let number = pb::WatchRequest { after_sequence: 7 };
    let cases = [
        ("/muster.worker.v1.Site/ListRoll", Code::InvalidArgument, NOT_A_MESSAGE),
        ("/muster.worker.v1.Site/GetGreatestEpoch", Code::InvalidArgument, NOT_A_MESSAGE),
        ("/muster.worker.v1.Site/Explode", Code::Unimplemented, NO_SUCH_METHOD),
    ];
    for (method, code, reason) in cases {
        let status = sent(&stage, method, number).await;
        let fault = Fault::from(&status);
        assert_eq!((status.code(), fault.class, fault.reason.as_str()), (code, Class::Refused, reason), "{status:?}");
        assert!(fault.message.contains("nothing was done"), "{fault:?}");
    }
    let mut client = SiteClient::new(stage.channel(Side::Destination).await);
    let large = pb::ListRollRequest { evacuation: "e".repeat(MESSAGE_MAX_BYTES + 1) };
    let status = client.list_roll(large).await.unwrap_err();
    let fault = Fault::from(&status);
    assert_eq!(
        (status.code(), fault.class, fault.reason.as_str()),
        (Code::OutOfRange, Class::Refused, MESSAGE_TOO_LARGE)
    );
}
