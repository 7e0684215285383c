//! Which connections to a served world are open, and for which site each speaks: a newer one of a site hears nothing
//! before the older ones have been read to their end.
//!
//! A worker that is killed leaves behind what it had sent. Were its successor answered before the world has read that, a
//! call could land that no look had shown, and a fenced observe would be none. So an older connection counts as open until
//! its end of stream has been read *and* every request read from it was taken in or dropped.

use futures::stream::{Stream, StreamExt};
use muster_core::ids::SiteName;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::server::Connected;
use tonic::{Request, Status};

/// Longest wait of a newer connection of a site for the older ones' end.
pub const OLDER_SESSION_WAIT_MAX: Duration = Duration::from_secs(3);

/// Every connection that is open, in the order in which they were accepted.
#[derive(Clone, Default)]
pub(super) struct Sessions {
    open: Arc<Mutex<Accepted>>,
}

#[derive(Default)]
struct Accepted {
    last: u64,
    sessions: BTreeMap<u64, Session>,
}

/// One connection.
struct Session {
    ended: CancellationToken,
    /// Whom it speaks for, once it has said anything.
    speaks_for: BTreeSet<Speaker>,
    /// The sites of which it has outwaited all older connections.
    settled: BTreeSet<SiteName>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Speaker {
    /// Whoever drives the world.
    Control,
    /// A site's worker.
    Site(SiteName),
}

/// Held by the connection and by each of its requests until that is taken in; the session ends with the last one.
#[derive(Clone)]
pub(super) struct Open {
    number: u64,
    _ends: Arc<DropGuard>,
}

impl Sessions {
    /// Connections, each with a session of its own.
    pub(super) fn accept<Connection>(
        &self,
        connections: impl Stream<Item = Result<Connection, io::Error>> + Send + 'static,
    ) -> impl Stream<Item = Result<InSession<Connection>, io::Error>> + Send + 'static {
        let sessions = self.clone();
        connections.map(move |connection| connection.map(|inner| InSession { inner, open: sessions.begin() }))
    }

    /// A request that speaks for a site: it goes on once no older connection can still bring one of the same site.
    /// To be held until what is asked for has been taken in.
    ///
    /// # Errors
    /// An older connection of the site is still open after [`OLDER_SESSION_WAIT_MAX`]: another worker of it lives.
    pub(super) async fn speaks_for<T>(&self, request: &Request<T>, site: &SiteName) -> Result<Open, Status> {
        let open = open_of(request)?;
        if let Some(session) = self.lock().sessions.get_mut(&open.number) {
            session.speaks_for.insert(Speaker::Site(site.clone()));
        }
        let until_settled = async {
            while let Some(older) = self.first_older(open.number, site) {
                older.cancelled().await;
            }
        };
        let in_time = tokio::time::timeout(OLDER_SESSION_WAIT_MAX, until_settled).await.is_ok();
        if in_time || !self.older_speaks_for(open.number, site) {
            self.settle(open.number, site);
            return Ok(open);
        }
        Err(Status::unavailable(format!("an older connection of site {site} is still open; end its worker first")))
    }

    /// A request of whoever drives the world.
    pub(super) fn controls<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let open = open_of(request)?;
        if let Some(session) = self.lock().sessions.get_mut(&open.number) {
            session.speaks_for.insert(Speaker::Control);
        }
        Ok(())
    }

    fn begin(&self) -> Open {
        let mut accepted = self.lock();
        accepted.sessions.retain(|_, session| !session.ended.is_cancelled());
        accepted.last += 1;
        let (number, ended) = (accepted.last, CancellationToken::new());
        let guard = Arc::new(ended.clone().drop_guard());
        let session = Session { ended, speaks_for: BTreeSet::new(), settled: BTreeSet::new() };
        accepted.sessions.insert(number, session);
        Open { number, _ends: guard }
    }

    /// An older connection that is open and may speak for the site: it has, or it has said nothing yet.
    fn first_older(&self, number: u64, site: &SiteName) -> Option<CancellationToken> {
        let accepted = self.lock();
        if accepted.sessions.get(&number).is_some_and(|session| session.settled.contains(site)) {
            return None;
        }
        let may_speak = |session: &&Session| {
            let speaks_for = &session.speaks_for;
            speaks_for.is_empty() || speaks_for.contains(&Speaker::Site(site.clone()))
        };
        let older = accepted.sessions.range(..number).map(|(_, session)| session);
        let mut live = older.filter(|session| !session.ended.is_cancelled());
        live.find(may_speak).map(|session| session.ended.clone())
    }

    fn older_speaks_for(&self, number: u64, site: &SiteName) -> bool {
        let speaker = Speaker::Site(site.clone());
        let accepted = self.lock();
        let mut older = accepted.sessions.range(..number).map(|(_, session)| session);
        older.any(|session| !session.ended.is_cancelled() && session.speaks_for.contains(&speaker))
    }

    fn settle(&self, number: u64, site: &SiteName) {
        if let Some(session) = self.lock().sessions.get_mut(&number) {
            session.settled.insert(site.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Accepted> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_of<T>(request: &Request<T>) -> Result<Open, Status> {
    let open = request.extensions().get::<Open>().cloned();
    open.ok_or_else(|| Status::internal("a request came over no connection that was accepted"))
}

/// A connection with its session.
pub(super) struct InSession<Connection> {
    inner: Connection,
    open: Open,
}

impl<Connection> Connected for InSession<Connection> {
    type ConnectInfo = Open;

    fn connect_info(&self) -> Open {
        self.open.clone()
    }
}

impl<Connection: AsyncRead + Unpin> AsyncRead for InSession<Connection> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<Connection: AsyncWrite + Unpin> AsyncWrite for InSession<Connection> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
