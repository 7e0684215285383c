//! Small files and folders of the lab's own, with errors that say which.

use super::error::LabError;
use std::fs;
use std::path::Path;

pub(super) fn make_folder(path: &Path) -> Result<(), LabError> {
    fs::create_dir_all(path).map_err(|source| LabError::File { path: path.into(), action: "made", source })
}

pub(super) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), LabError> {
    fs::write(path, text).map_err(|source| LabError::File { path: path.into(), action: "written", source })
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, LabError> {
    fs::read(path).map_err(|source| LabError::File { path: path.into(), action: "read", source })
}

/// Removes a folder and all that is in it; one that isn't there is removed already.
pub(super) fn remove_folder(path: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::File { path: path.into(), action: "removed", source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A path as text. Every path of a lab is made of its name and of words in this module.
pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("a lab's paths are ASCII")
}
