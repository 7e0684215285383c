//! muster.v1, served. It reads the journal and the feeds, journals orders and leaves them at the seats; it never
//! commands a site on a move's behalf (releasing a retired copy is no part of a move).

mod adjust;
mod audit;
mod check;
mod convert;
mod evacuations;
mod filter;
mod health;
mod moves;
mod page;
mod recover;
mod resume;
mod watch;

pub use recover::RECOVER_WAIT_MAX;

use crate::error::OrchestratorError;
use crate::evacuate::inventory;
use crate::parts::{Orchestrator, Pair};
use futures::StreamExt;
use futures::stream::BoxStream;
use muster_core::class::Class;
use muster_core::evacuation::EvacuationStatus;
use muster_core::ids::{EvacuationId, RequestId};
use muster_proto::channel::{DialError, require_loopback, server};
use muster_proto::convert::{InvalidMessage, inventory_items, parsed, text};
use muster_proto::limits::{CALLS_MAX, LEAVE_TIMEOUT, MESSAGE_MAX_BYTES};
use muster_proto::serve;
use muster_proto::serve::calls::Counted;
use muster_proto::serve::door::guests;
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_server::{Evacuations, EvacuationsServer, SERVICE_NAME};
use muster_proto::worker::v1::InventoryItem;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};

/// Most watchers at once.
pub const WATCHERS_MAX: usize = 256;

/// The method that waits for as long as it is told, up to [`RECOVER_WAIT_MAX`].
const LONG: &str = "RecoverEvacuation";

/// Who ordered, where nobody says so.
const NOBODY: &str = "unknown";

/// The service.
struct Api {
    house: Arc<Orchestrator>,
    watchers: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// Why an orchestrator is not, or no longer, served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener can't say where it listens.
    #[error("the listener's address can't be read: {0}")]
    Listener(#[source] std::io::Error),
    /// It listens where it may not without TLS.
    #[error(transparent)]
    NotLoopback(#[from] DialError),
    /// The transport failed.
    #[error("the server ended: {0}")]
    Transport(#[from] tonic::transport::Error),
}

impl ServeError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            ServeError::Listener(_) | ServeError::Transport(_) => Class::Retry,
            ServeError::NotLoopback(error) => error.class(),
        }
    }
}

/// A gRPC server with muster.v1, yet to be given its connections: a simulation calls `serve_with_incoming` with streams
/// in memory. Streams that never end by themselves end with the orchestrator.
#[must_use]
pub fn router(orchestrator: Arc<Orchestrator>) -> Router {
    let stop = orchestrator.stop.child_token();
    router_until(orchestrator, stop)
}

fn router_until(house: Arc<Orchestrator>, shutdown: CancellationToken) -> Router {
    let standing = Arc::new(health::OrchestratorStanding::new(Arc::clone(&house), shutdown.clone()));
    let api = Api { house, watchers: Arc::new(Semaphore::new(WATCHERS_MAX)), shutdown };
    let service = EvacuationsServer::new(api)
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    server()
        .add_service(Counted::new(service, CALLS_MAX).with_long(&[LONG]))
        .add_service(serve::health::health(SERVICE_NAME, standing))
        .add_service(serve::reflection(SERVICE_NAME))
        .add_service(serve::older_reflection(SERVICE_NAME))
}

/// Serves muster.v1 on this listener until `shutdown`, and then until the calls under way are answered, but no longer than
/// [`LEAVE_TIMEOUT`]. The orchestrator itself goes on; see [`Orchestrator::stop`].
///
/// # Errors
/// The listener is not on loopback, or the transport fails.
pub async fn serve(
    orchestrator: Arc<Orchestrator>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    require_loopback(listener.local_addr().map_err(ServeError::Listener)?)?;
    let router = router_until(orchestrator, shutdown.clone());
    let serving = router.serve_with_incoming_shutdown(guests(listener), shutdown.clone().cancelled_owned());
    let left = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LEAVE_TIMEOUT).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        // What somebody doesn't take keeps nobody.
        () = left => Ok(()),
    }
}

#[tonic::async_trait]
impl Evacuations for Api {
    type ListInventoryStream = BoxStream<'static, Result<InventoryItem, Status>>;
    type WatchEvacuationStream = ReceiverStream<Result<pb::WatchEvacuationResponse, Status>>;
    type RecoverEvacuationStream = ReceiverStream<Result<pb::RollCallLine, Status>>;

    async fn check_runbook(
        &self,
        request: Request<pb::CheckRunbookRequest>,
    ) -> Result<Response<pb::CheckRunbookResponse>, Status> {
        Ok(Response::new(Box::pin(self.check(request.into_inner())).await?))
    }

    async fn list_inventory(
        &self,
        request: Request<pb::ListInventoryRequest>,
    ) -> Result<Response<Self::ListInventoryStream>, Status> {
        let site = parsed("site", &request.into_inner().site)?;
        let link = self.house.link(&site).await?;
        let inventory = inventory(&link).await?;
        Ok(Response::new(futures::stream::iter(inventory_items(inventory).map(Ok)).boxed()))
    }

    async fn create_evacuation(
        &self,
        request: Request<pb::CreateEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        Ok(Response::new(self.create(request.into_inner()).await?))
    }

    async fn get_evacuation(
        &self,
        request: Request<pb::GetEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        let status = self.named_or_newest(&request.into_inner().evacuation).await?;
        Ok(Response::new(self.shown(&status).await?))
    }

    async fn list_evacuations(
        &self,
        request: Request<pb::ListEvacuationsRequest>,
    ) -> Result<Response<pb::ListEvacuationsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn list_moves(
        &self,
        request: Request<pb::ListMovesRequest>,
    ) -> Result<Response<pb::ListMovesResponse>, Status> {
        Ok(Response::new(self.moves(request.into_inner()).await?))
    }

    async fn get_vm(&self, request: Request<pb::GetVmRequest>) -> Result<Response<pb::GetVmResponse>, Status> {
        let moves = self.moves_of_vm(&request.into_inner().vm).await?;
        Ok(Response::new(pb::GetVmResponse { moves }))
    }

    async fn watch_evacuation(
        &self,
        request: Request<pb::WatchEvacuationRequest>,
    ) -> Result<Response<Self::WatchEvacuationStream>, Status> {
        Ok(Response::new(self.watch(request.into_inner()).await?))
    }

    async fn pause_evacuation(
        &self,
        request: Request<pb::ChangeEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        Ok(Response::new(self.change(request.into_inner(), evacuations::Change::Pause).await?))
    }

    async fn resume_evacuation(
        &self,
        request: Request<pb::ChangeEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        Ok(Response::new(self.change(request.into_inner(), evacuations::Change::Resume).await?))
    }

    async fn cancel_evacuation(
        &self,
        request: Request<pb::ChangeEvacuationRequest>,
    ) -> Result<Response<pb::Evacuation>, Status> {
        Ok(Response::new(self.change(request.into_inner(), evacuations::Change::Cancel).await?))
    }

    async fn retry_moves(&self, request: Request<pb::RetryMovesRequest>) -> Result<Response<pb::Evacuation>, Status> {
        Ok(Response::new(self.retry(request.into_inner()).await?))
    }

    async fn adjust_moves(&self, request: Request<pb::AdjustMovesRequest>) -> Result<Response<pb::Evacuation>, Status> {
        Ok(Response::new(self.adjust(request.into_inner()).await?))
    }

    async fn release_vm(
        &self,
        request: Request<pb::ReleaseVmRequest>,
    ) -> Result<Response<pb::ReleaseVmResponse>, Status> {
        let released = Box::pin(self.release(request.into_inner())).await?;
        Ok(Response::new(pb::ReleaseVmResponse { r#move: Some(released) }))
    }

    async fn recover_evacuation(
        &self,
        request: Request<pb::RecoverEvacuationRequest>,
    ) -> Result<Response<Self::RecoverEvacuationStream>, Status> {
        Ok(Response::new(Box::pin(self.recover(request.into_inner())).await?))
    }

    async fn explain_vm(
        &self,
        request: Request<pb::ExplainVmRequest>,
    ) -> Result<Response<pb::ExplainVmResponse>, Status> {
        Ok(Response::new(Box::pin(self.explain(request.into_inner())).await?))
    }

    async fn list_audit(
        &self,
        request: Request<pb::ListAuditRequest>,
    ) -> Result<Response<pb::ListAuditResponse>, Status> {
        Ok(Response::new(self.audit(request.into_inner()).await?))
    }
}

impl Api {
    /// The evacuation of this id; for an empty one, the newest.
    async fn named_or_newest(&self, given: &str) -> Result<EvacuationStatus, OrchestratorError> {
        if !given.is_empty() {
            return self.named(given).await;
        }
        let newest = self.house.journal().evacuations().await?.pop();
        newest.ok_or(OrchestratorError::NoEvacuation { evacuation: None })
    }

    /// The evacuation of this id.
    async fn named(&self, given: &str) -> Result<EvacuationStatus, OrchestratorError> {
        let evacuation: EvacuationId = parsed("evacuation", given)?;
        crate::evacuate::status_of(self.house.journal().as_ref(), evacuation).await
    }

    /// Both sites' links, to show what they told last. None where one isn't known any more.
    async fn sites(&self, status: &EvacuationStatus) -> Option<Pair> {
        self.house.pair(&status.source_site, &status.destination_site).await.ok()
    }
}

/// Who orders.
fn ordered_by(given: String) -> Result<String, InvalidMessage> {
    if given.is_empty() { Ok(NOBODY.to_owned()) } else { text("ordered_by", given) }
}

fn request_id(given: &str) -> Result<RequestId, InvalidMessage> {
    muster_proto::convert::request_id(given)
}
