//! The event stands: forward only (invariant 6). No path from here runs, starts, resumes or unseals the source.

use super::source::SourceStanding;
use super::{Case, act, doubt, hold, wait};
use crate::definition::Mode;
use crate::evidence::{ArrivalKind, CopyState, OtherCopy, Outcome, Seal};
use crate::step::{Action, Decision, Hold, Wait};
use crate::verdict::{Doubt, Verdict};

impl Case<'_> {
    pub(super) fn completed(&self, kind: ArrivalKind) -> Decision {
        match self.source {
            SourceStanding::Running | SourceStanding::Paused => {
                return doubt(Doubt::SourceAfterEvent, Hold::Contradiction);
            }
            SourceStanding::Silent
            | SourceStanding::Fenced
            | SourceStanding::Busy
            | SourceStanding::Gone
            | SourceStanding::Stopped
            | SourceStanding::ShutDown
            | SourceStanding::Several => {}
        }
        if self.destination.other == OtherCopy::Running {
            return doubt(Doubt::ForeignCopy, Hold::ForeignCopy);
        }
        let comes_up_from_disk = kind == ArrivalKind::ColdStart || self.order.mode != Mode::Live;
        match self.destination.copy {
            CopyState::Paused => act(Verdict::FullyMigrated, Action::Run),
            CopyState::Placeholder if comes_up_from_disk => act(Verdict::FullyMigrated, Action::Run),
            CopyState::Absent | CopyState::Placeholder | CopyState::Incoming => {
                doubt(Doubt::EventWithoutVm, Hold::Contradiction)
            }
            CopyState::Crashed if self.order.mode != Mode::Off => act(Verdict::FullyMigrated, Action::Run),
            CopyState::Running | CopyState::ShutDown | CopyState::Crashed => self.clean_up(),
            // Starting it elsewhere is for whoever runs the destination: only they know that the host is dead.
            CopyState::HostSilent => hold(Verdict::FullyMigrated, Hold::DestinationHostSilent),
        }
    }

    fn clean_up(&self) -> Decision {
        let migrated = Verdict::FullyMigrated;
        match self.destination.other {
            left @ (OtherCopy::Inert | OtherCopy::HoldsMemory) if self.is_in_the_way(left) => {
                return act(migrated, Action::Discard);
            }
            OtherCopy::Foreign => return hold(migrated, Hold::ForeignCopy),
            OtherCopy::Absent | OtherCopy::Inert | OtherCopy::HoldsMemory | OtherCopy::Running => {}
        }
        if self.source == SourceStanding::Busy {
            return wait(migrated, Wait::Job);
        }
        match self.seal() {
            None => hold(migrated, Hold::RetireOwed),
            Some(Seal::Retired) => act(migrated, Action::CloseSource),
            Some(Seal::Closed) => act(migrated, Action::CloseDestination(Outcome::Migrated)),
            Some(Seal::NotOnRoll) => hold(migrated, Hold::NotOnRoll),
            Some(Seal::Unsealed | Seal::Sealed(_) | Seal::Gone { .. }) => match self.source {
                SourceStanding::Silent | SourceStanding::Fenced => hold(migrated, Hold::RetireOwed),
                SourceStanding::Gone | SourceStanding::Stopped if self.source_host_is_silent() => {
                    hold(migrated, Hold::RetireOwed)
                }
                SourceStanding::Gone | SourceStanding::Stopped | SourceStanding::ShutDown => {
                    act(migrated, Action::Retire)
                }
                SourceStanding::Busy | SourceStanding::Running | SourceStanding::Paused | SourceStanding::Several => {
                    wait(migrated, Wait::Job)
                }
            },
        }
    }
}
