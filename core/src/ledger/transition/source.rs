//! The source's rows: sealing, letting go, taking back.

use super::Legal;
use crate::definition::Disk;
use crate::ids::{Attempt, HostName};
use crate::ledger::command::{EventKind, Refusal, VmCommand, VmOrder};
use crate::ledger::{AtSource, Enrolled, Mutation, RetiredCopy, SourceState, Standing, Transfer, VmRow};
use crate::step::Side;

pub(super) fn order(row: &VmRow, command: &VmCommand) -> Result<Legal, Refusal> {
    let not_on_roll = || Refusal::NotOnRoll { vm: row.vm, evacuation: command.evacuation, side: Side::Source };
    let enrolled = row.enrolled.as_ref().ok_or_else(not_on_roll)?;
    let at = match &enrolled.standing {
        Standing::Source(at) if at.evacuation == command.evacuation => at,
        Standing::Source(_) | Standing::Destination(_) => return Err(not_on_roll()),
    };
    let out_of_order = |wanted, because| Refusal::NotInOrder { vm: row.vm, wanted, because };
    let is_about_retired_copy = matches!(command.order, VmOrder::BeginRelease | VmOrder::BeginDelete);
    if at.closed && !is_about_retired_copy {
        return Err(out_of_order("a change at the source", "the source's part of this move is over"));
    }
    match &command.order {
        VmOrder::BeginSeal { definition } => match &at.state {
            SourceState::Unsealed => Ok(sealed(enrolled, at, None).with_definition(definition.as_ref().clone())),
            SourceState::Sealed { transfer } => Ok(sealed(enrolled, at, transfer.clone())),
            SourceState::Gone { .. } | SourceState::Retired => {
                Err(out_of_order("sealing", "the source has let the VM go"))
            }
        },
        VmOrder::BeginTransfer { attempt, host } => begin_transfer(row, enrolled, at, command, *attempt, host),
        VmOrder::BeginAbort => Ok(Legal::mutation(Mutation::Abort)),
        VmOrder::BeginAdjust => match &at.state {
            SourceState::Sealed { transfer: Some(Transfer { failed: None, .. }) } => {
                Ok(Legal::mutation(Mutation::Adjust))
            }
            SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Gone { .. } | SourceState::Retired => {
                Err(out_of_order("adjusting a transfer", "none is under way"))
            }
        },
        VmOrder::BeginResume => not_retired(row, at, Mutation::Resume),
        VmOrder::BeginStart => not_retired(row, at, Mutation::Start),
        VmOrder::BeginUnseal => not_retired(row, at, Mutation::Unseal),
        VmOrder::BeginRetire { keep_ms } => Ok(retire(enrolled, at, command, *keep_ms)),
        VmOrder::BeginRelease => match (&at.state, at.retired_copy) {
            (SourceState::Retired, RetiredCopy::Kept | RetiredCopy::KeptUntil { .. }) => {
                Ok(Legal::mutation(Mutation::Release))
            }
            (SourceState::Retired, RetiredCopy::Deleted { .. }) => {
                Err(out_of_order("a release", "the retired copy was deleted when its time had come"))
            }
            (SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Gone { .. }, _) => {
                Err(out_of_order("a release", "the copy is not retired"))
            }
        },
        VmOrder::BeginDelete if at.is_due(command.at) => Ok(Legal::mutation(Mutation::Delete)),
        VmOrder::BeginDelete => {
            let because = "it is not retired, its part in the move is not over, or its time has not come";
            Err(out_of_order("deleting the retired copy", because))
        }
        VmOrder::CloseSource => close(row, enrolled, at),
        VmOrder::Enrol { .. }
        | VmOrder::RaiseFloor
        | VmOrder::OpenAttempt { .. }
        | VmOrder::BeginPlace { .. }
        | VmOrder::Abandon { .. }
        | VmOrder::Reopen { .. }
        | VmOrder::Complete { .. }
        | VmOrder::BeginRun
        | VmOrder::BeginDiscard
        | VmOrder::CloseDestination { .. } => Err(out_of_order("a destination's order", "this site is the source")),
    }
}

fn sealed(enrolled: &Enrolled, at: &AtSource, transfer: Option<Transfer>) -> Legal {
    let standing = AtSource { state: SourceState::Sealed { transfer }, ..at.clone() };
    Legal::silent(enrolled, Standing::Source(standing)).and_mutation(Mutation::Seal)
}

/// An order that is repeated under another token changes nothing of how long the copy is kept.
fn retire(enrolled: &Enrolled, at: &AtSource, command: &VmCommand, keep_ms: Option<u64>) -> Legal {
    let retired_copy = match (&at.state, keep_ms, enrolled.entry.definition.disk) {
        (SourceState::Retired, _, _) => at.retired_copy,
        (
            SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Gone { .. },
            Some(keep_ms),
            Disk::Shared,
        ) => RetiredCopy::KeptUntil { at: command.at.plus_ms(keep_ms), keep_ms },
        // Its definition is the only record of whose the files are that it leaves.
        (SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Gone { .. }, None, _)
        | (
            SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Gone { .. },
            Some(_),
            Disk::Local { .. },
        ) => RetiredCopy::Kept,
    };
    let kept_until = match retired_copy {
        RetiredCopy::KeptUntil { at, .. } => Some(at),
        RetiredCopy::Kept | RetiredCopy::Deleted { .. } => None,
    };
    let standing = AtSource { state: SourceState::Retired, retired_copy, ..at.clone() };
    Legal::record(enrolled, Standing::Source(standing), EventKind::Retired { kept_until })
        .and_mutation(Mutation::Retire)
}

fn begin_transfer(
    row: &VmRow,
    enrolled: &Enrolled,
    at: &AtSource,
    command: &VmCommand,
    attempt: Attempt,
    host: &HostName,
) -> Result<Legal, Refusal> {
    let out_of_order = |because| Refusal::NotInOrder { vm: row.vm, wanted: "a transfer", because };
    match &at.state {
        SourceState::Sealed { transfer: Some(last) } if last.attempt >= attempt => {
            Err(out_of_order("a transfer of this attempt, or of a later one, was begun before"))
        }
        SourceState::Sealed { .. } => {
            let transfer = Transfer { attempt, token: command.token, host: host.clone(), failed: None };
            let standing = AtSource { state: SourceState::Sealed { transfer: Some(transfer) }, ..at.clone() };
            let event = EventKind::TransferBegun { attempt, host: host.clone() };
            Ok(Legal::record(enrolled, Standing::Source(standing), event).and_mutation(Mutation::Transfer))
        }
        // A cold VM whose earlier attempt was given up after it was let go: off all the time, so it may go again.
        SourceState::Gone { transfer } if transfer.attempt < attempt => {
            let transfer = Transfer { attempt, token: command.token, host: host.clone(), failed: None };
            let standing = AtSource { state: SourceState::Sealed { transfer: Some(transfer) }, ..at.clone() };
            let event = EventKind::TransferBegun { attempt, host: host.clone() };
            Ok(Legal::record(enrolled, Standing::Source(standing), event).and_mutation(Mutation::Transfer))
        }
        SourceState::Unsealed => Err(out_of_order("it must be sealed first")),
        SourceState::Gone { .. } | SourceState::Retired => Err(out_of_order("the source has let the VM go")),
    }
}

fn not_retired(row: &VmRow, at: &AtSource, mutation: Mutation) -> Result<Legal, Refusal> {
    match at.state {
        SourceState::Unsealed | SourceState::Sealed { .. } | SourceState::Gone { .. } => Ok(Legal::mutation(mutation)),
        // Invariant 6, Forward only: retiring follows the event, and only an admin's release takes it back.
        SourceState::Retired => Err(Refusal::NotInOrder {
            vm: row.vm,
            wanted: "running the source's copy",
            because: "it is retired: the VM is at the destination",
        }),
    }
}

fn close(row: &VmRow, enrolled: &Enrolled, at: &AtSource) -> Result<Legal, Refusal> {
    match at.state {
        SourceState::Unsealed | SourceState::Retired => {
            let standing = AtSource { closed: true, ..at.clone() };
            Ok(Legal::record(enrolled, Standing::Source(standing), EventKind::SourceClosed))
        }
        SourceState::Sealed { .. } | SourceState::Gone { .. } => Err(Refusal::NotInOrder {
            vm: row.vm,
            wanted: "closing the source's part",
            because: "the VM is sealed: unseal it or retire it first",
        }),
    }
}
