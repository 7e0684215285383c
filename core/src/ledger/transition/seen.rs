//! Facts: what a worker saw happen. They arrive in any order and any number of times.

use crate::ids::{Attempt, clip};
use crate::ledger::command::{EventKind, MutationResult, VmFact};
use crate::ledger::{
    ArrivalRecord, AtDestination, AtSource, Enrolled, Mutation, Ran, RetiredCopy, SourceState, Standing, Transfer,
    VmRow,
};
use crate::step::Side;
use crate::time::Timestamp;
use crate::token::Token;

pub(super) fn mutation_ended(row: &mut VmRow, token: Token, result: &MutationResult, fact: &VmFact) -> Vec<EventKind> {
    let Some(intent) = row.intent.take_if(|intent| intent.token == token) else {
        return Vec::new();
    };
    let error = match result {
        MutationResult::Failed { error } => Some(clip(error)),
        MutationResult::Unseen => Some("its end was not seen".to_owned()),
        MutationResult::Done | MutationResult::Ran { .. } | MutationResult::Cleaned { .. } => None,
    };
    let mut kinds = vec![EventKind::MutationEnded { mutation: intent.mutation, error }];
    match result {
        MutationResult::Done => kinds.extend(done(row, intent.mutation, fact.at)),
        MutationResult::Ran { downtime_ms } => kinds.extend(ran(row, fact, *downtime_ms)),
        MutationResult::Cleaned { attempts } => kinds.extend(cleaned(row, attempts)),
        MutationResult::Failed { .. } | MutationResult::Unseen => {}
    }
    kinds
}

pub(super) fn transfer_failed(row: &mut VmRow, attempt: Attempt, error: &str) -> Vec<EventKind> {
    match source_state(row) {
        Some(SourceState::Sealed { transfer: Some(transfer) })
            if transfer.attempt == attempt && transfer.failed.is_none() =>
        {
            transfer.failed = Some(clip(error));
            vec![EventKind::TransferFailed { attempt, error: clip(error) }]
        }
        Some(SourceState::Sealed { .. } | SourceState::Unsealed | SourceState::Gone { .. } | SourceState::Retired)
        | None => Vec::new(),
    }
}

/// What a ledger knows it knows better.
pub(super) fn found(row: &mut VmRow, found: &VmRow) -> Vec<EventKind> {
    let Some(standing) = found.standing().filter(|_| row.enrolled.is_none() && found.vm == row.vm) else {
        return Vec::new();
    };
    let side = match standing {
        Standing::Destination(_) => Side::Destination,
        Standing::Source(_) => Side::Source,
    };
    let floor = row.floor.max(found.floor);
    *row = VmRow { floor, intent: None, ..found.clone() };
    vec![EventKind::Enrolled { side }]
}

/// Only while the sealing itself is under way: afterwards somebody else may have changed the definition, and what a
/// transfer that is not known to have failed has left is not forgotten on its strength.
pub(super) fn not_sealed(row: &mut VmRow) -> Vec<EventKind> {
    let is_sealing = row.intent.as_ref().is_some_and(|intent| intent.mutation == Mutation::Seal);
    match source_state(row) {
        Some(state @ SourceState::Sealed { .. }) if is_sealing && !is_sent(state) => {
            *state = SourceState::Unsealed;
            vec![EventKind::Unsealed]
        }
        Some(SourceState::Sealed { .. } | SourceState::Unsealed | SourceState::Gone { .. } | SourceState::Retired)
        | None => Vec::new(),
    }
}

fn is_sent(state: &SourceState) -> bool {
    match state {
        SourceState::Sealed { transfer: Some(transfer) } => transfer.failed.is_none(),
        SourceState::Sealed { transfer: None } | SourceState::Unsealed => false,
        SourceState::Gone { .. } | SourceState::Retired => true,
    }
}

pub(super) fn gone(row: &mut VmRow, attempt: Attempt) -> Vec<EventKind> {
    match source_state(row) {
        Some(state) => match state {
            SourceState::Sealed { transfer: Some(transfer) } if transfer.attempt == attempt => {
                let transfer = Transfer { failed: None, ..transfer.clone() };
                *state = SourceState::Gone { transfer };
                vec![EventKind::Gone { attempt }]
            }
            SourceState::Sealed { .. } | SourceState::Unsealed | SourceState::Gone { .. } | SourceState::Retired => {
                Vec::new()
            }
        },
        None => Vec::new(),
    }
}

/// Somebody may want the copy: who deletes it when its time has come gives them all of that time.
pub(super) fn made_inert_again(row: &mut VmRow, now: Timestamp) -> Vec<EventKind> {
    if let Some(at) = at_source(row)
        && let RetiredCopy::KeptUntil { keep_ms, .. } = at.retired_copy
    {
        at.retired_copy = RetiredCopy::KeptUntil { at: now.plus_ms(keep_ms), keep_ms };
    }
    vec![EventKind::MadeInertAgain]
}

fn done(row: &mut VmRow, mutation: Mutation, now: Timestamp) -> Option<EventKind> {
    match mutation {
        Mutation::Unseal | Mutation::Start => {
            let state = source_state(row)?;
            *state = SourceState::Unsealed;
            Some(EventKind::Unsealed)
        }
        Mutation::Release => {
            let at = at_source(row)?;
            at.state = SourceState::Unsealed;
            at.retired_copy = RetiredCopy::Kept;
            Some(EventKind::Released)
        }
        Mutation::Delete => {
            let at = at_source(row)?;
            at.retired_copy = RetiredCopy::Deleted { at: now };
            Some(EventKind::RetiredCopyDeleted)
        }
        Mutation::Place
        | Mutation::Resume
        | Mutation::Run
        | Mutation::Discard
        | Mutation::Seal
        | Mutation::Transfer
        | Mutation::Abort
        | Mutation::Adjust
        | Mutation::Retire => None,
    }
}

fn ran(row: &mut VmRow, fact: &VmFact, downtime_ms: Option<u64>) -> Option<EventKind> {
    match at_destination(row) {
        Some(AtDestination { record: ArrivalRecord::Completed(completed), .. }) if completed.ran.is_none() => {
            completed.ran = Some(Ran { at: fact.at, downtime_ms });
            Some(EventKind::Ran { downtime_ms })
        }
        Some(_) | None => None,
    }
}

pub(super) fn cleaned(row: &mut VmRow, attempts: &[Attempt]) -> Option<EventKind> {
    let at = at_destination(row)?;
    let before = at.leftovers.len();
    at.leftovers.retain(|leftover| !attempts.contains(&leftover.attempt));
    (at.leftovers.len() < before).then(|| EventKind::Cleaned { attempts: attempts.to_vec() })
}

fn source_state(row: &mut VmRow) -> Option<&mut SourceState> {
    at_source(row).map(|at| &mut at.state)
}

fn at_source(row: &mut VmRow) -> Option<&mut AtSource> {
    match row.enrolled.as_mut() {
        Some(Enrolled { standing: Standing::Source(at), .. }) => Some(at),
        Some(Enrolled { standing: Standing::Destination(_), .. }) | None => None,
    }
}

fn at_destination(row: &mut VmRow) -> Option<&mut AtDestination> {
    match row.enrolled.as_mut() {
        Some(Enrolled { standing: Standing::Destination(at), .. }) => Some(at),
        Some(Enrolled { standing: Standing::Source(_), .. }) | None => None,
    }
}
