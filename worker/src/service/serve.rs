//! Serving a site over a listener, or, for simulations, over whatever streams are given to the router.

use super::SiteService;
use super::guard::Guarded;
use crate::site::{Site, Working};
use futures::FutureExt;
use futures::future::BoxFuture;
use muster_proto::channel;
use muster_proto::limits::CALLS_MAX;
use muster_proto::serve::calls::Counted;
use muster_proto::serve::health::Standing;
use muster_proto::serve::{self, ServeError};
use muster_proto::tls::{Access, Refused, Tls};
use muster_proto::worker::v1::site_server::SERVICE_NAME;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;

/// A gRPC server with the site's service, yet to be given its connections: a simulation calls `serve_with_incoming` with
/// streams in memory. Whoever can connect may do everything.
#[must_use]
pub fn router(site: Arc<Site>, shutdown: CancellationToken) -> Router {
    router_with(site, Access::Open, shutdown)
}

fn router_with(site: Arc<Site>, access: Access, shutdown: CancellationToken) -> Router {
    let standing = Arc::new(SiteStanding { site: Arc::clone(&site), shutdown: shutdown.clone() });
    let service = channel::site_server(Guarded::new(SiteService::new(site, shutdown), access));
    channel::server()
        .add_service(Counted::new(service, CALLS_MAX))
        .add_service(serve::health::health(SERVICE_NAME, standing))
        .add_service(serve::reflection(SERVICE_NAME))
        .add_service(serve::older_reflection(SERVICE_NAME))
}

/// Serves the site on this listener until `shutdown`, and then until the calls under way are answered, but no longer than
/// [`LEAVE_TIMEOUT`](muster_proto::limits::LEAVE_TIMEOUT). The site itself goes on; see [`Site::stop`]. With a certificate every
/// caller has to show one, and may do what it says.
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
    let router = router_with(site, access, shutdown.clone());
    let refused = |refused: Refused| tracing::info!(%refused, "a connection was refused");
    serve::serve(router, listener, tls, refused, shutdown).await
}

/// Whether a site takes work, for whoever asks for its health.
struct SiteStanding {
    site: Arc<Site>,
    shutdown: CancellationToken,
}

impl Standing for SiteStanding {
    fn is_serving(&self) -> bool {
        !self.shutdown.is_cancelled() && self.site.working() == Working::Yes
    }

    fn until(&self, serving: bool) -> BoxFuture<'_, ()> {
        async move {
            match serving {
                true if self.shutdown.is_cancelled() => std::future::pending().await,
                true => self.site.until_working_is(true).await,
                false => tokio::select! {
                    () = self.shutdown.cancelled() => {}
                    () = self.site.until_working_is(false) => {}
                },
            }
        }
        .boxed()
    }

    fn until_ending(&self) -> BoxFuture<'_, ()> {
        self.shutdown.cancelled().boxed()
    }
}
