//! Requests to a site, whole and typed.

use super::claims::EvacuationClaims;
use super::command::SiteCommand;
use super::definition::side;
use super::invalid::{InvalidMessage, Problem};
use super::read::{
    at, attempt, bounded_text, each, each_once, each_parsed, parsed, request_id, required, text, unless_empty,
    within_range,
};
use super::token::issued_token;
use crate::limits::{EVACUATIONS_MAX, ITEMS_MAX, NONCE_MAX_BYTES};
use crate::worker::v1 as pb;
use muster_core::claim::{Fenced, Holder};
use muster_core::fingerprint::{Fingerprint, NotFingerprint};
use muster_core::ids::{Attempt, EvacuationId, RequestId, SiteName, VmId};
use muster_core::ledger::command::EvacuationOrder;
use muster_core::ledger::{HighWater, RollEntry};
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Token};

/// Claims an evacuation: compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimEvacuation {
    /// The call.
    pub request: RequestId,
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// Who claims.
    pub holder: Holder,
    /// The epoch that the claimant has read.
    pub expected: Epoch,
    /// The greatest epoch that the claimant has found anywhere.
    pub at_least: Epoch,
    /// The reason for taking over a recovery's claim, if that is what is wanted.
    pub take_over: Option<String>,
}

impl ClaimEvacuation {
    /// The order to the ledger.
    #[must_use]
    pub fn order(self) -> EvacuationOrder {
        EvacuationOrder::Claim {
            holder: self.holder,
            expected: self.expected,
            at_least: self.at_least,
            take_over: self.take_over,
        }
    }
}

impl From<ClaimEvacuation> for pb::ClaimEvacuationRequest {
    fn from(claim: ClaimEvacuation) -> Self {
        pb::ClaimEvacuationRequest {
            request_id: claim.request.to_string(),
            evacuation: claim.evacuation.to_string(),
            holder: Some(claim.holder.into()),
            expected_epoch: claim.expected.0,
            at_least_epoch: claim.at_least.0,
            take_over_reason: claim.take_over,
        }
    }
}

impl TryFrom<pb::ClaimEvacuationRequest> for ClaimEvacuation {
    type Error = InvalidMessage;
    fn try_from(message: pb::ClaimEvacuationRequest) -> Result<Self, InvalidMessage> {
        Ok(ClaimEvacuation {
            request: request_id(&message.request_id)?,
            evacuation: parsed("evacuation", &message.evacuation)?,
            holder: required("holder", message.holder)?,
            expected: epoch("expected_epoch", message.expected_epoch, 0)?,
            at_least: epoch("at_least_epoch", message.at_least_epoch, 0)?,
            take_over: message.take_over_reason.map(|reason| text("take_over_reason", reason)).transpose()?,
        })
    }
}

/// Gives a claim back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseClaim {
    /// The call.
    pub request: RequestId,
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The epoch that is given back.
    pub epoch: Epoch,
}

impl ReleaseClaim {
    /// The order to the ledger.
    #[must_use]
    pub fn order(self) -> EvacuationOrder {
        EvacuationOrder::Release { epoch: self.epoch }
    }
}

impl From<ReleaseClaim> for pb::ReleaseClaimRequest {
    fn from(release: ReleaseClaim) -> Self {
        pb::ReleaseClaimRequest {
            request_id: release.request.to_string(),
            evacuation: release.evacuation.to_string(),
            epoch: release.epoch.0,
        }
    }
}

impl TryFrom<pb::ReleaseClaimRequest> for ReleaseClaim {
    type Error = InvalidMessage;
    fn try_from(message: pb::ReleaseClaimRequest) -> Result<Self, InvalidMessage> {
        Ok(ReleaseClaim {
            request: request_id(&message.request_id)?,
            evacuation: parsed("evacuation", &message.evacuation)?,
            epoch: epoch("epoch", message.epoch, 1)?,
        })
    }
}

/// A person's word that something can't be running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssertFenced {
    /// The call.
    pub request: RequestId,
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// What is fenced.
    pub fenced: Fenced,
    /// Why the person is sure.
    pub reason: String,
    /// Who.
    pub by: String,
}

impl AssertFenced {
    /// The order to the ledger.
    #[must_use]
    pub fn order(self) -> EvacuationOrder {
        EvacuationOrder::Assert { fenced: self.fenced, reason: self.reason, by: self.by }
    }
}

impl From<AssertFenced> for pb::AssertFencedRequest {
    fn from(assert: AssertFenced) -> Self {
        pb::AssertFencedRequest {
            request_id: assert.request.to_string(),
            evacuation: assert.evacuation.to_string(),
            fenced: Some(assert.fenced.into()),
            reason: assert.reason,
            by: assert.by,
        }
    }
}

impl TryFrom<pb::AssertFencedRequest> for AssertFenced {
    type Error = InvalidMessage;
    fn try_from(message: pb::AssertFencedRequest) -> Result<Self, InvalidMessage> {
        Ok(AssertFenced {
            request: request_id(&message.request_id)?,
            evacuation: parsed("evacuation", &message.evacuation)?,
            fenced: required("fenced", message.fenced)?,
            reason: text("reason", message.reason)?,
            by: text("by", message.by)?,
        })
    }
}

/// Puts VMs on the roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteRoll {
    /// The call.
    pub request: RequestId,
    /// Which side of these moves the site is.
    pub side: Side,
    /// The claim's epoch.
    pub epoch: Epoch,
    /// The entries: at most [`ITEMS_MAX`], all of one evacuation, each VM once.
    pub entries: Vec<RollEntry>,
}

impl From<WriteRoll> for pb::WriteRollRequest {
    fn from(write: WriteRoll) -> Self {
        pb::WriteRollRequest {
            request_id: write.request.to_string(),
            side: pb::Side::from(write.side).into(),
            epoch: write.epoch.0,
            entries: write.entries.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::WriteRollRequest> for WriteRoll {
    type Error = InvalidMessage;
    fn try_from(message: pb::WriteRollRequest) -> Result<Self, InvalidMessage> {
        let entries: Vec<RollEntry> = each("entries", message.entries, ITEMS_MAX)?;
        each_once("entries", "vm", entries.iter().map(|entry| entry.vm))?;
        let first = entries.first().map(|entry| entry.evacuation);
        if let Some(index) = entries.iter().position(|entry| Some(entry.evacuation) != first) {
            let problem = Problem::Disagrees { other: "entries[0].evacuation" };
            return Err(InvalidMessage::new("evacuation", problem).within(&at("entries", index)));
        }
        Ok(WriteRoll {
            request: request_id(&message.request_id)?,
            side: side("side", message.side)?,
            epoch: epoch("epoch", message.epoch, 1)?,
            entries,
        })
    }
}

/// Asks what is known of VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observe {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// At most [`ITEMS_MAX`], each once.
    pub vms: Vec<VmToken>,
}

/// A VM to observe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmToken {
    /// The VM.
    pub vm: VmId,
    /// With a token the observation is fenced: the floor is raised to it first.
    pub token: Option<Token>,
}

impl From<Observe> for pb::ObserveRequest {
    fn from(observe: Observe) -> Self {
        pb::ObserveRequest {
            evacuation: observe.evacuation.to_string(),
            vms: observe.vms.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::ObserveRequest> for Observe {
    type Error = InvalidMessage;
    fn try_from(message: pb::ObserveRequest) -> Result<Self, InvalidMessage> {
        let vms: Vec<VmToken> = each("vms", message.vms, ITEMS_MAX)?;
        each_once("vms", "vm", vms.iter().map(|item| item.vm))?;
        Ok(Observe { evacuation: parsed("evacuation", &message.evacuation)?, vms })
    }
}

impl From<VmToken> for pb::VmToken {
    fn from(item: VmToken) -> Self {
        pb::VmToken { vm: item.vm.to_string(), token: item.token.map(Into::into) }
    }
}

impl TryFrom<pb::VmToken> for VmToken {
    type Error = InvalidMessage;
    fn try_from(message: pb::VmToken) -> Result<Self, InvalidMessage> {
        let token = match message.token {
            Some(token) => Some(issued_token("token", Some(token))?),
            None => None,
        };
        Ok(VmToken { vm: parsed("vm", &message.vm)?, token })
    }
}

/// Commands on VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execute {
    /// The call.
    pub request: RequestId,
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// At most [`ITEMS_MAX`], each VM once.
    pub commands: Vec<SiteCommand>,
}

impl From<Execute> for pb::ExecuteRequest {
    fn from(execute: Execute) -> Self {
        pb::ExecuteRequest {
            request_id: execute.request.to_string(),
            evacuation: execute.evacuation.to_string(),
            commands: execute.commands.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::ExecuteRequest> for Execute {
    type Error = InvalidMessage;
    fn try_from(message: pb::ExecuteRequest) -> Result<Self, InvalidMessage> {
        let commands: Vec<SiteCommand> = each("commands", message.commands, ITEMS_MAX)?;
        each_once("commands", "vm", commands.iter().map(|command| command.vm))?;
        Ok(Execute {
            request: request_id(&message.request_id)?,
            evacuation: parsed("evacuation", &message.evacuation)?,
            commands,
        })
    }
}

/// Worker to worker: this attempt has been handed over and its source is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitArrival {
    /// The call.
    pub request: RequestId,
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// The VM.
    pub vm: VmId,
    /// The attempt that has arrived.
    pub attempt: Attempt,
    /// The transfer's own token, never a newer one.
    pub token: Token,
    /// The site that calls.
    pub source_site: SiteName,
}

impl From<CommitArrival> for pb::CommitArrivalRequest {
    fn from(commit: CommitArrival) -> Self {
        pb::CommitArrivalRequest {
            request_id: commit.request.to_string(),
            evacuation: commit.evacuation.to_string(),
            vm: commit.vm.to_string(),
            attempt: commit.attempt.count(),
            token: Some(commit.token.into()),
            source_site: commit.source_site.into(),
        }
    }
}

impl TryFrom<pb::CommitArrivalRequest> for CommitArrival {
    type Error = InvalidMessage;
    fn try_from(message: pb::CommitArrivalRequest) -> Result<Self, InvalidMessage> {
        Ok(CommitArrival {
            request: request_id(&message.request_id)?,
            evacuation: parsed("evacuation", &message.evacuation)?,
            vm: parsed("vm", &message.vm)?,
            attempt: attempt("attempt", message.attempt)?,
            token: issued_token("token", message.token)?,
            source_site: parsed("source_site", &message.source_site)?,
        })
    }
}

/// Worker to worker, before a transfer: asks for proof that the commit can come this way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvePath {
    /// What the answer has to repeat: 1 to [`NONCE_MAX_BYTES`] bytes.
    pub nonce: String,
    /// The site that calls.
    pub source_site: SiteName,
    /// How far its ledger has come, and how far it has once seen the other one's.
    pub ledgers: Ledgers,
}

/// Two ledgers, as one of their sites knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledgers {
    /// How far its own has come; none where it doesn't say.
    pub own: Option<HighWater>,
    /// How far it has once seen the other's; none where it never has.
    pub witnessed: Option<HighWater>,
}

fn ledgers(own: Option<pb::HighWater>, witnessed: Option<pb::HighWater>) -> Result<Ledgers, InvalidMessage> {
    let read = |field, said: Option<pb::HighWater>| said.map(|said| high_water(field, said)).transpose();
    Ok(Ledgers { own: read("ledger", own)?, witnessed: read("witnessed", witnessed)? })
}

fn high_water(field: &str, message: pb::HighWater) -> Result<HighWater, InvalidMessage> {
    let rebuilt_at = message.rebuilt_at_ms.map(Timestamp);
    let link = unless_empty(&message.link, |given| fingerprint(&format!("{field}.link"), given))?;
    Ok(HighWater { rebuilt_at, sequence: message.sequence, at: Timestamp(message.at_ms), link })
}

fn fingerprint(field: &str, given: &str) -> Result<Fingerprint, InvalidMessage> {
    given.parse().map_err(|error: NotFingerprint| InvalidMessage::new(field, error))
}

fn high_water_message(of: HighWater) -> pb::HighWater {
    pb::HighWater {
        rebuilt_at_ms: of.rebuilt_at.map(|at| at.0),
        sequence: of.sequence,
        at_ms: of.at.0,
        link: of.link.map(|link| link.to_string()).unwrap_or_default(),
    }
}

impl From<ProvePath> for pb::ProvePathRequest {
    fn from(prove: ProvePath) -> Self {
        pb::ProvePathRequest {
            nonce: prove.nonce,
            source_site: prove.source_site.into(),
            ledger: prove.ledgers.own.map(high_water_message),
            witnessed: prove.ledgers.witnessed.map(high_water_message),
        }
    }
}

impl TryFrom<pb::ProvePathRequest> for ProvePath {
    type Error = InvalidMessage;
    fn try_from(message: pb::ProvePathRequest) -> Result<Self, InvalidMessage> {
        Ok(ProvePath {
            nonce: bounded_text("nonce", message.nonce, NONCE_MAX_BYTES)?,
            source_site: parsed("source_site", &message.source_site)?,
            ledgers: ledgers(message.ledger, message.witnessed)?,
        })
    }
}

/// The answer to [`ProvePath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathProof {
    /// The request's nonce.
    pub nonce: String,
    /// The site that answers.
    pub site: SiteName,
    /// Whether it takes work.
    pub working: bool,
    /// How far its ledger has come, and how far it has once seen the caller's.
    pub ledgers: Ledgers,
}

impl From<PathProof> for pb::ProvePathResponse {
    fn from(proof: PathProof) -> Self {
        pb::ProvePathResponse {
            nonce: proof.nonce,
            site: proof.site.into(),
            working: proof.working,
            ledger: proof.ledgers.own.map(high_water_message),
            witnessed: proof.ledgers.witnessed.map(high_water_message),
        }
    }
}

impl TryFrom<pb::ProvePathResponse> for PathProof {
    type Error = InvalidMessage;
    fn try_from(message: pb::ProvePathResponse) -> Result<Self, InvalidMessage> {
        Ok(PathProof {
            nonce: bounded_text("nonce", message.nonce, NONCE_MAX_BYTES)?,
            site: parsed("site", &message.site)?,
            working: message.working,
            ledgers: ledgers(message.ledger, message.witnessed)?,
        })
    }
}

/// Asks for the greatest epoch known for an evacuation and for VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreatestEpoch {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// At most [`ITEMS_MAX`].
    pub vms: Vec<VmId>,
}

impl From<GreatestEpoch> for pb::GetGreatestEpochRequest {
    fn from(ask: GreatestEpoch) -> Self {
        pb::GetGreatestEpochRequest {
            evacuation: ask.evacuation.to_string(),
            vms: ask.vms.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<pb::GetGreatestEpochRequest> for GreatestEpoch {
    type Error = InvalidMessage;
    fn try_from(message: pb::GetGreatestEpochRequest) -> Result<Self, InvalidMessage> {
        Ok(GreatestEpoch {
            evacuation: parsed("evacuation", &message.evacuation)?,
            vms: each_parsed("vms", &message.vms, ITEMS_MAX)?,
        })
    }
}

/// Reads the answer to `ListEvacuations`.
///
/// # Errors
/// What is wrong with one of them; `TooMany` past [`EVACUATIONS_MAX`].
pub fn evacuations(message: pb::ListEvacuationsResponse) -> Result<Vec<EvacuationClaims>, InvalidMessage> {
    each("evacuations", message.evacuations, EVACUATIONS_MAX)
}

fn epoch(field: &str, given: u64, min: u64) -> Result<Epoch, InvalidMessage> {
    // A claim needs a greater one after it, so the greatest of all is nobody's.
    within_range(field, given, min, u64::MAX - 1).map(Epoch)
}
