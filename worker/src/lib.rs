//! A site's worker: it drives the site's hypervisors and owns the site's ledger.
//!
//! It carries out commands, each under a token and at most one hypervisor mutation per VM at a time; it writes down
//! what it sees; it answers what is known. It never decides what a VM's next step is: that is
//! `muster_core::decide`, called by whoever settles. The one thing that it does on its own account is to tell the
//! destination's worker that a guest has been handed over ([`site::handover`]).
//!
//! ```text
//!  service (gRPC) ─▶ site ─┬─▶ records ─▶ Ledger
//!                          ├─▶ hypervisor (sim, …)
//!                          └─▶ peers (other sites' workers)
//! ```

#![forbid(unsafe_code)]

pub mod conformance;
pub mod error;
pub mod hypervisor;
pub mod peers;
pub mod service;
pub mod site;
pub mod traces;
