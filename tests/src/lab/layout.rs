//! Where everything of a lab is: its sites and hosts, their addresses, its folders. Pure; it touches nothing.

use super::error::LabError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The folder that holds one folder for each lab that is up.
pub const STATE_ROOT: &str = "/var/lib/muster-lab";
/// The switch's name among a lab's places.
pub const SWITCH: &str = "switch";
/// The bridge in each host's network namespace, that its guests are on.
pub const BRIDGE: &str = "br0";
/// The libvirt network, and the name of the machine's wire that all hosts share.
pub const NETWORK: &str = "lan";
/// The two ends of the link between the sites, in the switch.
pub const LINK_ENDS: [&str; 2] = ["link-north", "link-south"];
/// What the certificate of whoever calls a libvirtd is called.
pub const CALLER: &str = "caller";
/// The longest name of a lab, in bytes: unix sockets' paths are short.
const NAME_BYTES_MAX: usize = 16;

/// What a site is for, when the lab comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The guests are here, and are to leave.
    Source,
    /// They are to arrive here.
    Destination,
}

/// A libvirt host of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its site's name; in the switch, the site's bridge has the same.
    pub site: String,
    /// What its site is for.
    pub role: Role,
    /// Its address, reachable from the other hosts only.
    pub address: String,
    /// Its UUID, as libvirt tells it.
    pub uuid: String,
    /// Its libvirtd's socket, reachable from outside the lab.
    pub libvirt_socket: PathBuf,
    /// How to reach its libvirtd from outside the lab, by that socket.
    pub libvirt_uri: String,
    /// How another host's libvirtd reaches this one, for peer-to-peer migration.
    pub peer_uri: String,
    /// The same over TLS, with the lab's own certificates.
    pub secure_peer_uri: String,
    /// Where another host's QEMU sends memory to.
    pub migrate_uri: String,
    /// From outside, its guests' serial logs: one `GUEST.log` each.
    pub serial_folder: PathBuf,
    /// From outside, the folder of its own disks.
    pub local_folder: PathBuf,
    /// From outside, what its libvirtd logs to.
    pub log: PathBuf,
}

/// The places of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    name: String,
}

impl Layout {
    /// The layout of the lab of this name.
    ///
    /// # Errors
    /// [`LabError::BadName`].
    pub fn new(name: &str) -> Result<Self, LabError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) || name.starts_with('-') {
            return Err(LabError::BadName { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned() })
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that everything of this lab is in.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        PathBuf::from(STATE_ROOT).join(&self.name)
    }

    /// The file that says what the lab consists of.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.state().join("lab.json")
    }

    /// The folder of a host, or of the switch.
    #[must_use]
    pub fn place(&self, place: &str) -> PathBuf {
        self.state().join("hosts").join(place)
    }

    /// The disks that all hosts see, under the same path inside and outside.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.state().join("shared")
    }

    /// The disks that belong to one host, as that host sees them.
    #[must_use]
    pub fn local(&self) -> PathBuf {
        self.state().join("local")
    }

    /// The certificates of the lab's own authority, a folder for each of its hosts.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.state().join("certificates")
    }

    /// The folder of the certificate of whoever calls a libvirtd: another one, or a worker outside.
    #[must_use]
    pub fn caller(&self) -> PathBuf {
        self.certificates().join(CALLER)
    }

    /// The serial logs, as each host sees its own.
    #[must_use]
    pub fn serial(&self) -> PathBuf {
        self.state().join("serial")
    }

    /// The lab's hosts: one at the source's site, two at the destination's.
    #[must_use]
    pub fn hosts(&self) -> Vec<Host> {
        let hosts = [("north-1", "north", Role::Source, 11), ("south-1", "south", Role::Destination, 21)];
        let hosts = hosts.into_iter().chain([("south-2", "south", Role::Destination, 22)]);
        hosts.map(|(name, site, role, number)| self.host(name, site, role, number)).collect()
    }

    fn host(&self, name: &str, site: &str, role: Role, number: u8) -> Host {
        let folder = self.place(name);
        let address = format!("10.77.0.{number}");
        let socket = folder.join("run").join("libvirt-sock");
        Host {
            name: name.to_owned(),
            site: site.to_owned(),
            role,
            uuid: uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{}/{name}", self.name).as_bytes())
                .to_string(),
            libvirt_uri: format!("qemu+unix:///system?socket={}", socket.display()),
            libvirt_socket: socket,
            peer_uri: format!("qemu+tcp://{address}/system"),
            secure_peer_uri: format!("qemu+tls://{name}/system?pkipath={}", self.caller().display()),
            migrate_uri: format!("tcp://{address}"),
            address,
            serial_folder: folder.join("serial"),
            local_folder: folder.join("local"),
            log: folder.join("log").join("libvirtd.log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_word() {
        for good in ["a", "lab", "driver-2", "0123456789abcdef"] {
            assert!(Layout::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "../x", "a/b", "0123456789abcdefg", "ä"] {
            assert!(matches!(Layout::new(bad), Err(LabError::BadName { .. })), "{bad}");
        }
    }

    #[test]
    fn every_socket_has_room_in_a_socket_address() {
        let layout = Layout::new("0123456789abcdef").expect("a name");
        for host in layout.hosts() {
            assert!(host.libvirt_socket.as_os_str().len() < 100, "{}", host.libvirt_socket.display());
        }
    }

    #[test]
    fn labs_and_hosts_share_nothing() {
        let hosts = ["one", "two"].map(|name| Layout::new(name).expect("a name").hosts()).concat();
        for (index, host) in hosts.iter().enumerate() {
            let others = hosts[..index].iter();
            assert!(others.clone().all(|other| other.uuid != host.uuid && other.local_folder != host.local_folder));
        }
    }
}
