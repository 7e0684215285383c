//! Commands on their way. Holds no rule of the protocol.

use crate::state::Leg;
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::Attempt;
use muster_core::step::Side;
use muster_core::token::Token;

/// A command on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) leg: Leg,
    pub(crate) sender: Sender,
    pub(crate) token: Token,
    pub(crate) order: Order,
    /// The source's worker has asked the destination's whether its copy may run, and was told yes.
    pub(crate) allowed: bool,
}

impl Message {
    pub(crate) fn rank(&self) -> (Token, Leg, Sender, u8, bool) {
        (self.token, self.leg, self.sender, self.order.rank(), self.allowed)
    }

    /// Where it is going now: the sites of a move back have changed places.
    pub(crate) fn side(&self, leg: Leg) -> Side {
        match (self.order.side(), self.leg == leg) {
            (side, true) => side,
            (Side::Source, false) => Side::Destination,
            (Side::Destination, false) => Side::Source,
        }
    }
}

/// Who sent a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sender {
    Actor(u8),
    SourceWorker,
}

/// What a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    Open(Attempt, ArrivalKind),
    Place(Attempt),
    Commit(Attempt),
    Run,
    Abandon(Attempt),
    Reopen(Attempt),
    Discard,
    CloseDestination(Outcome),
    Seal,
    Transfer(Attempt),
    Abort,
    Resume,
    Start,
    Unseal,
    Retire,
    CloseSource,
}

impl Order {
    pub(crate) fn side(self) -> Side {
        match self {
            Order::Open(..)
            | Order::Place(_)
            | Order::Commit(_)
            | Order::Run
            | Order::Abandon(_)
            | Order::Reopen(_)
            | Order::Discard
            | Order::CloseDestination(_) => Side::Destination,
            Order::Seal
            | Order::Transfer(_)
            | Order::Abort
            | Order::Resume
            | Order::Start
            | Order::Unseal
            | Order::Retire
            | Order::CloseSource => Side::Source,
        }
    }

    /// The attempt that the hypervisor call is for.
    pub(crate) fn attempt(self) -> Option<Attempt> {
        match self {
            Order::Open(attempt, _)
            | Order::Place(attempt)
            | Order::Commit(attempt)
            | Order::Abandon(attempt)
            | Order::Reopen(attempt)
            | Order::Transfer(attempt) => Some(attempt),
            Order::Run
            | Order::Discard
            | Order::CloseDestination(_)
            | Order::Seal
            | Order::Abort
            | Order::Resume
            | Order::Start
            | Order::Unseal
            | Order::Retire
            | Order::CloseSource => None,
        }
    }

    /// It lets the source's copy run.
    pub(crate) fn runs_the_source(self) -> bool {
        match self {
            Order::Resume | Order::Start | Order::Unseal => true,
            Order::Open(..)
            | Order::Place(_)
            | Order::Commit(_)
            | Order::Run
            | Order::Abandon(_)
            | Order::Reopen(_)
            | Order::Discard
            | Order::CloseDestination(_)
            | Order::Seal
            | Order::Transfer(_)
            | Order::Abort
            | Order::Retire
            | Order::CloseSource => false,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Order::Open(_, ArrivalKind::Transfer) => 0,
            Order::Place(_) => 1,
            Order::Commit(_) => 2,
            Order::Run => 3,
            Order::Abandon(_) => 4,
            Order::Reopen(_) => 5,
            Order::Discard => 6,
            Order::CloseDestination(_) => 7,
            Order::Seal => 8,
            Order::Transfer(_) => 9,
            Order::Abort => 10,
            Order::Resume => 11,
            Order::Start => 12,
            Order::Unseal => 13,
            Order::Retire => 14,
            Order::CloseSource => 15,
            Order::Open(_, ArrivalKind::ColdStart) => 16,
        }
    }
}
