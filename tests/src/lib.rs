//! Worlds, faults, invariants, scenarios: muster tested through its public surface.
