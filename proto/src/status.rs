//! Errors as gRPC statuses, and statuses as errors.
//!
//! A status that muster made carries `google.rpc.ErrorInfo` with domain [`DOMAIN`], a stable reason and the error's
//! class. Every other status was made by the transport or by a proxy, and means *unknown*: it is never taken for
//! the peer's answer, whatever its code says.

use crate::convert::{InvalidMessage, SiteFailure};
use crate::limits::{RETRY_DELAY, VIOLATION_MAX_BYTES, VIOLATIONS_MAX};
use crate::tls::{CERTIFICATE_EXPIRED, NO_IDENTITY, NOT_PERMITTED};
use muster_core::class::Class;
use muster_core::ids::clip;
use muster_core::ledger::command::Refusal;
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The domain of muster's `ErrorInfo`.
pub const DOMAIN: &str = "muster";

/// The metadata key under which the class travels.
pub const CLASS_KEY: &str = "class";

/// Reason of a status that muster did not make.
pub const TRANSPORT: &str = "TRANSPORT";

/// Reason of a request that is invalid; its violations say where.
pub const INVALID_MESSAGE: &str = "INVALID_MESSAGE";

/// Reason of an answer that can't be read.
pub const UNREADABLE_ANSWER: &str = "UNREADABLE_ANSWER";

/// What a failed call means, read from its status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({reason})")]
pub struct Fault {
    /// What the caller may do now.
    pub class: Class,
    /// Stable, for programs, like `BELOW_FLOOR`; [`TRANSPORT`] if muster did not make the status.
    pub reason: String,
    /// For people.
    pub message: String,
    /// What the peer found wrong with the request's fields.
    pub violations: Vec<Violation>,
    /// How long the peer suggests to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// A field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its path, as in `commands[3].token`; for a runbook, line and column.
    pub field: String,
    /// What is wrong and how to mend it.
    pub description: String,
}

/// A status for an error of this class, with the code that fits it.
#[must_use]
pub fn status(class: Class, reason: &str, message: &str) -> Status {
    status_with_code(code(class, reason), class, reason, message)
}

/// A status with a code of the caller's choice, such as `NOT_FOUND`.
#[must_use]
pub fn status_with_code(code: Code, class: Class, reason: &str, message: &str) -> Status {
    Status::with_error_details(code, clip(message), details(class, reason))
}

/// A status for a request with these wrong fields. What is more than fits a header is counted, not listed.
#[must_use]
pub fn invalid(message: &str, violations: impl IntoIterator<Item = Violation>) -> Status {
    let mut listed: Vec<_> = violations.into_iter().collect();
    let unlisted = listed.len().saturating_sub(VIOLATIONS_MAX);
    listed.truncate(VIOLATIONS_MAX);
    let message = if unlisted == 0 { clip(message) } else { clip(&format!("{message} (and {unlisted} more)")) };
    let short = |violation: Violation| FieldViolation::new(shorten(&violation.field), shorten(&violation.description));
    let mut details = details(Class::Refused, INVALID_MESSAGE);
    details.set_bad_request(listed.into_iter().map(short).collect::<Vec<_>>());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A status for a ledger's refusal.
#[must_use]
pub fn refusal_status(refusal: &Refusal) -> Status {
    status(refusal.class(), refusal.reason(), &refusal.to_string())
}

impl From<InvalidMessage> for Status {
    fn from(error: InvalidMessage) -> Self {
        let message = error.to_string();
        invalid(&message, [Violation { field: error.field, description: error.problem.to_string() }])
    }
}

impl From<SiteFailure> for Status {
    fn from(failure: SiteFailure) -> Self {
        status(failure.class, &failure.reason, &failure.message)
    }
}

impl From<Fault> for Status {
    /// Passes a fault on. One that the transport made becomes muster's own word that it is unknown.
    fn from(fault: Fault) -> Self {
        if fault.violations.is_empty() {
            status(fault.class, &fault.reason, &fault.message)
        } else {
            invalid(&fault.message, fault.violations)
        }
    }
}

impl From<Fault> for SiteFailure {
    fn from(fault: Fault) -> Self {
        SiteFailure::new(fault.class, &fault.reason, &fault.message)
    }
}

impl From<&Status> for Fault {
    fn from(status: &Status) -> Self {
        let details = status.check_error_details().unwrap_or_default();
        let Some(info) = details.error_info().filter(|info| info.domain == DOMAIN) else {
            let message = clip(&format!("{}: {}", status.code().description(), status.message()));
            return Fault::bare(Class::Unknown, TRANSPORT, message);
        };
        // A class that this version doesn't know proves nothing about what happened.
        let class = info.metadata.get(CLASS_KEY).and_then(|word| class_of(word)).unwrap_or(Class::Unknown);
        let violation = |violation: &FieldViolation| Violation {
            field: clip(&violation.field),
            description: clip(&violation.description),
        };
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        Fault {
            violations: violations.iter().take(VIOLATIONS_MAX).map(violation).collect(),
            retry_after_ms: delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
            ..Fault::bare(class, &clip(&info.reason), clip(status.message()))
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Fault::from(&status)
    }
}

impl Fault {
    /// A call that came to no answer in time, by the caller's own clock: unknown, like all that the peer didn't say.
    #[must_use]
    pub fn timed_out(what: &str) -> Self {
        Fault::bare(Class::Unknown, TRANSPORT, clip(&format!("{what}: no answer in time")))
    }

    /// An answer that can't be read: whether its call took effect is unknown.
    #[must_use]
    pub fn unreadable(invalid: &InvalidMessage) -> Self {
        Fault::bare(Class::Unknown, UNREADABLE_ANSWER, clip(&format!("the answer can't be read: {invalid}")))
    }

    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    fn bare(class: Class, reason: &str, message: String) -> Self {
        Fault { class, reason: reason.to_owned(), message, violations: Vec::new(), retry_after_ms: None }
    }
}

fn details(class: Class, reason: &str) -> ErrorDetails {
    let metadata = HashMap::from([(CLASS_KEY.to_owned(), class_word(class).to_owned())]);
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    match class {
        Class::Retry => {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        Class::Refused | Class::Unknown | Class::Bug => {}
    }
    details
}

/// The code for people's tools and proxies; muster's own callers go by class and reason. Losing a race is ABORTED:
/// read again before you repeat it.
fn code(class: Class, reason: &str) -> Code {
    match (class, reason) {
        (Class::Retry, "BUSY") => Code::Aborted,
        (Class::Retry, _) => Code::Unavailable,
        (Class::Refused, "BELOW_FLOOR" | "CLAIMED_IN_BETWEEN") => Code::Aborted,
        (Class::Refused, INVALID_MESSAGE) => Code::InvalidArgument,
        (Class::Refused, NO_IDENTITY | CERTIFICATE_EXPIRED) => Code::Unauthenticated,
        (Class::Refused, NOT_PERMITTED) => Code::PermissionDenied,
        (Class::Refused, _) => Code::FailedPrecondition,
        (Class::Unknown, _) => Code::Unknown,
        (Class::Bug, _) => Code::Internal,
    }
}

fn class_word(class: Class) -> &'static str {
    match class {
        Class::Retry => "retry",
        Class::Refused => "refused",
        Class::Unknown => "unknown",
        Class::Bug => "bug",
    }
}

fn class_of(word: &str) -> Option<Class> {
    [Class::Retry, Class::Refused, Class::Unknown, Class::Bug].into_iter().find(|class| class_word(*class) == word)
}

/// A violation's text, short enough that a header holds all of them.
fn shorten(text: &str) -> String {
    let clipped = clip(text);
    let end = (0..=VIOLATION_MAX_BYTES.min(clipped.len())).rev().find(|end| clipped.is_char_boundary(*end));
    clipped[..end.unwrap_or(0)].to_owned()
}
