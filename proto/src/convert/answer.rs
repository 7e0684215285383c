//! A site's answer about one VM: a reading, or why there is none.

use super::invalid::{InvalidMessage, Problem};
use super::read::{bounded_text, enumerated, nested, parsed, present};
use crate::limits::REASON_MAX_BYTES;
use crate::worker::v1 as pb;
use muster_core::class::Class;
use muster_core::ids::{VmId, clip};
use muster_core::ledger::command::Refusal;
use muster_core::reading::SiteReading;

/// What became of a command or an observation of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmAnswer {
    /// The VM.
    pub vm: VmId,
    /// What is to be seen of it, or why the site did not do it.
    pub result: Result<SiteReading, SiteFailure>,
}

/// Why a site did not do what it was asked for one VM. One VM's failure inside a batch; a whole call's failure is a
/// [`crate::status::Fault`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({reason})")]
pub struct SiteFailure {
    /// What the caller may do now.
    pub class: Class,
    /// Stable, for programs: 1 to 63 bytes, like `BELOW_FLOOR`.
    pub reason: String,
    /// For people: at most 1,024 bytes.
    pub message: String,
}

impl SiteFailure {
    /// A failure of this class; the message is clipped to what may be stored and printed.
    #[must_use]
    pub fn new(class: Class, reason: &str, message: &str) -> Self {
        SiteFailure { class, reason: reason.to_owned(), message: clip(message) }
    }

    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }
}

impl From<&Refusal> for SiteFailure {
    fn from(refusal: &Refusal) -> Self {
        SiteFailure::new(refusal.class(), refusal.reason(), &refusal.to_string())
    }
}

impl From<VmAnswer> for pb::CommandOutcome {
    fn from(answer: VmAnswer) -> Self {
        use pb::command_outcome::Result;
        let result = match answer.result {
            Ok(reading) => Result::Reading(reading.into()),
            Err(failure) => Result::Failure(failure.into()),
        };
        pb::CommandOutcome { vm: answer.vm.to_string(), result: Some(result) }
    }
}

impl TryFrom<pb::CommandOutcome> for VmAnswer {
    type Error = InvalidMessage;
    fn try_from(message: pb::CommandOutcome) -> Result<Self, InvalidMessage> {
        use pb::command_outcome::Result;
        let vm = parsed("vm", &message.vm)?;
        match present("result", message.result)? {
            Result::Reading(reading) => reading_of(vm, reading),
            Result::Failure(failure) => failure_of(vm, failure),
        }
    }
}

impl From<VmAnswer> for pb::Observation {
    fn from(answer: VmAnswer) -> Self {
        use pb::observation::Result;
        let result = match answer.result {
            Ok(reading) => Result::Reading(reading.into()),
            Err(failure) => Result::Failure(failure.into()),
        };
        pb::Observation { vm: answer.vm.to_string(), result: Some(result) }
    }
}

impl TryFrom<pb::Observation> for VmAnswer {
    type Error = InvalidMessage;
    fn try_from(message: pb::Observation) -> Result<Self, InvalidMessage> {
        use pb::observation::Result;
        let vm = parsed("vm", &message.vm)?;
        match present("result", message.result)? {
            Result::Reading(reading) => reading_of(vm, reading),
            Result::Failure(failure) => failure_of(vm, failure),
        }
    }
}

impl From<SiteFailure> for pb::Failure {
    fn from(failure: SiteFailure) -> Self {
        let class = match failure.class {
            Class::Retry => pb::FailureClass::Retry,
            Class::Refused => pb::FailureClass::Refused,
            Class::Unknown => pb::FailureClass::Unknown,
            Class::Bug => pb::FailureClass::Bug,
        };
        pb::Failure { class: class.into(), reason: failure.reason, message: failure.message }
    }
}

impl TryFrom<pb::Failure> for SiteFailure {
    type Error = InvalidMessage;
    fn try_from(message: pb::Failure) -> Result<Self, InvalidMessage> {
        let class = enumerated("class", "FailureClass", message.class, |class| match class {
            pb::FailureClass::Unspecified => None,
            pb::FailureClass::Retry => Some(Class::Retry),
            pb::FailureClass::Refused => Some(Class::Refused),
            pb::FailureClass::Unknown => Some(Class::Unknown),
            pb::FailureClass::Bug => Some(Class::Bug),
        })?;
        let reason = bounded_text("reason", message.reason, REASON_MAX_BYTES)?;
        // The class decides, the words are for people: clipped, so that no wording hides the class.
        Ok(SiteFailure { class, reason, message: clip(&message.message) })
    }
}

fn reading_of(vm: VmId, message: pb::SiteReading) -> Result<VmAnswer, InvalidMessage> {
    let reading: SiteReading = nested("reading", message)?;
    if reading.vm == vm {
        Ok(VmAnswer { vm, result: Ok(reading) })
    } else {
        Err(InvalidMessage::new("reading.vm", Problem::Disagrees { other: "vm" }))
    }
}

fn failure_of(vm: VmId, message: pb::Failure) -> Result<VmAnswer, InvalidMessage> {
    Ok(VmAnswer { vm, result: Err(nested("failure", message)?) })
}
