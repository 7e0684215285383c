//! What the lab needs on its machine, and how it gets it: from Debian, by apt-get.

use super::command::{attempt, run};
use super::error::LabError;
use std::path::Path;

/// How long packages may take to arrive, in milliseconds.
const INSTALL_LIMIT_MS: u64 = 900_000;
/// How often it is looked what is missing: one package may take another off that it does not get along with, as QEMU does with
/// a newer qemu-utils, and that one is missing afterwards.
const ROUNDS_MAX: u32 = 3;
/// Programs and the Debian packages that have them.
const NEEDED: [(&str, &str); 17] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("libvirtd", "libvirt-daemon-system"),
    ("virsh", "libvirt-clients"),
    ("qemu-img", "qemu-utils"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("kill", "procps"),
    ("as", "binutils"),
    ("ld", "binutils"),
    ("tcpdump", "tcpdump"),
    ("openssl", "openssl"),
    ("socat", "socat"),
    ("sshd", "openssh-server"),
    ("ssh-keygen", "openssh-client"),
];
/// Where programs are, also for a caller whose PATH leaves out the administrator's.
const FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What the lab would need and this machine lacks: programs and their packages. Empty where a lab can run.
#[must_use]
pub fn missing() -> Vec<(&'static str, &'static str)> {
    NEEDED.into_iter().filter(|(program, _)| !is_installed(program)).collect()
}

fn is_installed(program: &str) -> bool {
    FOLDERS.iter().any(|folder| Path::new(folder).join(program).exists())
}

/// Installs what is missing.
///
/// # Errors
/// Where root is missing, apt-get fails, or something is still missing afterwards ([`LabError::Missing`]).
pub async fn install() -> Result<(), LabError> {
    super::is_root()?;
    let mut is_listed = false;
    for _ in 0..ROUNDS_MAX {
        let lacking = missing();
        let Some((program, package)) = lacking.first().copied() else { return Ok(()) };
        if !is_installed("apt-get") {
            return Err(LabError::Missing { program, package });
        }
        if !is_listed {
            apt_get(&["update"]).await?.well()?;
            is_listed = true;
        }
        install_packages(lacking.iter().map(|(_, package)| *package).collect()).await?;
    }
    missing().first().map_or(Ok(()), |(program, package)| Err(LabError::Missing { program, package }))
}

async fn install_packages(mut packages: Vec<&str>) -> Result<(), LabError> {
    packages.sort_unstable();
    packages.dedup();
    if apt_get(&plain(&packages)).await?.success {
        return Ok(());
    }
    // A qemu-utils newer than the distribution's holds QEMU back: take the distribution's.
    let ours = format!("qemu-utils/{}", codename().await?);
    let mut wanted = plain(&packages);
    wanted.extend(["--allow-downgrades", &ours]);
    apt_get(&wanted).await?.well().map(|_| ())
}

fn plain<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    ["install", "--yes", "--no-install-recommends"].iter().chain(packages).copied().collect()
}

async fn apt_get(arguments: &[&str]) -> Result<super::command::Ran, LabError> {
    let command: Vec<&str> =
        ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"].iter().chain(arguments).copied().collect();
    attempt(&command, INSTALL_LIMIT_MS).await
}

async fn codename() -> Result<String, LabError> {
    let text = run(&["cat", "/etc/os-release"]).await?;
    let line = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let missing = || LabError::Malformed { path: "/etc/os-release".into(), why: "no VERSION_CODENAME".to_owned() };
    line.map(|name| name.trim_matches('"').to_owned()).ok_or_else(missing)
}
