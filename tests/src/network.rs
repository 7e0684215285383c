//! The network of a stage: streams in memory between processes that know each other by port. A dead process refuses
//! connections. Paths can be cut (what is open breaks, new connections are refused), stand still in one direction, or be
//! slow; single calls come in late or twice ([`crate::post`]).

use crate::frames::{self, Way};
use crate::life::Life;
use crate::post::{Arriving, CallTrouble};
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use muster_proto::channel::{Counterpart, Dial, DialError, SiteAddress, endpoint};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Uri};
use tower::service_fn;

/// Bytes in flight on one connection.
const PIPE_BYTES: usize = 1024 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: usize = 1024;

/// A process's name on the network: its port.
pub type Port = u16;

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathTrouble {
    /// Nothing passes between the two, either way; what is open breaks.
    Cut(Port, Port),
    /// What the first sends to the second stands still until the trouble ends, and comes then; the other way is open.
    Stalled(Port, Port),
    /// Between the two, each piece takes so long.
    Slow(Port, Port, Duration),
}

/// Names a trouble, so that it can be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TroubleId(u64);

/// The network.
#[derive(Clone, Default)]
pub struct Network {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    listening: BTreeMap<Port, (mpsc::Sender<io::Result<Arriving>>, Life)>,
    troubles: BTreeMap<TroubleId, PathTrouble>,
    numbers: u64,
    calls: Vec<(Port, Port, CallTrouble)>,
    open: Vec<(Port, Port, CancellationToken)>,
}

impl Network {
    /// Listens on a port, in place of whoever did before.
    #[must_use]
    pub fn listen(&self, port: Port, life: Life) -> mpsc::Receiver<io::Result<Arriving>> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        self.state().listening.insert(port, (sender, life));
        receiver
    }

    /// How a process with this port reaches others.
    #[must_use]
    pub fn dial_from(&self, from: Port, life: Life) -> Arc<dyn Dial> {
        Arc::new(NetworkDial { network: self.clone(), from, life })
    }

    /// Cuts the path between two processes, both ways; what is open breaks.
    pub fn cut(&self, one: Port, other: Port) {
        let _until_all_is_mended = self.trouble(PathTrouble::Cut(one, other));
    }

    /// Something is wrong with a path, until it is ended.
    pub fn trouble(&self, trouble: PathTrouble) -> TroubleId {
        let mut state = self.state();
        state.numbers += 1;
        let id = TroubleId(state.numbers);
        state.troubles.insert(id, trouble);
        let State { open, troubles, .. } = &mut *state;
        open.retain(|(from, to, broken)| {
            let is_cut = troubles.values().any(|trouble| trouble.cuts(*from, *to));
            if is_cut {
                broken.cancel();
            }
            !is_cut && !broken.is_cancelled()
        });
        id
    }

    /// Ends one trouble.
    pub fn end(&self, trouble: TroubleId) {
        self.state().troubles.remove(&trouble);
        self.changed.notify_waiters();
    }

    /// The next call from the one to the other goes wrong.
    pub fn trouble_call(&self, from: Port, to: Port, trouble: CallTrouble) {
        self.state().calls.push((from, to, trouble));
    }

    /// Mends every path.
    pub fn mend(&self) {
        let mut state = self.state();
        state.troubles.clear();
        state.calls.clear();
        drop(state);
        self.changed.notify_waiters();
    }

    /// What goes wrong with this call, if anything is to.
    pub(crate) fn take_call_trouble(&self, from: Port, to: Port) -> Option<CallTrouble> {
        let mut state = self.state();
        let found = state.calls.iter().position(|(caller, called, _)| (*caller, *called) == (from, to))?;
        Some(state.calls.remove(found).2)
    }

    /// Waits until something that is sent from the one to the other may arrive.
    pub(crate) async fn pass(&self, from: Port, to: Port) {
        let mut slow = Duration::ZERO;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before looking, so that no end falls in between.
            changed.as_mut().enable();
            let mut stands_still = false;
            for trouble in self.state().troubles.values() {
                match *trouble {
                    PathTrouble::Stalled(of, at) => stands_still |= (of, at) == (from, to),
                    PathTrouble::Slow(one, other, each) if joins(one, other, from, to) => slow = slow.max(each),
                    PathTrouble::Slow(..) | PathTrouble::Cut(..) => {}
                }
            }
            if !stands_still {
                break;
            }
            changed.await;
        }
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
    }

    async fn connect(&self, from: Port, to: Port, life: &Life) -> io::Result<DuplexStream> {
        self.pass(from, to).await;
        self.pass(to, from).await;
        let broken = CancellationToken::new();
        let (sender, server_life) = {
            let mut state = self.state();
            if state.troubles.values().any(|trouble| trouble.cuts(from, to)) {
                return Err(io::Error::new(io::ErrorKind::HostUnreachable, "the path is cut"));
            }
            let listening = state.listening.get(&to).filter(|(_, life)| !life.has_ended()).cloned();
            let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens there");
            let listening = listening.ok_or_else(refused)?;
            state.open.push((from, to, broken.clone()));
            listening
        };
        let (near, near_inside) = tokio::io::duplex(PIPE_BYTES);
        let (far_inside, far) = tokio::io::duplex(PIPE_BYTES);
        let (client_life, pump_life) = (life.clone(), server_life.clone());
        let (there, back) = (self.way(from, to), self.way(to, from));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = broken.cancelled() => {}
                () = client_life.until_ended() => {}
                () = pump_life.until_ended() => {}
                () = frames::carry(near_inside, far_inside, &client_life, call_of(to), [&there, &back]) => {}
            }
            broken.cancel();
        });
        let refused = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "nobody accepts there");
        sender.send(Ok(Arriving::new(far, from))).await.map_err(refused)?;
        Ok(near)
    }

    fn way(&self, from: Port, to: Port) -> Way {
        Way { network: self.clone(), from, to }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PathTrouble {
    fn cuts(self, from: Port, to: Port) -> bool {
        match self {
            PathTrouble::Cut(one, other) => joins(one, other, from, to),
            PathTrouble::Stalled(..) | PathTrouble::Slow(..) => false,
        }
    }
}

fn joins(one: Port, other: Port, from: Port, to: Port) -> bool {
    (one, other) == (from, to) || (other, one) == (from, to)
}

/// A call's name as a point of its caller's life.
fn call_of(port: Port) -> &'static str {
    match port {
        7700 => "call: orchestrator",
        7701 => "call: source",
        7702 => "call: destination",
        _ => "call: somebody",
    }
}

struct NetworkDial {
    network: Network,
    from: Port,
    life: Life,
}

impl Dial for NetworkDial {
    fn dial<'a>(
        &'a self,
        address: &'a SiteAddress,
        _expected: &'a Counterpart,
    ) -> BoxFuture<'a, Result<Channel, DialError>> {
        let (network, from, life, to) = (self.network.clone(), self.from, self.life.clone(), address.port());
        Box::pin(async move {
            let connector = service_fn(move |_: Uri| {
                let (network, life) = (network.clone(), life.clone());
                async move { network.connect(from, to, &life).await.map(TokioIo::new) }
            });
            Ok(endpoint(address)?.connect_with_connector_lazy(connector))
        })
    }
}
