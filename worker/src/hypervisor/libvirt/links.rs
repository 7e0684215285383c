//! The connections to one host's libvirt: one that is heard, and others that are lent, each to one thread at a time.
//!
//! libvirt's client lets several threads share a connection, and is broken there before 10.4 (CVE-2024-4418): a thread that
//! sends while another waits for its answer may leave behind what the next answer takes for its own, on a stack that is gone,
//! and the process dies of it. So no two threads ever use one connection. The signs of life that libvirt asks for come from a
//! thread of its own; so lent connections to a local socket go without them: the kernel tells of a daemon that died, and of one
//! that hangs the connection that is heard tells. Over a network nothing else would tell, and they stay.
//!
//! It opens and closes connections, and does nothing over them.

use super::listener::{Listener, is_local};
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::error::Error;
use muster_libvirt::{Hearer, Watch, watch};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often libvirt is asked for a sign of life, in seconds.
pub const KEEPALIVE_EVERY_S: i32 = 2;
/// How many signs of life may be missing until a connection counts as broken.
pub const KEEPALIVE_MISSED_MAX: u32 = 3;

/// All connections to a host, to one and the same daemon.
pub(super) struct Links {
    heard: Connect,
    idle: Mutex<Vec<Connect>>,
    /// One that was lent came back broken.
    is_broken: AtomicBool,
    pub(super) listener: Option<Listener>,
    _watch: Watch,
}

impl Links {
    /// Opens the connection that is heard, and so many to be lent. All at once: one that is opened later might reach
    /// another daemon than the one whose calls are accounted for.
    pub(super) fn open(uri: &str, lent_max: usize, hearer: &Hearer) -> Result<Links, Error> {
        let open = || {
            let heard = Connect::open(Some(uri))?;
            heard.set_keep_alive(KEEPALIVE_EVERY_S, KEEPALIVE_MISSED_MAX)?;
            let watch = watch(&heard, hearer)?;
            let idle = (0..lent_max).map(|_| connect(uri)).collect::<Result<Vec<_>, Error>>()?;
            Ok::<_, Error>((heard, watch, idle))
        };
        let ((heard, watch, idle), listener) = Listener::during(uri, open)?;
        let (idle, is_broken) = (Mutex::new(idle), AtomicBool::new(false));
        Ok(Links { heard, idle, is_broken, listener, _watch: watch })
    }

    pub(super) fn stand(&self) -> bool {
        !self.is_broken.load(Ordering::Acquire) && self.heard.is_alive().unwrap_or(false)
    }

    /// A connection for one thread. None while all are lent.
    pub(super) fn lend(self: &Arc<Self>) -> Option<Lent> {
        let connection = self.idle().pop();
        connection.map(|connection| Lent { links: Arc::clone(self), connection: Some(connection) })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connect>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that one thread has to itself. It is given back when it is dropped.
pub(super) struct Lent {
    links: Arc<Links>,
    connection: Option<Connect>,
}

impl Lent {
    /// Whether it still stands.
    pub(super) fn stands(&self) -> bool {
        let stands = self.is_alive().unwrap_or(false);
        if !stands {
            self.links.is_broken.store(true, Ordering::Release);
        }
        stands
    }
}

impl Deref for Lent {
    type Target = Connect;

    fn deref(&self) -> &Connect {
        self.connection.as_ref().expect("only dropping takes it away")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let connection = self.connection.take();
        self.links.idle().extend(connection);
    }
}

/// A connection for one thread.
pub(super) fn connect(uri: &str) -> Result<Connect, Error> {
    let connection = Connect::open(Some(uri))?;
    if !is_local(uri) {
        connection.set_keep_alive(KEEPALIVE_EVERY_S, KEEPALIVE_MISSED_MAX)?;
    }
    Ok(connection)
}
