//! What a ledger holds of a VM.

use super::definition::{disk, local_disk_mib, mode};
use super::invalid::InvalidMessage;
use super::read::{attempt, each, enumerated, marked, nested, optional, parsed, present, required, within_range};
use crate::worker::v1 as pb;
use muster_core::evidence::{ArrivalKind, Outcome};
use muster_core::ids::clip;
use muster_core::ledger::{
    ArrivalRecord, AtDestination, AtSource, Closed, Completed, LEFTOVERS_MAX, Ran, RetiredCopy, SourceState, Standing,
    Started, Transfer,
};
use muster_core::runbook::Retention;
use muster_core::time::Timestamp;

impl From<Standing> for pb::site_reading::Standing {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Destination(at) => pb::site_reading::Standing::Destination(at.into()),
            Standing::Source(at) => pb::site_reading::Standing::Source(at.into()),
        }
    }
}

impl TryFrom<pb::site_reading::Standing> for Standing {
    type Error = InvalidMessage;
    fn try_from(message: pb::site_reading::Standing) -> Result<Self, InvalidMessage> {
        match message {
            pb::site_reading::Standing::Destination(at) => Ok(Standing::Destination(nested("destination", at)?)),
            pb::site_reading::Standing::Source(at) => Ok(Standing::Source(nested("source", at)?)),
        }
    }
}

impl From<AtDestination> for pb::AtDestination {
    fn from(at: AtDestination) -> Self {
        use pb::at_destination::Record;
        let record = match at.record {
            ArrivalRecord::Enrolled => Record::Enrolled(true),
            ArrivalRecord::Started(started) => Record::Started(started.into()),
            ArrivalRecord::Abandoned(started) => Record::Abandoned(started.into()),
            ArrivalRecord::Completed(completed) => Record::Completed(completed.into()),
            ArrivalRecord::Closed(closed) => Record::Closed(closed.into()),
        };
        pb::AtDestination {
            evacuation: at.evacuation.to_string(),
            mode: pb::Mode::from(at.mode).into(),
            local_disk_mib: local_disk_mib(at.disk),
            record: Some(record),
            leftovers: at.leftovers.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::AtDestination> for AtDestination {
    type Error = InvalidMessage;
    fn try_from(message: pb::AtDestination) -> Result<Self, InvalidMessage> {
        use pb::at_destination::Record;
        let record = match present("record", message.record)? {
            Record::Enrolled(given) => marked("enrolled", given, ArrivalRecord::Enrolled)?,
            Record::Started(started) => ArrivalRecord::Started(nested("started", started)?),
            Record::Abandoned(started) => ArrivalRecord::Abandoned(nested("abandoned", started)?),
            Record::Completed(completed) => ArrivalRecord::Completed(nested("completed", completed)?),
            Record::Closed(closed) => ArrivalRecord::Closed(nested("closed", closed)?),
        };
        Ok(AtDestination {
            evacuation: parsed("evacuation", &message.evacuation)?,
            mode: mode("mode", message.mode)?,
            disk: disk("local_disk_mib", message.local_disk_mib)?,
            record,
            leftovers: each("leftovers", message.leftovers, LEFTOVERS_MAX)?,
        })
    }
}

impl From<Started> for pb::Started {
    fn from(started: Started) -> Self {
        pb::Started {
            attempt: started.attempt.count(),
            host: started.host.into(),
            kind: pb::ArrivalKind::from(started.kind).into(),
            token: Some(started.token.into()),
            at_ms: started.at.0,
        }
    }
}

impl TryFrom<pb::Started> for Started {
    type Error = InvalidMessage;
    fn try_from(message: pb::Started) -> Result<Self, InvalidMessage> {
        Ok(Started {
            attempt: attempt("attempt", message.attempt)?,
            host: parsed("host", &message.host)?,
            kind: arrival_kind("kind", message.kind)?,
            token: required("token", message.token)?,
            at: Timestamp(message.at_ms),
        })
    }
}

impl From<Completed> for pb::Completed {
    fn from(completed: Completed) -> Self {
        pb::Completed {
            started: Some(completed.started.into()),
            token: Some(completed.token.into()),
            at_ms: completed.at.0,
            late: completed.late,
            ran_at_ms: completed.ran.map(|ran| ran.at.0),
            downtime_ms: completed.ran.and_then(|ran| ran.downtime_ms),
        }
    }
}

impl TryFrom<pb::Completed> for Completed {
    type Error = InvalidMessage;
    fn try_from(message: pb::Completed) -> Result<Self, InvalidMessage> {
        let ran = match (message.ran_at_ms, message.downtime_ms) {
            (Some(at), downtime_ms) => Some(Ran { at: Timestamp(at), downtime_ms }),
            (None, None) => None,
            // A downtime has ended when the VM ran; one without the other is half a message.
            (None, Some(_)) => present("ran_at_ms", None)?,
        };
        Ok(Completed {
            started: required("started", message.started)?,
            token: required("token", message.token)?,
            at: Timestamp(message.at_ms),
            late: message.late,
            ran,
        })
    }
}

impl From<Closed> for pb::Closed {
    fn from(closed: Closed) -> Self {
        pb::Closed {
            outcome: pb::Outcome::from(closed.outcome).into(),
            attempts: closed.attempts,
            at_ms: closed.at.0,
            downtime_ms: closed.downtime_ms,
        }
    }
}

impl TryFrom<pb::Closed> for Closed {
    type Error = InvalidMessage;
    fn try_from(message: pb::Closed) -> Result<Self, InvalidMessage> {
        Ok(Closed {
            outcome: outcome("outcome", message.outcome)?,
            attempts: message.attempts,
            at: Timestamp(message.at_ms),
            downtime_ms: message.downtime_ms,
        })
    }
}

impl From<AtSource> for pb::AtSource {
    fn from(at: AtSource) -> Self {
        use pb::at_source::State;
        let state = match at.state {
            SourceState::Unsealed => State::Unsealed(true),
            SourceState::Sealed { transfer } => State::Sealed(pb::Sealed { transfer: transfer.map(Into::into) }),
            SourceState::Gone { transfer } => State::Gone(transfer.into()),
            SourceState::Retired => State::Retired(true),
        };
        use pb::at_source::RetiredCopy as Copy;
        let retired_copy = match at.retired_copy {
            RetiredCopy::Kept => None,
            RetiredCopy::KeptUntil { at, keep_ms } => Some(Copy::KeptUntil(pb::KeptUntil { at_ms: at.0, keep_ms })),
            RetiredCopy::Deleted { at } => Some(Copy::DeletedAtMs(at.0)),
        };
        pb::AtSource {
            evacuation: at.evacuation.to_string(),
            mode: pb::Mode::from(at.mode).into(),
            state: Some(state),
            closed: at.closed,
            retired_copy,
        }
    }
}

impl TryFrom<pb::AtSource> for AtSource {
    type Error = InvalidMessage;
    fn try_from(message: pb::AtSource) -> Result<Self, InvalidMessage> {
        use pb::at_source::State;
        let state = match present("state", message.state)? {
            State::Unsealed(given) => marked("unsealed", given, SourceState::Unsealed)?,
            State::Sealed(sealed) => SourceState::Sealed { transfer: optional("sealed.transfer", sealed.transfer)? },
            State::Gone(transfer) => SourceState::Gone { transfer: nested("gone", transfer)? },
            State::Retired(given) => marked("retired", given, SourceState::Retired)?,
        };
        Ok(AtSource {
            evacuation: parsed("evacuation", &message.evacuation)?,
            mode: mode("mode", message.mode)?,
            state,
            closed: message.closed,
            retired_copy: match message.retired_copy {
                None => RetiredCopy::Kept,
                Some(pb::at_source::RetiredCopy::KeptUntil(kept)) => {
                    let keep_ms = kept_ms("kept_until.keep_ms", kept.keep_ms)?;
                    RetiredCopy::KeptUntil { at: Timestamp(kept.at_ms), keep_ms }
                }
                Some(pb::at_source::RetiredCopy::DeletedAtMs(at_ms)) => RetiredCopy::Deleted { at: Timestamp(at_ms) },
            },
        })
    }
}

/// How long a retired copy is kept.
pub(super) fn kept_ms(field: &str, given: u64) -> Result<u64, InvalidMessage> {
    within_range(field, given, Retention::MIN_MS, Retention::MAX_MS)?;
    Ok(given)
}

impl From<Transfer> for pb::Transfer {
    fn from(transfer: Transfer) -> Self {
        pb::Transfer {
            attempt: transfer.attempt.count(),
            token: Some(transfer.token.into()),
            host: transfer.host.into(),
            failed: transfer.failed,
        }
    }
}

impl TryFrom<pb::Transfer> for Transfer {
    type Error = InvalidMessage;
    fn try_from(message: pb::Transfer) -> Result<Self, InvalidMessage> {
        Ok(Transfer {
            attempt: attempt("attempt", message.attempt)?,
            token: required("token", message.token)?,
            host: parsed("host", &message.host)?,
            // Its presence is evidence, its words are for people: clipped, so that no wording hides the evidence.
            failed: message.failed.as_deref().map(clip),
        })
    }
}

impl From<ArrivalKind> for pb::ArrivalKind {
    fn from(kind: ArrivalKind) -> Self {
        match kind {
            ArrivalKind::Transfer => pb::ArrivalKind::Transfer,
            ArrivalKind::ColdStart => pb::ArrivalKind::ColdStart,
        }
    }
}

pub(super) fn arrival_kind(field: &str, value: i32) -> Result<ArrivalKind, InvalidMessage> {
    enumerated(field, "ArrivalKind", value, |kind| match kind {
        pb::ArrivalKind::Unspecified => None,
        pb::ArrivalKind::Transfer => Some(ArrivalKind::Transfer),
        pb::ArrivalKind::ColdStart => Some(ArrivalKind::ColdStart),
    })
}

impl From<Outcome> for pb::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Migrated => pb::Outcome::Migrated,
            Outcome::StayedAtSource => pb::Outcome::StayedAtSource,
        }
    }
}

pub(super) fn outcome(field: &str, value: i32) -> Result<Outcome, InvalidMessage> {
    enumerated(field, "Outcome", value, |outcome| match outcome {
        pb::Outcome::Unspecified => None,
        pb::Outcome::Migrated => Some(Outcome::Migrated),
        pb::Outcome::StayedAtSource => Some(Outcome::StayedAtSource),
    })
}
