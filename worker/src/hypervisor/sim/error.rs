//! What can go wrong between a test and its world.

use super::world::{FaultError, FleetError, WorldError};
use muster_core::class::Class;

/// What driving a world can fail with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SimulationError {
    /// The world can't be reached, or has ended. What was asked may have been done.
    #[error("the simulated world can't be reached: {message}")]
    Gone {
        /// What was seen.
        message: String,
    },
    /// It said something that makes no sense.
    #[error("nonsense from the simulated world: {message}")]
    Nonsense {
        /// What.
        message: String,
    },
    /// A fault could not be made.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A VM or fleet could not be made.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The world could not be made.
    #[error(transparent)]
    World(#[from] WorldError),
}

impl SimulationError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            SimulationError::Gone { .. } => Class::Unknown,
            SimulationError::Nonsense { .. } => Class::Bug,
            SimulationError::Fault(error) => error.class(),
            SimulationError::Fleet(error) => error.class(),
            SimulationError::World(error) => error.class(),
        }
    }

    pub(super) fn ended() -> SimulationError {
        SimulationError::Gone { message: "it has ended".to_owned() }
    }
}
