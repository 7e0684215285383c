//! The network of a stage: streams in memory between processes that know each other by port. A dead process refuses
//! connections; a cut path breaks those that are there and refuses new ones, in one direction or both.

use crate::frames;
use crate::life::Life;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use muster_proto::channel::{Dial, DialError, SiteAddress, endpoint};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Uri};
use tower::service_fn;

/// Bytes in flight on one connection.
const PIPE_BYTES: usize = 1024 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: usize = 1024;

/// A process's name on the network: its port.
pub type Port = u16;

/// The network.
#[derive(Clone, Default)]
pub struct Network {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    listening: BTreeMap<Port, (mpsc::Sender<io::Result<DuplexStream>>, Life)>,
    cut: BTreeSet<(Port, Port)>,
    open: Vec<(Port, Port, CancellationToken)>,
}

impl Network {
    /// Listens on a port, in place of whoever did before.
    #[must_use]
    pub fn listen(&self, port: Port, life: Life) -> mpsc::Receiver<io::Result<DuplexStream>> {
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
        let mut state = self.state();
        state.cut.insert((one, other));
        state.cut.insert((other, one));
        for (from, to, broken) in &state.open {
            if (*from == one && *to == other) || (*from == other && *to == one) {
                broken.cancel();
            }
        }
        state.open.retain(|(_, _, broken)| !broken.is_cancelled());
    }

    /// Mends every path.
    pub fn mend(&self) {
        self.state().cut.clear();
    }

    async fn connect(&self, from: Port, to: Port, life: &Life) -> io::Result<DuplexStream> {
        let broken = CancellationToken::new();
        let (sender, server_life) = {
            let mut state = self.state();
            if state.cut.contains(&(from, to)) {
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
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = broken.cancelled() => {}
                () = client_life.until_ended() => {}
                () = pump_life.until_ended() => {}
                () = frames::carry(near_inside, far_inside, &client_life, call_of(to)) => {}
            }
        });
        let refused = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "nobody accepts there");
        sender.send(Ok(far)).await.map_err(refused)?;
        Ok(near)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    fn dial<'a>(&'a self, address: &'a SiteAddress) -> BoxFuture<'a, Result<Channel, DialError>> {
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
