//! The answers to recent orders on evacuations, so that one whose reply was lost can be repeated.
//!
//! Kept in memory and bounded. After a restart, or once it is forgotten, a repeated claim or release meets the ledger's
//! compare-and-set and is refused as `CLAIMED_IN_BETWEEN`: the claimant reads the claims again and sees whether it is
//! its own. A repeated assertion is then written twice, which says nothing else than once.

use crate::error::SiteError;
use crate::site::Site;
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, RequestId};
use muster_core::ledger::command::{Caller, EvacuationOrder};
use std::collections::{BTreeMap, VecDeque};
use tokio::sync::Mutex;

/// Most answers that are kept; the oldest goes first.
pub const RECENT_MAX: usize = 256;

/// What was answered, by request.
#[derive(Default)]
pub(super) struct Recent {
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    by_request: BTreeMap<RequestId, Answered>,
    oldest_first: VecDeque<RequestId>,
}

struct Answered {
    evacuation: EvacuationId,
    order: EvacuationOrder,
    claims: Claims,
}

impl Recent {
    /// Carries an order out, or answers as it was answered before. One at a time, so that a repetition which overtakes
    /// its original waits for it. What was refused or not written is not kept: repeating it asks anew.
    pub(super) async fn order(
        &self,
        site: &Site,
        request: RequestId,
        evacuation: EvacuationId,
        order: EvacuationOrder,
        caller: Caller,
    ) -> Result<Claims, SiteError> {
        let mut answers = self.answers.lock().await;
        if let Some(answered) = answers.by_request.get(&request) {
            if answered.evacuation == evacuation && answered.order == order {
                return Ok(answered.claims.clone());
            }
            return Err(SiteError::RequestReused { request });
        }
        let claims = site.order_evacuation(evacuation, order.clone(), caller).await?;
        answers.keep(request, Answered { evacuation, order, claims: claims.clone() });
        Ok(claims)
    }
}

impl Answers {
    fn keep(&mut self, request: RequestId, answered: Answered) {
        self.by_request.insert(request, answered);
        self.oldest_first.push_back(request);
        if self.oldest_first.len() > RECENT_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_request.remove(&oldest);
        }
    }
}
