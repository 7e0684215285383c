//! A gate in a TCP path on loopback: for programs outside the lab, whose own path between the sites is to break when the lab's
//! link does. What a shut gate holds back is not lost, and nobody is told, as on a line that was cut: it passes when the gate
//! opens, to whoever is still there.

use super::error::LabError;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Bytes taken at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks under way in one direction of a connection; a sender waits beyond that.
const UNDER_WAY_MAX: usize = 256;
/// Connections through one gate at a time; further ones wait.
const CONNECTIONS_MAX: usize = 256;

/// What a gate does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It passes, after so many milliseconds.
    Open {
        /// How long it takes, each way.
        delay_ms: u64,
    },
    /// It is held back, and connections that are begun are not answered.
    Shut,
}

impl Passage {
    fn is_open(&self) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::Shut => false,
        }
    }

    fn delay(self) -> Duration {
        match self {
            Self::Open { delay_ms } => Duration::from_millis(delay_ms),
            Self::Shut => Duration::ZERO,
        }
    }
}

/// A gate before an address. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    passage: watch::Sender<Passage>,
    keeper: JoinHandle<()>,
}

impl Gate {
    /// An open gate before `to`, at a free port of loopback.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn before(to: SocketAddr) -> Result<Self, LabError> {
        let failed = |source| LabError::CantRun { command: format!("a gate before {to}"), source };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (passage, watching) = watch::channel(Passage::Open { delay_ms: 0 });
        Ok(Self { address, passage, keeper: tokio::spawn(keep(listener, to, watching)) })
    }

    /// Where to connect to instead.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens or shuts it, from now on, for connections of all ages.
    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn keep(listener: TcpListener, to: SocketAddr, passage: watch::Receiver<Passage>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        let Ok((near, _)) = listener.accept().await else { return };
        connections.spawn(connect(near, to, passage.clone()));
    }
}

async fn connect(near: TcpStream, to: SocketAddr, mut passage: watch::Receiver<Passage>) {
    if passage.wait_for(Passage::is_open).await.is_err() {
        return;
    }
    let Ok(far) = TcpStream::connect(to).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::join!(carry(near_in, far_out, passage.clone()), carry(far_in, near_out, passage));
}

/// One direction, until its end: read, wait its time, write. The end is carried like everything else.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut passage: watch::Receiver<Passage>) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY_MAX);
    let now = passage.clone();
    let take = async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(length) = from.read(&mut chunk).await {
            let due = Instant::now() + now.borrow().delay();
            if sender.send((due, chunk[..length].to_vec())).await.is_err() || length == 0 {
                return;
            }
        }
    };
    let give = async move {
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            if passage.wait_for(Passage::is_open).await.is_err() || to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        // Where the reading end broke off, this one closes too; a failure means that it has.
        let _ = to.shutdown().await;
    };
    tokio::join!(take, give);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_millis(200);

    /// Something that says back what it is told.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn says_back(stream: &mut TcpStream, word: &[u8]) {
        let mut heard = vec![0; word.len()];
        stream.read_exact(&mut heard).await.expect("an answer");
        assert_eq!(heard, word);
    }

    #[tokio::test]
    async fn a_shut_gate_holds_back_and_loses_nothing() {
        let gate = Gate::before(echo().await).await.expect("a gate");
        let mut old = TcpStream::connect(gate.address()).await.expect("a connection");
        old.write_all(b"one").await.expect("a word");
        says_back(&mut old, b"one").await;
        gate.set(Passage::Shut);
        let mut new = TcpStream::connect(gate.address()).await.expect("a connection");
        for stream in [&mut old, &mut new] {
            stream.write_all(b"two").await.expect("a word");
        }
        let mut buffer = [0; 3];
        timeout(SOON, old.read(&mut buffer)).await.expect_err("held back");
        timeout(SOON, new.read(&mut buffer)).await.expect_err("held back");
        gate.set(Passage::Open { delay_ms: 0 });
        for stream in [&mut old, &mut new] {
            says_back(stream, b"two").await;
        }
    }

    #[tokio::test]
    async fn a_long_way_takes_its_time_and_the_end_arrives() {
        let gate = Gate::before(echo().await).await.expect("a gate");
        gate.set(Passage::Open { delay_ms: 150 });
        let mut stream = TcpStream::connect(gate.address()).await.expect("a connection");
        let begun = Instant::now();
        stream.write_all(b"word").await.expect("a word");
        says_back(&mut stream, b"word").await;
        assert!(begun.elapsed() >= Duration::from_millis(300));
        stream.shutdown().await.expect("an end");
        let rest = timeout(SOON * 10, stream.read(&mut [0; 1])).await.expect("in time").expect("an end");
        assert_eq!(rest, 0);
    }

    #[tokio::test]
    async fn connections_end_with_their_gate() {
        let gate = Gate::before(echo().await).await.expect("a gate");
        let mut stream = TcpStream::connect(gate.address()).await.expect("a connection");
        stream.write_all(b"one").await.expect("a word");
        says_back(&mut stream, b"one").await;
        drop(gate);
        let ended = timeout(SOON * 10, stream.read(&mut [0; 1])).await.expect("in time");
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
}
