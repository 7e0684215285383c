//! Tokens and floors: how an older command is known for what it is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of a claim on an evacuation. Greater means later; the holder of the greatest is the one who may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The number of a command within its claim, counted per VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// What every command on a VM carries. Ordered by epoch, then sequence; per VM it only grows.
///
/// A worker's *floor* for a VM is the greatest token it has seen. Below it a command is refused, equal to it the
/// command is answered again but not executed again, above it the command is executed and the floor rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Token {
    /// The claim.
    pub epoch: Epoch,
    /// The command within it.
    pub sequence: Sequence,
}

impl Token {
    /// Below every token that a claim can issue.
    pub const ZERO: Token = Token { epoch: Epoch(0), sequence: Sequence(0) };

    /// The token with these numbers.
    #[must_use]
    pub const fn new(epoch: u64, sequence: u64) -> Self {
        Token { epoch: Epoch(epoch), sequence: Sequence(sequence) }
    }

    /// The next token of the same claim.
    #[must_use]
    pub fn next(self) -> Self {
        Token { epoch: self.epoch, sequence: Sequence(self.sequence.0.saturating_add(1)) }
    }

    /// How this token stands to a worker's floor.
    #[must_use]
    pub fn against(self, floor: Token) -> TokenStanding {
        match self.cmp(&floor) {
            std::cmp::Ordering::Less => TokenStanding::Below,
            std::cmp::Ordering::Equal => TokenStanding::Equal,
            std::cmp::Ordering::Greater => TokenStanding::Above,
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.epoch.0, self.sequence.0)
    }
}

/// Where a token stands to a floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenStanding {
    /// Older than the floor: refuse it.
    Below,
    /// Seen before: answer it again, do nothing.
    Equal,
    /// New: execute it and raise the floor to it.
    Above,
}
