//! News and history in the words of the wire. Converts; decides nothing.

use crate::site::News;
use muster_core::class::Class;
use muster_core::ids::{IdError, clip};
use muster_core::ledger::command::LedgerEvent;
use muster_proto::convert::{Alarm, EvacuationClaims, InvalidMessage, LedgerLine, News as Said, SiteNews};
use muster_proto::status;
use muster_proto::worker::v1 as wire;
use serde_json::Value;
use std::str::FromStr;
use tonic::Status;

/// The key under which serde puts an event's name.
const NAME_KEY: &str = "event";

pub(super) fn parsed<C: FromStr<Err = IdError>>(field: &str, given: &str) -> Result<C, InvalidMessage> {
    given.parse().map_err(|error: IdError| InvalidMessage::new(field, error))
}

pub(super) fn site_event(sequence: u64, news: News) -> wire::SiteEvent {
    let news = match news {
        News::Reading(reading) => Said::Reading(Box::new(reading.as_ref().clone())),
        News::Claims(evacuation, claims) => {
            Said::Claims(EvacuationClaims { evacuation, claims: claims.as_ref().clone() })
        }
        News::Alarm { vm, reason, message } => Said::Alarm(Alarm { vm, reason, message: clip(&message) }),
        News::Alive => Said::Alive,
    };
    SiteNews { sequence, news }.into()
}

/// A line of history: the event's serde tag is its name, the rest its particulars.
pub(super) fn ledger_line(sequence: u64, event: LedgerEvent) -> Result<wire::LedgerLine, Status> {
    let unspeakable = || status::status(Class::Bug, "BROKEN_PROMISE", "an event of the ledger can't be put into words");
    let Ok(Value::Object(mut detail)) = serde_json::to_value(&event.kind) else { return Err(unspeakable()) };
    let Some(Value::String(name)) = detail.remove(NAME_KEY) else { return Err(unspeakable()) };
    let line = LedgerLine {
        sequence,
        at: event.at,
        evacuation: event.evacuation,
        vm: event.vm,
        token: event.token,
        caller: event.caller,
        event: name,
        detail_json: Value::Object(detail).to_string(),
    };
    Ok(line.into())
}
