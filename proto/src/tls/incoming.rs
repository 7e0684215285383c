//! Connections as they come in: with TLS where there is a certificate, in plain where only this machine can connect. Each call
//! carries its [`Peer`].

use super::{Certified, Tls};
use crate::channel::{DialError, require_loopback};
use crate::serve::door::{Guest, guests};
use futures::{Stream, StreamExt};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Most handshakes under way at once; further connections wait for them.
pub const HANDSHAKES_MAX: usize = 1_024;

/// Who is at the other end of a connection. It is among the extensions of every request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// From where.
    pub address: SocketAddr,
    /// What its certificate says; none on a connection without TLS, and for a certificate that says nothing to muster.
    pub certified: Option<Arc<Certified>>,
}

/// The address that a request came from; none where the transport has none.
#[must_use]
pub fn origin<T>(request: &tonic::Request<T>) -> Option<String> {
    request.extensions().get::<Peer>().map(|peer| peer.address.to_string())
}

/// A connection that was not taken in.
#[derive(Debug, thiserror::Error)]
#[error("a connection from {from} was not taken in: {source}")]
pub struct Refused {
    /// From where it came.
    pub from: SocketAddr,
    /// What was wrong.
    #[source]
    pub source: io::Error,
}

/// A connection that was taken in.
#[derive(Debug)]
pub struct Connection {
    /// In plain, or encrypted.
    stream: Either<Guest, Box<TlsStream<Guest>>>,
    peer: Peer,
}

/// The connections that come in at a listener; with TLS if there is a certificate. Those that are refused are told of and left out.
///
/// # Errors
/// There is no certificate, and others than this machine could connect; or the listener can't say where it listens.
pub fn incoming(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    refused: impl Fn(Refused) + Send + 'static,
) -> Result<impl Stream<Item = io::Result<Connection>>, ListenError> {
    if tls.is_none() {
        require_loopback(listener.local_addr()?)?;
    }
    let handshakes = guests(listener).filter_map(|guest| std::future::ready(guest.ok())).map(move |guest| {
        let tls = tls.clone();
        async move {
            let from = guest.address();
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, take_in(guest, from, tls.as_deref())).await {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(source)) => Err(Refused { from, source }),
                Err(_) => {
                    Err(Refused { from, source: io::Error::new(io::ErrorKind::TimedOut, "no handshake in time") })
                }
            }
        }
    });
    Ok(handshakes.buffer_unordered(HANDSHAKES_MAX).filter_map(move |taken| {
        let connection = match taken {
            Ok(connection) => Some(Ok(connection)),
            Err(error) => {
                refused(error);
                None
            }
        };
        std::future::ready(connection)
    }))
}

/// Why nothing is taken in at a listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The listener can't say where it listens.
    #[error("the listener's address can't be read: {0}")]
    Listener(#[from] io::Error),
    /// It listens where it may not without TLS.
    #[error(transparent)]
    NotLoopback(#[from] DialError),
}

impl ListenError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> muster_core::class::Class {
        match self {
            ListenError::Listener(_) => muster_core::class::Class::Retry,
            ListenError::NotLoopback(error) => error.class(),
        }
    }
}

async fn take_in(stream: Guest, from: SocketAddr, tls: Option<&Tls>) -> io::Result<Connection> {
    let Some(tls) = tls else {
        return Ok(Connection { stream: Either::Left(stream), peer: Peer { address: from, certified: None } });
    };
    let stream = TlsAcceptor::from(tls.server()).accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    // A certificate of the authority that names nobody may connect; whatever it calls is refused with the reason.
    let certified = shown.map(Certified::of).and_then(Result::ok).map(Arc::new);
    Ok(Connection { stream: Either::Right(Box::new(stream)), peer: Peer { address: from, certified } })
}

impl Connected for Connection {
    type ConnectInfo = Peer;
    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
