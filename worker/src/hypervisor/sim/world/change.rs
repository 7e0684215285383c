//! What a call changes when it lands: one function for each [`VmChange`].

use super::World;
use super::agenda::Event;
use super::call::Landed;
use super::host::{DiskCopy, Entry, Guest, HostId, Kept, Memory, ShuttingDown, Still};
use super::job::JobKind;
use super::truth::Ended;
use super::workload::Workload;
use crate::hypervisor::{Call, HypervisorError, VmChange};
use muster_core::definition::{Definition, Disk};
use muster_core::ids::{HostName, SiteName, VmId};
use muster_core::reading::{Mark, OffCause, Phase, Seal, Stored};
use muster_core::terms::Tuning;

type Outcome = Result<Landed, HypervisorError>;

impl World {
    pub(super) fn change(&mut self, host: HostId, call: &Call) -> Outcome {
        let vm = call.vm;
        match &call.change {
            VmChange::DefinePlaceholder { definition, mark } => self.define_placeholder(host, vm, definition, *mark),
            VmChange::DefineSealed { reason, seal } => self.define_sealed(host, vm, reason, seal),
            VmChange::DefineRetired { reason } => self.define_retired(host, vm, reason),
            VmChange::DefineReal { definition, mark } => self.define_real(host, vm, definition, *mark),
            VmChange::BeginTransfer { destination_site, destination_host, definition, mark, tuning } => {
                let destination = self.find_placeholder(host, vm, destination_site, destination_host, *mark)?;
                self.begin_transfer(host, vm, destination, definition, (*mark, *tuning))
            }
            VmChange::BeginDiskCopy { destination_site, destination_host, mark } => {
                let destination = self.find_placeholder(host, vm, destination_site, destination_host, *mark)?;
                self.begin_disk_copy(host, vm, destination)
            }
            VmChange::AbortJob => self.abort_job(host, vm),
            VmChange::AdjustJob { bandwidth_mib_s, downtime_ms } => {
                self.adjust_job(host, vm, *bandwidth_mib_s, *downtime_ms);
                Ok(Landed::Done)
            }
            VmChange::ShutDown => self.shut_down(host, vm),
            VmChange::Start => self.start(host, vm),
            VmChange::Resume => self.resume(host, vm),
            VmChange::DeleteRetired => self.delete_retired(host, vm),
            VmChange::Remove { mark, may_hold_memory } => self.remove(host, vm, *mark, *may_hold_memory),
        }
    }

    fn define_placeholder(&mut self, host: HostId, vm: VmId, definition: &Definition, mark: Mark) -> Outcome {
        let site = self.hosts[host.0].site;
        let here: Vec<HostId> = self.sites[site.0].hosts.values().copied().collect();
        let mut replaced = Vec::new();
        let mut disk = DiskCopy::NONE;
        for place in here {
            let Some(entry) = self.entry(place, vm) else { continue };
            if entry.job.is_some() {
                return Err(HypervisorError::Busy { vm });
            }
            let is_ours = entry.mark.is_some_and(|old| old.evacuation == mark.evacuation);
            let is_inert = matches!(entry.stored, Stored::Placeholder | Stored::Arrived | Stored::Retired);
            if !entry.guest.is_off() || !(is_ours || is_inert) {
                let message = format!("a VM with this UUID is on {} already", self.hosts[place.0].name);
                return Err(self.refused(host, &message));
            }
            if place == host && entry.stored == Stored::Placeholder && is_same_attempt(entry.mark, mark) {
                disk = entry.disk;
            }
            replaced.push(place);
        }
        let own_mib = self.entry(host, vm).map_or(0, Entry::held_mib);
        self.check_room(host, definition.memory_mib, own_mib)?;
        for place in replaced {
            self.delete_entry(place, vm);
        }
        let entry = Entry {
            stored: Stored::Placeholder,
            definition: Definition { autostart: false, ..definition.clone() },
            reason: format!("the placeholder of evacuation {}, attempt {}", mark.evacuation, mark.attempt),
            mark: Some(mark),
            kept: None,
            guest: Guest::Off(OffCause::ShutDown),
            job: None,
            shutting_down: None,
            disk,
            still: Still::Never,
            failure: None,
        };
        self.insert_entry(host, vm, entry);
        Ok(Landed::Done)
    }

    fn define_sealed(&mut self, host: HostId, vm: VmId, reason: &str, seal: &Seal) -> Outcome {
        let entry = self.known(host, vm)?;
        let real = entry.kept.as_ref().map_or_else(|| entry.definition.document.clone(), |kept| kept.document.clone());
        self.make_inert(host, vm, Stored::Sealed, reason);
        self.edit(host, vm, |entry| entry.kept = Some(Kept { seal: seal.clone(), document: real }));
        Ok(Landed::Done)
    }

    fn define_retired(&mut self, host: HostId, vm: VmId, reason: &str) -> Outcome {
        if !self.known(host, vm)?.guest.is_off() {
            return Err(self.refused(host, "its guest is still here"));
        }
        self.make_inert(host, vm, Stored::Retired, reason);
        Ok(Landed::Done)
    }

    fn make_inert(&mut self, host: HostId, vm: VmId, stored: Stored, reason: &str) {
        self.edit(host, vm, |entry| {
            entry.stored = stored;
            entry.definition.autostart = false;
            entry.definition.document = String::new();
            entry.reason = reason.to_owned();
            entry.kept = None;
        });
    }

    fn define_real(&mut self, host: HostId, vm: VmId, definition: &Definition, mark: Option<Mark>) -> Outcome {
        let own_mib = self.entry(host, vm).map_or(0, Entry::held_mib);
        if mark.is_some() {
            self.check_room(host, definition.memory_mib, own_mib)?;
        }
        if self.entry(host, vm).is_none() {
            self.insert_entry(host, vm, fresh_entry(definition.clone(), DiskCopy::NONE));
        }
        self.edit(host, vm, |entry| {
            entry.stored = Stored::Real;
            entry.definition = definition.clone();
            entry.reason = String::new();
            entry.mark = mark;
            entry.kept = None;
        });
        Ok(Landed::Done)
    }

    /// The host over there, if it is to be reached and has the placeholder of this attempt.
    fn find_placeholder(
        &self,
        host: HostId,
        vm: VmId,
        site: &SiteName,
        destination: &HostName,
        mark: Mark,
    ) -> Result<HostId, HypervisorError> {
        self.known(host, vm)?;
        let there = self.site_ids.get(site).and_then(|site| self.host_id(*site, destination));
        let Some(there) = there.filter(|there| self.hosts[there.0].site != self.hosts[host.0].site) else {
            return Err(self.refused(host, &format!("{site}/{destination} is no host of another site")));
        };
        if !self.is_path_open(host, there) {
            let message = format!("no connection to {site}/{destination}");
            return Err(HypervisorError::Failed { host: self.hosts[host.0].name.clone(), message });
        }
        let fits = self.entry(there, vm).is_some_and(|entry| {
            entry.stored == Stored::Placeholder && entry.job.is_none() && is_same_attempt(entry.mark, mark)
        });
        if fits { Ok(there) } else { Err(self.refused(host, "the other side has no placeholder with this mark")) }
    }

    fn begin_transfer(
        &mut self,
        host: HostId,
        vm: VmId,
        destination: HostId,
        definition: &Definition,
        (mark, tuning): (Mark, Tuning),
    ) -> Outcome {
        let entry = self.known(host, vm)?;
        let Guest::Running(memory) = entry.guest else {
            return Err(self.refused(host, "its guest does not run"));
        };
        if entry.shutting_down.is_some() {
            return Err(self.refused(host, "its guest is shutting down"));
        }
        let kind = JobKind::Live { definition: definition.clone(), mark, workload: memory.workload };
        self.begin_job(vm, host, destination, kind, tuning);
        Ok(Landed::Done)
    }

    fn begin_disk_copy(&mut self, host: HostId, vm: VmId, destination: HostId) -> Outcome {
        let entry = self.known(host, vm)?;
        if !entry.guest.is_off() {
            return Err(self.refused(host, "its guest is not off"));
        }
        match entry.definition.disk {
            Disk::Shared => {}
            Disk::Local { size_mib } => {
                self.begin_job(vm, host, destination, JobKind::Disk { size_mib }, Tuning::default())
            }
        }
        Ok(Landed::Done)
    }

    /// In the finish phase it loses: all is sent, and the job goes on to its end.
    fn abort_job(&mut self, host: HostId, vm: VmId) -> Outcome {
        let job = self.entry(host, vm).and_then(|entry| entry.job);
        if let Some(id) = job
            && self.jobs.get(&id).is_some_and(|job| job.phase != Phase::Finish)
        {
            self.break_job(id, "aborted", None);
        }
        Ok(Landed::Done)
    }

    fn shut_down(&mut self, host: HostId, vm: VmId) -> Outcome {
        let entry = self.known(host, vm)?;
        match entry.guest {
            Guest::Off(_) => Ok(Landed::Done),
            Guest::Paused(_) | Guest::Incoming => Err(self.refused(host, "its guest is paused and can't shut down")),
            Guest::Running(_) if entry.shutting_down.is_some() => Ok(Landed::WithGuest),
            Guest::Running(memory) => {
                let since_ms = self.now_ms;
                let until_ms = since_ms + memory.workload.shutdown_ms;
                let key = self.agenda.enter(until_ms, Event::GuestShutDown(host, vm));
                self.edit(host, vm, |entry| {
                    entry.shutting_down = Some(ShuttingDown { since_ms, until_ms, key });
                });
                Ok(Landed::WithGuest)
            }
        }
    }

    pub(super) fn guest_has_shut_down(&mut self, host: HostId, vm: VmId) {
        self.end_guest(host, vm, OffCause::ShutDown, Ended::ShutDown);
    }

    pub(super) fn start(&mut self, host: HostId, vm: VmId) -> Outcome {
        let entry = self.known(host, vm)?;
        match entry.guest {
            Guest::Running(_) => return Ok(Landed::Done),
            Guest::Paused(_) | Guest::Incoming => return Err(self.refused(host, "its guest is here, paused")),
            Guest::Off(_) => {}
        }
        let reason = &entry.reason;
        let refusal = match entry.stored {
            Stored::Real => None,
            Stored::Placeholder => Some(format!("a placeholder can't be started: {reason}")),
            Stored::Arrived => Some(format!("what arrived can't be started before its event: {reason}")),
            Stored::Sealed => Some(format!("a sealed VM can't be started: {reason}")),
            Stored::Retired => Some(format!("Not Runnable: {reason}")),
            Stored::Nothing => Some("no definition is stored".to_owned()),
        };
        if let Some(message) = refusal {
            return Err(self.refused(host, &message));
        }
        let (needed_mib, own_mib) = (entry.definition.memory_mib, entry.held_mib());
        let workload = Workload::of_document(&entry.definition.document);
        self.check_room(host, needed_mib, own_mib)?;
        let generation = self.next_generation(vm);
        self.edit(host, vm, |entry| {
            entry.guest = Guest::Running(Memory { generation, stale: false, workload });
            entry.still = Still::Never;
        });
        Ok(Landed::Done)
    }

    fn next_generation(&mut self, vm: VmId) -> u64 {
        self.lives.get_mut(&vm).map_or(1, |life| {
            life.generation += 1;
            life.generation
        })
    }

    pub(super) fn resume(&mut self, host: HostId, vm: VmId) -> Outcome {
        let now_ms = self.now_ms;
        match self.known(host, vm)?.guest {
            Guest::Running(_) => Ok(Landed::Done),
            Guest::Off(_) | Guest::Incoming => Err(self.refused(host, "it has no whole instance to resume")),
            Guest::Paused(memory) => {
                self.edit(host, vm, |entry| {
                    entry.guest = Guest::Running(memory);
                    entry.still = entry.still.ended(now_ms);
                });
                Ok(Landed::Done)
            }
        }
    }

    fn delete_retired(&mut self, host: HostId, vm: VmId) -> Outcome {
        let Some(entry) = self.entry(host, vm) else { return Ok(Landed::Done) };
        if entry.stored != Stored::Retired || !entry.guest.is_off() {
            return Err(self.refused(host, "what is here is no retired copy, or its guest is"));
        }
        self.delete_entry(host, vm);
        Ok(Landed::Done)
    }

    fn remove(&mut self, host: HostId, vm: VmId, mark: Mark, may_hold_memory: bool) -> Outcome {
        let Some(entry) = self.entry(host, vm) else { return Ok(Landed::Done) };
        let refusal = match entry.guest {
            _ if !is_same_attempt(entry.mark, mark) => Some("what is here is not this attempt's"),
            Guest::Running(_) => Some("its guest runs"),
            Guest::Paused(_) | Guest::Incoming if !may_hold_memory => Some("it holds memory"),
            Guest::Paused(_) | Guest::Incoming | Guest::Off(_) => None,
        };
        if let Some(message) = refusal {
            return Err(self.refused(host, message));
        }
        self.delete(host, vm);
        Ok(Landed::Done)
    }

    pub(super) fn delete(&mut self, host: HostId, vm: VmId) {
        self.end_guest(host, vm, OffCause::ShutDown, Ended::Removed);
        self.delete_entry(host, vm);
    }

    /// Ends an instance, if there is one. A job on it is the caller's business.
    pub(super) fn end_guest(&mut self, host: HostId, vm: VmId, cause: OffCause, how: Ended) {
        let Some(entry) = self.entry(host, vm) else { return };
        let (guest, shutting_down) = (entry.guest, entry.shutting_down);
        self.agenda.cancel(shutting_down.map(|shutting| shutting.key));
        self.note_end(vm, guest, how);
        self.edit(host, vm, |entry| {
            entry.shutting_down = None;
            if !entry.guest.is_off() {
                entry.guest = Guest::Off(cause);
                entry.still = Still::Never;
            }
        });
        // Whoever waits for it to be off waits no longer, whatever has ended it.
        self.end_shutdown_call(host, vm);
    }

    pub(super) fn known(&self, host: HostId, vm: VmId) -> Result<&Entry, HypervisorError> {
        self.entry(host, vm).ok_or_else(|| self.refused(host, "no such VM here"))
    }

    pub(super) fn refused(&self, host: HostId, message: &str) -> HypervisorError {
        HypervisorError::Refused { host: self.hosts[host.0].name.clone(), message: message.to_owned() }
    }

    fn check_room(&self, host: HostId, needed_mib: u64, own_mib: u64) -> Result<(), HypervisorError> {
        let free_mib = self.hosts[host.0].free_mib().saturating_add(own_mib);
        if needed_mib <= free_mib {
            return Ok(());
        }
        Err(self.refused(host, &format!("no room: {needed_mib} MiB wanted, {free_mib} MiB free")))
    }
}

/// A real definition, off.
pub(super) fn fresh_entry(definition: Definition, disk: DiskCopy) -> Entry {
    Entry {
        stored: Stored::Real,
        definition,
        reason: String::new(),
        mark: None,
        kept: None,
        guest: Guest::Off(OffCause::ShutDown),
        job: None,
        shutting_down: None,
        disk,
        still: Still::Never,
        failure: None,
    }
}

/// The token grows from command to command; what a placeholder belongs to is the attempt.
fn is_same_attempt(old: Option<Mark>, mark: Mark) -> bool {
    old.is_some_and(|old| old.evacuation == mark.evacuation && old.attempt == mark.attempt)
}
