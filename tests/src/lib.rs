//! Worlds, faults, invariants, scenarios: muster tested through its public surface.
//!
//! [`Stage`] is two sites, an orchestrator and a world in one process, on paused time and from one seed: real services over
//! streams in memory, the simulated hypervisors, the in-memory store engine. Its processes can be killed at any of their
//! durable writes and calls ([`life`]), its network cut ([`network`]), and a judge ([`judge`]) compares verdicts with the
//! world's truth. Everything that is replaced is replaced at a seam of the design; the product runs unmodified.

pub mod binary;
pub mod circumstances;
pub mod clock;
pub mod daemon;
pub mod env;
pub mod faults;
mod frames;
pub mod hand;
pub mod history;
pub mod judge;
pub mod lab;
pub mod life;
pub mod network;
pub mod orders;
pub mod planning;
pub mod players;
pub mod post;
mod process;
pub mod published;
mod rebuild;
pub mod reliability;
pub mod roll_call;
pub mod seams;
pub mod seeds;
pub mod sites;
pub mod stage;
pub mod trace;

pub use hand::Hand;
pub use stage::{Process, Stage, StageOptions};

/// What went wrong, for a person to read.
pub type Outcome<T> = Result<T, String>;
