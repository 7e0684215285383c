//! Serving a site over a listener, or, for simulations, over whatever streams are given to the router.

use super::SiteService;
use crate::site::Site;
use muster_core::class::Class;
use muster_proto::channel::{self, DialError};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;

/// Why a site is not, or no longer, served.
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

/// A gRPC server with the site's service, yet to be given its connections: a simulation calls `serve_with_incoming` with
/// streams in memory.
#[must_use]
pub fn router(site: Arc<Site>, shutdown: CancellationToken) -> Router {
    channel::server().add_service(channel::site_server(SiteService::new(site, shutdown)))
}

/// Serves the site on this listener until `shutdown`, and then until the calls under way are answered. The site itself
/// goes on; see [`Site::stop`].
///
/// # Errors
/// The listener is not on loopback, or the transport fails.
pub async fn serve(site: Arc<Site>, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
    channel::require_loopback(listener.local_addr().map_err(ServeError::Listener)?)?;
    let ended = shutdown.clone();
    let incoming = TcpListenerStream::new(listener);
    router(site, shutdown).serve_with_incoming_shutdown(incoming, async move { ended.cancelled().await }).await?;
    Ok(())
}
