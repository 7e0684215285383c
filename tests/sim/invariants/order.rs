//! Invariant 3, Order: roll, record, placeholder, seal, transfer, gone, event, run, retire, close. Each is durable before the
//! next begins, by the true time, whatever the two sites' clocks say.

use super::{Doing, Step, Story};
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::{Attempt, EvacuationId, VmId};
use muster_core::ledger::command::{EventKind, LedgerEvent};
use muster_core::step::Side;
use muster_worker::hypervisor::{Call, VmChange};
use std::collections::{BTreeMap, BTreeSet};

/// How far a VM is in an evacuation.
#[derive(Default)]
struct Course {
    enrolled: [bool; 2],
    opened: BTreeMap<Attempt, ArrivalKind>,
    placed: bool,
    sealed: bool,
    transferred: BTreeSet<Attempt>,
    gone: BTreeSet<Attempt>,
    completed: bool,
    retired: bool,
    source_closed: bool,
}

pub(super) fn breaches(story: &Story<'_>) -> Vec<String> {
    let mut courses: BTreeMap<(EvacuationId, VmId), Course> = BTreeMap::new();
    let mut breaches = Vec::new();
    for step in story.steps() {
        let course = courses.entry((step.evacuation, step.vm)).or_default();
        let missing = match step.doing {
            Doing::Writes(event) => course.writes(&step, event),
            Doing::Calls(call) => course.calls(&step, call),
            Doing::IsAnswered => None,
        };
        breaches.extend(missing.map(|missing| format!("{missing} is missing before: {}", step.entry)));
    }
    breaches
}

impl Course {
    /// What had to be there before this line.
    fn writes(&mut self, step: &Step<'_>, event: &LedgerEvent) -> Option<&'static str> {
        match &event.kind {
            EventKind::Enrolled { side } => {
                self.enrolled[usize::from(*side == Side::Source)] = true;
                None
            }
            EventKind::AttemptOpened { attempt, kind, .. } => {
                self.opened.insert(*attempt, *kind);
                (self.enrolled != [true, true]).then_some("the roll at both sites")
            }
            EventKind::TransferBegun { attempt, .. } => {
                self.transferred.insert(*attempt);
                (!self.sealed).then_some("the seal")
            }
            EventKind::Gone { attempt } => {
                self.gone.insert(*attempt);
                (!self.transferred.contains(attempt)).then_some("its transfer")
            }
            EventKind::Completed { attempt, .. } => {
                self.completed = true;
                match self.opened.get(attempt) {
                    None => Some("the started record"),
                    Some(ArrivalKind::Transfer) => (!self.gone.contains(attempt)).then_some("the proof of gone"),
                    Some(ArrivalKind::ColdStart) => None,
                }
            }
            EventKind::Ran { .. } => (!self.completed).then_some("the event"),
            EventKind::Retired { kept_until: _ } => {
                self.retired = true;
                (!self.completed).then_some("the event")
            }
            EventKind::RetiredCopyDeleted => (!self.retired).then_some("the retirement"),
            EventKind::SourceClosed => {
                self.source_closed = true;
                (self.completed && !self.retired).then_some("the retirement")
            }
            EventKind::DestinationClosed { outcome: Outcome::Migrated } if step.side == Side::Destination => {
                (!self.completed || !self.source_closed).then_some("the event, or the source's close")
            }
            EventKind::DestinationClosed { .. }
            | EventKind::Rebuilt
            | EventKind::Claimed { .. }
            | EventKind::ClaimReleased { .. }
            | EventKind::Asserted { .. }
            | EventKind::FloorRaised
            | EventKind::Abandoned { .. }
            | EventKind::Reopened { .. }
            | EventKind::MutationBegun { .. }
            | EventKind::MutationEnded { .. }
            | EventKind::Cleaned { .. }
            | EventKind::TransferFailed { .. }
            | EventKind::Unsealed
            | EventKind::Released
            | EventKind::MadeInertAgain
            | EventKind::Alarmed { .. } => None,
        }
    }

    /// What had to be there before this call.
    fn calls(&mut self, step: &Step<'_>, call: &Call) -> Option<&'static str> {
        match (step.side, &call.change) {
            (Side::Destination, VmChange::DefinePlaceholder { mark, .. }) => {
                self.placed = true;
                (!self.opened.contains_key(&mark.attempt)).then_some("the started record")
            }
            (Side::Source, VmChange::DefineSealed { .. }) => {
                self.sealed = true;
                (!self.placed).then_some("the placeholder")
            }
            (Side::Source, VmChange::BeginTransfer { mark, .. } | VmChange::BeginDiskCopy { mark, .. }) => {
                (!self.sealed || !self.transferred.contains(&mark.attempt))
                    .then_some("the seal, or the transfer's intent")
            }
            (Side::Destination, VmChange::Resume | VmChange::Start | VmChange::DefineReal { .. }) => {
                (!self.completed).then_some("the event")
            }
            (Side::Source, VmChange::DefineRetired { .. }) => (!self.completed).then_some("the event"),
            (Side::Source, VmChange::DeleteRetired) => (!self.retired).then_some("the retirement"),
            (
                Side::Source | Side::Destination,
                VmChange::DefinePlaceholder { .. }
                | VmChange::DefineSealed { .. }
                | VmChange::DefineRetired { .. }
                | VmChange::DeleteRetired
                | VmChange::DefineReal { .. }
                | VmChange::BeginTransfer { .. }
                | VmChange::BeginDiskCopy { .. }
                | VmChange::AbortJob
                | VmChange::AdjustJob { .. }
                | VmChange::ShutDown
                | VmChange::Start
                | VmChange::Resume
                | VmChange::Remove { .. },
            ) => None,
        }
    }
}
