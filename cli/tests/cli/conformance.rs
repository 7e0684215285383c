//! Workers, checked by `muster conformance`: muster's own, and the one in Python that the examples have.

mod own;
mod python;
mod restarts;
