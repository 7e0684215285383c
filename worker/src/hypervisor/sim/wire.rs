//! The generated code of `muster.sim.v1` and the JSON it carries.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest message of this protocol, in bytes: an inventory of [`super::world::FLEET_MAX`] VMs.
pub(super) const MESSAGE_MAX_BYTES: usize = 256 * 1024 * 1024;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    clippy::large_futures
)]
pub(super) mod generated {
    tonic::include_proto!("muster.sim.v1");
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(value)
}

pub(super) fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(json)
}
