//! What a command can fail with: what, how to mend it, and the exit code it ends with.

use crate::exit::Exit;
use muster_core::class::Class;
use muster_core::ids::IdError;
use muster_core::runbook::Mistake;
use muster_proto::channel::{DialError, SiteAddress};
use muster_proto::status::{Fault, TRANSPORT};
use muster_proto::tls::{CERTIFICATE_EXPIRED, NO_IDENTITY, NOT_PERMITTED, TlsError};
use muster_recovery::error::{LinkError, RecoveryError};
use muster_store::StoreError;
use muster_worker::conformance::NotBegun;
use muster_worker::hypervisor::sim::error::SimulationError;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line contradicts itself, or a value in it can't be.
    #[error("{what}; {mend}")]
    Usage {
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
    /// The runbook has mistakes.
    #[error("{}: {}, nothing was done", .path.display(), mend_runbook(.mistakes.len()))]
    Runbook {
        /// The file.
        path: PathBuf,
        /// All of them.
        mistakes: Vec<Mistake>,
    },
    /// A scenario can't be planned.
    #[error("{}: {what}; {mend}; nothing was planned", .path.display())]
    Scenario {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
        /// How to mend it.
        mend: &'static str,
    },
    /// Files of JSON lines have mistakes.
    #[error("{}, nothing was done", mend_lines(.shown.len() + .more))]
    Lines {
        /// Each with its file.
        shown: Vec<(String, Mistake)>,
        /// How many more there are.
        more: usize,
    },
    /// A file can't be read or written.
    #[error("{}: {doing} failed: {source}; check the path and who may use it", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The operating system failed something else.
    #[error("{doing} failed: {source}; check the system's limits and try again")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The port can't be listened on.
    #[error("{address} can't be listened on: {source}; stop what uses it, or give another port (0 takes any)")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Nobody can be called there.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Certificates can't be used.
    #[error("--tls: {0}")]
    Tls(#[from] TlsError),
    /// A certificate can't be made.
    #[error("the certificate can't be made: {why}; nothing that stood before was changed")]
    Pki {
        /// Why.
        why: String,
    },
    /// The orchestrator did not answer, or answered no.
    #[error("the orchestrator at {address}: {fault}; {}", mend(.fault))]
    Orchestrator {
        /// Where.
        address: SiteAddress,
        /// What came instead.
        fault: Box<Fault>,
    },
    /// No worker answers there.
    #[error("the {what}'s worker at {address}: {fault}; {mend}")]
    NoWorker {
        /// Whose.
        what: &'static str,
        /// Where.
        address: SiteAddress,
        /// What came instead.
        fault: Box<Fault>,
        /// What to do.
        mend: &'static str,
    },
    /// A ledger or journal.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A recovery.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// A daemon could not be served.
    #[error("{what} could not go on: {why}; look at its traces with MUSTER_LOG=info")]
    Daemon {
        /// Which daemon.
        what: &'static str,
        /// Why.
        why: String,
        /// What the caller may do.
        class: Class,
    },
    /// The simulated world.
    #[error("{0}; look at the world's own output")]
    World(#[from] SimulationError),
    /// A worker could not be checked at all.
    #[error("the worker could not be checked: {0}; start it, and look at its own output")]
    Conformance(#[from] NotBegun),
    /// Something that was waited for did not come.
    #[error("{what} did not come within {waited_s} s; {mend}")]
    Overdue {
        /// What.
        what: String,
        /// How long it was waited for, in seconds.
        waited_s: u64,
        /// What to look at.
        mend: String,
    },
    /// A step of the demonstration went wrong.
    #[error("{what}; {mend}")]
    Demo {
        /// What.
        what: String,
        /// What to look at.
        mend: String,
    },
    /// Somebody pressed Ctrl-C while something goes on elsewhere.
    #[error("interrupted; {what}")]
    Left {
        /// What goes on, and how to see it.
        what: &'static str,
    },
    /// Somebody pressed Ctrl-C.
    #[error("interrupted; every process that it had started is stopped")]
    Interrupted,
}

impl CliError {
    /// What the caller may do now.
    pub(crate) fn class(&self) -> Class {
        match self {
            CliError::Usage { .. }
            | CliError::Runbook { .. }
            | CliError::Scenario { .. }
            | CliError::Lines { .. }
            | CliError::Pki { .. }
            | CliError::File { .. } => Class::Refused,
            CliError::System { .. } | CliError::Bind { .. } => Class::Retry,
            CliError::Dial(error) => error.class(),
            CliError::Tls(error) => error.class(),
            CliError::Orchestrator { fault, .. } | CliError::NoWorker { fault, .. } => fault.class(),
            CliError::Store(error) => error.class(),
            CliError::Recovery(error) => error.class(),
            CliError::Daemon { class, .. } => *class,
            CliError::World(error) => error.class(),
            CliError::Conformance(error) => error.class(),
            CliError::Overdue { .. } | CliError::Demo { .. } | CliError::Left { .. } | CliError::Interrupted => {
                Class::Unknown
            }
        }
    }

    /// The code to end with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            CliError::Usage { .. }
            | CliError::Runbook { .. }
            | CliError::Scenario { .. }
            | CliError::Lines { .. }
            | CliError::Tls(_)
            | CliError::Pki { .. } => Exit::Usage,
            CliError::Orchestrator { .. } | CliError::Recovery(_) => match self.class() {
                Class::Refused => Exit::Refused,
                Class::Retry | Class::Unknown | Class::Bug => Exit::Failed,
            },
            CliError::File { .. }
            | CliError::System { .. }
            | CliError::Bind { .. }
            | CliError::Dial(_)
            | CliError::NoWorker { .. }
            | CliError::Store(_)
            | CliError::Daemon { .. }
            | CliError::World(_)
            | CliError::Conformance(_)
            | CliError::Overdue { .. }
            | CliError::Demo { .. }
            | CliError::Left { .. }
            | CliError::Interrupted => Exit::Failed,
        }
    }

    /// The error and all that belongs to it, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.to_string()];
        match self {
            CliError::Runbook { path, mistakes } => {
                lines.extend(mistakes.iter().map(|mistake| format!("{}: {mistake}", path.display())));
            }
            CliError::Lines { shown, more } => {
                lines.extend(shown.iter().map(|(file, mistake)| format!("{file}: {mistake}")));
                if *more > 0 {
                    lines.push(format!("{more} more mistakes are not shown; mend these first"));
                }
            }
            CliError::Orchestrator { fault, .. } => {
                let violations = fault.violations.iter();
                lines.extend(violations.map(|violation| format!("{}: {}", violation.field, violation.description)));
            }
            CliError::Usage { .. }
            | CliError::Scenario { .. }
            | CliError::File { .. }
            | CliError::System { .. }
            | CliError::Bind { .. }
            | CliError::Dial(_)
            | CliError::Tls(_)
            | CliError::Pki { .. }
            | CliError::NoWorker { .. }
            | CliError::Store(_)
            | CliError::Recovery(_)
            | CliError::Daemon { .. }
            | CliError::World(_)
            | CliError::Conformance(_)
            | CliError::Overdue { .. }
            | CliError::Demo { .. }
            | CliError::Left { .. }
            | CliError::Interrupted => {}
        }
        lines
    }
}

impl From<IdError> for CliError {
    fn from(error: IdError) -> Self {
        CliError::Usage { what: error.to_string(), mend: "see --help".to_owned() }
    }
}

impl From<LinkError> for CliError {
    fn from(error: LinkError) -> Self {
        CliError::Recovery(error.into())
    }
}

fn mend_runbook(mistakes: usize) -> String {
    match mistakes {
        1 => "1 mistake in the runbook; mend it".to_owned(),
        several => format!("{several} mistakes in the runbook; mend them"),
    }
}

fn mend_lines(mistakes: usize) -> String {
    match mistakes {
        1 => "1 line is wrong; mend it".to_owned(),
        several => format!("{several} lines are wrong; mend them"),
    }
}

/// What a person can do about the orchestrator's answer, or about its absence.
fn mend(fault: &Fault) -> &'static str {
    if fault.reason == TRANSPORT {
        return "start it with \"muster orchestrator\", or give its address with --orchestrator, and --tls if it asks for certificates; without one, recover with --destination";
    }
    if [NOT_PERMITTED, NO_IDENTITY, CERTIFICATE_EXPIRED].contains(&fault.reason.as_str()) {
        return "use a certificate that may, with --tls or MUSTER_TLS; nothing was done";
    }
    match fault.class() {
        Class::Refused => "change what is asked for, or what it meets; nothing was done",
        Class::Retry => "try again in a moment",
        Class::Unknown => "look at \"muster status\" before you repeat it",
        Class::Bug => "keep the journal and the ledgers, and report it",
    }
}
