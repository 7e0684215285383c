//! What a store can fail with: which file, what is wrong, how to mend it, and whether anything was written.

use muster_core::class::Class;
use muster_core::ids::SiteName;
use muster_core::ledger::HighWater;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What a file is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A site's ledger.
    Ledger,
    /// An orchestrator's journal.
    Journal,
}

impl fmt::Display for FileKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            FileKind::Ledger => "ledger",
            FileKind::Journal => "journal",
        })
    }
}

/// What is known of a write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Nothing of it.
    Nothing,
    /// All of it or nothing; which of the two, only opening the store again can tell.
    InDoubt,
}

impl fmt::Display for Written {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Written::Nothing => "nothing was written",
            Written::InDoubt => "the last write is there whole or not at all, which only opening it again can tell",
        })
    }
}

/// Why a store could not be opened, read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No room for the file to grow.
    #[error("{path}: no room is left on its filesystem, {written}; make room, then start again", path = .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What of it was written.
        written: Written,
    },
    /// The file, its directory or its filesystem can't be written.
    #[error("{path}: can't be written: {found}; make the file and its directory writable for this user, then start again", path = .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What was seen.
        found: String,
    },
    /// The file's contents are broken.
    #[error("{path}: is damaged: {found}; keep this file and those beside it as they are, and put a backup in their place; without one, \"muster ledger rebuild\" makes what can be known again", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// Another site has once seen what this ledger doesn't hold: its newest entries went missing, or its history was written anew.
    #[error(
        "this ledger ends with {newest}, and site {by} has once seen {seen}, which isn't in it: something was lost or written anew, and nothing it says can be trusted; stop this worker and put the newest copy in its place; without one, \"muster ledger rebuild\" makes what can be known again"
    )]
    Behind {
        /// How far it goes.
        newest: Box<HighWater>,
        /// What was seen.
        seen: Box<HighWater>,
        /// By whom.
        by: SiteName,
    },
    /// The file was written by a newer muster.
    #[error("{path}: was written by a newer muster: its {kind} schema is version {found}, this muster knows versions up to {known}; use that newer muster, or a backup from before the upgrade", path = .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: FileKind,
        /// Its schema's version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The file is of an older schema and was opened for reading alone, so it can't be brought forward.
    #[error("{path}: its {kind} schema is version {found}, reading it needs version {known}; copy it and its -wal file, and open the copy for writing once", path = .path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// What it is.
        kind: FileKind,
        /// Its schema's version.
        found: u32,
        /// The version needed here.
        known: u32,
    },
    /// The file is something else.
    #[error("{path}: is not a muster {expected}: {found}; it was left untouched, give another path", path = .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        expected: FileKind,
        /// What it is.
        found: String,
    },
    /// Another process, or another part of this one, has it open for writing.
    #[error("{path}: another process has it open for writing; stop that one first, or give another path", path = .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A file is there that nothing may be written over.
    #[error("{path}: there is a file already; move it and those beside it to a safe place first", path = .path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("{path}: there is no such file or directory; check the path", path = .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Somebody outside of muster held the file's lock for too long.
    #[error("{path}: another program holds its lock, nothing was written; end that program's transaction and try again", path = .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The operating system failed a call on the file, or on one beside it.
    #[error("{path}: {doing} failed: {source}; check the disk and the directory, then start again", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The engine failed, as it does when the disk does.
    #[error("{path}: the engine failed, {written}: {source}; check the disk, then start again", path = .path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What of it was written.
        written: Written,
        /// What the engine said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The store failed earlier and takes no more work.
    #[error("nothing was done, for the store has stopped: {because}")]
    Stopped {
        /// What it failed with.
        #[source]
        because: Arc<StoreError>,
    },
    /// The store was closed, or crashed, before it could answer.
    #[error("{path}: was closed before it answered; open it again and read what stands", path = .path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// More was asked for in one call than a transaction may hold.
    #[error("{given} in one call are too many, the most is {most}; split them")]
    TooMany {
        /// How many were given.
        given: usize,
        /// How many may be.
        most: usize,
    },
    /// A value could not be put into words. A flaw of muster's own.
    #[error("{path}: a value can't be written as JSON: {source}; nothing was written, report this", path = .path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// A thread of the store ended by a flaw of muster's own.
    #[error("{path}: a thread of the store has died; start again and report this", path = .path.display())]
    ThreadDied {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            StoreError::Full { written, .. } | StoreError::Engine { written, .. } => match written {
                Written::Nothing => Class::Refused,
                Written::InDoubt => Class::Unknown,
            },
            StoreError::ReadOnly { .. }
            | StoreError::Damaged { .. }
            | StoreError::Behind { .. }
            | StoreError::InTheWay { .. }
            | StoreError::Newer { .. }
            | StoreError::Older { .. }
            | StoreError::NotOurs { .. }
            | StoreError::InUse { .. }
            | StoreError::Missing { .. }
            | StoreError::File { .. }
            | StoreError::Stopped { .. }
            | StoreError::TooMany { .. } => Class::Refused,
            StoreError::Busy { .. } => Class::Retry,
            StoreError::Closed { .. } | StoreError::ThreadDied { .. } => Class::Unknown,
            StoreError::Encoding { .. } => Class::Bug,
        }
    }

    /// Whether a reading made by the same open store could later turn out untrue: after a commit in doubt what stands
    /// shows only once the store is opened again.
    pub(crate) fn leaves_doubt(&self) -> bool {
        match self {
            StoreError::Full { written, .. } | StoreError::Engine { written, .. } => *written == Written::InDoubt,
            StoreError::ThreadDied { .. } | StoreError::Closed { .. } | StoreError::Behind { .. } => true,
            StoreError::Stopped { because } => because.leaves_doubt(),
            StoreError::ReadOnly { .. }
            | StoreError::Damaged { .. }
            | StoreError::Newer { .. }
            | StoreError::Older { .. }
            | StoreError::NotOurs { .. }
            | StoreError::InUse { .. }
            | StoreError::InTheWay { .. }
            | StoreError::Missing { .. }
            | StoreError::Busy { .. }
            | StoreError::File { .. }
            | StoreError::TooMany { .. }
            | StoreError::Encoding { .. } => false,
        }
    }
}

/// Whether a store takes work.
#[derive(Debug, Clone)]
pub enum Health {
    /// It does.
    Working,
    /// It has failed and takes none until it is opened again. Whoever owns it stops taking work as well.
    Failed(StoreError),
}

impl Health {
    /// Whether it takes work.
    #[must_use]
    pub fn is_working(&self) -> bool {
        match self {
            Health::Working => true,
            Health::Failed(_) => false,
        }
    }
}
