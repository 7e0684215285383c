//! How sites are reached: over TCP on loopback alone, in memory for simulation, and what a broken connection means.

use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use muster_core::class::Class;
use muster_proto::channel::{
    Counterpart, Dial, DialError, SiteAddress, TcpDial, endpoint, require_loopback, server, site_client,
};
use muster_proto::status::{Fault, TRANSPORT, status};
use muster_proto::worker::v1 as pb;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::service_fn;

/// Dials whoever listens in memory.
struct MemoryDial(mpsc::Sender<DuplexStream>);

impl Dial for MemoryDial {
    fn dial<'a>(
        &'a self,
        address: &'a SiteAddress,
        _expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        let listener = self.0.clone();
        Box::pin(async move {
            let connect = service_fn(move |_| {
                let listener = listener.clone();
                async move {
                    let (near, far) = tokio::io::duplex(64 * 1024);
                    listener.send(far).await.map_err(|_| std::io::Error::other("nobody listens"))?;
                    Ok::<_, std::io::Error>(TokioIo::new(near))
                }
            });
            Ok(endpoint(address)?.connect_with_connector_lazy(connect))
        })
    }
}

/// A server in memory that answers every call with what `answer` makes of it.
fn serve<F>(answer: fn() -> F) -> MemoryDial
where
    F: Future<Output = tonic::codegen::http::Response<Body>> + Send + 'static,
{
    let (listener, accepted) = mpsc::channel(4);
    let service =
        service_fn(move |_: tonic::codegen::http::Request<Body>| async move { Ok::<_, Infallible>(answer().await) });
    let incoming = ReceiverStream::new(accepted).map(Ok::<_, Infallible>);
    tokio::spawn(server().serve_with_incoming(service, incoming));
    MemoryDial(listener)
}

async fn ask(dial: &dyn Dial) -> Fault {
    let address: SiteAddress = "site-b:7701".parse().unwrap();
    let channel = dial.dial(&address, &Counterpart::Worker(None)).await.unwrap();
    let mut request = tonic::Request::new(pb::GetSiteRequest {});
    request.set_timeout(Duration::from_secs(1));
    Fault::from(site_client(channel).get_site(request).await.unwrap_err())
}

#[tokio::test]
async fn a_refusal_comes_through_a_real_connection_as_itself() {
    let dial = serve(|| async { status(Class::Refused, "BELOW_FLOOR", "too old: ä").into_http() });
    let fault = ask(&dial).await;
    assert_eq!(
        (fault.class, fault.reason.as_str(), fault.message.as_str()),
        (Class::Refused, "BELOW_FLOOR", "too old: ä")
    );
}

#[tokio::test]
async fn nobody_listening_is_unknown() {
    let (listener, _) = mpsc::channel(1);
    let fault = ask(&MemoryDial(listener)).await;
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Unknown, TRANSPORT));
}

#[tokio::test(start_paused = true)]
async fn no_answer_in_time_is_unknown() {
    let fault = ask(&serve(std::future::pending)).await;
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Unknown, TRANSPORT));
}

#[tokio::test]
async fn a_connection_lost_in_a_call_is_unknown() {
    let (listener, mut accepted) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(stream) = accepted.recv().await {
            drop(stream)
        }
    });
    let fault = ask(&MemoryDial(listener)).await;
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Unknown, TRANSPORT));
}

#[tokio::test]
async fn without_tls_only_loopback_is_dialled() {
    for address in ["127.0.0.1:7701", "127.8.8.8:1", "[::1]:7701", "localhost:7701"] {
        assert!(TcpDial.dial(&address.parse().unwrap(), &Counterpart::Worker(None)).await.is_ok(), "{address}");
    }
    for address in ["10.0.0.1:7701", "0.0.0.0:7701", "[2001:db8::1]:7701", "site-b:7701", "localhost.example.com:1"] {
        let error = TcpDial.dial(&address.parse().unwrap(), &Counterpart::Worker(None)).await.unwrap_err();
        assert!(matches!(&error, DialError::NotLoopback { .. }), "{address}: {error}");
        assert_eq!(error.class(), Class::Refused);
    }
}

#[test]
fn a_daemon_listens_on_loopback_alone() {
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    assert_eq!(require_loopback(loopback).unwrap(), loopback);
    for address in ["0.0.0.0:7701", "[::]:7701", "192.168.1.4:7701"] {
        let error = require_loopback(address.parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("loopback"), "{error}");
    }
}

#[test]
fn addresses_are_read_and_written_alike() {
    for given in ["127.0.0.1:7701", "[::1]:7701", "site-b.example:65535"] {
        assert_eq!(given.parse::<SiteAddress>().unwrap().to_string(), given);
    }
    for bad in
        ["", "7701", "host", "host:", "host:65536", ":1", "a b:1", "http://host:1", "user@host:1", "-h:1", "h/p:1"]
    {
        assert!(matches!(bad.parse::<SiteAddress>(), Err(DialError::NotAnAddress { .. })), "{bad:?} was taken");
    }
}
