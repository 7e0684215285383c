//! What a site's hosts show, put together: the inventory, and sights of VMs. Reads only.

use super::config::HostMemory;
use super::define::{self, room};
use super::host::{Host, Purpose};
use super::looks;
use super::under_way::{Seen, UnderWay};
use super::view::View;
use super::{Drivers, NOBODY};
use futures::future::join_all;
use muster_core::ids::{HostName, VmId};
use muster_core::reading::{HostListing, Instance, Job, Phase, Sight, Sighting, Stored, VmListing};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

impl Drivers {
    /// A host and its VMs.
    pub(super) async fn list(&self, host: &Arc<Host>) -> (HostListing, Vec<VmListing>) {
        let (config, name) = (host.config.clone(), host.name.clone());
        let shared = self.config.shared_storage.clone();
        let read = move |connection: &_| {
            let room = room(connection, config.memory)?;
            let cores = muster_libvirt::virt::connect::Connect::node_info(connection)?.cpus;
            let mut host = HostListing { host: name, answers: true, memory_mib: room.memory_mib, used_mib: 0, cores };
            let mut vms = Vec::new();
            for view in define::all(connection)? {
                host.used_mib = host.used_mib.saturating_add(view.held_mib());
                let (instance, stored) = (view.instance(), view.stored());
                let mut definition = view.definition(&shared)?;
                if stored == Stored::Sealed {
                    definition.document.clone_from(&view.facts.real);
                }
                let vm = define::uuid(&view)?;
                let seal = view.facts.note.seal.clone().filter(|_| stored == Stored::Sealed);
                vms.push(VmListing { vm, host: host.host.clone(), definition, instance, stored, seal });
            }
            Ok((host, vms))
        };
        match host.with(Purpose::Look, NOBODY, read).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(host = %host.name, %error, "a host can't be listed");
                let memory_mib = match host.config.memory {
                    HostMemory::Fixed { memory_mib } => memory_mib,
                    HostMemory::Reported { .. } => 0,
                };
                let silent = HostListing { host: host.name.clone(), answers: false, memory_mib, used_mib: 0, cores: 0 };
                (silent, Vec::new())
            }
        }
    }

    pub(super) async fn look(&self, vms: &[VmId]) -> Vec<Sight> {
        let looks = self.hosts.values().map(|reached| {
            let (name, under_way) = (reached.host.name.clone(), Arc::clone(&self.under_way));
            let shared = self.config.shared_storage.clone();
            // What was under way before the look and what is after it both count: in between lies what was seen.
            let before: BTreeMap<VmId, Seen> =
                vms.iter().map(|vm| (*vm, under_way.seen(&(name.clone(), *vm)))).collect();
            let disk_copies = Arc::clone(&self.disk_copies);
            let make = move |vm, view: View| {
                let before = before.get(&vm).cloned().unwrap_or_default();
                let place = (name.clone(), vm);
                let (sighting, is_starting) = sighting(&place, &view, &before, &under_way, &shared);
                let job = disk_copies.job(&place).or(sighting.job);
                (Sighting { job, ..sighting }, is_starting)
            };
            async move { (&reached.host.name, looks::look(&reached.host, &reached.hanging, vms, make).await) }
        });
        let called: BTreeMap<VmId, Seen> = vms.iter().map(|vm| (*vm, self.called(*vm))).collect();
        let mut seen = join_all(looks).await;
        let mut sights = Vec::with_capacity(vms.len());
        for vm in vms {
            let mut sight = Sight::default();
            for (host, views) in &mut seen {
                match views.get(vm).cloned() {
                    Some(Some((sighting, is_starting))) => {
                        sight.call_under_way |= is_starting;
                        sight.sightings.push(sighting);
                    }
                    Some(None) => {}
                    None => sight.silent_hosts.push((*host).clone()),
                }
            }
            for called in [called.get(vm).cloned().unwrap_or_default(), self.called(*vm)] {
                // What may land on a host that is silent, its silence stands for.
                let may_land = called.lost_at.iter().any(|host| !sight.silent_hosts.contains(host));
                sight.call_under_way |= called.call || may_land;
            }
            sights.push(sight);
        }
        sights
    }

    /// On whatever host: any place of this site will do.
    fn called(&self, vm: VmId) -> Seen {
        let any = self.hosts.keys().next();
        any.map(|host| self.under_way.seen(&(host.clone(), vm))).unwrap_or_default()
    }
}

/// A VM on a host as the seam shows it; and whether it is being started there.
fn sighting(
    place: &(HostName, VmId),
    view: &View,
    before: &Seen,
    under_way: &UnderWay,
    shared: &[PathBuf],
) -> (Sighting, bool) {
    let after = under_way.seen(place);
    let (instance, stored) = (view.instance(), view.stored());
    let own_job = (before.job || after.job).then(|| Job::in_phase(Phase::Setup));
    let shutdown = (before.shuts_down || after.shuts_down).then(|| Job::in_phase(Phase::ShutDown));
    let job = view.shown_job().or(own_job).or(shutdown);
    let stood_still_ms = match instance {
        Instance::Off(_) => {
            under_way.is_off(place);
            None
        }
        Instance::Incoming => {
            under_way.arrives(place);
            None
        }
        Instance::Paused if job.is_none() && matches!(stored, Stored::Arrived | Stored::Real) => {
            under_way.paused(place, view.arrived_after_ms)
        }
        Instance::Paused => None,
        Instance::Running => under_way.runs(place),
    };
    let sighting = Sighting {
        host: place.0.clone(),
        instance,
        stored,
        mark: view.facts.note.mark,
        job,
        disk_complete: view.disk_is_complete(shared),
        stood_still_ms,
        job_error: if job.is_none() { under_way.failure(place) } else { None },
        autostart: view.autostart,
    };
    (sighting, view.is_starting())
}
