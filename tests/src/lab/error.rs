//! What the lab can fail with.

use muster_core::class::Class;
use std::path::PathBuf;

/// What the lab can fail with.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Namespaces, mounts and libvirtd need root.
    #[error("the lab needs root: it makes namespaces and mounts, and runs libvirtd in them")]
    NotRoot,
    /// A program is missing, and could not be installed.
    #[error("{program} is missing: install {package} (Debian's name)")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A lab's name is no short word of lower-case letters, digits and hyphens.
    #[error("{name:?} is no name for a lab: 1 to 16 lower-case letters, digits and hyphens")]
    BadName {
        /// What was given.
        name: String,
    },
    /// A lab of this name is up.
    #[error("the lab {name} is up already; take it down first, or begin with a fresh one")]
    AlreadyUp {
        /// Its name.
        name: String,
    },
    /// No lab of this name is up, or only a part of one.
    #[error("no lab {name} is up")]
    NotUp {
        /// The name.
        name: String,
    },
    /// The lab has no such host.
    #[error("the lab has no host {host}")]
    NoSuchHost {
        /// The name that was given.
        host: String,
    },
    /// The lab has no such guest.
    #[error("the lab has no guest {guest}")]
    NoSuchGuest {
        /// The name that was given.
        guest: String,
    },
    /// A number is out of its range.
    #[error("{what} must be from {least} to {most}, not {given}")]
    OutOfRange {
        /// The number's name, with its unit.
        what: &'static str,
        /// The least allowed.
        least: u64,
        /// The most allowed.
        most: u64,
        /// What was given.
        given: u64,
    },
    /// A program ended with a failure.
    #[error("`{command}` ended with {status}: {stderr}")]
    Command {
        /// What was run.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// A program could not be started, or read from.
    #[error("`{command}` can't be run")]
    CantRun {
        /// What was to be run.
        command: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program did not end in time, and was ended.
    #[error("`{command}` did not end within {limit_ms} ms")]
    TooSlow {
        /// What was run.
        command: String,
        /// How long it may take, in milliseconds.
        limit_ms: u64,
    },
    /// Something that was waited for did not come about.
    #[error("{what} did not come about within {limit_ms} ms")]
    NotInTime {
        /// What was waited for.
        what: String,
        /// How long, in milliseconds.
        limit_ms: u64,
    },
    /// A file or folder can't be read or written.
    #[error("{path} can't be {action}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was to be done with it, as a participle.
        action: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file of the lab's is not what the lab writes.
    #[error("{path} is not what a lab writes: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl LabError {
    /// What is to be done about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::NotRoot
            | Self::Missing { .. }
            | Self::BadName { .. }
            | Self::AlreadyUp { .. }
            | Self::NotUp { .. }
            | Self::NoSuchHost { .. }
            | Self::NoSuchGuest { .. }
            | Self::OutOfRange { .. }
            | Self::Command { .. }
            | Self::CantRun { .. } => Class::Refused,
            Self::TooSlow { .. } | Self::NotInTime { .. } => Class::Unknown,
            Self::File { .. } => Class::Retry,
            Self::Malformed { .. } => Class::Bug,
        }
    }
}
