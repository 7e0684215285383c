//! What reaching a site, claiming and recovering can fail with.

use muster_core::class::Class;
use muster_core::ids::{EvacuationId, IdError, SiteName};
use muster_proto::channel::DialError;
use muster_proto::convert::{InvalidMessage, SiteFailure};
use muster_proto::status::Fault;
use muster_store::StoreError;

/// Why a site's answer is not there, or not yes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// It can't be called.
    #[error("the worker of {site} can't be called: {message}")]
    Dial {
        /// Which site.
        site: SiteName,
        /// What was seen.
        message: String,
    },
    /// No answer: nothing is known.
    #[error("the worker of {site} does not answer: {message}")]
    Silent {
        /// Which site.
        site: SiteName,
        /// What was seen.
        message: String,
    },
    /// It answered no.
    #[error("{site}: {failure}")]
    Answer {
        /// Which site.
        site: SiteName,
        /// Its answer.
        failure: SiteFailure,
    },
    /// It answered something that makes no sense.
    #[error("the worker of {site} answers nonsense: {source}")]
    Nonsense {
        /// Which site.
        site: SiteName,
        /// What is wrong with it.
        #[source]
        source: InvalidMessage,
    },
    /// Another site answers there.
    #[error("at the address of {site} answers {found}; mend the address")]
    AnotherSite {
        /// Who was called.
        site: SiteName,
        /// Who answered.
        found: String,
    },
}

impl LinkError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            LinkError::Dial { .. } | LinkError::Silent { .. } => Class::Unknown,
            LinkError::Answer { failure, .. } => failure.class,
            LinkError::Nonsense { .. } => Class::Bug,
            LinkError::AnotherSite { .. } => Class::Refused,
        }
    }

    /// Whether the answer was that somebody with a newer token has taken over.
    #[must_use]
    pub fn is_below_floor(&self) -> bool {
        match self {
            LinkError::Answer { failure, .. } => failure.reason == "BELOW_FLOOR",
            LinkError::Dial { .. }
            | LinkError::Silent { .. }
            | LinkError::Nonsense { .. }
            | LinkError::AnotherSite { .. } => false,
        }
    }

    /// Whether the answer was that the two sites' workers don't reach each other.
    #[must_use]
    pub fn is_path_unproven(&self) -> bool {
        match self {
            LinkError::Answer { failure, .. } => failure.reason == "PATH_UNPROVEN",
            LinkError::Dial { .. }
            | LinkError::Silent { .. }
            | LinkError::Nonsense { .. }
            | LinkError::AnotherSite { .. } => false,
        }
    }

    pub(crate) fn dial(site: &SiteName, error: &DialError) -> Self {
        LinkError::Dial { site: site.clone(), message: error.to_string() }
    }

    pub(crate) fn status(site: &SiteName, status: &tonic::Status) -> Self {
        let fault = Fault::from(status);
        let site = site.clone();
        if fault.reason == muster_proto::status::TRANSPORT {
            return LinkError::Silent { site, message: fault.message };
        }
        let failure = SiteFailure { class: fault.class, reason: fault.reason, message: fault.message };
        LinkError::Answer { site, failure }
    }
}

/// Why a recovery, or the loop of a move, could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A site.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The journal or a ledger file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name or id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Somebody else holds the claim.
    #[error("the claim on evacuation {evacuation} is somebody else's: {holder}")]
    NotOurs {
        /// The evacuation.
        evacuation: EvacuationId,
        /// Whose it is.
        holder: String,
    },
    /// No such evacuation.
    #[error("no evacuation is known there{}", .evacuation.map(|id| format!(" by the id {id}")).unwrap_or_default())]
    NoEvacuation {
        /// The one that was asked for.
        evacuation: Option<EvacuationId>,
    },
    /// An assertion or order that can't be kept.
    #[error("{what}; {mend}")]
    Refused {
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
}

impl RecoveryError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            RecoveryError::Link(error) => error.class(),
            RecoveryError::Store(error) => error.class(),
            RecoveryError::Id(_)
            | RecoveryError::NotOurs { .. }
            | RecoveryError::NoEvacuation { .. }
            | RecoveryError::Refused { .. } => Class::Refused,
        }
    }
}
