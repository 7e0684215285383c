//! Requests of every method of both services, sent as bytes to an orchestrator and two workers on a stage: fields of the right
//! types with values of any kind (ids, names and page tokens of the stage among them), spoilt bytes, and any bytes. Each is
//! answered, or refused with a reason; what is invalid is refused with the fields that are; nothing panics, and afterwards
//! everybody still answers.

use crate::choices::{Choices, Declared, numbers, spoilt};
use crate::run::{Counts, Target, regressions, run};
use futures::StreamExt;
use muster_core::definition::{Disk, Mode};
use muster_proto::channel::Counterpart;
use muster_proto::status::{Fault, INVALID_MESSAGE};
use muster_proto::v1 as pb;
use muster_proto::worker::v1 as wire;
use muster_tests::life::Life;
use muster_tests::{Process, Stage, StageOptions};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq};
use proptest::prop_oneof;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;
use prost::bytes::{Buf, BufMut};
use prost_types::FileDescriptorSet;
use std::cell::Cell;
use std::panic;
use std::sync::Once;
use std::time::Duration;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Most requests of one case.
const REQUESTS_MAX: usize = 12;
/// Most numbers that one request is drawn from.
const NUMBERS_MAX: usize = 120;
/// How long an answer, or the first of a stream, is waited for, in simulated time. Some have none to give: a feed of news.
const ANSWER_LONGEST: Duration = Duration::from_secs(90);

thread_local! {
    /// Panics in this thread, which everybody on a stage runs in.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

#[derive(Debug, Clone)]
struct Sent {
    method: usize,
    bytes: Bytes,
}

#[derive(Debug, Clone)]
enum Bytes {
    Drawn { drawn: Vec<u64>, spoilt: Vec<u64> },
    Any(Vec<u8>),
}

/// A method, as it is called.
struct Method {
    process: Process,
    path: String,
    input: String,
}

#[test]
fn any_request_is_answered_or_refused_with_a_reason() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            usual(info);
        }));
    });
    let set = <FileDescriptorSet as prost::Message>::decode(muster_proto::FILE_DESCRIPTOR_SET).unwrap();
    let (declared, methods) = (Declared::read(&set), methods(&set));
    let target = Target { name: "services", regressions: regressions!("services"), few: 120, of_ordered: 100 };
    let bytes = prop_oneof![
        8 => numbers(NUMBERS_MAX).prop_map(|drawn| Bytes::Drawn { drawn, spoilt: Vec::new() }),
        2 => (numbers(NUMBERS_MAX), numbers(20)).prop_map(|(drawn, spoilt)| Bytes::Drawn { drawn, spoilt }),
        1 => vec(any::<u8>(), 0..100).prop_map(Bytes::Any),
    ];
    let sent = (0..methods.len(), bytes).prop_map(|(method, bytes)| Sent { method, bytes });
    run(&target, &vec(sent, 1..REQUESTS_MAX), |requests, counts| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(played(&requests, &declared, &methods, counts))
    });
}

fn methods(set: &FileDescriptorSet) -> Vec<Method> {
    let mut all = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let processes: &[Process] = if service.name() == "Site" {
                &[Process::Source, Process::Destination]
            } else {
                &[Process::Orchestrator]
            };
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let input = method.input_type().to_owned();
                all.extend(processes.iter().map(|process| Method {
                    process: *process,
                    path: path.clone(),
                    input: input.clone(),
                }));
            }
        }
    }
    assert!(all.len() > 40, "too few methods: {}", all.len());
    all
}

async fn played(
    requests: &[Sent],
    declared: &Declared,
    methods: &[Method],
    counts: &Counts,
) -> Result<(), TestCaseError> {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    let mut client = stage.client().await;
    let audit = pb::ListAuditRequest { page_size: 1, ..pb::ListAuditRequest::default() };
    let page = client.list_audit(audit).await.map_err(|status| TestCaseError::fail(format!("{status:?}")))?;
    let texts = [
        vm.to_string(),
        evacuation.to_string(),
        stage.source.to_string(),
        stage.destination.to_string(),
        stage.source_host(1).to_string(),
        stage.destination_host(1).to_string(),
        stage.runbook_of_all(),
        page.into_inner().next_page_token,
        "0000000000000000.1".to_owned(),
    ];
    let panics = PANICS.get();
    for Sent { method, bytes } in requests {
        let Method { process, path, input } = &methods[*method];
        let (whole, is_spoilt) = match bytes {
            Bytes::Any(bytes) => (bytes.clone(), true),
            Bytes::Drawn { drawn, spoilt: changes } => {
                let drawn = declared.message(input, &mut Choices::of(drawn, &texts), 0);
                let choices = &mut Choices::of(changes, &texts);
                if choices.is_over() { (drawn, false) } else { (spoilt(drawn, choices), true) }
            }
        };
        let answer = tokio::time::timeout(ANSWER_LONGEST, sent(&stage, *process, path, whole)).await;
        prop_assert_eq!(PANICS.get(), panics, "{} panicked", path);
        match answer {
            // A feed without news.
            Err(_) => prop_assert!(path.contains("/Watch"), "{path} is never answered"),
            Ok(Ok(())) => counts.count(true),
            Ok(Err(status)) => {
                counts.count(false);
                is_reasoned(path, &status, is_spoilt)?;
            }
        }
    }
    everybody_answers(&stage).await
}

async fn everybody_answers(stage: &Stage) -> Result<(), TestCaseError> {
    let failed = |status: Status| TestCaseError::fail(format!("no answer afterwards: {status:?}"));
    stage.client().await.list_evacuations(pb::ListEvacuationsRequest::default()).await.map_err(failed)?;
    for process in [Process::Source, Process::Destination] {
        stage.worker(process).await.get_site(wire::GetSiteRequest {}).await.map_err(failed)?;
    }
    Ok(())
}

/// A refusal says why, in muster's own words; only what can't be decoded at all is refused by the transport.
fn is_reasoned(path: &str, status: &Status, is_spoilt: bool) -> Result<(), TestCaseError> {
    let fault = Fault::from(status);
    let is_undecodable = is_spoilt && status.code() == Code::Internal && status.message().contains("decode");
    let is_ours = !fault.reason.is_empty() && fault.reason != muster_proto::status::TRANSPORT;
    prop_assert!(is_ours || is_undecodable, "{path}: {status:?}");
    prop_assert!(is_undecodable || status.code() != Code::Internal, "{path}: {status:?}");
    if fault.reason == INVALID_MESSAGE {
        prop_assert!(!fault.violations.is_empty(), "{path}: no field is named: {status:?}");
        for violation in &fault.violations {
            prop_assert!(!violation.field.is_empty() && !violation.description.is_empty(), "{path}: {violation:?}");
        }
    }
    Ok(())
}

async fn sent(stage: &Stage, process: Process, path: &str, bytes: Vec<u8>) -> Result<(), Status> {
    let channel: Channel = stage
        .network
        .dial_from(Process::Caller.port(), Life::new(None))
        .dial(&process.address(), &Counterpart::Worker(None))
        .await
        .unwrap();
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path: PathAndQuery = path.parse().unwrap();
    // An answer that isn't a stream is a stream of one.
    let mut answers = client.server_streaming(Request::new(bytes), path, Raw).await?.into_inner();
    answers.next().await.transpose().map(drop)
}

/// Bytes as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}
