//! The door and the seats: what is let in, what is turned away, and how that is told.

use futures::future::BoxFuture;
use muster_core::class::Class;
use muster_proto::channel::{endpoint, server};
use muster_proto::limits::{GREETING_TIMEOUT, SERVER_DEADLINE};
use muster_proto::serve::calls::{Counted, OVERDUE, TOO_MANY_CALLS};
use muster_proto::serve::door::guests_up_to;
use muster_proto::status::Fault;
use muster_proto::worker::v1::site_client::SiteClient;
use muster_proto::worker::v1::{GetSiteRequest, site_server};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

/// A service that answers a call once a permit is there for it.
#[derive(Clone)]
struct Slow(Arc<Semaphore>);

impl NamedService for Slow {
    const NAME: &'static str = site_server::SERVICE_NAME;
}

impl Service<Request<Body>> for Slow {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let permits = Arc::clone(&self.0);
        Box::pin(async move {
            permits.acquire().await.expect("never closed").forget();
            Ok(Response::new(Body::new(http_body_util::Full::<tonic::codegen::Bytes>::from("an answer"))))
        })
    }
}

#[tokio::test]
async fn a_call_beyond_the_bound_is_turned_away_at_once_and_told_when_to_come_again() {
    let permits = Arc::new(Semaphore::new(0));
    let service = Counted::new(Slow(Arc::clone(&permits)), 2);
    let call = || service.clone().call(Request::new(Body::empty()));
    let first = tokio::spawn(call());
    tokio::task::yield_now().await;
    let _second = tokio::spawn(call());
    tokio::task::yield_now().await;
    let refused = call().await.unwrap();
    let status = Status::from_header_map(refused.headers()).expect("a status");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let fault = Fault::from(&status);
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Retry, TOO_MANY_CALLS));
    assert!(fault.retry_after_ms.is_some_and(|after_ms| after_ms > 0), "{fault:?}");

    // An answer holds its seat until its body is taken, or dropped.
    permits.add_permits(1);
    let answered = first.await.unwrap().unwrap();
    assert!(Status::from_header_map(call().await.unwrap().headers()).is_some());
    drop(answered);
    // One for the second, which waits longer.
    permits.add_permits(2);
    assert!(Status::from_header_map(call().await.unwrap().headers()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_deadline_gets_one() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let incoming = tokio_stream::iter([Ok::<_, Infallible>(far)]).chain(tokio_stream::pending());
    let service = Counted::new(Slow(Arc::new(Semaphore::new(0))), 2);
    tokio::spawn(server().serve_with_incoming(service, incoming));
    let mut near = Some(hyper_util::rt::TokioIo::new(near));
    let connect = tower::service_fn(move |_| {
        let near = near.take();
        async move { near.ok_or(ErrorKind::NotConnected).map_err(std::io::Error::from) }
    });
    let channel = endpoint(&"site-b:7701".parse().unwrap()).unwrap().connect_with_connector_lazy(connect);
    let began = tokio::time::Instant::now();
    let ended = SiteClient::new(channel).get_site(GetSiteRequest {}).await.unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended:?}");
    assert!(began.elapsed() >= SERVER_DEADLINE && began.elapsed() < SERVER_DEADLINE * 2, "{:?}", began.elapsed());
    let fault = Fault::from(&ended);
    assert_eq!((fault.class, fault.reason.as_str()), (Class::Unknown, OVERDUE));
}

/// Whether a connection was closed by the other side.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match tokio::time::timeout(Duration::from_millis(200), stream.read(&mut byte)).await {
        Ok(read) => matches!(read, Ok(0) | Err(_)),
        Err(_) => false,
    }
}

#[tokio::test]
async fn one_connection_more_than_there_are_seats_for_is_closed_and_a_seat_that_is_left_is_given_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut guests = Box::pin(guests_up_to(listener, 2));
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    let seated = (guests.next().await.unwrap().unwrap(), guests.next().await.unwrap().unwrap());
    let mut third = TcpStream::connect(address).await.unwrap();
    tokio::select! {
        _ = guests.next() => panic!("a third was let in"),
        closed = is_closed(&mut third) => assert!(closed, "the third waits"),
    }
    assert!(!is_closed(&mut first).await && !is_closed(&mut second).await);
    drop(seated.0);
    let _fourth = TcpStream::connect(address).await.unwrap();
    guests.next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_shown_out_and_one_that_has_spoken_may_be_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut guests = Box::pin(guests_up_to(listener, 2));
    let (mut speaks, _silent) =
        (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    speaks.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let (mut heard, mut unheard) = (guests.next().await.unwrap().unwrap(), guests.next().await.unwrap().unwrap());
    let mut greeting = [0; 24];
    heard.read_exact(&mut greeting).await.unwrap();
    let began = tokio::time::Instant::now();
    let shown_out = unheard.read_u8().await.unwrap_err();
    assert_eq!((shown_out.kind(), began.elapsed().as_secs()), (ErrorKind::TimedOut, GREETING_TIMEOUT.as_secs()));
    assert!(tokio::time::timeout(GREETING_TIMEOUT * 100, heard.read_u8()).await.is_err(), "it was shown out");
}
