//! Why a ledger refuses a command, and what the caller may do then.

use crate::class::Class;
use crate::ids::{EvacuationId, VmId};
use crate::ledger::Mutation;
use crate::step::Side;
use crate::token::{Epoch, Token};

/// Why a ledger refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An older command.
    #[error("token {token} is below the floor {floor} of VM {vm}: somebody newer has taken over")]
    BelowFloor {
        /// The VM.
        vm: VmId,
        /// The command's token.
        token: Token,
        /// The floor.
        floor: Token,
    },
    /// A mutation is under way.
    #[error("a mutation ({mutation:?}) of VM {vm} is still under way; observe and try again")]
    Busy {
        /// The VM.
        vm: VmId,
        /// Which.
        mutation: Mutation,
    },
    /// Another evacuation has it.
    #[error("VM {vm} is in the open evacuation {other}; finish, cancel or recover that one first")]
    InAnotherEvacuation {
        /// The VM.
        vm: VmId,
        /// The evacuation that has it.
        other: EvacuationId,
    },
    /// It isn't on this evacuation's roll here.
    #[error("VM {vm} is not on the roll of evacuation {evacuation} at this site as its {side}")]
    NotOnRoll {
        /// The VM.
        vm: VmId,
        /// The evacuation.
        evacuation: EvacuationId,
        /// As which side it was looked for.
        side: Side,
    },
    /// The row's state doesn't allow it.
    #[error("VM {vm}: {wanted} is not allowed here: {because}")]
    NotInOrder {
        /// The VM.
        vm: VmId,
        /// What was wanted.
        wanted: &'static str,
        /// Why not.
        because: &'static str,
    },
    /// Too many leftovers.
    #[error("VM {vm} has {LEFTOVERS} given-up attempts that aren't cleaned up; bring their hosts back first", LEFTOVERS = crate::ledger::LEFTOVERS_MAX)]
    TooManyLeftovers {
        /// The VM.
        vm: VmId,
    },
    /// Somebody claimed in between.
    #[error("evacuation {evacuation} was claimed by somebody else: epoch {found}, expected {expected}", found = found.0, expected = expected.0)]
    ClaimedInBetween {
        /// The evacuation.
        evacuation: EvacuationId,
        /// What the claimant had read.
        expected: Epoch,
        /// What stands.
        found: Epoch,
    },
    /// A recovery holds the claim.
    #[error(
        "evacuation {evacuation} is held by the recovery {holder:?}; release it there, or take it over with a reason"
    )]
    HeldByRecovery {
        /// The evacuation.
        evacuation: EvacuationId,
        /// The recovery's name.
        holder: String,
    },
    /// Too many assertions.
    #[error("evacuation {evacuation} has as many assertions as it can keep")]
    TooManyAssertions {
        /// The evacuation.
        evacuation: EvacuationId,
    },
}

impl Refusal {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Refusal::Busy { .. } => Class::Retry,
            Refusal::BelowFloor { .. }
            | Refusal::InAnotherEvacuation { .. }
            | Refusal::NotOnRoll { .. }
            | Refusal::NotInOrder { .. }
            | Refusal::TooManyLeftovers { .. }
            | Refusal::ClaimedInBetween { .. }
            | Refusal::HeldByRecovery { .. }
            | Refusal::TooManyAssertions { .. } => Class::Refused,
        }
    }

    /// The reason as it goes over the wire: stable, for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::BelowFloor { .. } => "BELOW_FLOOR",
            Refusal::Busy { .. } => "BUSY",
            Refusal::InAnotherEvacuation { .. } => "IN_ANOTHER_EVACUATION",
            Refusal::NotOnRoll { .. } => "NOT_ON_ROLL",
            Refusal::NotInOrder { .. } => "NOT_IN_ORDER",
            Refusal::TooManyLeftovers { .. } => "TOO_MANY_LEFTOVERS",
            Refusal::ClaimedInBetween { .. } => "CLAIMED_IN_BETWEEN",
            Refusal::HeldByRecovery { .. } => "HELD_BY_RECOVERY",
            Refusal::TooManyAssertions { .. } => "TOO_MANY_ASSERTIONS",
        }
    }
}
