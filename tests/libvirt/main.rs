//! The driver for real hypervisors against real ones: the conformance suite that the simulated ones pass too, in a lab of its
//! own.
//!
//! It needs root, libvirt and QEMU (`lab install` gets them), and the cargo feature `libvirt`. Where one is missing it says
//! what it left out.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod announced;
mod asked;
mod disks;
mod edited;
mod evacuation;
mod house;
mod inert;
mod inspect;
mod ladder;
mod preflight;
mod protocol;
mod rebuilt;
mod remote;
mod retention;
mod retired;
mod saved;
mod stand;
mod weather;

use muster_tests::lab::Kind;
use muster_worker::hypervisor::conformance::{Broken, check};
use stand::Stand;

/// As many of each kind as the suite asks for.
const GUESTS: [(Kind, u16); 3] = [(Kind::Quiet, 10), (Kind::Dirty, 1), (Kind::Local, 2)];

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_conforms() {
    let Some(stand) = Stand::up("conform", &GUESTS).await else { return };
    let broken: Vec<Broken> = check(&stand).await;
    assert_eq!(broken, []);
}
