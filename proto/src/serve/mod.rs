//! How daemons are served beside their own service: who may come in ([`door`]), how many calls are carried out at once
//! ([`calls`]), whether the daemon can work ([`health`]), and what it speaks ([`reflection`]). It counts connections and
//! calls and bounds both; it must never know what a call is about.

pub mod calls;
pub mod door;
pub mod health;

use crate::FILE_DESCRIPTOR_SET;
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::v1alpha::{
    ServerReflection as OlderServerReflection, ServerReflectionServer as OlderServerReflectionServer,
};

/// What is said where the descriptors can't be read.
const WHOLE: &str = "the descriptors were made from the .proto files when this was built";

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
