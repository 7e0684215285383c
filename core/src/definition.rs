//! What a VM is made of, as far as moving it needs to know, and how it is to be moved.

use crate::ids::VmName;
use serde::{Deserialize, Serialize};

/// Longest hypervisor document of a definition, in bytes.
pub const DOCUMENT_MAX_BYTES: usize = 256 * 1024;

/// Most tags a VM may carry.
pub const TAGS_MAX: usize = 64;

/// A VM's full definition. The real one is kept in both ledgers while the hypervisors hold sealed or inert ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Definition {
    /// What people call the VM.
    pub name: VmName,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// Its virtual processors.
    pub vcpus: u32,
    /// Where its disk lives, and so whether it has to be copied.
    pub disk: Disk,
    /// Whether the host starts it at boot.
    pub autostart: bool,
    /// Labels that runbooks select by.
    pub tags: Vec<String>,
    /// The hypervisor's own document (libvirt: the domain XML), kept to the letter, never interpreted here.
    pub document: String,
}

/// Where a VM's disk lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Disk {
    /// On storage that both sites reach: nothing to copy.
    Shared,
    /// On the source's own storage: copied with the move.
    Local {
        /// Its size in MiB.
        size_mib: u64,
    },
}

/// How a VM is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Running, with its memory.
    Live,
    /// Shut down, moved, started.
    Cold,
    /// Powered off: moved only, not started.
    Off,
}

impl Mode {
    /// The mode in a word, as runbooks write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Mode::Live => "live",
            Mode::Cold => "cold",
            Mode::Off => "off",
        }
    }
}
