//! A ledger made anew, in place of one that is gone. Beside its path and renamed when it is whole, so that a rebuilding which
//! is cut short leaves none that could be believed.

use super::SqliteLedger;
use super::file::{beside, file_error, sync_directory};
use crate::error::StoreError;
use crate::ledger::{COMMANDS_MAX, Ledger};
use muster_core::ledger::VmRow;
use muster_core::ledger::rebuild::commands;
use muster_core::time::Timestamp;
use std::path::Path;

impl SqliteLedger {
    /// Whether a new ledger can have this path.
    ///
    /// # Errors
    /// `InTheWay` where there is a file, or what a file has left beside it.
    pub fn must_be_free(path: &Path) -> Result<(), StoreError> {
        let mut files = ["", "-wal"].map(|suffix| beside(path, suffix)).into_iter();
        match files.find(|file| file.exists()) {
            Some(path) => Err(StoreError::InTheWay { path }),
            None => Ok(()),
        }
    }

    /// Makes a ledger of these rows, which says of itself that it was rebuilt `at` this time.
    ///
    /// # Errors
    /// `InTheWay` where there is a file already; else where it can't be made. There is none then.
    pub async fn rebuild(path: &Path, at: Timestamp, rows: &[VmRow]) -> Result<(), StoreError> {
        let begun = beside(path, "-rebuilt");
        SqliteLedger::must_be_free(path)?;
        for suffix in ["", "-wal", "-shm", "-lock"] {
            let left = beside(&begun, suffix);
            if left.exists() {
                std::fs::remove_file(&left).map_err(|error| file_error(&left, "removing a beginning of it", error))?;
            }
        }
        let ledger = SqliteLedger::open(&begun)?;
        for some in commands(at, rows).chunks(COMMANDS_MAX) {
            // Neither can be refused: the file is new.
            ledger.execute(some.to_vec()).await?;
        }
        // What is in its log is carried over as the last connection is closed.
        drop(ledger);
        std::fs::rename(&begun, path).map_err(|error| file_error(path, "giving it its name", error))?;
        let _ = std::fs::remove_file(beside(&begun, "-lock"));
        sync_directory(path)
    }
}
