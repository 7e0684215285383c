//! Serving a site over a listener, or, for simulations, over whatever streams are given to the router.

use super::SiteService;
use super::guard::Guarded;
use crate::site::Site;
use muster_core::class::Class;
use muster_proto::channel;
use muster_proto::tls::{Access, ListenError, Tls, incoming};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;

/// Why a site is not, or no longer, served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It can't listen there, or may not without TLS.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The transport failed.
    #[error("the server ended: {0}")]
    Transport(#[from] tonic::transport::Error),
}

impl ServeError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            ServeError::Listen(error) => error.class(),
            ServeError::Transport(_) => Class::Retry,
        }
    }
}

/// A gRPC server with the site's service, yet to be given its connections: a simulation calls `serve_with_incoming` with
/// streams in memory. Whoever can connect may do everything.
#[must_use]
pub fn router(site: Arc<Site>, shutdown: CancellationToken) -> Router {
    router_with(site, Access::Open, shutdown)
}

fn router_with(site: Arc<Site>, access: Access, shutdown: CancellationToken) -> Router {
    let service = Guarded::new(SiteService::new(site, shutdown), access);
    channel::server().add_service(channel::site_server(service))
}

/// Serves the site on this listener until `shutdown`, and then until the calls under way are answered. The site itself
/// goes on; see [`Site::stop`]. With a certificate every caller has to show one, and may do what it says.
///
/// # Errors
/// The listener is not on loopback and there is no certificate, or the transport fails.
pub async fn serve(
    site: Arc<Site>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let access = Access::with(tls.is_some());
    let connections = incoming(listener, tls, |refused| tracing::warn!(error = %refused, "refused"))?;
    let router = router_with(site, access, shutdown.clone());
    router.serve_with_incoming_shutdown(connections, shutdown.cancelled_owned()).await?;
    Ok(())
}
