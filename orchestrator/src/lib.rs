//! Plans, schedules and drives evacuations; serves the muster.v1 API.
//!
//! ```text
//!   api ── orders, journaled ──▶ seat ──bell──▶ driver (one task an evacuation)
//!                                                 │ plan ▶ claim ▶ roll ▶ moves ▶ finish
//!                                                 │                        │ core::schedule says which
//!                                                 ▼                        ▼
//!                                              journal        recovery::settle, one task a move under way
//! ```
//! [`parts`] is what an orchestrator is made of and how it starts; `evacuate` drives, `api` answers, `seats` is where the
//! two meet, `loads` counts across evacuations; `guardians` has those asked that start and stop VMs, by `commands`. Every order stands in the journal before a driver hears of it, so a
//! start after any kind of end is the same as going on: read the journal, claim, settle what was begun.
//!
//! It must never decide what a VM's evidence means (that is `muster_core::decide`) nor keep a state of a VM that only it knows,
//! and it never claims over a recovery.

#![forbid(unsafe_code)]

mod alarms;
mod api;
mod commands;
mod error;
mod evacuate;
mod guardians;
mod loads;
pub mod parts;
mod pen;
mod seats;

pub use api::{RECOVER_WAIT_MAX, ServeError, WATCHERS_MAX, audit_line, audit_verified, router, serve};
pub use commands::{COMMANDS_AT_ONCE_MAX, OUTPUT_AFTER_END, OUTPUT_KEPT_MAX_BYTES, Program, ProgramError};
pub use error::OrchestratorError;
pub use guardians::{GIVE_BACK_WAIT_MAX, GIVE_BACK_WAIT_MIN};
pub use parts::{Orchestrator, OrchestratorParts};
