//! What libvirt tells by itself: domain events, and that a connection has closed.

use std::ffi::{c_char, c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::thread;
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::Error;
use virt::event::{event_register_default_impl, event_run_default_impl};
use virt_sys as sys;

/// What was heard on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A domain was defined, undefined, started, paused, resumed or stopped.
    Lifecycle(Uuid, Lifecycle),
    /// A job on a domain has ended, or a round of it, or its metadata has changed.
    Touched(Uuid),
    /// The connection has closed: nothing more will be heard on it.
    Closed,
}

/// What a lifecycle event says, as far as muster tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// It was paused.
    Suspended,
    /// It runs again.
    Resumed,
    /// Anything else.
    Other,
}

/// Who hears. It is called on the event loop's thread: it must be quick, and must not panic.
pub type Hearer = Arc<dyn Fn(Heard) + Send + Sync>;

/// Starts the thread that hears for every connection of this process. Has to be called before the first connection is
/// opened; calling it again does nothing.
///
/// # Errors
/// libvirt's, each time again.
pub fn run_event_loop() -> Result<(), Error> {
    static STARTED: OnceLock<Result<(), Error>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        // Errors are returned; libvirt would print them as well.
        virt::error::clear_error_callback();
        event_register_default_impl()?;
        let looping = thread::Builder::new().name("libvirt-events".to_owned()).spawn(|| {
            // It fails only if no loop was registered.
            while event_run_default_impl().is_ok() {}
        });
        looping.map(|_| ()).map_err(|_| Error::last_error())
    });
    started.clone()
}

/// Hears on a connection until it is dropped.
pub struct Watch {
    connection: Connect,
    registered: Vec<c_int>,
    hears_close: bool,
}

/// Begins to hear on a connection.
///
/// # Errors
/// libvirt's; then nothing is heard.
pub fn watch(connection: &Connect, hearer: &Hearer) -> Result<Watch, Error> {
    let mut watch = Watch { connection: connection.clone(), registered: Vec::new(), hears_close: false };
    let opaque = boxed(hearer);
    // SAFETY: the connection is valid, and the opaque pointer is a `Box<Hearer>` that libvirt frees by `free`.
    let outcome =
        unsafe { sys::virConnectRegisterCloseCallback(connection.as_ptr(), Some(closed), opaque, Some(free)) };
    if outcome < 0 {
        let error = Error::last_error();
        // SAFETY: libvirt has not taken it.
        unsafe { free(opaque) };
        return Err(error);
    }
    watch.hears_close = true;
    type Generic = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void);
    // SAFETY: libvirt calls each with the arguments that belong to the event it is registered for, which are those of the
    // function before it was made generic; that is how its API is meant to be used.
    let callbacks: [(u32, Generic); 4] = unsafe {
        [
            (sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE, mem::transmute::<LifecycleCallback, Generic>(lifecycle)),
            (sys::VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, mem::transmute::<IterationCallback, Generic>(iteration)),
            (sys::VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, mem::transmute::<JobCallback, Generic>(job_completed)),
            (sys::VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, mem::transmute::<MetadataCallback, Generic>(metadata)),
        ]
    };
    for (event, callback) in callbacks {
        let opaque = boxed(hearer);
        // SAFETY: as above; no domain means all of them.
        let id = unsafe {
            sys::virConnectDomainEventRegisterAny(
                connection.as_ptr(),
                ptr::null_mut(),
                event as c_int,
                Some(callback),
                opaque,
                Some(free),
            )
        };
        if id < 0 {
            let error = Error::last_error();
            // SAFETY: libvirt has not taken it.
            unsafe { free(opaque) };
            return Err(error);
        }
        watch.registered.push(id);
    }
    Ok(watch)
}

impl Drop for Watch {
    fn drop(&mut self) {
        for id in &self.registered {
            // SAFETY: the connection is valid and the id is its own. On a broken connection it fails, and the callback is
            // freed with the connection.
            unsafe { sys::virConnectDomainEventDeregisterAny(self.connection.as_ptr(), *id) };
        }
        if self.hears_close {
            // SAFETY: the connection is valid and this callback was registered on it.
            unsafe { sys::virConnectUnregisterCloseCallback(self.connection.as_ptr(), Some(closed)) };
        }
    }
}

fn boxed(hearer: &Hearer) -> *mut c_void {
    Box::into_raw(Box::new(Arc::clone(hearer))).cast()
}

unsafe extern "C" fn free(opaque: *mut c_void) {
    // SAFETY: made by `boxed`, and freed once.
    drop(unsafe { Box::from_raw(opaque.cast::<Hearer>()) });
}

/// # Safety
/// `opaque` must come from [`boxed`] and not be freed yet.
unsafe fn tell(opaque: *mut c_void, heard: Heard) {
    // SAFETY: the caller's promise.
    let hearer = unsafe { &*opaque.cast::<Hearer>() };
    hearer(heard);
}

/// # Safety
/// `domain` must be valid.
unsafe fn uuid(domain: sys::virDomainPtr) -> Option<Uuid> {
    let mut bytes = [0_u8; 16];
    // SAFETY: a UUID has 16 bytes (VIR_UUID_BUFLEN), and the domain is valid by the caller's promise.
    let outcome = unsafe { sys::virDomainGetUUID(domain, bytes.as_mut_ptr()) };
    (outcome == 0).then(|| Uuid::from_bytes(bytes))
}

/// # Safety
/// As [`uuid`] and [`tell`].
unsafe fn touched(domain: sys::virDomainPtr, opaque: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(uuid) = uuid(domain) {
            tell(opaque, Heard::Touched(uuid));
        }
    }
}

type LifecycleCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, c_int, *mut c_void) -> c_int;
type IterationCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *mut c_void);
type JobCallback =
    unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, sys::virTypedParameterPtr, c_int, *mut c_void);
type MetadataCallback = unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, c_int, *const c_char, *mut c_void);

unsafe extern "C" fn closed(_connection: sys::virConnectPtr, _reason: c_int, opaque: *mut c_void) {
    // SAFETY: libvirt passes on what was registered.
    unsafe { tell(opaque, Heard::Closed) };
}

unsafe extern "C" fn lifecycle(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    let what = match u32::try_from(event) {
        Ok(sys::VIR_DOMAIN_EVENT_SUSPENDED) => Lifecycle::Suspended,
        Ok(sys::VIR_DOMAIN_EVENT_RESUMED) => Lifecycle::Resumed,
        Ok(_) | Err(_) => Lifecycle::Other,
    };
    // SAFETY: libvirt passes a valid domain, and what was registered.
    unsafe {
        if let Some(uuid) = uuid(domain) {
            tell(opaque, Heard::Lifecycle(uuid, what));
        }
    }
    0
}

unsafe extern "C" fn iteration(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _round: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt passes a valid domain, and what was registered.
    unsafe { touched(domain, opaque) };
}

unsafe extern "C" fn job_completed(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _parameters: sys::virTypedParameterPtr,
    _count: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt passes a valid domain, and what was registered.
    unsafe { touched(domain, opaque) };
}

unsafe extern "C" fn metadata(
    _connection: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _kind: c_int,
    _namespace: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt passes a valid domain, and what was registered.
    unsafe { touched(domain, opaque) };
}
