//! The configuration that muster's workers need for the sites of a lab: of each site its hosts, and how it reaches the
//! other's. Makes texts; opens nothing.

use crate::lab::{Record, Role};
use std::fmt::Write;

/// What a host of a lab is said to have for guests, in MiB.
pub const HOST_MEMORY_MIB: u64 = 2048;

/// The libvirt configuration of the worker of one side, with `bandwidth_mib_s` as the most that one transfer sends.
#[must_use]
pub fn libvirt_configuration(record: &Record, role: Role, bandwidth_mib_s: Option<u64>) -> String {
    let mut text = format!("lab = true\nshared_storage = [\"{}\"]\n", record.shared_folder.display());
    for host in &record.hosts {
        let (name, site, uri, peer) = (&host.name, &host.site, &host.libvirt_uri, &host.peer_uri);
        // Writing to a text can't fail.
        let _ = if host.role == role {
            write!(text, "\n[[host]]\nname = \"{name}\"\nuri = \"{uri}\"\nmemory_mib = {HOST_MEMORY_MIB}\n")
        } else {
            let arrives = &host.migrate_uri;
            let at = format!("uri = \"{peer}\"\nworker_uri = \"{uri}\"\nmigrate_uri = \"{arrives}\"\n");
            write!(text, "\n[[peer]]\nsite = \"{site}\"\nhost = \"{name}\"\n{at}")
        };
    }
    if let Some(rate) = bandwidth_mib_s {
        let _ = write!(text, "\n[transfer]\nbandwidth_mib_s = {rate}\n");
    }
    text
}

/// A runbook that evacuates the whole source.
#[must_use]
pub fn runbook(record: &Record) -> String {
    let site = |role: Role| record.hosts.iter().find(|host| host.role == role).map_or("", |host| host.site.as_str());
    let (source, destination) = (site(Role::Source), site(Role::Destination));
    format!(
        "name = \"leave-{source}\"\n[source]\nsite = \"{source}\"\n[destination]\nsite = \"{destination}\"\n[[select]]\nall = true\n"
    )
}
