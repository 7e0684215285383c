//! Anybody's hypervisors, read for `muster inspect`: over read-only connections, which libvirt itself lets change nothing.

use super::document;
use super::host::on_thread;
use super::trouble::{Trouble, is_no_domain, is_unasked};
use super::view::off_cause;
use muster_core::ids::{VmId, clip};
use muster_core::inspect::{Seen, SeenState};
use muster_core::reading::Stored;
use muster_core::step::Side;
use muster_libvirt::virt::connect::Connect;
use muster_libvirt::virt::domain::Domain;
use muster_libvirt::virt::sys;
use muster_libvirt::{Operation, State};
use std::time::Duration;

/// Longest wait for one hypervisor.
pub const INSPECT_MAX: Duration = Duration::from_secs(30);

/// A hypervisor that could not be read. What it has is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{uri} can't be read: {message}")]
pub struct Unread {
    /// The hypervisor.
    pub uri: String,
    /// Why not.
    pub message: String,
}

/// Everything that one hypervisor shows, under the name that it gives itself; under its URI where it gives none.
///
/// # Errors
/// It can't be reached, doesn't answer in time, or one of its VMs can't be read.
pub async fn read(side: Side, uri: &str) -> Result<Vec<Seen>, Unread> {
    let unread = |message: String| Unread { uri: uri.to_owned(), message };
    let host = uri.to_owned();
    let reading = on_thread("inspect", move || read_all(side, &host));
    let reading = reading.map_err(|error| unread(error.to_string()))?;
    match tokio::time::timeout(INSPECT_MAX, reading).await {
        Ok(Ok(seen)) => seen.map_err(|trouble| unread(clip(&trouble.to_string()))),
        Ok(Err(_)) => Err(unread("its thread has died".to_owned())),
        Err(_) => Err(unread(format!("no answer in {} s", INSPECT_MAX.as_secs()))),
    }
}

fn read_all(side: Side, uri: &str) -> Result<Vec<Seen>, Trouble> {
    let connection = Connect::open_read_only(Some(uri))?;
    let host = connection.hostname().unwrap_or_else(|_| uri.to_owned());
    let mut all = Vec::new();
    for domain in connection.list_all_domains(0)? {
        match read_one(side, &host, &domain) {
            Ok(seen) => all.push(seen),
            // It has gone since it was listed.
            Err(Trouble::Libvirt(error)) if is_no_domain(&error) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(all)
}

fn read_one(side: Side, host: &str, domain: &Domain) -> Result<Seen, Trouble> {
    let state = muster_libvirt::state(domain)?;
    let job = match (state.state != sys::VIR_DOMAIN_SHUTOFF).then(|| muster_libvirt::job(domain)) {
        None | Some(Ok(None)) => Job::None,
        Some(Ok(Some(job))) => match job.operation {
            Operation::MigrationOut => Job::Leaving,
            Operation::MigrationIn => Job::Arriving,
            Operation::Start | Operation::Other => Job::None,
        },
        Some(Err(error)) if is_unasked(&error) => Job::Arriving,
        Some(Err(error)) => return Err(error.into()),
    };
    let is_stored = domain.is_persistent()?;
    let facts = document::read(&domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?)?;
    Ok(Seen {
        vm: VmId(domain.uuid()?),
        name: facts.name,
        side,
        host: host.to_owned(),
        state: seen_state(state, job, domain.has_managed_save(0)?),
        words: words(state),
        stored: if is_stored { facts.stored } else { Stored::Nothing },
        autostart: is_stored && domain.autostart()?,
        migrating: job == Job::Leaving,
    })
}

/// A migration's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    None,
    Leaving,
    Arriving,
}

fn seen_state(state: State, job: Job, has_image: bool) -> SeenState {
    let by_migration =
        [sys::VIR_DOMAIN_PAUSED_MIGRATION, sys::VIR_DOMAIN_PAUSED_POSTCOPY, sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED];
    match state.state {
        sys::VIR_DOMAIN_SHUTOFF => SeenState::Off(off_cause(state.reason, has_image)),
        sys::VIR_DOMAIN_PAUSED if job == Job::Arriving => SeenState::Incoming,
        sys::VIR_DOMAIN_PAUSED if by_migration.contains(&state.reason) => SeenState::PausedByMigration,
        // A crashed guest that libvirt was told to keep holds its memory and does not run.
        sys::VIR_DOMAIN_PAUSED | sys::VIR_DOMAIN_CRASHED => SeenState::Paused,
        _ => SeenState::Running,
    }
}

/// A state with its reason, as `virsh domstate --reason` names them.
fn words(state: State) -> String {
    let State { state, reason } = state;
    let (name, reasons): (&str, &[&str]) = match state {
        sys::VIR_DOMAIN_RUNNING => (
            "running",
            &[
                "unknown",
                "booted",
                "migrated",
                "restored",
                "from snapshot",
                "unpaused",
                "migration canceled",
                "save canceled",
                "event wakeup",
                "crashed",
                "post-copy",
                "post-copy failed",
            ],
        ),
        sys::VIR_DOMAIN_BLOCKED => ("blocked", &["unknown"]),
        sys::VIR_DOMAIN_PAUSED => (
            "paused",
            &[
                "unknown",
                "user",
                "migration",
                "saving",
                "dumping",
                "I/O error",
                "watchdog",
                "from snapshot",
                "shutting down",
                "creating snapshot",
                "crashed",
                "starting up",
                "post-copy",
                "post-copy failed",
                "api error",
            ],
        ),
        sys::VIR_DOMAIN_SHUTDOWN => ("in shutdown", &["unknown", "user"]),
        sys::VIR_DOMAIN_SHUTOFF => (
            "shut off",
            &["unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot", "daemon"],
        ),
        sys::VIR_DOMAIN_CRASHED => ("crashed", &["unknown", "panicked"]),
        sys::VIR_DOMAIN_PMSUSPENDED => ("suspended by its guest", &["unknown"]),
        _ => ("in a state of its own", &[]),
    };
    let reason = usize::try_from(reason).ok().and_then(|reason| reasons.get(reason)).unwrap_or(&"unknown");
    format!("{name} ({reason})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::reading::OffCause;

    #[test]
    fn states_are_named_as_virsh_names_them() {
        let of = |state, reason| words(State { state, reason });
        assert_eq!(of(sys::VIR_DOMAIN_PAUSED, sys::VIR_DOMAIN_PAUSED_MIGRATION), "paused (migration)");
        assert_eq!(of(sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_MIGRATED), "shut off (migrated)");
        assert_eq!(of(sys::VIR_DOMAIN_RUNNING, sys::VIR_DOMAIN_RUNNING_UNPAUSED), "running (unpaused)");
        assert_eq!(of(sys::VIR_DOMAIN_PAUSED, sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED), "paused (post-copy failed)");
        assert_eq!(of(sys::VIR_DOMAIN_SHUTOFF, 999), "shut off (unknown)");
    }

    #[test]
    fn an_arriving_copy_is_not_a_paused_one() {
        let paused = State { state: sys::VIR_DOMAIN_PAUSED, reason: sys::VIR_DOMAIN_PAUSED_MIGRATION };
        assert_eq!(seen_state(paused, Job::Arriving, false), SeenState::Incoming);
        assert_eq!(seen_state(paused, Job::None, false), SeenState::PausedByMigration);
        let off = State { state: sys::VIR_DOMAIN_SHUTOFF, reason: sys::VIR_DOMAIN_SHUTOFF_MIGRATED };
        assert_eq!(seen_state(off, Job::None, false), SeenState::Off(OffCause::Migrated));
    }
}
