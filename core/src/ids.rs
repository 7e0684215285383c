//! Identities and names. A value of one of these types has been validated; nothing else can make one.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use uuid::Uuid;

/// Longest name of a site or host, in bytes: a DNS label's limit, so that names fit certificates and paths.
pub const NAME_MAX_BYTES: usize = 63;

/// Longest display name of a VM, in bytes.
pub const VM_NAME_MAX_BYTES: usize = 255;

/// Longest free text (a reason, an error message kept in a record), in bytes.
pub const TEXT_MAX_BYTES: usize = 1024;

/// A name or id that can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a UUID.
    #[error("{what} {given:?} is not a UUID; write it like 6ba7b810-9dad-41d1-80b4-00c04fd430c8")]
    NotUuid {
        /// What was being read.
        what: &'static str,
        /// What was given.
        given: String,
    },
    /// A site's or host's name that breaks the rule.
    #[error(
        "{what} {given:?} is not a name; use 1 to {NAME_MAX_BYTES} letters, digits, '-', '_' or '.', starting with a letter or digit"
    )]
    NotName {
        /// What was being read.
        what: &'static str,
        /// What was given.
        given: String,
    },
    /// A VM's display name that breaks the rule.
    #[error("VM name {given:?} can't be used; use 1 to {VM_NAME_MAX_BYTES} bytes without control characters or '/'")]
    NotVmName {
        /// What was given.
        given: String,
    },
    /// Attempts are counted from 1.
    #[error("attempt 0 does not exist; attempts are counted from 1")]
    AttemptZero,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(given: &str) -> Result<Self, IdError> {
                Uuid::parse_str(given)
                    .map(Self)
                    .map_err(|_| IdError::NotUuid { what: $what, given: clip(given) })
            }
        }
    };
}

uuid_id!(
    /// A VM's own UUID: the same at the source, in the placeholder and after arrival.
    VmId,
    "VM id"
);
uuid_id!(
    /// One evacuation: a batch of moves made from a runbook.
    EvacuationId,
    "evacuation id"
);
uuid_id!(
    /// One mutating call; the same id and payload gets the first answer again.
    RequestId,
    "request id"
);

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(given: &str) -> Result<Self, IdError> {
                if is_name(given) {
                    Ok(Self(given.to_owned()))
                } else {
                    Err(IdError::NotName { what: $what, given: clip(given) })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(given: String) -> Result<Self, IdError> {
                given.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name_id!(
    /// A site: a set of hosts behind one worker, with one ledger.
    SiteName,
    "site"
);
name_id!(
    /// A host of a site.
    HostName,
    "host"
);
name_id!(
    /// A command of the orchestrator's own configuration, as runbooks name it. Never a path.
    CommandName,
    "command"
);
name_id!(
    /// A person, a tool or a daemon, as certificates and the audit trail call it.
    PartyName,
    "name"
);

/// A VM's display name: what people call it. Never used to identify it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmName(String);

impl VmName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for VmName {
    type Err = IdError;
    fn from_str(given: &str) -> Result<Self, IdError> {
        let fits = !given.is_empty() && given.len() <= VM_NAME_MAX_BYTES;
        if fits && !given.chars().any(|c| c.is_control() || c == '/') {
            Ok(Self(given.to_owned()))
        } else {
            Err(IdError::NotVmName { given: clip(given) })
        }
    }
}

impl TryFrom<String> for VmName {
    type Error = IdError;
    fn try_from(given: String) -> Result<Self, IdError> {
        given.parse()
    }
}

impl From<VmName> for String {
    fn from(name: VmName) -> String {
        name.0
    }
}

/// The count of a try of one move, from 1. Allocated by the destination's ledger and by nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(NonZeroU32);

impl Attempt {
    /// The first try.
    pub const FIRST: Attempt = Attempt(NonZeroU32::MIN);

    /// The attempt with this count.
    ///
    /// # Errors
    /// `AttemptZero` for 0.
    pub fn new(count: u32) -> Result<Self, IdError> {
        NonZeroU32::new(count).map(Self).ok_or(IdError::AttemptZero)
    }

    /// The count, from 1.
    #[must_use]
    pub fn count(self) -> u32 {
        self.0.get()
    }

    /// The try after this one; stays at the greatest count there is.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Cuts free text to [`TEXT_MAX_BYTES`] at a character's border and takes out control characters, so that what
/// came from outside can be stored and printed.
#[must_use]
pub fn clip(text: &str) -> String {
    let mut clipped = String::new();
    for c in text.chars() {
        let shown = if c.is_control() { ' ' } else { c };
        if clipped.len() + shown.len_utf8() > TEXT_MAX_BYTES {
            break;
        }
        clipped.push(shown);
    }
    clipped
}

fn is_name(given: &str) -> bool {
    let starts_well = given.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    starts_well
        && given.len() <= NAME_MAX_BYTES
        && given.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_or_markup_are_refused() {
        for bad in ["", "..", "-x", "a/b", "a b", "a\n", "<a>", &"x".repeat(64)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?} was taken");
        }
        assert!("rack-7.host_03".parse::<HostName>().is_ok());
    }

    #[test]
    fn clipping_keeps_characters_whole() {
        let clipped = clip(&"ä\u{7}".repeat(2000));
        assert!(clipped.len() <= TEXT_MAX_BYTES && !clipped.contains('\u{7}'));
    }
}
