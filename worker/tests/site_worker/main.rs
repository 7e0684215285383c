//! A site's worker through its wire: two sites on a simulated world, in one process, on paused time.

#![allow(unreachable_pub, reason = "a test has no outside")]
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod claims;
mod conformance;
mod fence;
mod inert;
mod leftovers;
mod mend;
mod moves;
mod retention;
mod seams;
mod stage;
mod watch;
mod wire;
mod witness;
