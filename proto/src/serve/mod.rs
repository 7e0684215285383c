//! How daemons are served beside their own service: who may come in ([`door`]), how many calls are carried out at once
//! ([`calls`]), whether the daemon can work ([`health`]), and what it speaks ([`reflection`]). It counts connections and
//! calls and bounds both; it must never know what a call is about.

pub mod calls;
pub mod door;
pub mod health;

use crate::FILE_DESCRIPTOR_SET;
use crate::limits::LEAVE_TIMEOUT;
use crate::tls::{ListenError, Refused, Tls, incoming};
use muster_core::class::Class;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Router;
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::v1alpha::{
    ServerReflection as OlderServerReflection, ServerReflectionServer as OlderServerReflectionServer,
};

/// What is said where the descriptors can't be read.
const WHOLE: &str = "the descriptors were made from the .proto files when this was built";

/// Why a daemon is not, or no longer, served.
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

/// Serves on this listener until `shutdown`, and then until the calls under way are answered, but no longer than
/// [`LEAVE_TIMEOUT`]. With a certificate every caller has to show one; those that don't are told of.
///
/// # Errors
/// The listener is not on loopback and there is no certificate, or the transport fails.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    refused: impl Fn(Refused) + Send + 'static,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let connections = incoming(listener, tls, refused)?;
    let serving = router.serve_with_incoming_shutdown(connections, shutdown.clone().cancelled_owned());
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

/// Reflection for a daemon that serves `service` and health.
///
/// # Panics
/// Never: the descriptors are part of the program.
#[must_use]
pub fn reflection(service: &str) -> ServerReflectionServer<impl ServerReflection> {
    described(service).with_service_name("grpc.reflection.v1.ServerReflection").build_v1().expect(WHOLE)
}

/// The same by the older name, which many tools still ask for.
///
/// # Panics
/// Never: the descriptors are part of the program.
#[must_use]
pub fn older_reflection(service: &str) -> OlderServerReflectionServer<impl OlderServerReflection> {
    described(service).with_service_name("grpc.reflection.v1alpha.ServerReflection").build_v1alpha().expect(WHOLE)
}

fn described(service: &str) -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name(service)
        .with_service_name(health::SERVICE)
}
