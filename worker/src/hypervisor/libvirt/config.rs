//! A site's libvirt configuration: its hosts, how other sites' hosts are reached, what storage is shared. Reads and checks
//! a text; opens nothing.

use muster_core::class::Class;
use muster_core::ids::{HostName, SiteName};
use muster_core::preflight::survey::Licence;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, PathBuf};

/// Most hosts of one site.
pub const HOSTS_MAX: usize = 256;

/// Memory that is left to a host itself where its configuration says nothing, in MiB.
pub const RESERVE_DEFAULT_MIB: u64 = 1024;

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is no TOML, or has fields that don't belong there.
    #[error("{message}")]
    Syntax {
        /// What and where, with its line and column.
        message: String,
    },
    /// Fields that contradict each other, or a value that can't be.
    #[error("{place}: {what}; {mend}")]
    Value {
        /// Where.
        place: String,
        /// What is wrong.
        what: String,
        /// What to do about it.
        mend: &'static str,
    },
}

impl ConfigError {
    /// What the caller may do now: mend the file.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Refused
    }
}

/// The configuration of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its hosts, by name.
    pub hosts: BTreeMap<HostName, HostConfig>,
    /// Other sites' hosts, by site and name.
    pub peers: BTreeMap<(SiteName, HostName), PeerConfig>,
    /// Folders that every host of both sites reaches.
    pub shared_storage: Vec<PathBuf>,
    /// How transfers are made.
    pub transfer: TransferConfig,
    /// What its owner has licensed there; a product that is not named is not limited.
    pub licences: Vec<Licence>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Where this worker reaches its libvirt.
    pub uri: String,
    /// Memory for guests.
    pub memory: HostMemory,
    /// Most virtual processors that it may have in all; no limit if none is said.
    pub vcpus_max: Option<u64>,
    /// The network interface that guests' memory goes over, to see whether it is up.
    pub migration_interface: Option<String>,
}

/// What a host has for guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostMemory {
    /// So much, in MiB.
    Fixed {
        /// In MiB.
        memory_mib: u64,
    },
    /// What libvirt says it has, less so much for itself.
    Reported {
        /// In MiB.
        reserve_mib: u64,
    },
}

/// A host of another site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Where this site's hosts reach its libvirt.
    pub uri: String,
    /// Where this worker does; the same, if nothing else is said.
    pub worker_uri: String,
    /// Where its QEMU listens for what arrives, such as `tcp://10.0.0.7`.
    pub migrate_uri: Option<String>,
}

/// How transfers are made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransferConfig {
    /// Guests' memory goes over TLS.
    pub tls: bool,
    /// Most of it that one transfer sends, in MiB per second.
    pub bandwidth_mib_s: Option<u64>,
    /// Connections of one transfer; one if none is said.
    pub connections: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    lab: bool,
    #[serde(default)]
    shared_storage: Vec<PathBuf>,
    #[serde(default)]
    host: Vec<HostText>,
    #[serde(default)]
    peer: Vec<PeerText>,
    #[serde(default)]
    transfer: TransferConfig,
    #[serde(default)]
    licence: Vec<Licence>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostText {
    name: HostName,
    uri: String,
    memory_mib: Option<u64>,
    reserve_mib: Option<u64>,
    vcpus_max: Option<u64>,
    migration_interface: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerText {
    site: SiteName,
    host: HostName,
    uri: String,
    worker_uri: Option<String>,
    migrate_uri: Option<String>,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigError`], with what is wrong, where, and how to mend it.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let file: FileText = toml_edit::de::from_str(text)
            .map_err(|error| ConfigError::Syntax { message: error.to_string().trim_end().to_owned() })?;
        let hosts = hosts(file.host, file.lab)?;
        let peers = peers(file.peer, file.lab)?;
        for path in &file.shared_storage {
            let is_plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
            if !is_plain {
                let what = format!("{} is not a whole path", path.display());
                return Err(wrong("shared_storage", what, "write it from the root on, without '..'"));
            }
        }
        check_transfer(&file.transfer)?;
        check_licences(&file.licence)?;
        let FileText { shared_storage, transfer, licence: licences, .. } = file;
        Ok(Config { hosts, peers, shared_storage, transfer, licences })
    }
}

fn hosts(given: Vec<HostText>, lab: bool) -> Result<BTreeMap<HostName, HostConfig>, ConfigError> {
    if given.is_empty() {
        return Err(wrong(
            "host",
            "there is none".to_owned(),
            "give each host of the site a [[host]] with name and uri",
        ));
    }
    if given.len() > HOSTS_MAX {
        return Err(wrong("host", format!("{} are too many", given.len()), "give at most 256 hosts to one site"));
    }
    let mut hosts = BTreeMap::new();
    let mut uris = BTreeSet::new();
    for host in given {
        let place = format!("host {}", host.name);
        check_uri(&place, &host.uri, lab)?;
        if !uris.insert(host.uri.clone()) {
            let what = format!("its uri {} is another host's too", host.uri);
            return Err(wrong(&place, what, "give each host its own, or a VM would be seen twice"));
        }
        let memory = match (host.memory_mib, host.reserve_mib) {
            (Some(0), _) => return Err(wrong(&place, "memory_mib is 0".to_owned(), "give what guests may use")),
            (Some(_), Some(_)) => {
                let what = "both memory_mib and reserve_mib are given".to_owned();
                return Err(wrong(&place, what, "give one: what guests may use, or what they may not"));
            }
            (Some(memory_mib), None) => HostMemory::Fixed { memory_mib },
            (None, reserve_mib) => HostMemory::Reported { reserve_mib: reserve_mib.unwrap_or(RESERVE_DEFAULT_MIB) },
        };
        let HostText { name, uri, vcpus_max, migration_interface, .. } = host;
        if hosts.insert(name, HostConfig { uri, memory, vcpus_max, migration_interface }).is_some() {
            return Err(wrong(&place, "it is given twice".to_owned(), "give each host once"));
        }
    }
    Ok(hosts)
}

fn peers(given: Vec<PeerText>, lab: bool) -> Result<BTreeMap<(SiteName, HostName), PeerConfig>, ConfigError> {
    let mut peers = BTreeMap::new();
    for peer in given {
        let place = format!("peer {}/{}", peer.site, peer.host);
        check_uri(&place, &peer.uri, lab)?;
        if let Some(migrate_uri) = &peer.migrate_uri
            && !["tcp://", "rdma://"].iter().any(|scheme| migrate_uri.starts_with(scheme))
        {
            let what = format!("migrate_uri {migrate_uri:?} is of no known kind");
            return Err(wrong(
                &place,
                what,
                "write it like tcp://10.0.0.7, with the address that its guests arrive at",
            ));
        }
        let worker_uri = peer.worker_uri.unwrap_or_else(|| peer.uri.clone());
        check_uri(&place, &worker_uri, lab)?;
        let config = PeerConfig { uri: peer.uri, worker_uri, migrate_uri: peer.migrate_uri };
        if peers.insert((peer.site, peer.host), config).is_some() {
            return Err(wrong(&place, "it is given twice".to_owned(), "give each host once"));
        }
    }
    Ok(peers)
}

fn check_licences(given: &[Licence]) -> Result<(), ConfigError> {
    let mut products = BTreeSet::new();
    for licence in given {
        let place = format!("licence {}", licence.product);
        if licence.product.is_empty() {
            return Err(wrong(
                "licence",
                "product is empty".to_owned(),
                "name it as VMs do in their tags product:NAME",
            ));
        }
        if !products.insert(&licence.product) {
            return Err(wrong(&place, "it is given twice".to_owned(), "add them up"));
        }
    }
    Ok(())
}

fn check_uri(place: &str, uri: &str, lab: bool) -> Result<(), ConfigError> {
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme {
        // Without a host's name or transport this is libvirt's own socket on this machine.
        "qemu" | "qemu+unix" | "qemu+tls" | "qemu+ssh" | "qemu+libssh" | "qemu+libssh2" => Ok(()),
        "qemu+tcp" if lab => Ok(()),
        "qemu+tcp" => {
            let what = format!("{uri} has neither encryption nor any proof of who calls");
            Err(wrong(
                place,
                what,
                "use qemu+tls or qemu+ssh; in a lab that nobody else reaches, say lab = true at the top",
            ))
        }
        _ => {
            let what = format!("{uri:?} is no URI of a QEMU host");
            Err(wrong(place, what, "write it like qemu+tls://host.example/system"))
        }
    }
}

fn check_transfer(transfer: &TransferConfig) -> Result<(), ConfigError> {
    if transfer.bandwidth_mib_s == Some(0) {
        let what = "bandwidth_mib_s is 0".to_owned();
        return Err(wrong("transfer", what, "give at least 1, or leave it out for all there is"));
    }
    if transfer.connections == Some(0) {
        return Err(wrong("transfer", "connections is 0".to_owned(), "give at least 1, or leave it out"));
    }
    Ok(())
}

fn wrong(place: &str, what: String, mend: &'static str) -> ConfigError {
    ConfigError::Value { place: place.to_owned(), what, mend }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
lab = true
shared_storage = ["/srv/guests"]

[[host]]
name = "p1"
uri = "qemu+tcp://10.0.0.1/system"
memory_mib = 512

[[host]]
name = "p2"
uri = "qemu+ssh://10.0.0.2/system"

[[peer]]
site = "lyon"
host = "l1"
uri = "qemu+tls://10.0.1.1/system"
migrate_uri = "tcp://10.0.1.1"

[transfer]
bandwidth_mib_s = 100

[[licence]]
product = "db"
unit = "core"
count = 64
"#;

    #[test]
    fn a_good_file_is_read_whole() {
        let config = Config::parse(GOOD).unwrap();
        let memory: Vec<HostMemory> = config.hosts.values().map(|host| host.memory).collect();
        let expected =
            [HostMemory::Fixed { memory_mib: 512 }, HostMemory::Reported { reserve_mib: RESERVE_DEFAULT_MIB }];
        assert_eq!(memory, expected);
        assert_eq!(config.peers.len(), 1);
        assert_eq!(config.transfer.bandwidth_mib_s, Some(100));
    }

    #[test]
    fn each_mistake_is_told_with_its_place_and_mend() {
        let cases = [
            ("lab = true", "lab = false", "host p1: qemu+tcp://10.0.0.1/system has neither"),
            ("name = \"p2\"", "name = \"p1\"", "host p1: it is given twice"),
            ("qemu+ssh://10.0.0.2", "xen://10.0.0.2", "is no URI of a QEMU host"),
            ("qemu+ssh://10.0.0.2/system", "qemu+tcp://10.0.0.1/system", "is another host's too"),
            ("memory_mib = 512", "memory_mib = 0", "memory_mib is 0"),
            ("memory_mib = 512", "memory_mib = 512\nreserve_mib = 1", "both memory_mib and reserve_mib"),
            ("/srv/guests", "/srv/../guests", "is not a whole path"),
            ("tcp://10.0.1.1", "10.0.1.1", "migrate_uri \"10.0.1.1\" is of no known kind"),
            ("bandwidth_mib_s = 100", "bandwidth_mib_s = 0", "bandwidth_mib_s is 0"),
            ("bandwidth_mib_s", "bandwith", "unknown field `bandwith`"),
            ("name = \"p1\"", "name = \"../p1\"", "is not a name"),
            ("memory_mib = 512", "memory_mib = \"512\"", "line 8"),
            ("product = \"db\"", "product = \"\"", "product is empty"),
            ("unit = \"core\"", "unit = \"cpu\"", "unknown variant `cpu`"),
        ];
        for (from, to, expected) in cases {
            let told = Config::parse(&GOOD.replacen(from, to, 1)).map(|_| ()).unwrap_err().to_string();
            assert!(told.contains(expected), "{to}: {told}");
        }
        assert!(Config::parse("").unwrap_err().to_string().contains("host: there is none"));
    }
}
