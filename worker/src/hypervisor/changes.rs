//! What one reader of a site's changes has yet to hear. Bounded: who falls too far behind hears "everything" instead.

use crate::hypervisor::{CHANGES_WAITING_MAX, Change};
use futures::stream::{self, BoxStream, StreamExt};
use muster_core::ids::VmId;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The driver's end of a reader.
#[derive(Debug)]
pub(in crate::hypervisor) struct Teller {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    everything: bool,
    order: VecDeque<VmId>,
    vms: BTreeSet<VmId>,
    ended: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock; and if something did, the worst is a change told twice.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's two ends. The stream begins with [`Change::Everything`].
pub(in crate::hypervisor) fn pair() -> (Teller, BoxStream<'static, Change>) {
    let shared = Arc::new(Shared::default());
    shared.waiting().everything = true;
    let reader = Arc::clone(&shared);
    let stream = stream::unfold(reader, |reader| async move {
        let change = next(&reader).await?;
        Some((change, reader))
    });
    (Teller { shared }, stream.boxed())
}

async fn next(shared: &Shared) -> Option<Change> {
    loop {
        {
            let mut waiting = shared.waiting();
            if std::mem::take(&mut waiting.everything) {
                return Some(Change::Everything);
            }
            if let Some(vm) = waiting.order.pop_front() {
                waiting.vms.remove(&vm);
                return Some(Change::Vm(vm));
            }
            if waiting.ended {
                return None;
            }
        }
        // A permit that was stored since the look above is kept: nothing is missed.
        shared.wake.notified().await;
    }
}

impl Teller {
    /// Whether anybody still reads.
    pub(in crate::hypervisor) fn is_heard(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    pub(in crate::hypervisor) fn tell(&self, change: Change) {
        let mut waiting = self.shared.waiting();
        match change {
            Change::Vm(_) if waiting.everything => {}
            Change::Vm(vm) => {
                if waiting.vms.insert(vm) {
                    waiting.order.push_back(vm);
                }
                if waiting.order.len() > CHANGES_WAITING_MAX {
                    waiting.forget_for_everything();
                }
            }
            Change::Everything => waiting.forget_for_everything(),
        }
        drop(waiting);
        self.shared.wake.notify_one();
    }

    pub(in crate::hypervisor) fn end(self) {
        self.shared.waiting().ended = true;
        self.shared.wake.notify_one();
    }
}

impl Waiting {
    fn forget_for_everything(&mut self) {
        self.order.clear();
        self.vms.clear();
        self.everything = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn vm(number: u128) -> VmId {
        VmId(Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn a_slow_reader_hears_everything_once_and_then_goes_on() {
        let (teller, mut stream) = pair();
        assert_eq!(stream.next().await, Some(Change::Everything));
        for number in 0..=CHANGES_WAITING_MAX as u128 {
            teller.tell(Change::Vm(vm(number)));
        }
        assert_eq!(stream.next().await, Some(Change::Everything));
        teller.tell(Change::Vm(vm(7)));
        teller.tell(Change::Vm(vm(7)));
        teller.tell(Change::Vm(vm(8)));
        teller.end();
        assert_eq!(stream.next().await, Some(Change::Vm(vm(7))));
        assert_eq!(stream.next().await, Some(Change::Vm(vm(8))));
        assert_eq!(stream.next().await, None);
    }
}
