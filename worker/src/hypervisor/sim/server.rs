//! Serves a world over gRPC, to the workers of its sites and to whoever drives it. Loopback only: it has no security.
//!
//! A site's newer connection is answered only once its older ones have been read to their end: see [`super::session`].

use super::engine::{WorldHandle, start};
use super::error::SimulationError;
use super::session::Sessions;
use super::wire::generated::control_server::{Control, ControlServer};
use super::wire::generated::hypervisors_server::{Hypervisors, HypervisorsServer};
use super::wire::generated::{
    AdvanceRequest, CallRequest, DefinitionRequest, DefinitionsRequest, InventoryRequest, Json, LookRequest,
    NowRequest, SiteRequest, Time, TruthRequest,
};
use super::wire::{MESSAGE_MAX_BYTES, decode, encode};
use super::world::WorldConfig;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use muster_core::class::Class;
use muster_core::ids::{IdError, VmId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::str::FromStr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status};

/// Why a world could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not be made.
    #[error(transparent)]
    World(#[from] SimulationError),
    /// It is to be served where others could reach it.
    #[error("a simulated world is served on loopback only, not on {address}")]
    NotLoopback {
        /// Where.
        address: std::net::SocketAddr,
    },
    /// The socket is unusable.
    #[error("the world's socket can't be used")]
    Socket(#[source] std::io::Error),
    /// The transport failed.
    #[error("the world's transport failed")]
    Transport(#[source] tonic::transport::Error),
}

impl ServeError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            ServeError::World(error) => error.class(),
            ServeError::NotLoopback { .. } => Class::Refused,
            ServeError::Socket(_) | ServeError::Transport(_) => Class::Retry,
        }
    }
}

/// Makes a world and serves it on a loopback listener until `cancelled` is.
///
/// # Errors
/// [`ServeError`] where the world can't be made or the listener is not loopback's or fails.
pub async fn serve(listener: TcpListener, config: WorldConfig, cancelled: CancellationToken) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Socket)?;
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback { address });
    }
    let world = start(&config, cancelled.clone())?;
    serve_world(world, TcpListenerStream::new(listener), cancelled).await
}

/// Serves a world that runs already, over any connections: sockets, or pipes within a process.
///
/// # Errors
/// `Transport` where that fails.
pub async fn serve_world<Connections, Connection>(
    world: WorldHandle,
    connections: Connections,
    cancelled: CancellationToken,
) -> Result<(), ServeError>
where
    Connections: Stream<Item = Result<Connection, std::io::Error>> + Send + 'static,
    Connection: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let sessions = Sessions::default();
    let connections = sessions.accept(connections);
    let service = Service { world, sessions };
    let hypervisors = HypervisorsServer::new(service.clone())
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    let control = ControlServer::new(service)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    Server::builder()
        .add_service(hypervisors)
        .add_service(control)
        .serve_with_incoming_shutdown(connections, cancelled.cancelled_owned())
        .await
        .map_err(ServeError::Transport)
}

#[derive(Clone)]
struct Service {
    world: WorldHandle,
    sessions: Sessions,
}

type JsonStream = BoxStream<'static, Result<Json, Status>>;

#[tonic::async_trait]
impl Hypervisors for Service {
    type ChangesStream = JsonStream;

    async fn inventory(&self, request: Request<InventoryRequest>) -> Result<Response<Json>, Status> {
        let site = name(&request.get_ref().site)?;
        let _open = self.sessions.speaks_for(&request, &site).await?;
        let hosts = names(&request.get_ref().hosts)?;
        answer(&self.world.inventory(site, hosts).await)
    }

    async fn look(&self, request: Request<LookRequest>) -> Result<Response<Json>, Status> {
        let site = name(&request.get_ref().site)?;
        let _open = self.sessions.speaks_for(&request, &site).await?;
        answer(&self.world.look(site, read(&request.get_ref().vms_json)?).await)
    }

    async fn definition(&self, request: Request<DefinitionRequest>) -> Result<Response<Json>, Status> {
        let site = name(&request.get_ref().site)?;
        let _open = self.sessions.speaks_for(&request, &site).await?;
        let DefinitionRequest { site: _, host, vm } = request.into_inner();
        answer(&self.world.definition(site, name(&host)?, name(&vm)?).await)
    }

    async fn definitions(&self, request: Request<DefinitionsRequest>) -> Result<Response<Json>, Status> {
        let site = name(&request.get_ref().site)?;
        let _open = self.sessions.speaks_for(&request, &site).await?;
        let hosts = names(&request.get_ref().hosts)?;
        answer(&self.world.definitions(site, read(&request.get_ref().vms_json)?, hosts).await)
    }

    async fn call(&self, request: Request<CallRequest>) -> Result<Response<Json>, Status> {
        let site = name(&request.get_ref().site)?;
        let open = self.sessions.speaks_for(&request, &site).await?;
        let taken_in = self.world.take_in(site, read(&request.into_inner().call_json)?).await;
        // Any look from here on shows it; however long it takes, it holds up no newer connection.
        drop(open);
        answer(&taken_in.ended().await)
    }

    async fn changes(&self, request: Request<SiteRequest>) -> Result<Response<JsonStream>, Status> {
        let site = name(&request.get_ref().site)?;
        let _open = self.sessions.speaks_for(&request, &site).await?;
        let changes = self.world.changes(site).await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(changes.map(|change| json(&change)).boxed()))
    }
}

#[tonic::async_trait]
impl Control for Service {
    type ReadTruthStream = JsonStream;

    async fn create_vm(&self, request: Request<Json>) -> Result<Response<Json>, Status> {
        self.sessions.controls(&request)?;
        let spec = read(&request.get_ref().json)?;
        answer(&self.world.with(move |world| world.create_vm(&spec)).await.map_err(gone)?)
    }

    async fn create_fleet(&self, request: Request<Json>) -> Result<Response<Json>, Status> {
        self.sessions.controls(&request)?;
        let spec = read(&request.get_ref().json)?;
        answer(&self.world.with(move |world| world.create_fleet(&spec)).await.map_err(gone)?)
    }

    async fn inject(&self, request: Request<Json>) -> Result<Response<Json>, Status> {
        self.sessions.controls(&request)?;
        let fault = read(&request.get_ref().json)?;
        answer(&self.world.with(move |world| world.inject(&fault)).await.map_err(gone)?)
    }

    async fn set_clock(&self, request: Request<Json>) -> Result<Response<Time>, Status> {
        self.sessions.controls(&request)?;
        let clock = read(&request.get_ref().json)?;
        time(self.world.set_clock(clock).await)
    }

    async fn advance(&self, request: Request<AdvanceRequest>) -> Result<Response<Time>, Status> {
        self.sessions.controls(&request)?;
        time(self.world.advance(request.get_ref().by_ms).await)
    }

    async fn now(&self, request: Request<NowRequest>) -> Result<Response<Time>, Status> {
        self.sessions.controls(&request)?;
        time(self.world.now_ms().await)
    }

    async fn read_truth(&self, request: Request<TruthRequest>) -> Result<Response<JsonStream>, Status> {
        self.sessions.controls(&request)?;
        let vms: Vec<VmId> = read(&request.get_ref().vms_json)?;
        let read = self.world.with(move |world| {
            if vms.is_empty() { world.truth() } else { vms.iter().filter_map(|vm| world.truth_of(*vm)).collect() }
        });
        let truths = read.await.map_err(gone)?;
        Ok(Response::new(stream::iter(truths).map(|truth| json(&truth)).boxed()))
    }
}

fn name<T: FromStr<Err = IdError>>(given: &str) -> Result<T, Status> {
    given.parse().map_err(|error: IdError| Status::invalid_argument(error.to_string()))
}

fn names<T: FromStr<Err = IdError>>(given: &[String]) -> Result<Vec<T>, Status> {
    given.iter().map(|one| name(one)).collect()
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Status> {
    decode(json).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn json<T: Serialize>(value: &T) -> Result<Json, Status> {
    encode(value).map(|json| Json { json }).map_err(|error| Status::internal(error.to_string()))
}

fn answer<T: Serialize>(value: &T) -> Result<Response<Json>, Status> {
    json(value).map(Response::new)
}

fn time(now_ms: Result<u64, SimulationError>) -> Result<Response<Time>, Status> {
    now_ms.map(|now_ms| Response::new(Time { now_ms })).map_err(gone)
}

fn gone(error: SimulationError) -> Status {
    Status::unavailable(error.to_string())
}
