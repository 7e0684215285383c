//! What can go wrong inside the engine, before it is known which file it happened to.

use crate::error::{StoreError, Written};
use rusqlite::ErrorCode;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Encoding(serde_json::Error),
    /// What is stored makes no sense.
    Nonsense(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

/// When it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the commit: nothing is written.
    BeforeCommit,
    /// In the commit: the disk may or may not have it.
    InCommit,
}

impl Fault {
    pub(super) fn at(self, path: &Path, moment: Moment) -> StoreError {
        let path = path.to_owned();
        match self {
            Fault::Sqlite(error) => sqlite(error, path, moment),
            Fault::Encoding(source) => StoreError::Encoding { path, source: Arc::new(source) },
            Fault::Nonsense(found) => StoreError::Damaged { path, found },
        }
    }
}

/// Whether the engine gave something that no column of muster's holds.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

fn sqlite(error: rusqlite::Error, path: std::path::PathBuf, moment: Moment) -> StoreError {
    let found = error.to_string();
    if is_unreadable(&error) {
        return StoreError::Damaged { path, found };
    }
    match error.sqlite_error_code() {
        // The engine fails so when a write came back short, which leaves the commit's last page incomplete: the
        // transaction isn't there, also not after a crash.
        Some(ErrorCode::DiskFull) => StoreError::Full { path, written: Written::Nothing },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly { path, found },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged { path, found },
        Some(_) | None => {
            let written = match moment {
                Moment::BeforeCommit => Written::Nothing,
                Moment::InCommit => Written::InDoubt,
            };
            StoreError::Engine { path, written, source: Arc::new(error) }
        }
    }
}
