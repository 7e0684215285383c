//! docs/RELIABILITY.md's figures and their gate, made from what runs leave behind ([`crate::published`]).
//!
//! ```text
//! suites    which commands leave figures, and what they need
//! gate      what must be zero is zero, and nothing is missing
//! page      the figures of a page, between its markers
//! mutants   what cargo-mutants found, held against what is explained
//! ```
//! All of this reads and makes texts; commands are run by the `reliability` binary. It never changes prose.

pub mod gate;
pub mod mutants;
pub mod page;
pub mod suites;

use crate::published::Published;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why figures can't be judged or published.
#[derive(Debug, Error)]
pub enum ReliabilityError {
    /// A file or a directory.
    #[error("{path} can't be {action}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What was to be done with it.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It is there, but it isn't what a run writes.
    #[error("{path} has no figures: {source}")]
    NoFigures {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// The list of explained mutants.
    #[error("{path} is no list of explained mutants: {source}")]
    NoList {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: toml_edit::de::Error,
    },
    /// The page's markers don't pair.
    #[error("line {line} of the page: {what}")]
    Markers {
        /// Counted from 1.
        line: usize,
        /// What is wrong with them.
        what: &'static str,
    },
}

/// Everything that a directory has, in the order of the files' names. A file that can't be read stands there as its error.
///
/// # Errors
/// Where there is no such directory.
pub fn read_all(directory: &Path) -> Result<Vec<Result<Published, ReliabilityError>>, ReliabilityError> {
    let failed = |source| ReliabilityError::File { path: directory.to_owned(), action: "listed", source };
    let entries: Result<Vec<_>, io::Error> = std::fs::read_dir(directory).map_err(failed)?.collect();
    let mut paths: Vec<PathBuf> = entries.map_err(failed)?.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths.iter().map(|path| figures(path)).collect())
}

/// The workspace.
#[must_use]
pub fn house() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

fn figures(path: &Path) -> Result<Published, ReliabilityError> {
    serde_json::from_str(&text(path)?).map_err(|source| ReliabilityError::NoFigures { path: path.to_owned(), source })
}

/// A file's text.
///
/// # Errors
/// Where it can't be read.
pub fn text(path: &Path) -> Result<String, ReliabilityError> {
    let failed = |source| ReliabilityError::File { path: path.to_owned(), action: "read", source };
    std::fs::read_to_string(path).map_err(failed)
}
