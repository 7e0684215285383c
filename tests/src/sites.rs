//! The configuration that muster's workers need for the sites of a lab: of each site its hosts, and how it reaches the
//! other's. Makes texts; opens nothing.

use crate::lab::{Host, Record, Role};
use std::fmt::Write;

/// What a host of a lab is said to have for guests, in MiB.
pub const HOST_MEMORY_MIB: u64 = 2048;

/// How hosts are reached.
pub struct Ways<'a> {
    /// By plain TCP too, which only a lab may.
    pub is_lab: bool,
    /// By a worker.
    pub by_worker: &'a dyn Fn(&Host) -> String,
    /// By another host's libvirtd.
    pub by_host: &'a dyn Fn(&Host) -> String,
}

/// The libvirt configuration of the worker of one side, with `bandwidth_mib_s` as the most that one transfer sends.
#[must_use]
pub fn libvirt_configuration(record: &Record, role: Role, bandwidth_mib_s: Option<u64>) -> String {
    let ways =
        Ways { is_lab: true, by_worker: &|host| host.libvirt_uri.clone(), by_host: &|host| host.peer_uri.clone() };
    let rate = bandwidth_mib_s.map(|rate| format!("\n[transfer]\nbandwidth_mib_s = {rate}\n"));
    configuration_by(record, role, &ways) + &rate.unwrap_or_default()
}

/// The same where hosts are reached otherwise, without a section for transfers.
#[must_use]
pub fn configuration_by(record: &Record, role: Role, ways: &Ways<'_>) -> String {
    let mut text = format!("lab = {}\nshared_storage = [\"{}\"]\n", ways.is_lab, record.shared_folder.display());
    for host in &record.hosts {
        let (name, site, uri) = (&host.name, &host.site, (ways.by_worker)(host));
        // Writing to a text can't fail.
        let _ = if host.role == role {
            write!(text, "\n[[host]]\nname = \"{name}\"\nuri = \"{uri}\"\nmemory_mib = {HOST_MEMORY_MIB}\n")
        } else {
            let (peer, arrives) = ((ways.by_host)(host), &host.migrate_uri);
            let at = format!("uri = \"{peer}\"\nworker_uri = \"{uri}\"\nmigrate_uri = \"{arrives}\"\n");
            write!(text, "\n[[peer]]\nsite = \"{site}\"\nhost = \"{name}\"\n{at}")
        };
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
