//! A host's libvirtd: its own configuration, folders and storage, nothing of the machine's. It never touches the machine's own
//! libvirt: its folders are mounted over that one's, inside the host's mount namespace only.

use super::error::LabError;
use super::files::{make_folder, text, write};
use super::layout::{BRIDGE, Host, Layout, NETWORK};
use super::place::run_at_home;

/// The folders of libvirt's that each host has of its own, and what they are called in the host's folder.
const FOLDERS: [(&str, &str); 5] = [
    ("etc", "/etc/libvirt"),
    ("run", "/run/libvirt"),
    ("lib", "/var/lib/libvirt"),
    ("cache", "/var/cache/libvirt"),
    ("log", "/var/log/libvirt"),
];

/// Lays out a host's folders and mounts them, inside its place only.
pub(super) async fn furnish(layout: &Layout, host: &Host, holder: u32) -> Result<(), LabError> {
    let folder = layout.place(&host.name);
    for name in FOLDERS.map(|(name, _)| name).into_iter().chain(["serial", "local"]) {
        make_folder(&folder.join(name))?;
    }
    for path in [layout.shared(), layout.local(), layout.serial()] {
        make_folder(&path)?;
    }
    let certificates = layout.certificates().join(&host.name);
    write(&folder.join("etc").join("libvirtd.conf"), libvirtd_conf(host, text(&certificates)))?;
    write(&folder.join("etc").join("qemu.conf"), qemu_conf(host, text(&certificates)))?;
    write(&folder.join("network.xml"), network_xml())?;
    write(&folder.join("names"), names(layout))?;
    for (name, path) in [("shared", layout.shared()), ("local", layout.local())] {
        write(&folder.join(format!("pool-{name}.xml")), pool_xml(name, text(&path)))?;
    }
    // What is under /sys/class/net has to be this network namespace's.
    run_at_home(holder, &["mount", "-t", "sysfs", "sysfs", "/sys"]).await?;
    // Hosts know each other by name too, as a migration without addresses wants it.
    run_at_home(holder, &["mount", "--bind", text(&folder.join("names")), "/etc/hosts"]).await?;
    for (name, over) in FOLDERS {
        run_at_home(holder, &["mkdir", "-p", over]).await?;
        run_at_home(holder, &["mount", "--bind", text(&folder.join(name)), over]).await?;
    }
    for (name, over) in [("serial", layout.serial()), ("local", layout.local())] {
        run_at_home(holder, &["mount", "--bind", text(&folder.join(name)), text(&over)]).await?;
    }
    Ok(())
}

/// Starts a host's libvirtd; returns when it answers.
pub(super) async fn start(holder: u32) -> Result<(), LabError> {
    let command = ["libvirtd", "--daemon", "--listen", "--pid-file", "/run/libvirt/libvirtd.pid"];
    run_at_home(holder, &command).await.map(|_| ())
}

/// Defines the host's network and storage pools, once.
pub(super) async fn equip(layout: &Layout, host: &Host, holder: u32) -> Result<(), LabError> {
    let folder = layout.place(&host.name);
    let virsh = async |arguments: &[&str]| {
        let command: Vec<&str> = ["virsh", "--connect", "qemu:///system"].iter().chain(arguments).copied().collect();
        run_at_home(holder, &command).await
    };
    virsh(&["net-define", text(&folder.join("network.xml"))]).await?;
    virsh(&["net-autostart", NETWORK]).await?;
    virsh(&["net-start", NETWORK]).await?;
    for pool in ["shared", "local"] {
        virsh(&["pool-define", text(&folder.join(format!("pool-{pool}.xml")))]).await?;
        virsh(&["pool-autostart", pool]).await?;
        virsh(&["pool-start", pool]).await?;
    }
    Ok(())
}

/// Forgets what a machine forgets when it boots: what libvirtd keeps under /run, and with it that it has started its
/// autostart guests already.
pub(super) async fn forget_boot(holder: u32) -> Result<(), LabError> {
    run_at_home(holder, &["find", "/run/libvirt", "-mindepth", "1", "-delete"]).await.map(|_| ())
}

/// Without passwords: all of it is reachable from inside the lab's namespaces and by root only. TLS beside plain TCP, for who wants it.
fn libvirtd_conf(host: &Host, certificates: &str) -> String {
    let Host { uuid, address, .. } = host;
    format!(
        "host_uuid = \"{uuid}\"\nlisten_tls = 1\nkey_file = \"{certificates}/serverkey.pem\"\n\
         cert_file = \"{certificates}/servercert.pem\"\nca_file = \"{certificates}/cacert.pem\"\nlisten_tcp = 1\nlisten_addr = \"{address}\"\nauth_tcp = \"none\"\n\
         auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nunix_sock_rw_perms = \"0700\"\nunix_sock_dir = \"/run/libvirt\"\n\
         log_outputs = \"2:file:/var/log/libvirt/libvirtd.log\"\n"
    )
}

/// Without anything that needs the machine's own services: cgroups, security modules, log daemon.
fn qemu_conf(host: &Host, certificates: &str) -> String {
    format!(
        "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nremember_owner = 0\nsecurity_driver = \"none\"\n\
         cgroup_controllers = [ ]\nnamespaces = [ ]\nstdio_handler = \"file\"\nmigration_address = \"{address}\"\n\
         migration_host = \"{address}\"\n\
         migrate_tls_x509_cert_dir = \"{certificates}\"\nmigrate_tls_x509_verify = 1\n",
        address = host.address
    )
}

fn names(layout: &Layout) -> String {
    let hosts: String = layout.hosts().iter().map(|host| format!("{} {}\n", host.address, host.name)).collect();
    format!("127.0.0.1 localhost\n{hosts}")
}

fn network_xml() -> String {
    format!("<network><name>{NETWORK}</name><forward mode='bridge'/><bridge name='{BRIDGE}'/></network>\n")
}

fn pool_xml(name: &str, path: &str) -> String {
    format!("<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>\n")
}
