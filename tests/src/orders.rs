//! A person with an orchestrator: orders evacuations through muster.v1, waits for them, reads what it shows.

use crate::stage::Stage;
use muster_core::ids::{EvacuationId, VmId};
use muster_proto::status::{Fault, TRANSPORT};
use muster_proto::v1 as pb;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Status;
use uuid::Uuid;

/// How often a person looks at first.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often, after a while.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(2);
/// How often a call is repeated while nobody answers.
const CALLS_MAX: u32 = 600;
/// Who orders.
pub const PERSON: &str = "a person";

impl Stage {
    /// A runbook that moves everything from the source to the destination, quick to retry and to hold; `rest` is added to it.
    #[must_use]
    pub fn runbook(&self, rest: &str) -> String {
        let (source, destination) = (&self.source, &self.destination);
        format!(
            "name = \"leave\"\nsource.site = \"{source}\"\ndestination.site = \"{destination}\"\n\
             [retry]\nattempts = 3\nbackoff_ms = 100\nbackoff_max_ms = 400\njitter = false\n\
             [deadlines]\ntransfer_ms = 20000\nhandover_ms = 3000\nsilence_ms = 3000\n{rest}"
        )
    }

    /// The same, of every VM in its usual mode.
    #[must_use]
    pub fn runbook_of_all(&self) -> String {
        self.runbook("[[select]]\nall = true\n")
    }

    /// The same, and a VM whose memory is lost may be started from its disk.
    #[must_use]
    pub fn runbook_of_all_with_cold_starts(&self) -> String {
        self.runbook("[recovery]\ncold_start = \"policy\"\n\n[[select]]\nall = true\n")
    }

    /// Orders an evacuation. Repeated while nobody answers.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn order(&self, runbook: &str) -> EvacuationId {
        match self.try_order(runbook).await {
            Ok(evacuation) => evacuation,
            Err(status) => panic!("the order was refused: {status:?}"),
        }
    }

    /// Orders an evacuation that may be refused.
    ///
    /// # Errors
    /// The refusal.
    ///
    /// # Panics
    /// If nobody answers in time.
    pub async fn try_order(&self, runbook: &str) -> Result<EvacuationId, Status> {
        let request_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, runbook.as_bytes()).to_string();
        let request = pb::CreateEvacuationRequest {
            request_id,
            runbook: runbook.to_owned(),
            validate_only: false,
            ordered_by: PERSON.to_owned(),
        };
        for _ in 0..CALLS_MAX {
            match self.client().await.create_evacuation(request.clone()).await {
                Ok(made) => return Ok(made.into_inner().evacuation.parse().expect("an id")),
                Err(status) if is_silence(&status) => tokio::time::sleep(LOOK_EVERY).await,
                Err(status) => return Err(status),
            }
        }
        panic!("the orchestrator never answered");
    }

    /// Waits until the evacuation is as wanted.
    ///
    /// # Panics
    /// If that takes longer than `longest`: the test then sees how all moves stand.
    pub async fn until(
        &self,
        evacuation: EvacuationId,
        longest: Duration,
        wanted: impl Fn(&pb::Evacuation, &[pb::Move]) -> bool,
    ) -> Vec<pb::Move> {
        let waited = tokio::time::timeout(longest, async {
            let mut wait = LOOK_EVERY;
            loop {
                if let Some((shown, moves)) = self.shown(evacuation).await
                    && wanted(&shown, &moves)
                {
                    return moves;
                }
                tokio::time::sleep(wait).await;
                wait = wait.mul_f64(1.1).min(LOOK_EVERY_MAX);
            }
        });
        match waited.await {
            Ok(moves) => moves,
            Err(_) => panic!("never as wanted: {:#?}", self.shown(evacuation).await),
        }
    }

    /// Waits until the evacuation is over.
    ///
    /// # Panics
    /// If that takes longer than ten minutes.
    pub async fn until_finished(&self, evacuation: EvacuationId) -> BTreeMap<VmId, pb::Move> {
        let is_over = |shown: &pb::Evacuation, _: &[pb::Move]| shown.state() == pb::EvacuationState::Finished;
        by_vm(self.until(evacuation, Duration::from_secs(600), is_over).await)
    }

    /// How the evacuation and its moves are shown now; none while the orchestrator doesn't answer.
    ///
    /// # Panics
    /// If it answers with a refusal.
    pub async fn shown(&self, evacuation: EvacuationId) -> Option<(pb::Evacuation, Vec<pb::Move>)> {
        let mut client = self.client().await;
        let id = evacuation.to_string();
        let shown = client.get_evacuation(pb::GetEvacuationRequest { evacuation: id.clone() }).await;
        let shown = answered(shown)?.into_inner();
        let mut moves = Vec::new();
        let mut page_token = String::new();
        loop {
            let request =
                pb::ListMovesRequest { evacuation: id.clone(), page_size: 1_000, page_token, filter: String::new() };
            let page = answered(client.list_moves(request).await)?.into_inner();
            moves.extend(page.moves);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Some((shown, moves));
            }
        }
    }

    /// The whole audit trail.
    ///
    /// # Panics
    /// If it can't be read.
    pub async fn audit(&self) -> Vec<pb::AuditLine> {
        let mut client = self.client().await;
        let mut lines = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListAuditRequest { page_size: 1_000, page_token, ..pb::ListAuditRequest::default() };
            let page = client.list_audit(request).await.expect("an audit trail").into_inner();
            lines.extend(page.lines);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return lines;
            }
        }
    }

    /// Calls an evacuation off.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn cancel(&self, evacuation: EvacuationId) {
        let request = self.change(evacuation, "cancel");
        self.client().await.cancel_evacuation(request).await.expect("a cancelled evacuation");
    }

    /// Orders further attempts for all that is held.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn retry(&self, evacuation: EvacuationId) {
        let pb::ChangeEvacuationRequest { request_id, evacuation, ordered_by } = self.change(evacuation, "retry");
        let request = pb::RetryMovesRequest { request_id, evacuation, vms: Vec::new(), ordered_by };
        self.client().await.retry_moves(request).await.expect("retried moves");
    }

    fn change(&self, evacuation: EvacuationId, what: &str) -> pb::ChangeEvacuationRequest {
        pb::ChangeEvacuationRequest {
            request_id: Uuid::new_v5(&evacuation.0, what.as_bytes()).to_string(),
            evacuation: evacuation.to_string(),
            ordered_by: PERSON.to_owned(),
        }
    }
}

/// Moves by their VM.
///
/// # Panics
/// If a move's VM is no UUID.
#[must_use]
pub fn by_vm(moves: Vec<pb::Move>) -> BTreeMap<VmId, pb::Move> {
    moves.into_iter().map(|a_move| (a_move.vm.parse().expect("a VM's id"), a_move)).collect()
}

fn answered<T>(answer: Result<T, Status>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(status) if is_silence(&status) => None,
        Err(status) => panic!("refused: {status:?}"),
    }
}

/// Nobody is there, or the connection broke: not the orchestrator's own word.
fn is_silence(status: &Status) -> bool {
    Fault::from(status).reason == TRANSPORT
}
