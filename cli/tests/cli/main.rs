//! The `muster` command, run as a person runs it.

#![allow(clippy::unwrap_used, reason = "a test that can't run its command has failed")]

mod audit;
mod command;
mod conformance;
mod evacuation_plan;
mod guardian;
mod land;
mod ledger;
mod plan;
mod predict;
mod roles;
mod secured;
mod secured_land;
mod site;
mod support;
mod venv;
