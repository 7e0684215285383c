//! What one host's libvirt shows of one VM, read in one go, and what it means.
//!
//! Seen at every moment of real transfers (libvirt 9.0, QEMU 7.2; state and reason as `virsh domstate --reason` names them):
//!
//! | moment | source | destination | destination's stored definition |
//! |---|---|---|---|
//! | before | running; no job | shut off; no job | placeholder |
//! | Prepare: QEMU starts there | running; job | paused (starting up); job can't be asked | placeholder |
//! | pre-copy | running; job, round 1 and on | paused (migration); job can't be asked | placeholder |
//! | handover | paused (migration); job | paused (migration); job can't be asked | placeholder |
//! | Finish stores it | paused (migration); job | paused (migration); job can't be asked | **arrived** |
//! | Finish ends | paused (migration); job | **paused (user)**; job can't be asked | arrived |
//! | Confirm | paused (migration); job | paused (user); **no job** | arrived |
//! | after | **shut off (migrated)**; no job | paused (user); no job | arrived |
//!
//! "Can't be asked" is libvirt's answer that statistics of a migration are at its source alone. So whole and paused is only
//! what is paused for another reason than a migration, has no job, and can be asked about it. On a source the same state, paused (migration)
//! without a job, is what a libvirtd that died in Finish leaves behind: its sealed definition tells the two apart.
//!
//! Why there is no instance, libvirt forgets when its daemon restarts: shut off (migrated) becomes shut off (unknown), and
//! unknown is never taken for anything else. Where its memory is in an image (`virsh managedsave`), that is what it is off for,
//! whatever the reason says: a start goes on from the image and never reads the stored definition. A guest that dies while the daemon is away is shut off (crashed).

use super::document::{self, DiskFacts, DiskPlace, DocumentError, Facts};
use super::trouble::{Trouble, is_no_domain, is_unasked};
use muster_core::definition::{Definition, Disk};
use muster_core::ids::{VmId, VmName, clip};
use muster_core::reading::{Instance, Job, OffCause, Phase, Stored};
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::domain::Domain;
use muster_libvirt::virt::sys;
use muster_libvirt::{Operation, State};
use std::path::PathBuf;

/// How often a VM is read anew because its state changed meanwhile.
const READ_TRIES: usize = 4;

/// What a host shows of a VM.
pub(super) struct View {
    pub(super) domain: Domain,
    pub(super) state: State,
    pub(super) job: JobView,
    pub(super) facts: Facts,
    /// As libvirt has it stored, muster's own parts included.
    pub(super) document: String,
    pub(super) is_stored: bool,
    /// Its memory, or what once was, is in an image at its host: the next start goes on from there.
    pub(super) has_image: bool,
    /// Its host starts it when it boots.
    pub(super) autostart: bool,
    /// Of a guest that a transfer brought and that is paused: how long it had stood still by then, in milliseconds.
    pub(super) arrived_after_ms: Option<u64>,
}

/// The job on a VM, as far as libvirt tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobView {
    Nothing,
    /// There is one, and it can't be asked about: a guest is being taken in.
    Unasked,
    Shown(muster_libvirt::Job),
}

/// Reads a VM; none if the host hasn't heard of it.
pub(super) fn read(connection: &Connect, vm: VmId) -> Result<Option<View>, Trouble> {
    match connection.lookup_domain_by_uuid_string(&vm.0.hyphenated().to_string()) {
        Ok(domain) => read_domain(domain),
        Err(error) if is_no_domain(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads a domain; none if it has gone meanwhile.
pub(super) fn read_domain(domain: Domain) -> Result<Option<View>, Trouble> {
    for _ in 0..READ_TRIES {
        match read_once(&domain) {
            Ok(Some(once)) => return Ok(Some(View { domain, ..once })),
            Ok(None) => {}
            Err(Trouble::Libvirt(error)) if is_no_domain(&error) => return Ok(None),
            Err(trouble) => return Err(trouble),
        }
    }
    Err(Trouble::Unsettled)
}

/// A domain that can't be read, listed so that nobody takes it for absent: it may run. None if it has gone.
pub(super) fn unread(domain: Domain, trouble: &Trouble) -> Option<View> {
    let (name, memory_kib) = (domain.name().ok()?, domain.max_memory().unwrap_or(0));
    let facts = document::unread(name, memory_kib.div_ceil(1 << 10), DocumentError::Unread(clip(&trouble.to_string())));
    let state = State { state: sys::VIR_DOMAIN_NOSTATE, reason: 0 };
    let (job, document) = (JobView::Nothing, String::new());
    let (is_stored, has_image, autostart, arrived_after_ms) = (true, false, false, None);
    Some(View { domain, state, job, facts, document, is_stored, has_image, autostart, arrived_after_ms })
}

/// None if its state changed meanwhile.
fn read_once(domain: &Domain) -> Result<Option<View>, Trouble> {
    let state = muster_libvirt::state(domain)?;
    let job = match is_active(state).then(|| muster_libvirt::job(domain)) {
        None | Some(Ok(None)) => JobView::Nothing,
        Some(Ok(Some(job))) => JobView::Shown(job),
        Some(Err(error)) if is_unasked(&error) => JobView::Unasked,
        Some(Err(error)) => return Err(error.into()),
    };
    let is_stored = domain.is_persistent()?;
    let has_image = domain.has_managed_save(0)?;
    let autostart = is_stored && domain.autostart()?;
    let document = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE)?;
    let is_paused = state.state == sys::VIR_DOMAIN_PAUSED && job == JobView::Nothing;
    let arrived_after_ms = if is_paused { arrival(domain) } else { None };
    if muster_libvirt::state(domain)? != state {
        return Ok(None);
    }
    let facts = match document::read(&document) {
        Ok(facts) => facts,
        // libvirt counts in KiB.
        Err(trouble) => document::unread(domain.name()?, domain.max_memory()?.div_ceil(1 << 10), trouble),
    };
    let domain = domain.clone();
    Ok(Some(View { domain, state, job, facts, document, is_stored, has_image, autostart, arrived_after_ms }))
}

/// Not known is no error: it is for people to read.
fn arrival(domain: &Domain) -> Option<u64> {
    let job = muster_libvirt::completed_job(domain).ok()??;
    if job.operation == Operation::MigrationIn { job.downtime_ms } else { None }
}

fn is_active(state: State) -> bool {
    state.state != sys::VIR_DOMAIN_SHUTOFF
}

impl View {
    pub(super) fn is_active(&self) -> bool {
        is_active(self.state)
    }

    pub(super) fn stored(&self) -> Stored {
        if self.is_stored { self.facts.stored } else { Stored::Nothing }
    }

    pub(super) fn instance(&self) -> Instance {
        instance(self.state, self.job, self.stored(), self.has_image)
    }

    /// Refuses where a start would go on from an image, past whatever is stored.
    pub(super) fn must_have_no_image(&self) -> Result<(), Trouble> {
        if !self.has_image {
            return Ok(());
        }
        let what = "its memory is in a saved image, and a start goes on from there past whatever is stored; start it, or give that \
                    memory up with `virsh managedsave-remove`";
        Err(Trouble::Refused(what.to_owned()))
    }

    /// A guest is being started: a call that has not ended, whoever made it.
    pub(super) fn is_starting(&self) -> bool {
        let is_starting_up = self.state.state == sys::VIR_DOMAIN_PAUSED
            && self.state.reason == sys::VIR_DOMAIN_PAUSED_STARTING_UP
            && self.stored() != Stored::Placeholder;
        is_starting_up || matches!(self.job, JobView::Shown(job) if job.operation == Operation::Start)
    }

    /// The room it holds, in MiB: an instance's, a placeholder's, or that of an arrived VM that is yet to start.
    pub(super) fn held_mib(&self) -> u64 {
        let reserved = match self.stored() {
            Stored::Placeholder | Stored::Arrived => true,
            Stored::Real => self.facts.note.mark.is_some(),
            Stored::Nothing | Stored::Sealed | Stored::Retired => false,
        };
        if reserved || self.is_active() { self.facts.memory_mib } else { 0 }
    }

    /// The job as muster tells of it.
    pub(super) fn shown_job(&self) -> Option<Job> {
        match self.job {
            JobView::Nothing => None,
            JobView::Unasked => Some(Job::in_phase(Phase::PreCopy)),
            JobView::Shown(job) => Some(shown(job, self.state)),
        }
    }

    pub(super) fn disk(&self, shared: &[PathBuf]) -> Result<Disk, Trouble> {
        let mut size_bytes = 0_u64;
        let local = self.facts.disks.iter().filter(|disk| disk.is_writable && !is_shared(&disk.place, shared));
        let mut is_local = false;
        for disk in local {
            is_local = true;
            size_bytes = size_bytes.saturating_add(self.disk_bytes(disk)?);
        }
        Ok(if is_local { Disk::Local { size_mib: size_bytes.div_ceil(1 << 20) } } else { Disk::Shared })
    }

    /// What a guest sees of a disk of its own. One that is yet to be copied has no size here.
    pub(super) fn disk_bytes(&self, disk: &DiskFacts) -> Result<u64, Trouble> {
        // libvirt lets nobody ask about the disks of a guest that is being taken in, and makes who asks wait.
        if self.stored() == Stored::Placeholder || self.job == JobView::Unasked {
            let copied = self.facts.copies.as_ref().zip(disk.path()).and_then(|(copies, path)| copies.find(path));
            return Ok(copied.map_or(0, |copied| copied.capacity_bytes));
        }
        match self.domain.block_info(&disk.target, 0) {
            Ok(size) => Ok(size.capacity),
            // Nothing can be told of a file that is gone or broken; the VM is there all the same.
            Err(error) if self.is_active() => Err(error.into()),
            Err(error) => {
                let (vm, disk) = (&self.facts.name, &disk.target);
                tracing::warn!(vm, disk, error = error.message(), "the size of a disk can't be told");
                Ok(0)
            }
        }
    }

    /// Every writable disk is where both sites reach it, or was copied whole by the attempt that the definition is of. What
    /// no attempt has brought here has its own disks.
    pub(super) fn disk_is_complete(&self, shared: &[PathBuf]) -> bool {
        let are_shared =
            self.facts.disks.iter().filter(|disk| disk.is_writable).all(|disk| is_shared(&disk.place, shared));
        let mark = self.facts.note.mark;
        are_shared || mark.is_none() || self.facts.copies.as_ref().is_some_and(|copies| copies.are_whole_for(mark))
    }

    /// The definition as it is stored. Of a real one, and of one that is to be, the document is without muster's own parts.
    pub(super) fn definition(&self, shared: &[PathBuf]) -> Result<Definition, Trouble> {
        let is_real = matches!(self.stored(), Stored::Real | Stored::Nothing | Stored::Arrived | Stored::Placeholder);
        Ok(Definition {
            name: vm_name(&self.facts.name),
            memory_mib: self.facts.memory_mib,
            vcpus: self.facts.vcpus,
            disk: self.disk(shared)?,
            autostart: self.facts.trouble.is_none() && self.autostart,
            tags: self.facts.tags.clone(),
            document: if is_real { self.facts.real.clone() } else { self.document.clone() },
        })
    }
}

pub(super) fn is_shared(place: &DiskPlace, shared: &[PathBuf]) -> bool {
    match place {
        DiskPlace::Path(path) => shared.iter().any(|folder| path.starts_with(folder)),
        DiskPlace::Network => true,
        DiskPlace::Other => false,
    }
}

/// libvirt takes names that muster's records don't; those are for people, and never tell VMs apart.
pub(super) fn vm_name(name: &str) -> VmName {
    let plain: String = name.chars().map(|c| if c.is_control() || c == '/' { '_' } else { c }).take(60).collect();
    name.parse()
        .or_else(|_| plain.parse())
        .unwrap_or_else(|_| "unnamed".parse().expect("a name without control characters"))
}

/// What the state and the job say of the instance. Pure; the table above.
fn instance(state: State, job: JobView, stored: Stored, has_image: bool) -> Instance {
    match state.state {
        sys::VIR_DOMAIN_SHUTOFF => Instance::Off(off_cause(state.reason, has_image)),
        sys::VIR_DOMAIN_PAUSED => {
            let is_starting = state.reason == sys::VIR_DOMAIN_PAUSED_STARTING_UP;
            let in_migration = state.reason == sys::VIR_DOMAIN_PAUSED_MIGRATION;
            let is_leaving = matches!(job, JobView::Shown(job) if job.operation == Operation::MigrationOut);
            let may_arrive = in_migration && !is_leaving && stored != Stored::Sealed;
            let arrives = job == JobView::Unasked || stored == Stored::Placeholder;
            if arrives || is_starting || may_arrive { Instance::Incoming } else { Instance::Paused }
        }
        // It holds its memory and does not run: libvirt was told to keep crashed guests.
        sys::VIR_DOMAIN_CRASHED => Instance::Paused,
        // Running, blocked, shutting down, suspended by itself, or a state that is yet to be invented: it may write.
        _ => Instance::Running,
    }
}

pub(super) fn off_cause(reason: u32, has_image: bool) -> OffCause {
    match reason {
        _ if has_image => OffCause::Saved,
        sys::VIR_DOMAIN_SHUTOFF_MIGRATED => OffCause::Migrated,
        // Ended by a person's command, or from inside.
        sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN | sys::VIR_DOMAIN_SHUTOFF_DESTROYED => OffCause::ShutDown,
        sys::VIR_DOMAIN_SHUTOFF_CRASHED | sys::VIR_DOMAIN_SHUTOFF_FAILED | sys::VIR_DOMAIN_SHUTOFF_DAEMON => {
            OffCause::Crashed
        }
        // Saved, and the image is gone: nobody knows whether anything came of it.
        _ => OffCause::Unknown,
    }
}

fn shown(job: muster_libvirt::Job, state: State) -> Job {
    let stands_still = state.state == sys::VIR_DOMAIN_PAUSED;
    let phase = match (stands_still, job.round, job.remaining_bytes) {
        (true, _, 0) => Phase::Finish,
        (true, _, _) => Phase::Handover,
        (false, 0, _) if job.disk_total_bytes > 0 => Phase::DiskCopy,
        (false, 0, _) => Phase::Setup,
        (false, _, _) => Phase::PreCopy,
    };
    let done = job.total_bytes.saturating_sub(job.remaining_bytes);
    let basis_points = done.saturating_mul(10_000).checked_div(job.total_bytes).unwrap_or(0).min(10_000);
    Job {
        phase,
        done_basis_points: if phase == Phase::Setup { 0 } else { u16::try_from(basis_points).unwrap_or(10_000) },
        sent_mib: job.processed_bytes >> 20,
        left_mib: job.remaining_bytes.div_ceil(1 << 20),
        dirty_rate_mib_s: job.dirty_bytes_s >> 20,
        round: u32::try_from(job.round).unwrap_or(u32::MAX).max(1),
        expected_downtime_ms: if phase == Phase::PreCopy { job.downtime_ms } else { None },
    }
}
