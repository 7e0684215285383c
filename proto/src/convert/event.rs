//! What a site says by itself: its status, its news and its history.

use super::answer::SiteFailure;
use super::claims::EvacuationClaims;
use super::invalid::{InvalidMessage, Problem};
use super::read::{bounded_text, marked, nested, optional, parsed, present, text, unless_empty};
use crate::limits::{DETAIL_MAX_BYTES, REASON_MAX_BYTES};
use crate::worker::v1 as pb;
use muster_core::ids::{EvacuationId, SiteName, VmId, clip};
use muster_core::ledger::command::Caller;
use muster_core::reading::SiteReading;
use muster_core::time::Timestamp;
use muster_core::token::Token;

/// Who a site is and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteStatus {
    /// Its name.
    pub site: SiteName,
    /// That it takes work, or why it doesn't.
    pub working: Result<(), String>,
    /// Its clock.
    pub now: Timestamp,
    /// Its software's version.
    pub version: String,
    /// The newest sequence number of its ledger.
    pub newest_sequence: u64,
    /// When its ledger's newest entry was written; none where it has none.
    pub newest_entry_at: Option<Timestamp>,
    /// When its ledger was rebuilt, if ever.
    pub rebuilt_at: Option<Timestamp>,
    /// The sites that have seen no more of its ledger than it holds.
    pub confirmed_by: Vec<SiteName>,
}

impl From<SiteStatus> for pb::GetSiteResponse {
    fn from(status: SiteStatus) -> Self {
        pb::GetSiteResponse {
            site: status.site.into(),
            working: status.working.is_ok(),
            not_working_because: status.working.err().unwrap_or_default(),
            now_ms: status.now.0,
            version: status.version,
            newest_sequence: status.newest_sequence,
            newest_entry_at_ms: status.newest_entry_at.map(|at| at.0),
            rebuilt_at_ms: status.rebuilt_at.map(|at| at.0),
            confirmed_by: status.confirmed_by.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::GetSiteResponse> for SiteStatus {
    type Error = InvalidMessage;
    fn try_from(message: pb::GetSiteResponse) -> Result<Self, InvalidMessage> {
        Ok(SiteStatus {
            site: parsed("site", &message.site)?,
            working: if message.working { Ok(()) } else { Err(clip(&message.not_working_because)) },
            now: Timestamp(message.now_ms),
            version: clip(&message.version),
            newest_sequence: message.newest_sequence,
            newest_entry_at: message.newest_entry_at_ms.map(Timestamp),
            rebuilt_at: message.rebuilt_at_ms.map(Timestamp),
            confirmed_by: message
                .confirmed_by
                .iter()
                .map(|site| parsed("confirmed_by", site))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// One message of a site's watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteNews {
    /// The ledger's newest sequence number when it was sent: where to resume from.
    pub sequence: u64,
    /// What.
    pub news: News,
}

/// What a site can have to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something of this VM has changed.
    Reading(Box<SiteReading>),
    /// An evacuation's claim or assertions have changed.
    Claims(EvacuationClaims),
    /// Something that a person should know.
    Alarm(Alarm),
    /// Nothing changed; the site is alive.
    Alive,
}

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The VM it is about, if it is about one.
    pub vm: Option<VmId>,
    /// Stable, for programs: 1 to 63 bytes.
    pub reason: String,
    /// For people: at most 1,024 bytes.
    pub message: String,
}

impl From<SiteNews> for pb::SiteEvent {
    fn from(news: SiteNews) -> Self {
        use pb::site_event::Event;
        let event = match news.news {
            News::Reading(reading) => Event::Reading((*reading).into()),
            News::Claims(claims) => Event::Claims(claims.into()),
            News::Alarm(alarm) => Event::Alarm(alarm.into()),
            News::Alive => Event::Alive(true),
        };
        pb::SiteEvent { sequence: news.sequence, event: Some(event) }
    }
}

impl TryFrom<pb::SiteEvent> for SiteNews {
    type Error = InvalidMessage;
    fn try_from(message: pb::SiteEvent) -> Result<Self, InvalidMessage> {
        use pb::site_event::Event;
        let news = match present("event", message.event)? {
            Event::Reading(reading) => News::Reading(Box::new(nested("reading", reading)?)),
            Event::Claims(claims) => News::Claims(nested("claims", claims)?),
            Event::Alarm(alarm) => News::Alarm(nested("alarm", alarm)?),
            Event::Alive(given) => marked("alive", given, News::Alive)?,
        };
        Ok(SiteNews { sequence: message.sequence, news })
    }
}

impl From<Alarm> for pb::Alarm {
    fn from(alarm: Alarm) -> Self {
        pb::Alarm { vm: alarm.vm.map(|vm| vm.to_string()), reason: alarm.reason, message: alarm.message }
    }
}

impl TryFrom<pb::Alarm> for Alarm {
    type Error = InvalidMessage;
    fn try_from(message: pb::Alarm) -> Result<Self, InvalidMessage> {
        Ok(Alarm {
            vm: message.vm.map(|vm| parsed("vm", &vm)).transpose()?,
            reason: bounded_text("reason", message.reason, REASON_MAX_BYTES)?,
            message: clip(&message.message),
        })
    }
}

impl Alarm {
    /// The alarm that a failure is.
    #[must_use]
    pub fn of(vm: Option<VmId>, failure: &SiteFailure) -> Self {
        Alarm { vm, reason: failure.reason.clone(), message: failure.message.clone() }
    }
}

/// A line of a ledger's history, for people and for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerLine {
    /// Its number.
    pub sequence: u64,
    /// When, by the worker's clock.
    pub at: Timestamp,
    /// The evacuation, where there is one.
    pub evacuation: Option<EvacuationId>,
    /// The VM, where there is one.
    pub vm: Option<VmId>,
    /// The token it was done under; none for facts.
    pub token: Option<Token>,
    /// The event's name, stable: 1 to 63 bytes.
    pub event: String,
    /// Its particulars, as a JSON object.
    pub detail_json: String,
    /// Who ordered it.
    pub caller: Caller,
}

impl From<LedgerLine> for pb::LedgerLine {
    fn from(line: LedgerLine) -> Self {
        pb::LedgerLine {
            sequence: line.sequence,
            at_ms: line.at.0,
            evacuation: line.evacuation.map(|id| id.to_string()).unwrap_or_default(),
            vm: line.vm.map(|id| id.to_string()).unwrap_or_default(),
            token: line.token.map(Into::into),
            event: line.event,
            detail_json: line.detail_json,
            by: line.caller.by.unwrap_or_default(),
            origin: line.caller.origin.unwrap_or_default(),
        }
    }
}

impl TryFrom<pb::LedgerLine> for LedgerLine {
    type Error = InvalidMessage;
    fn try_from(message: pb::LedgerLine) -> Result<Self, InvalidMessage> {
        let given = message.detail_json.len();
        if given > DETAIL_MAX_BYTES {
            return Err(InvalidMessage::new("detail_json", Problem::TooLong { given, max: DETAIL_MAX_BYTES }));
        }
        Ok(LedgerLine {
            sequence: message.sequence,
            at: Timestamp(message.at_ms),
            evacuation: unless_empty(&message.evacuation, |given| parsed("evacuation", given))?,
            vm: unless_empty(&message.vm, |given| parsed("vm", given))?,
            token: optional("token", message.token)?,
            event: bounded_text("event", message.event, REASON_MAX_BYTES)?,
            detail_json: message.detail_json,
            caller: Caller {
                by: unless_empty(&message.by, |given| text("by", given.to_owned()))?,
                origin: unless_empty(&message.origin, |given| text("origin", given.to_owned()))?,
            },
        })
    }
}
