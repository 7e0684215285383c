//! One section a VM: at most one mutation at a time. Entering never waits; who finds it taken is told so.

use muster_core::ids::VmId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Which VMs have a mutation under way in this process.
#[derive(Default, Clone)]
pub(super) struct Sections {
    taken: Arc<Mutex<BTreeSet<VmId>>>,
}

/// The right to change one VM; given back on drop.
pub(super) struct Section {
    vm: VmId,
    taken: Arc<Mutex<BTreeSet<VmId>>>,
}

impl Sections {
    pub(super) fn enter(&self, vm: VmId) -> Option<Section> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(vm).then(|| Section { vm, taken: Arc::clone(&self.taken) })
    }

    pub(super) fn is_taken(&self, vm: VmId) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).contains(&vm)
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.vm);
    }
}
