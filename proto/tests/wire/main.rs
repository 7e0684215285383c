//! The wire, tested through the crate's public surface: round trips, refusals, statuses, dialling.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod dialling;
mod generate;
mod reference;
mod refusals;
mod round_trips;
mod serving;
mod statuses;
mod survey;
mod tls;
