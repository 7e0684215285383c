//! Invariant 1, One runner: at no time do two hosts run a VM. The world itself watches every change; what it saw once it never
//! forgets.

use muster_worker::hypervisor::sim::world::Truth;

/// What is wrong with a VM; none if nothing is.
pub(crate) fn breach(truth: &Truth) -> Option<&'static str> {
    if truth.ran_twice {
        Some("ran twice at once")
    } else if truth.disk_writers_max > 1 {
        Some("its disk had two writers")
    } else {
        None
    }
}
