//! Fuzzing: what comes from outside, or from an old file, is taken or refused, whatever it is; nothing panics.
//!
//! ```text
//! runbooks  any text, and the documented example with pieces changed
//! messages  bytes as every message of muster.worker.v1, through its conversion
//! services  requests of both services' methods, to an orchestrator and workers on a stage
//! stored    what ledgers and journals keep, as JSON with pieces changed, and what is then done with it
//! deciding  evidence, and readings with numbers and times at their ends, held against the table's oracle
//! choices   how values are drawn; run: how often, and what is written down
//! ```
//! Every test run tries a few thousand. `MUSTER_FUZZ_CASES=1000000 cargo test --release -p muster-tests --test fuzz` is a long run.
//! What once failed stays in `regressions/` and is tried first in every run.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod choices;
mod deciding;
mod messages;
mod run;
mod runbooks;
mod services;
mod stored;

/// Random values of the core's types, as the wire's own tests have them.
#[path = "../../proto/tests/wire"]
mod wire {
    #[allow(dead_code, reason = "the wire's tests use them all")]
    pub(crate) mod generate;
}

/// The oracle of the exhaustive table.
#[allow(dead_code, reason = "the table uses it all")]
#[path = "../../core/tests/oracle/mod.rs"]
mod oracle;
