//! What the lab does to its hosts: deaths and restarts of libvirtd, of a guest's QEMU, and of whole hosts.

use super::command::until;
use super::error::LabError;
use super::layout::SWITCH;
use super::processes::{self, Process, signal};
use super::{Lab, libvirtd, network};

/// How long what was killed may take to be gone, in milliseconds.
const GONE_LIMIT_MS: u64 = 10_000;

impl Lab {
    /// Kills a host's libvirtd with -9. Its guests run on.
    ///
    /// # Errors
    /// Where the host is none of the lab's, or /proc can't be read.
    pub async fn kill_libvirtd(&self, host: &str) -> Result<(), LabError> {
        self.kill(host, |process| process.is("libvirtd")).await
    }

    /// Starts a host's libvirtd again; returns when it listens.
    ///
    /// # Errors
    /// Where the host is none of the lab's, or its libvirtd does not start.
    pub async fn start_libvirtd(&self, host: &str) -> Result<(), LabError> {
        libvirtd::start(self.holder(&self.host(host)?.name)?).await
    }

    /// Stops a host's libvirtd in its tracks: it neither answers nor ends, until [`Self::release_libvirtd`].
    ///
    /// # Errors
    /// Where the host is none of the lab's, or /proc can't be read.
    pub fn hang_libvirtd(&self, host: &str) -> Result<(), LabError> {
        signal("STOP", &self.processes_on(host, |process| process.is("libvirtd"))?)
    }

    /// Lets a stopped libvirtd go on.
    ///
    /// # Errors
    /// Where the host is none of the lab's, or /proc can't be read.
    pub fn release_libvirtd(&self, host: &str) -> Result<(), LabError> {
        signal("CONT", &self.processes_on(host, |process| process.is("libvirtd"))?)
    }

    /// Kills a guest's QEMU on a host with -9, as a crash does.
    ///
    /// # Errors
    /// Where host or guest is none of the lab's, or /proc can't be read.
    pub async fn kill_guest(&self, host: &str, guest: &str) -> Result<(), LabError> {
        let guest = self.guest(guest)?;
        self.kill(host, |process| process.guest() == Some(guest.name.as_str())).await
    }

    /// A host dies as by a power cut: its wire is dead first, so that nobody is told, then libvirtd and all its guests at once.
    ///
    /// # Errors
    /// Where the host is none of the lab's, or not there.
    pub async fn kill_host(&self, host: &str) -> Result<(), LabError> {
        self.unplug(host).await?;
        let mut victims = self.processes_on(host, is_mortal)?;
        // libvirtd first: it must not live to see its guests die, and write that down.
        victims.sort_by_key(|process| !process.is("libvirtd"));
        signal("KILL", &victims)?;
        self.kill(host, is_mortal).await
    }

    /// A host boots, after a death or with one: its libvirtd starts as at boot, which starts the guests that have autostart.
    ///
    /// # Errors
    /// Where the host is none of the lab's or not there, or its libvirtd does not start.
    pub async fn boot_host(&self, host: &str) -> Result<(), LabError> {
        self.kill_host(host).await?;
        let holder = self.holder(&self.host(host)?.name)?;
        libvirtd::forget_boot(holder).await?;
        self.plug(host).await?;
        libvirtd::start(holder).await
    }

    /// Pulls a host's wire, at the switch. Only what passes between hosts is lost; from outside it is reached as before.
    ///
    /// # Errors
    /// Where the host is none of the lab's, or not there.
    pub async fn unplug(&self, host: &str) -> Result<(), LabError> {
        network::plug(self.holder(SWITCH)?, self.host(host)?, false).await
    }

    /// Plugs a host's wire in again.
    ///
    /// # Errors
    /// Where the host is none of the lab's, or not there.
    pub async fn plug(&self, host: &str) -> Result<(), LabError> {
        network::plug(self.holder(SWITCH)?, self.host(host)?, true).await
    }

    fn processes_on(&self, host: &str, wanted: impl Fn(&Process) -> bool) -> Result<Vec<Process>, LabError> {
        let host = self.host(host)?;
        let found = processes::of_lab(self.layout.name())?;
        Ok(found.into_iter().filter(|process| process.place == host.name && wanted(process)).collect())
    }

    /// Kills, and returns when what was killed is gone.
    async fn kill(&self, host: &str, wanted: impl Fn(&Process) -> bool) -> Result<(), LabError> {
        until("the end of what was killed", GONE_LIMIT_MS, async || {
            let victims = self.processes_on(host, &wanted)?;
            signal("KILL", &victims)?;
            Ok(victims.is_empty())
        })
        .await
    }
}

/// What dies with a host: libvirtd, the guests, and what libvirtd started besides.
fn is_mortal(process: &Process) -> bool {
    process.is("libvirtd") || process.guest().is_some()
}
