//! A domain's state and job.

use std::ffi::{CStr, c_int};
use std::ptr;
use virt::domain::Domain;
use virt::error::Error;
use virt_sys as sys;

/// A domain's state and its reason, in libvirt's numbers (`virDomainState` and the reasons that belong to each).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// `virDomainState`.
    pub state: u32,
    /// The state's own reason.
    pub reason: u32,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Starting the guest.
    Start,
    /// Taking a guest in.
    MigrationIn,
    /// Giving a guest away.
    MigrationOut,
    /// Anything else: a save, a dump, a snapshot, a backup, or what libvirt doesn't name.
    Other,
}

/// A job on a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// What it does.
    pub operation: Operation,
    /// All that is to be sent in the guest's memory and disks, in bytes; 0 before that is known.
    pub total_bytes: u64,
    /// Of that, in disks; 0 where none are copied.
    pub disk_total_bytes: u64,
    /// Sent so far, in bytes.
    pub processed_bytes: u64,
    /// Left to send in this round, in bytes.
    pub remaining_bytes: u64,
    /// The pre-copy round, from 1; 0 before the first.
    pub round: u64,
    /// How fast the guest dirties memory, in bytes per second.
    pub dirty_bytes_s: u64,
    /// How long the guest has stood still, in milliseconds; while it runs, how long it is expected to.
    pub downtime_ms: Option<u64>,
}

/// A domain's state.
///
/// # Errors
/// libvirt's.
pub fn state(domain: &Domain) -> Result<State, Error> {
    let (mut state, mut reason): (c_int, c_int) = (0, 0);
    // SAFETY: the domain's pointer is valid while it is borrowed, and both integers outlive the call.
    let outcome = unsafe { sys::virDomainGetState(domain.as_ptr(), &mut state, &mut reason, 0) };
    if outcome < 0 {
        return Err(Error::last_error());
    }
    Ok(State { state: u32::try_from(state).unwrap_or(0), reason: u32::try_from(reason).unwrap_or(0) })
}

/// The job on a domain; none if there is none.
///
/// # Errors
/// libvirt's; `OperationInvalid` for a guest that is being taken in, and for one that doesn't run.
pub fn job(domain: &Domain) -> Result<Option<Job>, Error> {
    stats(domain, 0)
}

/// The last completed job on a domain, left in place to be asked for again.
///
/// # Errors
/// libvirt's.
pub fn completed_job(domain: &Domain) -> Result<Option<Job>, Error> {
    stats(domain, sys::VIR_DOMAIN_JOB_STATS_COMPLETED | sys::VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED)
}

/// Asks libvirt to end the job on a domain.
///
/// # Errors
/// libvirt's; `OperationInvalid` where there is no job.
pub fn abort_job(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain's pointer is valid while it is borrowed.
    let outcome = unsafe { sys::virDomainAbortJob(domain.as_ptr()) };
    if outcome < 0 { Err(Error::last_error()) } else { Ok(()) }
}

fn stats(domain: &Domain, flags: u32) -> Result<Option<Job>, Error> {
    let (mut kind, mut count): (c_int, c_int) = (0, 0);
    let mut parameters: sys::virTypedParameterPtr = ptr::null_mut();
    // SAFETY: the domain's pointer is valid while it is borrowed; libvirt allocates the parameters, which are freed below.
    let outcome = unsafe { sys::virDomainGetJobStats(domain.as_ptr(), &mut kind, &mut parameters, &mut count, flags) };
    if outcome < 0 {
        return Err(Error::last_error());
    }
    let mut job = Job {
        operation: Operation::Other,
        total_bytes: 0,
        disk_total_bytes: 0,
        processed_bytes: 0,
        remaining_bytes: 0,
        round: 0,
        dirty_bytes_s: 0,
        downtime_ms: None,
    };
    let mut page_bytes = 0;
    let mut dirty_pages_s = 0;
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: libvirt returned `count` parameters that begin there; none is kept past the loop.
        let parameter = unsafe { &*parameters.add(at) };
        // SAFETY: a parameter's name is an array that libvirt ends with a zero byte.
        let name = unsafe { CStr::from_ptr(parameter.field.as_ptr()) };
        let Some(value) = number(parameter) else { continue };
        match name.to_bytes() {
            b"operation" => job.operation = operation(value),
            b"data_total" => job.total_bytes = value,
            b"disk_total" => job.disk_total_bytes = value,
            b"data_processed" => job.processed_bytes = value,
            b"data_remaining" => job.remaining_bytes = value,
            b"memory_iteration" => job.round = value,
            b"memory_dirty_rate" => dirty_pages_s = value,
            b"memory_page_size" => page_bytes = value,
            b"downtime" => job.downtime_ms = Some(value),
            _ => {}
        }
    }
    job.dirty_bytes_s = dirty_pages_s.saturating_mul(page_bytes);
    // SAFETY: the very parameters that libvirt allocated, freed once; null with none of them is allowed.
    unsafe { sys::virTypedParamsFree(parameters, count) };
    let is_none = u32::try_from(kind) == Ok(sys::VIR_DOMAIN_JOB_NONE);
    Ok((!is_none).then_some(job))
}

fn number(parameter: &sys::virTypedParameter) -> Option<u64> {
    // SAFETY: the parameter's type says which member of the union libvirt has written.
    unsafe {
        match u32::try_from(parameter.type_).ok()? {
            sys::VIR_TYPED_PARAM_INT => u64::try_from(parameter.value.i).ok(),
            sys::VIR_TYPED_PARAM_UINT => Some(u64::from(parameter.value.ui)),
            sys::VIR_TYPED_PARAM_LLONG => u64::try_from(parameter.value.l).ok(),
            sys::VIR_TYPED_PARAM_ULLONG => Some(parameter.value.ul),
            _ => None,
        }
    }
}

fn operation(value: u64) -> Operation {
    match u32::try_from(value) {
        Ok(sys::VIR_DOMAIN_JOB_OPERATION_START) => Operation::Start,
        Ok(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN) => Operation::MigrationIn,
        Ok(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT) => Operation::MigrationOut,
        Ok(_) | Err(_) => Operation::Other,
    }
}
