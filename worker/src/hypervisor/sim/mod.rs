//! Simulated hypervisors: whole sites that behave as real ones do, faults and all, and know the truth about themselves.
//!
//! ```text
//! world    the simulation: pure, without time of its own
//! engine   one task that owns a world and lets time pass; its handle
//! direct   the driver over that handle, for tests in one process
//! server   the world on loopback: the sites' hypervisors for their workers, control for who drives the world
//! session  which connections to it are open, in which order their sites are heard
//! client   the driver over that wire, and the control's client
//! ```
//! It must never be used to move a real VM, and nothing of muster may read its truth to decide anything.

pub mod client;
pub mod direct;
pub mod engine;
pub mod error;
pub mod server;
pub mod session;
mod survey;
mod wire;
pub mod world;
