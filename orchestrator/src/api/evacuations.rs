//! Making evacuations, showing them, and changing their course.

use super::filter::Filter;
use super::{Api, convert, ordered_by, page, request_id};
use crate::error::OrchestratorError;
use crate::evacuate::{EvacuationOrder, Ordered, all_moves, order, status_of};
use muster_core::evacuation::{EvacuationState, EvacuationStatus, JournalKind, JournalRecord, PauseReason};
use muster_core::ids::{EvacuationId, RequestId};
use muster_proto::convert::parsed;
use muster_proto::v1 as pb;
use muster_store::JournalError;
use tonic::Status;

/// How an evacuation's course is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Pause,
    Resume,
    Cancel,
}

impl Change {
    fn kind(self) -> JournalKind {
        match self {
            Change::Pause => JournalKind::Paused { reason: PauseReason::Order },
            Change::Resume => JournalKind::Resumed,
            Change::Cancel => JournalKind::Cancelled,
        }
    }

    /// Whether it can be ordered as things stand.
    fn check(self, status: &EvacuationStatus) -> Result<(), OrchestratorError> {
        let refused = |reason, what: &str, mend| {
            Err(OrchestratorError::OutOfOrder { reason, what: format!("evacuation {} {what}", status.id), mend })
        };
        match (status.state, self) {
            (EvacuationState::Finished, _) => refused("FINISHED", "is over", "order a new one"),
            (EvacuationState::Planning, _) => refused("PLANNING", "is still being planned", "call again in a moment"),
            (EvacuationState::Planned | EvacuationState::Running, Change::Resume) => {
                refused("NOT_PAUSED", "is not paused", "there is nothing to do")
            }
            (EvacuationState::Planned | EvacuationState::Running, Change::Pause | Change::Cancel)
            | (EvacuationState::Paused(_), _) => Ok(()),
        }
    }
}

impl Api {
    pub(super) async fn create(&self, request: pb::CreateEvacuationRequest) -> Result<pb::Evacuation, Status> {
        let order_given = EvacuationOrder {
            request: request_id(&request.request_id)?,
            runbook: request.runbook,
            by: ordered_by(request.ordered_by)?,
            validate_only: request.validate_only,
        };
        match Box::pin(order(&self.house, order_given)).await? {
            Ordered::Begun(status) => Ok(self.shown(&status).await?),
            Ordered::Valid { status, moves, warnings } => {
                let waiting = u32::try_from(moves).unwrap_or(u32::MAX);
                let counts = pb::MoveCounts { waiting, ..pb::MoveCounts::default() };
                let live = crate::seats::Live { warnings, ..crate::seats::Live::default() };
                Ok(pb::Evacuation { evacuation: String::new(), ..convert::evacuation(&status, counts, live) })
            }
        }
    }

    pub(super) async fn list(
        &self,
        request: pb::ListEvacuationsRequest,
    ) -> Result<pb::ListEvacuationsResponse, Status> {
        let size = page::size(request.page_size)?;
        let filter = Filter::<pb::Evacuation>::parse(&request.filter)?;
        let name = page::list("evacuations", &request.filter);
        let mut all = self.house.journal().evacuations().await.map_err(OrchestratorError::from)?;
        all.reverse();
        // What a filter goes by hangs on no counts, which take reading every move.
        let bare = |status: &EvacuationStatus| {
            convert::evacuation(status, pb::MoveCounts::default(), crate::seats::Live::default())
        };
        all.retain(|status| filter.is_empty() || filter.lets_through(&bare(status)));
        let begin = match page::after(&name, &request.page_token)? {
            None => 0,
            Some(last) => all.iter().position(|status| status.id.to_string() == last).map_or(0, |place| place + 1),
        };
        let rest = all.get(begin..).unwrap_or_default();
        let mut evacuations = Vec::new();
        for status in rest.iter().take(size) {
            evacuations.push(self.shown(status).await?);
        }
        let next_page_token = match evacuations.last() {
            Some(last) if rest.len() > size => page::token(&name, &last.evacuation),
            Some(_) | None => String::new(),
        };
        Ok(pb::ListEvacuationsResponse { evacuations, next_page_token })
    }

    /// Pauses, resumes or cancels.
    pub(super) async fn change(
        &self,
        request: pb::ChangeEvacuationRequest,
        change: Change,
    ) -> Result<pb::Evacuation, Status> {
        let id = request_id(&request.request_id)?;
        let by = ordered_by(request.ordered_by)?;
        let evacuation: EvacuationId = parsed("evacuation", &request.evacuation)?;
        if !self.is_repeated(id, evacuation, &by, &change.kind()).await? {
            let seat = self.house.seats.of(evacuation);
            let mut driven = seat.driven.lock().await;
            change.check(&status_of(self.house.journal().as_ref(), evacuation).await?)?;
            let record = self.house.pen_of(evacuation, &by).record(Some(id), None, change.kind());
            if self.ordered(vec![record]).await? {
                seat.leave([]);
                self.house.drive_locked(evacuation, None, &mut driven);
            }
        }
        Ok(self.shown(&self.named(&request.evacuation).await?).await?)
    }

    /// Journals an order. False if the same call did so before.
    pub(super) async fn ordered(&self, records: Vec<JournalRecord>) -> Result<bool, OrchestratorError> {
        let asked: Vec<JournalRecord> = records.iter().filter(|record| record.request.is_some()).cloned().collect();
        match self.house.journal().append(records).await {
            Ok(_) => Ok(true),
            Err(JournalError::RequestKnown { request, .. }) => match asked.first() {
                Some(first) if self.is_repeated(request, first.evacuation, &first.by, &first.kind).await? => Ok(false),
                Some(_) | None => Err(OrchestratorError::RequestIdReused { request }),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this very call was made before.
    pub(super) async fn is_repeated(
        &self,
        request: RequestId,
        evacuation: EvacuationId,
        by: &str,
        kind: &JournalKind,
    ) -> Result<bool, OrchestratorError> {
        match self.house.journal().find_request(request).await? {
            None => Ok(false),
            Some((_, earlier)) if earlier.evacuation == evacuation && earlier.by == by && earlier.kind == *kind => {
                Ok(true)
            }
            Some(_) => Err(OrchestratorError::RequestIdReused { request }),
        }
    }

    /// An evacuation as people see it.
    pub(super) async fn shown(&self, status: &EvacuationStatus) -> Result<pb::Evacuation, OrchestratorError> {
        let mut counts = pb::MoveCounts::default();
        for a_move in all_moves(self.house.journal().as_ref(), status.id).await? {
            convert::count(&mut counts, convert::Counted::from(&a_move), 1);
        }
        Ok(convert::evacuation(status, counts, self.house.seats.of(status.id).live()))
    }
}
