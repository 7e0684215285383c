//! What is wrong with a message, and where.

use muster_core::class::Class;
use muster_core::fingerprint::NotFingerprint;
use muster_core::ids::IdError;

/// A message that can't be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidMessage {
    /// The field's path from the message's root, as in `commands[3].token`.
    pub field: String,
    /// What is wrong with it and how to mend it.
    pub problem: Problem,
}

/// What can be wrong with a field. Each says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not set.
    #[error("is missing; set it")]
    Missing,
    /// A name, a UUID or an attempt that can't be one.
    #[error(transparent)]
    Identity(#[from] IdError),
    /// An enum's value that is unspecified or that this version doesn't know.
    #[error("value {value} is not one of {kind}'s; use a named value other than UNSPECIFIED")]
    NotInEnum {
        /// The enum's name.
        kind: &'static str,
        /// What was given.
        value: i32,
    },
    /// More items than allowed.
    #[error("has {given} items; send at most {max}, and the rest in further messages")]
    TooMany {
        /// How many were given.
        given: usize,
        /// How many may be.
        max: usize,
    },
    /// A text that is too long.
    #[error("is {given} bytes long; use at most {max}")]
    TooLong {
        /// How long it is, in bytes.
        given: usize,
        /// How long it may be, in bytes.
        max: usize,
    },
    /// No SHA-256 in hex.
    #[error(transparent)]
    Fingerprint(#[from] NotFingerprint),
    /// No kind of line in the audit trail.
    #[error("is no name of an audit line; use one that such a line carries as its record")]
    NoSuchRecord,
    /// A text with nothing in it.
    #[error("is empty; say something")]
    Empty,
    /// A text with characters that can't be printed.
    #[error("holds control characters; take them out")]
    ControlCharacters,
    /// A number outside its range.
    #[error("is {given}; use {min} to {max}")]
    OutOfRange {
        /// What was given.
        given: u64,
        /// The least allowed.
        min: u64,
        /// The greatest allowed.
        max: u64,
    },
    /// A mark of presence that says false.
    #[error("is false; it is true whenever it is set")]
    MarkedFalse,
    /// The same thing twice.
    #[error("stands twice, first at [{first}]; send it once")]
    Repeated {
        /// The index of its first appearance.
        first: usize,
    },
    /// Two fields that must agree and don't.
    #[error("does not agree with {other}; make them the same")]
    Disagrees {
        /// The other field.
        other: &'static str,
    },
}

impl InvalidMessage {
    /// `problem` with the field of this name.
    #[must_use]
    pub fn new(field: impl Into<String>, problem: impl Into<Problem>) -> Self {
        InvalidMessage { field: field.into(), problem: problem.into() }
    }

    /// The same, seen from the message that holds this one as its field `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = if self.field.is_empty() { parent.to_owned() } else { format!("{parent}.{}", self.field) };
        self
    }

    /// What the sender may do now: change the message. A reader of an *answer* doesn't know by it whether its call
    /// took effect; see [`crate::status::Fault::unreadable`].
    #[must_use]
    pub fn class(&self) -> Class {
        Class::Refused
    }
}
