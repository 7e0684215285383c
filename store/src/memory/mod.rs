//! The engine for simulation.
