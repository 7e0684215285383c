//! The simulated hypervisors.
