//! Serving muster.v1 over a listener, or, for simulations, over whatever streams are given to the router.

use super::guard::Guarded;
use super::health::OrchestratorStanding;
use super::{Api, WATCHERS_MAX};
use crate::parts::Orchestrator;
use muster_proto::channel::server;
use muster_proto::limits::{CALLS_MAX, MESSAGE_MAX_BYTES};
use muster_proto::serve::calls::Counted;
use muster_proto::serve::{self, ServeError};
use muster_proto::tls::{Access, Refused, Tls};
use muster_proto::v1::evacuations_server::{EvacuationsServer, SERVICE_NAME};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;

/// The method that waits for as long as it is told, up to [`RECOVER_WAIT_MAX`](super::RECOVER_WAIT_MAX).
const LONG: &str = "RecoverEvacuation";

/// A gRPC server with muster.v1, yet to be given its connections: a simulation calls `serve_with_incoming` with streams
/// in memory. Streams that never end by themselves end with the orchestrator. Whoever can connect may do everything.
#[must_use]
pub fn router(orchestrator: Arc<Orchestrator>) -> Router {
    let stop = orchestrator.stop.child_token();
    router_until(orchestrator, Access::Open, stop)
}

fn router_until(house: Arc<Orchestrator>, access: Access, shutdown: CancellationToken) -> Router {
    let standing = Arc::new(OrchestratorStanding::new(Arc::clone(&house), shutdown.clone()));
    let api = Api { house, watchers: Arc::new(Semaphore::new(WATCHERS_MAX)), shutdown };
    let service = EvacuationsServer::new(Guarded::new(api, access))
        .max_decoding_message_size(MESSAGE_MAX_BYTES)
        .max_encoding_message_size(MESSAGE_MAX_BYTES);
    server()
        .add_service(Counted::new(service, CALLS_MAX).with_long(&[LONG]))
        .add_service(serve::health::health(SERVICE_NAME, standing))
        .add_service(serve::reflection(SERVICE_NAME))
        .add_service(serve::older_reflection(SERVICE_NAME))
}

/// Serves muster.v1 on this listener until `shutdown`, and then until the calls under way are answered, but no longer
/// than [`LEAVE_TIMEOUT`](muster_proto::limits::LEAVE_TIMEOUT). The orchestrator itself goes on; see [`Orchestrator::stop`].
/// With a certificate every caller has to show one, and may do what it says.
///
/// # Errors
/// The listener is not on loopback and there is no certificate, or the transport fails.
pub async fn serve(
    orchestrator: Arc<Orchestrator>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let access = Access::with(tls.is_some());
    let router = router_until(orchestrator, access, shutdown.clone());
    let refused = |refused: Refused| tracing::info!(%refused, "a connection was refused");
    serve::serve(router, listener, tls, refused, shutdown).await
}
