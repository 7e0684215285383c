//! Claiming: who claims with a greater epoch than anybody ever had fences all others, with or without a journal.

use crate::error::{LinkError, RecoveryError};
use crate::link::SiteLink;
use muster_core::claim::Holder;
use muster_core::env::Env;
use muster_core::ids::{EvacuationId, RequestId, VmId};
use muster_core::token::Epoch;
use muster_proto::convert::{ClaimEvacuation, ReleaseClaim};

/// How often a claim is tried again when somebody else was faster.
pub const CLAIM_TRIES: usize = 5;

/// What is claimed, by whom.
pub struct ClaimRequest<'a> {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// Who claims.
    pub holder: Holder,
    /// Its VMs: their floors count, so that a move back years later isn't refused.
    pub vms: &'a [VmId],
    /// The reason for taking over a recovery's claim, if that is what is wanted.
    pub take_over: Option<String>,
}

/// Claims an evacuation at the destination's ledger, with an epoch above all that either reachable ledger knows.
///
/// # Errors
/// The destination doesn't answer, a recovery holds the claim, or others were faster [`CLAIM_TRIES`] times.
pub async fn claim(
    destination: &SiteLink,
    source: Option<&SiteLink>,
    env: &dyn Env,
    request: &ClaimRequest<'_>,
) -> Result<Epoch, RecoveryError> {
    let ClaimRequest { evacuation, holder, vms, take_over } = request;
    let mut at_least = destination.greatest_epoch(*evacuation, vms).await?;
    if let Some(source) = source {
        match source.greatest_epoch(*evacuation, vms).await {
            Ok(epoch) => at_least = at_least.max(epoch),
            // A silent source's floors can't be known; what is claimed now is below them at worst, and refused there.
            Err(error) => tracing::warn!(%error, "the source's greatest epoch is not known"),
        }
    }
    let mut last = None;
    for _ in 0..CLAIM_TRIES {
        let expected = destination.claims(*evacuation).await?.epoch;
        let claim = ClaimEvacuation {
            request: RequestId(env.new_id()),
            evacuation: *evacuation,
            holder: holder.clone(),
            expected,
            at_least,
            take_over: take_over.clone(),
        };
        match destination.claim(claim).await {
            Ok(claims) => return Ok(claims.epoch),
            Err(LinkError::Answer { failure, .. }) if failure.reason == "HELD_BY_RECOVERY" => {
                return Err(RecoveryError::NotOurs { evacuation: *evacuation, holder: failure.message });
            }
            Err(error @ LinkError::Answer { .. }) => last = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) => Err(error.into()),
        None => Err(RecoveryError::NotOurs { evacuation: *evacuation, holder: "somebody faster".to_owned() }),
    }
}

/// Gives a claim back. Somebody else's claim since then is left alone.
///
/// # Errors
/// The destination doesn't answer.
pub async fn release(
    destination: &SiteLink,
    env: &dyn Env,
    evacuation: EvacuationId,
    epoch: Epoch,
) -> Result<(), LinkError> {
    let release = ReleaseClaim { request: RequestId(env.new_id()), evacuation, epoch };
    match destination.release(release).await {
        Ok(_) => Ok(()),
        Err(LinkError::Answer { failure, .. }) if failure.reason == "CLAIMED_IN_BETWEEN" => Ok(()),
        Err(error) => Err(error),
    }
}
