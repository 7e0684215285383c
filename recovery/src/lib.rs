//! Settle: observe, decide, journal, act. The one way a move advances, running or recovering.
