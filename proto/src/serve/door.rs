//! The door: connections as they come in. It lets in so many at once and closes every other at once, so that what idle or
//! hostile callers can take of memory and files is bounded; one that says nothing is shown out again.

use crate::limits::{CONNECTIONS_MAX, GREETING_TIMEOUT};
use futures::stream::{self, Stream};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Wait after the system could not accept a connection, as where it has no file left for one.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What a client says first (HTTP/2's preface, or TLS's first record), in bytes: less than this is no greeting.
const GREETING_BYTES: usize = 24;

/// The connections of this listener, at most [`CONNECTIONS_MAX`] at once. It never ends.
pub fn guests(listener: TcpListener) -> impl Stream<Item = io::Result<Guest>> {
    guests_up_to(listener, CONNECTIONS_MAX)
}

/// The same with another bound.
pub fn guests_up_to(listener: TcpListener, most: usize) -> impl Stream<Item = io::Result<Guest>> {
    let seats = Arc::new(Semaphore::new(most));
    stream::unfold((listener, seats), |(listener, seats)| async move {
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                // What is wrong with one connection, or with the system for now, is no end of the daemon.
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            };
            // One that finds no seat is closed by being dropped.
            let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
            let _sent_at_once = stream.set_nodelay(true);
            let guest = Guest { stream, from, greeting: Some(Greeting::new()), _seat: seat };
            return Some((Ok(guest), (listener, seats)));
        }
    })
}

/// A connection with its seat.
#[derive(Debug)]
pub struct Guest {
    stream: TcpStream,
    from: SocketAddr,
    /// None once it was heard.
    greeting: Option<Greeting>,
    _seat: OwnedSemaphorePermit,
}

impl Guest {
    /// From where it comes.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.from
    }
}

#[derive(Debug)]
struct Greeting {
    heard_bytes: usize,
    until: Pin<Box<Sleep>>,
}

impl Greeting {
    fn new() -> Self {
        Greeting { heard_bytes: 0, until: Box::pin(tokio::time::sleep(GREETING_TIMEOUT)) }
    }
}

impl Connected for Guest {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Guest {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        let Some(greeting) = &mut self.greeting else { return read };
        if read.is_ready() {
            greeting.heard_bytes += into.filled().len() - before;
            if greeting.heard_bytes >= GREETING_BYTES {
                self.greeting = None;
            }
            return read;
        }
        ready!(greeting.until.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "it has said nothing")))
    }
}

impl AsyncWrite for Guest {
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
