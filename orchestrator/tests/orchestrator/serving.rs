//! How an orchestrator is served: its health, what it says it speaks, and what it does with more callers than it bears.

use crate::stage::{Stage, runbook, site};
use muster_core::class::Class;
use muster_core::env::Env;
use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::ids::EvacuationId;
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_orchestrator::{Orchestrator, OrchestratorParts, WATCHERS_MAX, serve};
use muster_proto::channel::TcpDial;
use muster_proto::limits::{CONNECTIONS_MAX, HEADERS_MAX_BYTES, MESSAGE_MAX_BYTES};
use muster_proto::status::Fault;
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_recovery::link::Patience;
use muster_store::Journal;
use muster_store::memory::{Failure, JournalDisk, MemoryJournal};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use uuid::Uuid;

/// Idle connections that are tried, where the system allows so many.
const IDLE: usize = 10_000;
/// Most that they may cost, in MiB.
const COST_MAX_MIB: u64 = 64;

struct NoSites;

impl Env for NoSites {
    fn now(&self) -> Timestamp {
        Timestamp(1)
    }

    fn new_id(&self) -> Uuid {
        Uuid::from_u128(7)
    }

    fn random_below(&self, _: u64) -> u64 {
        0
    }
}

/// An orchestrator over TCP that knows no site.
struct Served {
    address: SocketAddr,
    disk: JournalDisk,
    journal: Arc<MemoryJournal>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Served {
    async fn start() -> Served {
        let disk = JournalDisk::new("a journal");
        let journal = Arc::new(MemoryJournal::open(&disk).unwrap());
        let orchestrator = Orchestrator::start(OrchestratorParts {
            name: "the orchestrator".to_owned(),
            journal: Arc::clone(&journal) as Arc<dyn Journal>,
            sites: BTreeMap::new(),
            dial: Arc::new(TcpDial),
            env: Arc::new(NoSites),
            patience: Patience::default(),
            commands: BTreeMap::new(),
        });
        let orchestrator = orchestrator.await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let until = stop.clone();
        let served = tokio::spawn(async move { serve(orchestrator, listener, None, until).await.unwrap() });
        Served { address, disk, journal, stop, served }
    }

    async fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await
    }
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_is_told_by_name_and_follows_the_journal() {
    let served = Served::start().await;
    let mut health = HealthClient::new(served.channel().await.unwrap());
    for service in ["", "muster.v1.Evacuations"] {
        let now = health.check(of(service)).await.unwrap().into_inner();
        assert_eq!(now.status(), ServingStatus::Serving, "{service:?}");
    }
    let unknown = health.check(of("muster.v1.Nothing")).await.unwrap_err();
    assert_eq!((unknown.code(), Fault::from(&unknown).reason.as_str()), (Code::NotFound, "NO_SERVICE"));
    let mut unknown = health.watch(of("muster.v1.Nothing")).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);

    let mut watch = health.watch(of("")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    served.disk.fail_next(Failure::Full);
    let ordered = JournalRecord {
        at: Timestamp(1),
        by: "the test".to_owned(),
        request: None,
        origin: None,
        call: None,
        evacuation: EvacuationId(Uuid::from_u128(77)),
        vm: None,
        kind: JournalKind::Ordered {
            name: "leave".to_owned(),
            source_site: site(Side::Source),
            destination_site: site(Side::Destination),
            runbook: runbook(""),
            scope_tags: BTreeSet::new(),
        },
    };
    served.journal.append(vec![ordered]).await.unwrap_err();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let now = health.check(of("muster.v1.Evacuations")).await.unwrap().into_inner();
    assert_eq!(now.status(), ServingStatus::NotServing);
    served.stop.cancel();
    assert!(watch.message().await.unwrap().is_none());
}

#[tokio::test]
async fn health_says_so_before_it_stops_and_who_does_not_let_go_keeps_nobody() {
    let served = Served::start().await;
    let mut health = HealthClient::new(served.channel().await.unwrap());
    let mut watch = health.watch(of("muster.v1.Evacuations")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    // A stream that its caller never ends.
    let mut reflection = ServerReflectionClient::new(served.channel().await.unwrap());
    let kept_open = reflection.server_reflection_info(tokio_stream::pending()).await.unwrap();
    served.stop.cancel();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(watch.message().await.unwrap().is_none());
    tokio::time::timeout(Duration::from_secs(60), served.served).await.expect("it ends").unwrap();
    drop(kept_open);
}

#[tokio::test]
async fn it_says_what_it_speaks_by_both_names() {
    let served = Served::start().await;
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = ServerReflectionClient::new(served.channel().await.unwrap());
    let asked = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("muster.v1.Evacuations.WatchEvacuation".to_owned())),
    ];
    let mut answers = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap().into_inner();
    let mut next = async || answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = next().await else { panic!("no list") };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["muster.v1.Evacuations", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.contains(&"muster.worker.v1.Site"), "{names:?}");
    let MessageResponse::FileDescriptorResponse(file) = next().await else { panic!("no file") };
    assert!(!file.file_descriptor_proto.is_empty());

    use tonic_reflection::pb::v1alpha as older;
    let mut client = older::server_reflection_client::ServerReflectionClient::new(served.channel().await.unwrap());
    let list = older::server_reflection_request::MessageRequest::ListServices(String::new());
    let asked = [older::ServerReflectionRequest { host: String::new(), message_request: Some(list) }];
    let mut answers = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
}

/// What this process holds in memory, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() / 1_024
}

#[tokio::test]
async fn thousands_of_idle_connections_cost_little_and_shut_nobody_out_for_long() {
    let served = Served::start().await;
    let mut before = EvacuationsClient::new(served.channel().await.unwrap());
    before.list_evacuations(pb::ListEvacuationsRequest::default()).await.unwrap();
    let began_mib = resident_mib();
    let mut idle = Vec::new();
    while idle.len() < IDLE {
        // Each end is a file of this process.
        match TcpStream::connect(served.address).await {
            Ok(stream) => idle.push(stream),
            Err(_) => break,
        }
    }
    assert!(idle.len() >= CONNECTIONS_MAX * 2, "the system allows {} connections only", idle.len());
    // Whoever was in is served all the while.
    before.list_evacuations(pb::ListEvacuationsRequest::default()).await.unwrap();
    let cost_mib = resident_mib().saturating_sub(began_mib);
    assert!(cost_mib <= COST_MAX_MIB, "{} idle connections cost {cost_mib} MiB", idle.len());
    // Those that were let in and said nothing are shown out, though they are held open at the other end.
    let came_in = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let Ok(channel) = served.channel().await else { continue };
            let mut client = EvacuationsClient::new(channel);
            if client.list_evacuations(pb::ListEvacuationsRequest::default()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    came_in.await.expect("a newcomer is served in the end");
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn one_watcher_too_many_is_told_so_and_when_to_come_again() {
    let mut stage = Stage::set(4).await;
    let begun = stage.create_evacuation(&runbook("limits.total = 1")).await;
    let pause = pb::ChangeEvacuationRequest {
        request_id: stage.request_id(),
        evacuation: begun.evacuation.clone(),
        ordered_by: "the test".to_owned(),
    };
    stage.client().await.pause_evacuation(pause).await.unwrap();
    let request =
        || Request::new(pb::WatchEvacuationRequest { evacuation: begun.evacuation.clone(), ..Default::default() });
    let mut watching = Vec::new();
    for _ in 0..WATCHERS_MAX {
        watching.push(stage.client().await.watch_evacuation(request()).await.unwrap().into_inner());
    }
    let refused = stage.client().await.watch_evacuation(request()).await.unwrap_err();
    let fault = Fault::from(&refused);
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Retry, "TOO_MANY"));
    assert!(fault.retry_after_ms.is_some(), "{fault:?}");
    // Others are answered, and a seat that is left is free again.
    stage.evacuation().await;
    watching.pop();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.client().await.watch_evacuation(request()).await.unwrap();
}

#[tokio::test]
async fn a_message_or_a_header_too_large_is_refused_and_harms_nobody() {
    let served = Served::start().await;
    let mut client = EvacuationsClient::new(served.channel().await.unwrap());
    let runbook = "#".repeat(MESSAGE_MAX_BYTES + 1);
    let refused = client.check_runbook(pb::CheckRunbookRequest { runbook }).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    let mut request = Request::new(pb::ListEvacuationsRequest::default());
    let value = "x".repeat(HEADERS_MAX_BYTES as usize + 1);
    request.metadata_mut().insert("x-large", value.parse().unwrap());
    client.list_evacuations(request).await.unwrap_err();
    // The next caller finds everything as it was.
    let mut next = EvacuationsClient::new(served.channel().await.unwrap());
    next.list_evacuations(pb::ListEvacuationsRequest::default()).await.unwrap();
}
