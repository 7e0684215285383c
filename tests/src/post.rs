//! The post: how calls come in at a worker. One may come in late, so that later ones overtake it and whoever sent it has
//! given up; or twice, the second time after the first was answered. As networks and retrying proxies do; the worker's own
//! service behind it is the product's.

use crate::life::Life;
use crate::network::{Network, Port};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tonic::transport::server::Connected;
use tower::{Layer, Service, ServiceExt};

/// How long the answer to a call's second coming is read before it is let go.
const SECOND_ANSWER_LONGEST: Duration = Duration::from_secs(30);
/// The one call that has no end; it comes in as it is.
const WATCH: &str = "/Watch";

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallTrouble {
    /// It comes in so much later, whether or not anybody still waits for its answer.
    Late(Duration),
    /// It comes in again so much later; nobody hears the second answer.
    Twice(Duration),
}

/// A connection as it comes in, with who sent it.
#[derive(Debug)]
pub struct Arriving {
    stream: DuplexStream,
    from: Port,
}

impl Arriving {
    pub(crate) fn new(stream: DuplexStream, from: Port) -> Self {
        Arriving { stream, from }
    }
}

/// Who sent a call.
#[derive(Debug, Clone, Copy)]
pub struct From(Port);

impl Connected for Arriving {
    type ConnectInfo = From;

    fn connect_info(&self) -> From {
        From(self.from)
    }
}

impl AsyncRead for Arriving {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Arriving {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The post of one life of a worker.
#[derive(Clone)]
pub(crate) struct Post {
    network: Network,
    to: Port,
    life: Life,
}

impl Post {
    pub(crate) fn new(network: Network, to: Port, life: Life) -> Self {
        Post { network, to, life }
    }
}

impl Layer<Routes> for Post {
    type Service = Posted;

    fn layer(&self, inner: Routes) -> Posted {
        Posted { post: self.clone(), inner }
    }
}

/// A worker's service behind its post.
#[derive(Clone)]
pub(crate) struct Posted {
    post: Post,
    inner: Routes,
}

impl Service<Request<Body>> for Posted {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Routes as Service<Request<Body>>>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let from = request.extensions().get::<From>().map(|from| from.0);
        let is_watch = request.uri().path().ends_with(WATCH);
        let trouble =
            from.filter(|_| !is_watch).and_then(|from| self.post.network.take_call_trouble(from, self.post.to));
        let (inner, life) = (self.inner.clone(), self.post.life.clone());
        match trouble {
            None => Box::pin(inner.oneshot(request)),
            Some(CallTrouble::Late(by)) => Box::pin(late(inner, request, by, life)),
            Some(CallTrouble::Twice(after)) => Box::pin(twice(inner, request, after, life)),
        }
    }
}

async fn late(inner: Routes, request: Request<Body>, by: Duration, life: Life) -> Result<Response<Body>, Infallible> {
    let request = whole(request).await;
    let coming = tokio::spawn(async move {
        tokio::select! {
            biased;
            () = life.until_ended() => None,
            answer = async { tokio::time::sleep(by).await; inner.oneshot(request).await } => Some(answer),
        }
    });
    match coming.await {
        Ok(Some(answer)) => answer,
        // The worker is dead: nobody answers.
        Ok(None) | Err(_) => std::future::pending().await,
    }
}

async fn twice(
    inner: Routes,
    request: Request<Body>,
    after: Duration,
    life: Life,
) -> Result<Response<Body>, Infallible> {
    let request = whole(request).await;
    let (again, second) = (request.clone(), inner.clone());
    tokio::spawn(async move {
        let comes_again = async {
            tokio::time::sleep(after).await;
            let Ok(answer) = second.oneshot(again).await;
            let _unheard = tokio::time::timeout(SECOND_ANSWER_LONGEST, answer.into_body().collect()).await;
        };
        tokio::select! {
            biased;
            () = life.until_ended() => {}
            () = comes_again => {}
        }
    });
    inner.oneshot(request).await
}

/// The call with its whole message, so that it can come in again. One that broke off comes in as far as it came.
async fn whole(request: Request<Body>) -> Request<Full<tonic::codegen::Bytes>> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map(|collected| collected.to_bytes()).unwrap_or_default();
    Request::from_parts(parts, Full::new(bytes))
}
