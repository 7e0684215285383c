//! The one question every error of muster answers: what may the caller do now?

use serde::{Deserialize, Serialize};

/// What an error means for whoever sees it. Every error enum of muster has a `class()` that returns one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Class {
    /// Nothing happened; the same call may succeed later, within a retry budget.
    Retry,
    /// Nothing happened and nothing will: the call itself, or the state it meets, has to change first.
    Refused,
    /// It can't be known whether the call took effect. Only a reading can tell; never assume either answer.
    Unknown,
    /// A promise of muster's own code is broken. Stop, keep everything, tell a person.
    Bug,
}
