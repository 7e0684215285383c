//! What is true: the pure heart of muster.
//!
//! This crate decides and never touches. It holds the words of the design as types, the state machine of a
//! site's ledger, the evidence that can be read of a VM, the verdict that evidence proves, and the one next step.
//! It must never read a clock, draw a random number, do I/O or know a runtime: time, ids and readings come in
//! as arguments. Its Cargo.toml has no tokio, rusqlite, tonic or tracing, and a tidy test keeps it so.

#![forbid(unsafe_code)]

pub mod calendar;
pub mod claim;
pub mod class;
pub mod decide;
pub mod definition;
pub mod env;
pub mod evacuation;
pub mod evidence;
pub mod fingerprint;
pub mod forecast;
pub mod guardian;
pub mod ids;
pub mod inspect;
pub mod ladder;
pub mod ledger;
pub mod party;
pub mod plan;
pub mod predict;
pub mod preflight;
pub mod reading;
pub mod route;
pub mod runbook;
pub mod schedule;
pub mod step;
pub mod terms;
pub mod time;
pub mod timetable;
pub mod token;
pub mod verdict;
