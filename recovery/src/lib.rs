//! Settle: observe, decide, journal, act. The one way a move advances, in ordinary running and after any fault.
//!
//! ```text
//!            ┌──────────────────────────────────────────────────────┐
//!            ▼                                                      │
//!  observe (streams, or fenced) ─▶ decide (pure) ─▶ journal ─▶ act ─┘
//!                                     │
//!                                     └─▶ settled, held, or between two attempts
//! ```
//! [`settle`] is the loop, [`link`] how a site is reached and heard, [`claim`] who may act, [`roll_call`] the report,
//! [`recover`] the loop without an orchestrator, [`explain`] a verdict's reasons line by line.
//! Nothing here keeps a state of a VM that outlives an observation, and nothing decides but `muster_core::decide`.

#![forbid(unsafe_code)]

pub mod claim;
pub mod error;
pub mod explain;
pub mod link;
pub mod recover;
pub mod roll_call;
pub mod rolls;
pub mod settle;
