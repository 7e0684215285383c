//! Making evacuations, showing them, and changing their course.

use super::call::Call;
use super::filter::Filter;
use super::{Api, convert, page};
use crate::error::OrchestratorError;
use crate::evacuate::{EvacuationOrder, Ordered, all_moves, order, status_of};
use muster_core::evacuation::{EvacuationState, EvacuationStatus, JournalKind, PauseReason};
use muster_core::ids::EvacuationId;
use muster_proto::convert::parsed;
use muster_proto::v1 as pb;
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
    pub(super) async fn create(
        &self,
        request: pb::CreateEvacuationRequest,
        call: Call,
    ) -> Result<pb::Evacuation, Status> {
        let order_given = EvacuationOrder { call, runbook: request.runbook, validate_only: request.validate_only };
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
        call: Call,
        change: Change,
    ) -> Result<pb::Evacuation, Status> {
        let evacuation: EvacuationId = parsed("evacuation", &request.evacuation)?;
        if self.earlier(&call).await?.is_none() {
            let seat = self.house.seats.of(evacuation);
            let mut driven = seat.driven.lock().await;
            change.check(&status_of(self.house.journal().as_ref(), evacuation).await?)?;
            let record = self.house.pen(evacuation).of(&call.caller).record(Some(&call), None, change.kind());
            if self.ordered(&call, vec![record]).await? {
                seat.leave([]);
                self.house.drive_locked(evacuation, None, &mut driven);
            }
        }
        Ok(self.shown(&self.named(&request.evacuation).await?).await?)
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
