//! What an orchestrator can refuse or fail with, and the status that says so.

use muster_core::class::Class;
use muster_core::ids::{EvacuationId, RequestId, SiteName, VmId};
use muster_core::plan::{Finding, Severity};
use muster_core::runbook::Mistake;
use muster_proto::convert::InvalidMessage;
use muster_proto::status::{self, Violation};
use muster_proto::tls::NOT_PERMITTED;
use muster_recovery::error::{LinkError, RecoveryError};
use muster_store::{JournalError, StoreError};
use tonic::{Code, Status};

/// Why a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    /// The request can't be taken as it is.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// The runbook is wrong.
    #[error("the runbook has {} mistakes", .mistakes.len())]
    Runbook {
        /// All of them.
        mistakes: Vec<Mistake>,
    },
    /// The runbook is right, and yet nothing can be begun.
    #[error("{} findings stand in the way", .findings.iter().filter(|finding| finding.severity() == Severity::Blocking).count())]
    Blocked {
        /// What blocks, then the warnings.
        findings: Vec<Finding>,
    },
    /// No such site here.
    #[error("site {site} is not known here; known are: {known}")]
    UnknownSite {
        /// Which.
        site: SiteName,
        /// Those that are.
        known: String,
    },
    /// A site.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Claiming, or a recovery.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The journal took no records.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such evacuation.
    #[error("{}", .evacuation.map_or("there is no evacuation yet".to_owned(), |id| format!("there is no evacuation {id}")))]
    NoEvacuation {
        /// Which.
        evacuation: Option<EvacuationId>,
    },
    /// No such move.
    #[error("no evacuation has a VM {vm:?}")]
    NoVm {
        /// What was asked for.
        vm: String,
    },
    /// Several VMs have the name.
    #[error("several VMs are called {name:?}: {ids}; name one by its UUID")]
    Ambiguous {
        /// The name.
        name: String,
        /// Their UUIDs.
        ids: String,
    },
    /// The request id stands for another call.
    #[error("request {request} was another call; use a new id for a new call")]
    RequestIdReused {
        /// The request.
        request: RequestId,
    },
    /// Moves that can't be tried again.
    #[error("{} of these VMs can't be tried again", .vms.len())]
    NotRetried {
        /// Which, and why.
        vms: Vec<(VmId, String)>,
    },
    /// It isn't in a state for this.
    #[error("{what}; {mend}")]
    OutOfOrder {
        /// Stable, for programs.
        reason: &'static str,
        /// What stands against it.
        what: String,
        /// What to do.
        mend: &'static str,
    },
    /// The certificate of whoever orders doesn't reach a VM.
    #[error("{by} may not move VM {vm}, which carries none of the tags of {by}'s certificate; select by these tags")]
    OutOfReach {
        /// Who orders.
        by: String,
        /// The first such VM.
        vm: VmId,
    },
    /// A watcher's token was made from another journal, or from records that this one has lost.
    #[error("the journal doesn't hold what this resume_token was made from; watch without one")]
    NotThisJournal,
    /// Too much at once.
    #[error("{what}, the most is {most}; wait until one is over")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many may be.
        most: usize,
    },
    /// It is about to stop.
    #[error("the orchestrator is about to stop; call again once it is back")]
    Stopping,
}

impl OrchestratorError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            OrchestratorError::Link(error) => error.class(),
            OrchestratorError::Recovery(error) => error.class(),
            OrchestratorError::Journal(error) => error.class(),
            OrchestratorError::Store(error) => error.class(),
            OrchestratorError::TooMany { .. } | OrchestratorError::Stopping => Class::Retry,
            OrchestratorError::Invalid(_)
            | OrchestratorError::Runbook { .. }
            | OrchestratorError::Blocked { .. }
            | OrchestratorError::UnknownSite { .. }
            | OrchestratorError::NoEvacuation { .. }
            | OrchestratorError::NoVm { .. }
            | OrchestratorError::Ambiguous { .. }
            | OrchestratorError::RequestIdReused { .. }
            | OrchestratorError::NotRetried { .. }
            | OrchestratorError::OutOfReach { .. }
            | OrchestratorError::NotThisJournal
            | OrchestratorError::OutOfOrder { .. } => Class::Refused,
        }
    }

    /// Stable, for programs.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            OrchestratorError::Invalid(_)
            | OrchestratorError::Runbook { .. }
            | OrchestratorError::Blocked { .. }
            | OrchestratorError::NotRetried { .. } => status::INVALID_MESSAGE,
            OrchestratorError::UnknownSite { .. } => "UNKNOWN_SITE",
            OrchestratorError::Link(error) => link_reason(error),
            OrchestratorError::Recovery(error) => match error {
                RecoveryError::Link(error) => link_reason(error),
                RecoveryError::Store(_) => "STORE",
                RecoveryError::Id(_) => status::INVALID_MESSAGE,
                RecoveryError::NotOurs { .. } => "HELD_BY_RECOVERY",
                RecoveryError::NoEvacuation { .. } => "NO_EVACUATION",
                RecoveryError::Refused { .. } => "REFUSED",
            },
            OrchestratorError::Journal(_) | OrchestratorError::Store(_) => "STORE",
            OrchestratorError::NoEvacuation { .. } => "NO_EVACUATION",
            OrchestratorError::NoVm { .. } => "NO_VM",
            OrchestratorError::Ambiguous { .. } => "AMBIGUOUS",
            OrchestratorError::RequestIdReused { .. } => "REQUEST_ID_REUSED",
            OrchestratorError::OutOfReach { .. } => NOT_PERMITTED,
            OrchestratorError::OutOfOrder { reason, .. } => reason,
            OrchestratorError::NotThisJournal => "NOT_THIS_JOURNAL",
            OrchestratorError::TooMany { .. } => "TOO_MANY",
            OrchestratorError::Stopping => "STOPPING",
        }
    }
}

fn link_reason(error: &LinkError) -> &str {
    match error {
        LinkError::Dial { .. } | LinkError::Silent { .. } => "SITE_SILENT",
        LinkError::Answer { failure, .. } => &failure.reason,
        LinkError::Nonsense { .. } => status::UNREADABLE_ANSWER,
        LinkError::AnotherSite { .. } => "ANOTHER_SITE",
    }
}

impl From<OrchestratorError> for Status {
    fn from(error: OrchestratorError) -> Self {
        let (class, message) = (error.class(), error.to_string());
        match error {
            OrchestratorError::Invalid(invalid) => invalid.into(),
            OrchestratorError::Runbook { mistakes } => status::invalid(&message, mistakes.iter().map(of_mistake)),
            OrchestratorError::Blocked { findings } => status::invalid(&message, findings.iter().map(of_finding)),
            OrchestratorError::NotRetried { vms } => {
                let violation = |(vm, why): (VmId, String)| Violation { field: format!("vms[{vm}]"), description: why };
                status::invalid(&message, vms.into_iter().map(violation))
            }
            OrchestratorError::NoEvacuation { .. }
            | OrchestratorError::NoVm { .. }
            | OrchestratorError::UnknownSite { .. }
            | OrchestratorError::Recovery(RecoveryError::NoEvacuation { .. }) => {
                status::status_with_code(Code::NotFound, class, error.reason(), &message)
            }
            OrchestratorError::RequestIdReused { .. } => {
                status::status_with_code(Code::InvalidArgument, class, error.reason(), &message)
            }
            OrchestratorError::NotThisJournal => {
                status::status_with_code(Code::OutOfRange, class, error.reason(), &message)
            }
            OrchestratorError::TooMany { .. } => {
                status::status_with_code(Code::ResourceExhausted, class, error.reason(), &message)
            }
            OrchestratorError::Link(_)
            | OrchestratorError::Recovery(_)
            | OrchestratorError::Journal(_)
            | OrchestratorError::Store(_)
            | OrchestratorError::Ambiguous { .. }
            | OrchestratorError::OutOfReach { .. }
            | OrchestratorError::OutOfOrder { .. }
            | OrchestratorError::Stopping => status::status(class, error.reason(), &message),
        }
    }
}

fn of_mistake(mistake: &Mistake) -> Violation {
    Violation {
        field: format!("runbook:{}:{}", mistake.line, mistake.column),
        description: format!("{}; {}", mistake.what, mistake.mend),
    }
}

fn of_finding(finding: &Finding) -> Violation {
    let field = match (finding.severity(), finding.vm) {
        (Severity::Blocking, Some(vm)) => format!("vm:{vm}"),
        (Severity::Blocking, None) => "plan".to_owned(),
        (Severity::Warning, _) => "warning".to_owned(),
    };
    Violation { field, description: finding.to_string() }
}
