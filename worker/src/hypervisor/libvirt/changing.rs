//! Which change becomes which calls at libvirt, and how long a call counts.
//!
//! Every thread that may still change something for a VM has taken the VM's guard along: a call that nobody waits for any
//! more counts until the last of them has ended.

use super::Drivers;
use super::define::{self, room};
use super::document::{self, Inert};
use super::host::{Host, Purpose};
use super::transfer::Journey;
use super::trouble::Trouble;
use super::tuning;
use super::under_way::CallGuard;
use super::view;
use crate::hypervisor::{HypervisorError, VmChange};
use muster_core::class::Class;
use muster_core::definition::Definition;
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::Mark;
use muster_libvirt::virt::connect::Connect;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked whether a guest has shut down.
pub const SHUT_DOWN_LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often a guest that goes on running is asked again.
pub const SHUT_DOWN_ASK_EVERY: Duration = Duration::from_secs(10);
/// How often in a row its host may stay silent until nobody waits for that any more.
pub const SHUT_DOWN_SILENCES_MAX: u32 = 240;

/// Where the destination's placeholder is.
pub(super) type There<'a> = (&'a SiteName, &'a HostName);

impl Drivers {
    pub(super) async fn change(
        self: &Arc<Self>,
        host: &Arc<Host>,
        vm: VmId,
        change: VmChange,
        guard: CallGuard,
    ) -> Result<(), HypervisorError> {
        let place = (host.name.clone(), vm);
        let is_about_job = matches!(change, VmChange::AbortJob | VmChange::AdjustJob { .. });
        if !is_about_job && self.under_way.seen(&place).job {
            return Err(HypervisorError::Busy { vm });
        }
        if let Some(definition) = change.definition() {
            // libvirt defines by the document's own UUID: another VM's would take the place of that one's definition.
            let is_its_own = document::must_be_of(&definition.document, vm);
            is_its_own.map_err(|error| Trouble::from(error).told(&host.name, vm, true))?;
        }
        match change {
            VmChange::DefinePlaceholder { definition, mark } => {
                self.define_placeholder(host, vm, definition, mark, &guard).await
            }
            VmChange::DefineSealed { reason, seal } => {
                make(host, vm, &guard, move |at| define::inert(at, vm, Inert::Sealed, (reason, Some(*seal)))).await
            }
            VmChange::DefineRetired { reason } => {
                make(host, vm, &guard, move |at| define::inert(at, vm, Inert::Retired, (reason, None))).await
            }
            VmChange::DefineReal { definition, mark } => {
                let (memory, admission) = (host.config.memory, Arc::clone(&host.admission).lock_owned().await);
                let define = move |at: &Connect| {
                    let _admission = admission;
                    define::real(at, vm, &definition, mark, room(at, memory)?)
                };
                make(host, vm, &guard, define).await
            }
            VmChange::BeginTransfer { destination_site, destination_host, definition, mark, tuning } => {
                let journey = Journey { site: destination_site, host: destination_host, definition, mark, tuning };
                self.begin_transfer(host, vm, journey).await
            }
            VmChange::BeginDiskCopy { destination_site, destination_host, mark } => {
                self.begin_disk_copy(host, vm, (&destination_site, &destination_host), mark).await
            }
            VmChange::AbortJob if self.disk_copies.cancel(&place) => Ok(()),
            VmChange::AbortJob => make(host, vm, &guard, move |at| define::abort(at, vm)).await,
            VmChange::AdjustJob { bandwidth_mib_s, downtime_ms } => {
                let site = self.config.transfer.clone();
                make(host, vm, &guard, move |at| tuning::adjust(at, vm, &site, bandwidth_mib_s, downtime_ms)).await
            }
            VmChange::ShutDown => shut_down(host, vm, &guard).await,
            VmChange::Start => make(host, vm, &guard, move |at| define::start(at, vm)).await,
            VmChange::Resume => {
                make(host, vm, &guard, move |at| define::resume(at, vm)).await?;
                self.under_way.resumed(&place);
                Ok(())
            }
            VmChange::DeleteRetired => make(host, vm, &guard, move |at| define::delete_retired(at, vm)).await,
            VmChange::Remove { mark, may_hold_memory } => {
                make(host, vm, &guard, move |at| define::remove(at, vm, mark, may_hold_memory)).await?;
                self.under_way.forget(&place);
                Ok(())
            }
        }
    }

    async fn define_placeholder(
        &self,
        host: &Arc<Host>,
        vm: VmId,
        definition: Definition,
        mark: Mark,
        guard: &CallGuard,
    ) -> Result<(), HypervisorError> {
        let others = self.hosts.values().map(|other| &other.host).filter(|other| other.name != host.name);
        // Hosts that don't answer are the observers' business: what may be on them is weighed by whoever ordered this.
        let others: Vec<&Arc<Host>> = others.filter(|other| other.is_connected()).collect();
        for other in &others {
            let may = move |at: &Connect| view::read(at, vm)?.map_or(Ok(()), |view| define::may_give_way(&view, mark));
            other.with(Purpose::Call, vm, may).await?;
        }
        // Off the other hosts first: two placeholders of one VM would be two places for its memory to go.
        for other in others {
            make(other, vm, guard, move |at| define::give_way(at, vm, mark)).await?;
        }
        let (memory, admission) = (host.config.memory, Arc::clone(&host.admission).lock_owned().await);
        let shared = self.config.shared_storage.clone();
        let define = move |at: &Connect| {
            let _admission = admission;
            define::placeholder(at, vm, &definition, mark, (room(at, memory)?, &shared))
        };
        make(host, vm, guard, define).await?;
        self.under_way.forget(&(host.name.clone(), vm));
        Ok(())
    }
}

/// Makes a change on a thread, with the guard along.
async fn make(
    host: &Arc<Host>,
    vm: VmId,
    guard: &CallGuard,
    work: impl FnOnce(&Connect) -> Result<(), Trouble> + Send + 'static,
) -> Result<(), HypervisorError> {
    host.with(Purpose::Call, vm, guarded(host, guard, work)).await
}

fn guarded<T>(
    host: &Arc<Host>,
    guard: &CallGuard,
    work: impl FnOnce(&Connect) -> Result<T, Trouble> + Send + 'static,
) -> impl FnOnce(&Connect) -> Result<T, Trouble> + Send + 'static {
    let (guard, host) = (guard.clone(), Arc::clone(host));
    move |connection: &Connect| {
        let listener = host.listener();
        let done = work(connection);
        // Whatever the error is: with its connection gone nobody knows which of the work's calls were answered.
        if done.is_err() && !connection.is_alive().unwrap_or(false) {
            guard.lost_at(&host.name, listener);
        }
        drop(guard);
        done
    }
}

/// Waits until the guest has shut down, however long it takes: that is its own affair. Its host may be away meanwhile. A guest
/// that is still booting hears nothing, so it is asked again.
async fn shut_down(host: &Arc<Host>, vm: VmId, guard: &CallGuard) -> Result<(), HypervisorError> {
    let ask = || host.with(Purpose::Call, vm, guarded(host, guard, move |at| define::ask_to_shut_down(at, vm)));
    let look = || host.with(Purpose::Look, vm, move |at| Ok(view::read(at, vm)?.is_some_and(|view| view.is_active())));
    let (mut is_up, mut asked_at, mut silences) = (ask().await?, Instant::now(), 0);
    while is_up {
        tokio::time::sleep(SHUT_DOWN_LOOK_EVERY).await;
        let answer = if asked_at.elapsed() < SHUT_DOWN_ASK_EVERY {
            look().await
        } else {
            asked_at = Instant::now();
            ask().await
        };
        match answer {
            Ok(is_active) => (is_up, silences) = (is_active, 0),
            Err(error) if error.class() == Class::Unknown && silences < SHUT_DOWN_SILENCES_MAX => silences += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
