//! Simulated hypervisors: whole sites that behave as real ones do, faults and all, and know the truth about themselves.
//!
//! [`world`] is the simulation, pure and without time of its own.

pub mod world;
