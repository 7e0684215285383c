//! Claims, their holders and assertions.

use super::invalid::InvalidMessage;
use super::read::{each, enumerated, marked, optional, parsed, present, required, text};
use crate::limits::ASSERTIONS_MAX;
use crate::worker::v1 as pb;
use muster_core::claim::{Assertion, Claims, Fenced, Holder, HolderKind};
use muster_core::ids::EvacuationId;
use muster_core::time::Timestamp;
use muster_core::token::Epoch;

/// The claims of one evacuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvacuationClaims {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// Its standing.
    pub claims: Claims,
}

impl From<EvacuationClaims> for pb::Claims {
    fn from(EvacuationClaims { evacuation, claims }: EvacuationClaims) -> Self {
        pb::Claims {
            evacuation: evacuation.to_string(),
            epoch: claims.epoch.0,
            holder: claims.holder.map(Into::into),
            assertions: claims.assertions.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::Claims> for EvacuationClaims {
    type Error = InvalidMessage;
    fn try_from(message: pb::Claims) -> Result<Self, InvalidMessage> {
        let claims = Claims {
            epoch: Epoch(message.epoch),
            holder: optional("holder", message.holder)?,
            assertions: each("assertions", message.assertions, ASSERTIONS_MAX)?,
        };
        Ok(EvacuationClaims { evacuation: parsed("evacuation", &message.evacuation)?, claims })
    }
}

impl From<Holder> for pb::Holder {
    fn from(holder: Holder) -> Self {
        let kind = match holder.kind {
            HolderKind::Orchestrator => pb::HolderKind::Orchestrator,
            HolderKind::Recovery => pb::HolderKind::Recovery,
        };
        pb::Holder { name: holder.name, kind: kind.into() }
    }
}

impl TryFrom<pb::Holder> for Holder {
    type Error = InvalidMessage;
    fn try_from(message: pb::Holder) -> Result<Self, InvalidMessage> {
        let kind = enumerated("kind", "HolderKind", message.kind, |kind| match kind {
            pb::HolderKind::Unspecified => None,
            pb::HolderKind::Orchestrator => Some(HolderKind::Orchestrator),
            pb::HolderKind::Recovery => Some(HolderKind::Recovery),
        })?;
        Ok(Holder { name: text("name", message.name)?, kind })
    }
}

impl From<Assertion> for pb::Assertion {
    fn from(assertion: Assertion) -> Self {
        pb::Assertion {
            fenced: Some(assertion.fenced.into()),
            reason: assertion.reason,
            by: assertion.by,
            at_ms: assertion.at.0,
        }
    }
}

impl TryFrom<pb::Assertion> for Assertion {
    type Error = InvalidMessage;
    fn try_from(message: pb::Assertion) -> Result<Self, InvalidMessage> {
        Ok(Assertion {
            fenced: required("fenced", message.fenced)?,
            reason: text("reason", message.reason)?,
            by: text("by", message.by)?,
            at: Timestamp(message.at_ms),
        })
    }
}

impl From<Fenced> for pb::Fenced {
    fn from(fenced: Fenced) -> Self {
        let what = match fenced {
            Fenced::Source => pb::fenced::What::Source(true),
            Fenced::Host(host) => pb::fenced::What::Host(host.into()),
        };
        pb::Fenced { what: Some(what) }
    }
}

impl TryFrom<pb::Fenced> for Fenced {
    type Error = InvalidMessage;
    fn try_from(message: pb::Fenced) -> Result<Self, InvalidMessage> {
        match present("what", message.what)? {
            pb::fenced::What::Source(given) => marked("source", given, Fenced::Source),
            pb::fenced::What::Host(host) => Ok(Fenced::Host(parsed("host", &host)?)),
        }
    }
}
