//! Looks at many VMs on one host at once. A VM that can't be read in time is silent there, alone: neither the others nor the
//! next look wait for it.

use super::host::{Host, LOOKS_MAX, on_thread_with};
use super::links::Lent;
use super::trouble::Trouble;
use super::view::{View, read};
use muster_core::ids::VmId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Longest wait for a look at one host. Below the site's own deadline for a look.
pub const HOST_LOOK_MAX: Duration = Duration::from_secs(3);

/// How long a reading may take until further looks leave its VM out.
pub const READING_HANGS_AFTER: Duration = Duration::from_secs(1);

/// VMs whose reading has not come back yet, on one host: how many of each, and since when.
#[derive(Default)]
pub(super) struct Hanging(Mutex<BTreeMap<VmId, (usize, Instant)>>);

impl Hanging {
    /// False if an older reading hangs.
    fn enter(&self, vm: VmId) -> bool {
        let mut readings = self.readings();
        let (count, since) = readings.entry(vm).or_insert_with(|| (0, Instant::now()));
        if since.elapsed() > READING_HANGS_AFTER {
            return false;
        }
        *count += 1;
        true
    }

    fn leave(&self, vm: VmId) {
        let mut readings = self.readings();
        if let Some((count, since)) = readings.get_mut(&vm) {
            *count -= 1;
            // What is left of it has come later.
            *since = Instant::now();
            if *count == 0 {
                readings.remove(&vm);
            }
        }
    }

    fn readings(&self) -> MutexGuard<'_, BTreeMap<VmId, (usize, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a host shows of these VMs. Those that are missing from the answer could not be read; a none is a VM that the host
/// hasn't heard of.
pub(super) async fn look<T: Send + 'static>(
    host: &Arc<Host>,
    hanging: &Arc<Hanging>,
    vms: &[VmId],
    make: impl Fn(VmId, View) -> T + Send + Sync + 'static,
) -> BTreeMap<VmId, Option<T>> {
    let mut seen = BTreeMap::new();
    if !host.can_be_asked() {
        return seen;
    }
    let queue = Arc::new(Queue {
        host: Arc::clone(host),
        hanging: Arc::clone(hanging),
        vms: Mutex::new(vms.iter().copied().collect()),
        is_over: AtomicBool::new(false),
    });
    let make = Arc::new(make);
    let until = Instant::now() + HOST_LOOK_MAX;
    // As many as there are VMs at most: nobody reads slowly.
    let (answers, mut received) = mpsc::channel(vms.len().max(1));
    for _ in 0..LOOKS_MAX.min(vms.len()) {
        let permit = tokio::time::timeout_at(until, Arc::clone(&host.looks).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { break };
        let (reader, make, answers) = (Arc::clone(&queue), Arc::clone(&make), answers.clone());
        let Some(connection) = host.lend() else { break };
        let started = on_thread_with("look", permit, move || reader.read_all(&connection, &*make, &answers));
        if let Err(error) = started {
            tracing::warn!(host = %host.name, %error, "no thread could be started for a look");
            break;
        }
        if queue.is_empty() {
            break;
        }
    }
    drop(answers);
    while let Ok(Some((vm, view))) = tokio::time::timeout_at(until, received.recv()).await {
        seen.insert(vm, view);
    }
    queue.is_over.store(true, Ordering::Release);
    seen
}

struct Queue {
    host: Arc<Host>,
    hanging: Arc<Hanging>,
    vms: Mutex<VecDeque<VmId>>,
    is_over: AtomicBool,
}

impl Queue {
    fn next(&self) -> Option<VmId> {
        if self.is_over.load(Ordering::Acquire) {
            return None;
        }
        self.vms.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn is_empty(&self) -> bool {
        self.vms.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn read_all<T>(
        &self,
        connection: &Lent,
        make: &impl Fn(VmId, View) -> T,
        answers: &mpsc::Sender<(VmId, Option<T>)>,
    ) {
        while let Some(vm) = self.next() {
            if !self.hanging.enter(vm) {
                // An older look still hangs on it.
                continue;
            }
            let view = read(connection, vm);
            self.hanging.leave(vm);
            match view {
                Ok(view) => {
                    // There is room for all; and whoever has gone away needs no answer.
                    let _ = answers.try_send((vm, view.map(|view| make(vm, view))));
                }
                Err(trouble) => {
                    let is_lost = matches!(trouble, Trouble::Libvirt(_)) && !self.host.stands(connection);
                    tracing::warn!(host = %self.host.name, %vm, %trouble, "a VM can't be read");
                    if is_lost {
                        return;
                    }
                }
            }
        }
    }
}
