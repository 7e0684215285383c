//! Who listens at the other end of a host's connections, and how long what was sent there may still take effect. Reads one
//! socket's entry in its folder; opens nothing.
//!
//! What was sent over a connection that broke may lie in a libvirtd that hangs, and land when that goes on: at once, or when the
//! libvirtd has waited for the VM, which it does for 30 seconds at most. Nothing of libvirt's shows such a call, so the
//! time is all there is to go by; it counts from when the host is heard again.
//! - Over a local socket nothing is on the way: it is in that libvirtd or nowhere.
//! - Over a network the sender's system may hold it back, though its sender is gone, and send it again after a wait
//!   that doubles up to two minutes.
//! - A libvirtd that is dead does nothing any more, and takes what it hasn't read with it. That it is dead is proven
//!   where another one listens at the same local socket: each makes the socket anew when it starts, and two can't
//!   have the same guests at a time, as libvirt locks them. A socket that systemd made and keeps proves nothing.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::Duration;

/// How long after a host on this machine is heard again what was sent to it before may still take effect.
pub const SETTLES_LOCALLY_WITHIN: Duration = Duration::from_secs(30);
/// The same of a host that is reached over a network.
pub const SETTLES_REMOTELY_WITHIN: Duration = Duration::from_secs(150);

/// The socket that a libvirtd made when it started. Another one means another libvirtd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    device: u64,
    node: u64,
    /// When it was made; a change of its owner or its rights doesn't change it.
    made_at_ns: (i64, i64),
}

impl Listener {
    /// Who listens for connections to this host; none where that can't be told.
    pub(super) fn of(uri: &str) -> Option<Listener> {
        let socket = std::fs::symlink_metadata(socket(uri)?).ok().filter(|found| found.file_type().is_socket())?;
        let made_at_ns = (socket.mtime(), socket.mtime_nsec());
        Some(Listener { device: socket.dev(), node: socket.ino(), made_at_ns })
    }

    /// Opens something, and says who listened all the while.
    pub(super) fn during<T, E>(uri: &str, open: impl FnOnce() -> Result<T, E>) -> Result<(T, Option<Listener>), E> {
        let before = Listener::of(uri);
        let opened = open()?;
        let after = Listener::of(uri);
        Ok((opened, after.filter(|_| before == after)))
    }

    /// Whether the one is proven dead where the other answers.
    pub(super) fn is_replaced(before: Option<Listener>, now: Option<Listener>) -> bool {
        matches!((before, now), (Some(before), Some(now)) if before != now)
    }
}

/// How long what was sent to this host before may take effect once it is heard again.
pub(super) fn settles_within(uri: &str) -> Duration {
    if is_local(uri) { SETTLES_LOCALLY_WITHIN } else { SETTLES_REMOTELY_WITHIN }
}

/// Whether a host is reached over a local socket.
pub(super) fn is_local(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else { return false };
    let transport = scheme.split_once('+').map_or("unix", |(_, transport)| transport);
    transport == "unix" && rest.starts_with('/')
}

fn socket(uri: &str) -> Option<&str> {
    let (_, query) = uri.split_once('?').filter(|_| is_local(uri))?;
    let path = query.split('&').find_map(|parameter| parameter.strip_prefix("socket="))?;
    // Written in code of its own, a path is not looked for: then the time tells.
    path.starts_with('/').then_some(path).filter(|path| !path.contains('%'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_a_socket_of_this_machine_is_local() {
        for local in ["qemu:///system", "qemu+unix:///system", "qemu+unix:///system?socket=/run/a", "qemu:///session"] {
            assert_eq!(settles_within(local), SETTLES_LOCALLY_WITHIN, "{local}");
        }
        for remote in
            ["qemu+ssh://host/system", "qemu://host/system", "qemu+tls://host/system", "qemu+ssh:///system", "x"]
        {
            assert_eq!(settles_within(remote), SETTLES_REMOTELY_WITHIN, "{remote}");
        }
    }

    #[test]
    fn a_listener_is_replaced_by_one_that_makes_its_socket_anew_and_by_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let uri = format!("qemu+unix:///system?socket={}", path.display());
        assert_eq!(Listener::of(&uri), None);
        let first = UnixListener::bind(&path).unwrap();
        let before = Listener::of(&uri);
        assert!(before.is_some());
        let rights = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&path, rights).unwrap();
        assert!(!Listener::is_replaced(before, Listener::of(&uri)));
        drop(first);
        // Kept under another name, so that the file system can't give its node away at once.
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        assert!(!Listener::is_replaced(before, Listener::of(&uri)), "nobody listens: nothing is proven");
        let _second = UnixListener::bind(&path).unwrap();
        assert!(Listener::is_replaced(before, Listener::of(&uri)));
        assert!(!Listener::is_replaced(None, Listener::of(&uri)), "who listened before isn't known");
    }

    #[test]
    fn where_the_socket_is_not_named_nobody_knows_who_listens() {
        for uri in ["qemu:///system", "qemu+ssh://host/system?socket=/run/a", "qemu:///system?socket=a"] {
            assert_eq!(socket(uri), None, "{uri}");
        }
    }
}
