//! The wire: muster.v1 for users, muster.worker.v1 for sites, conversions and status mapping.
