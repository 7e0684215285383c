//! What a lab consists of, in `lab.json`: for programs that are to work with it, and for the lab's own next command.

use super::error::LabError;
use super::files::{read, write};
use super::guest::Guest;
use super::layout::{Host, Layout};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The file `lab.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The lab's name.
    pub name: String,
    /// The folder that all hosts see, for shared disks; also the libvirt pool `shared` of each host.
    pub shared_folder: PathBuf,
    /// The folder of each host's own disks, as that host sees it; also the libvirt pool `local` of each host.
    pub local_folder: PathBuf,
    /// The libvirt network that guests are on, at every host.
    pub network: String,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The guests that were added.
    pub guests: Vec<Guest>,
}

impl Record {
    pub(super) fn read(layout: &Layout) -> Result<Self, LabError> {
        let path = layout.record();
        if !path.exists() {
            return Err(LabError::NotUp { name: layout.name().to_owned() });
        }
        let text = read(&path)?;
        serde_json::from_slice(&text).map_err(|error| LabError::Malformed { path, why: error.to_string() })
    }

    /// Written whole or not at all.
    pub(super) fn write(&self, layout: &Layout) -> Result<(), LabError> {
        let path = layout.record();
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| LabError::Malformed { path: path.clone(), why: error.to_string() })?;
        let draft = path.with_extension("draft");
        write(&draft, text + "\n")?;
        std::fs::rename(&draft, &path).map_err(|source| LabError::File { path, action: "replaced", source })
    }
}
