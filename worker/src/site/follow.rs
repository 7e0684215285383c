//! Follows the hypervisors and the ledger: what changes is looked at ([`super::mend`]), and whoever watches is told. One
//! loop, in batches; it sleeps until something changes.
//!
//! Before a site takes work, and whenever changes may have been missed, everything is compared anew. Nothing of one VM
//! may hold this loop up (invariant 10, Isolated): it waits for looks, each with a deadline, and never for a change to be made.

use super::inert::PATROL_EVERY;
use super::leftovers::{CLEAN_UP_EVERY, owed};
use super::{Site, Working};
use crate::error::SiteError;
use crate::hypervisor::{Change, HypervisorError};
use futures::StreamExt;
use futures::stream::BoxStream;
use muster_core::ids::VmId;
use muster_store::RowQuery;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Most VMs looked at together.
pub const LOOK_BATCH_MAX: usize = 256;
/// How often a VM is looked at again whose mutation's end is still unknown.
pub const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(500);
/// How long until lost hypervisors are asked for their changes again.
pub const RECONNECT_AFTER: Duration = Duration::from_millis(250);

/// What woke the loop.
enum Woken {
    /// These have changed.
    Vms(BTreeSet<VmId>),
    /// Anything may have.
    Everything,
}

impl Site {
    /// Has this VM looked at soon.
    pub(super) fn touch(&self, vm: VmId) {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(vm);
        self.touch.notify_one();
    }

    pub(super) async fn follow_hypervisors(self: Arc<Self>) {
        self.ask_witnesses().await;
        for other in self.others() {
            self.tasks.spawn(Arc::clone(&self).keep_telling(other.clone()));
        }
        let mut has_inherited = false;
        while !self.stop.is_cancelled() {
            let followed = async {
                if !has_inherited {
                    self.inherit().await?;
                    has_inherited = true;
                }
                self.follow(self.changes().await?).await
            };
            if let Err(error) = followed.await {
                self.set_working(Working::No(error.to_string()));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(RECONNECT_AFTER) => {}
            }
        }
    }

    /// Tells the driver, before the first look, for which VMs this process's predecessor may have left a call open: those with
    /// an intent, and those that it cleaned up after.
    async fn inherit(&self) -> Result<(), SiteError> {
        let mut query = RowQuery { limit: LOOK_BATCH_MAX, ..RowQuery::all() };
        loop {
            let rows = self.records.page(query).await?;
            let Some(last) = rows.last().map(|row| row.vm) else { return Ok(()) };
            let open = rows.iter().filter(|row| row.intent.is_some() || owed(row).is_some());
            self.hypervisor.inherit(&open.map(|row| row.vm).collect::<Vec<_>>());
            query = query.after(last);
        }
    }

    /// Until the site stops, or the hypervisors or the ledger are lost; what was missed by then is found by comparing
    /// everything, with which the next changes begin.
    async fn follow(self: &Arc<Self>, changes: BoxStream<'static, Change>) -> Result<(), SiteError> {
        let mut changes = changes.ready_chunks(LOOK_BATCH_MAX);
        let mut again: BTreeSet<VmId> = BTreeSet::new();
        let mut owing: BTreeSet<VmId> = BTreeSet::new();
        let mut tick = tokio::time::interval(LOOK_AGAIN_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clean_up = tokio::time::interval(CLEAN_UP_EVERY);
        clean_up.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut patrol = tokio::time::interval(PATROL_EVERY);
        patrol.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut patrolled: Option<VmId> = None;
        loop {
            let told = self.told.load(Ordering::Acquire);
            let woken = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                _ = tick.tick(), if !again.is_empty() => Woken::Vms(std::mem::take(&mut again)),
                _ = clean_up.tick(), if !owing.is_empty() => {
                    self.clean_up_some(&mut owing);
                    Woken::Vms(BTreeSet::new())
                }
                _ = patrol.tick() => {
                    let mut loose = BTreeSet::new();
                    patrolled = self.patrol(patrolled, &mut loose).await?;
                    Woken::Vms(loose)
                }
                chunk = changes.next() => match chunk {
                    Some(chunk) => gather(chunk),
                    None => return Err(hung_up()),
                },
                newest = self.records.wait_past(told) => newest.map(|_| Woken::Vms(BTreeSet::new()))?,
                () = self.touch.notified() => Woken::Vms(BTreeSet::new()),
            };
            // Taken before anything is read: what is written from here on is the next round's.
            let mark = self.records.newest();
            let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
            let changed = self.hear_own(told, mark).await?;
            match woken {
                Woken::Everything => {
                    self.compare_everything(&mut again, &mut owing).await?;
                    self.set_working(Working::Yes);
                }
                Woken::Vms(mut vms) => {
                    vms.extend(touched);
                    vms.extend(changed);
                    self.look_at(vms, &mut again, &mut owing).await?;
                }
            }
            self.told.fetch_max(mark, Ordering::AcqRel);
        }
    }

    fn set_working(&self, now: Working) {
        self.working.send_if_modified(|working| {
            let changed = *working != now;
            if changed {
                tracing::info!(site = %self.name, ?now, "working");
                *working = now;
            }
            changed
        });
    }

    async fn compare_everything(
        self: &Arc<Self>,
        again: &mut BTreeSet<VmId>,
        owing: &mut BTreeSet<VmId>,
    ) -> Result<(), SiteError> {
        let mut query = RowQuery { limit: LOOK_BATCH_MAX, ..RowQuery::all() };
        loop {
            let rows = self.records.page(query).await?;
            let Some(last) = rows.last().map(|row| row.vm) else { return Ok(()) };
            let vms: Vec<VmId> = rows.iter().map(|row| row.vm).collect();
            let sights = self.look(&vms).await?;
            owing.extend(rows.iter().filter(|row| owed(row).is_some()).map(|row| row.vm));
            for (row, sight) in rows.into_iter().zip(sights) {
                self.look_into(row, sight, again).await?;
            }
            query = query.after(last);
        }
    }

    async fn look_at(
        self: &Arc<Self>,
        vms: BTreeSet<VmId>,
        again: &mut BTreeSet<VmId>,
        owing: &mut BTreeSet<VmId>,
    ) -> Result<(), SiteError> {
        let vms: Vec<VmId> = vms.into_iter().collect();
        for batch in vms.chunks(LOOK_BATCH_MAX) {
            // Rows before sights: a sight that is older than its row could take a job that begins for one that ended.
            let mut rows = Vec::with_capacity(batch.len());
            for vm in batch {
                let row = self.records.row(*vm).await?;
                if row.enrolled.is_some() {
                    rows.push(row);
                }
            }
            owing.extend(rows.iter().filter(|row| owed(row).is_some()).map(|row| row.vm));
            let known: Vec<VmId> = rows.iter().map(|row| row.vm).collect();
            let sights = self.look(&known).await?;
            for (row, sight) in rows.into_iter().zip(sights) {
                self.look_into(row, sight, again).await?;
            }
        }
        Ok(())
    }
}

fn hung_up() -> SiteError {
    HypervisorError::Unreachable { message: "they have hung up".to_owned() }.into()
}

fn gather(chunk: Vec<Change>) -> Woken {
    let mut vms = BTreeSet::new();
    for change in chunk {
        match change {
            Change::Vm(vm) => {
                vms.insert(vm);
            }
            Change::Everything => return Woken::Everything,
        }
    }
    Woken::Vms(vms)
}
