//! The wire: muster.v1 for users, muster.worker.v1 for sites, conversions and status mapping.
//!
//! This crate turns messages into the core's types and back, and errors into statuses and back. What comes in is
//! validated once, here: behind [`convert`] nothing has to look at a message again. It must never decide, keep
//! state, read a clock or log; [`serve`] alone counts connections and calls, and waits for the first word of each, and [`tls`]
//! holds the certificates that connections are made with.

/// `muster.v1`: evacuations, for people's tools. Generated from `muster/v1/muster.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("muster.v1");
}

/// What a site's worker speaks.
pub mod worker {
    /// `muster.worker.v1`: a site. Generated from `muster/worker/v1/site.proto`.
    #[allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::too_many_lines,
        clippy::wildcard_enum_match_arm,
        reason = "generated"
    )]
    pub mod v1 {
        tonic::include_proto!("muster.worker.v1");
    }
}

pub mod channel;
pub mod convert;
pub mod limits;
pub mod serve;
pub mod status;
pub mod tls;

/// Both APIs as an encoded `google.protobuf.FileDescriptorSet`, for gRPC server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/muster_descriptor_set.bin"));
