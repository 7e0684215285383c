//! The lab itself: that it comes up, moves guests, breaks on order, is judged rightly, and goes without a trace.
//!
//! ```text
//! stand    a lab for one test, and what is left out where there can be none
//! moves    plain virsh moves guests, and the judge sees where they are
//! double   a deliberate double run turns the judge red
//! faults   deaths, hangs and restarts of libvirtd, guests and hosts
//! links    the link is cut, long, lossy and slow
//! traces   nothing is left, also after a crash
//! ```
//! It needs root, libvirt and QEMU; `lab install` gets them. No muster is in it.

mod double;
mod faults;
mod links;
mod moves;
mod stand;
mod traces;
