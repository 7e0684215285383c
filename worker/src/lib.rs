//! A site: its gRPC service, fence, ledger reconciler and hypervisor drivers.

pub mod hypervisor;
