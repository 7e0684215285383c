//! One change at a time to the labs of a machine, across processes.

use super::error::LabError;
use super::files::make_folder;
use super::layout::STATE_ROOT;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Held while a lab comes up, goes down or gets guests. It is the folder of all labs itself, which goes with the last of them.
pub(super) struct Lock {
    _folder: File,
}

impl Lock {
    /// Waits for whoever holds it, which is bounded by the deadlines of what they do.
    pub(super) fn take() -> Result<Self, LabError> {
        let root = Path::new(STATE_ROOT);
        let failed = |source| LabError::File { path: root.into(), action: "locked", source };
        loop {
            make_folder(root)?;
            let Ok(folder) = File::open(root) else { continue };
            folder.lock().map_err(failed)?;
            // The last holder may have removed the very folder that was waited for.
            let is_same = |now: fs::Metadata| folder.metadata().is_ok_and(|then| then.ino() == now.ino());
            if fs::metadata(root).is_ok_and(is_same) {
                return Ok(Self { _folder: folder });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only an empty folder can be removed: the last lab is gone then.
        let _ = fs::remove_dir(STATE_ROOT);
    }
}
