//! Workers, checked by `muster conformance`: muster's own, broken ones, and the one in Python that the examples have.

mod own;
mod restarts;
