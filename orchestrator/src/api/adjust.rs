//! Changing the terms of an evacuation, or of some of its moves, while they are under way.

use super::Api;
use super::call::Call;
use crate::error::OrchestratorError;
use crate::evacuate::{all_moves, status_of};
use muster_core::evacuation::{EvacuationState, JournalKind};
use muster_core::ids::{EvacuationId, VmId};
use muster_core::terms::Adjustment;
use muster_proto::convert::{parsed, require_items, required};
use muster_proto::limits::ITEMS_MAX;
use muster_proto::v1 as pb;
use std::collections::BTreeSet;
use tonic::Status;

impl Api {
    pub(super) async fn adjust(&self, request: pb::AdjustMovesRequest, call: Call) -> Result<pb::Evacuation, Status> {
        let evacuation: EvacuationId = parsed("evacuation", &request.evacuation)?;
        require_items("vms", request.vms.len(), ITEMS_MAX)?;
        let vms: Result<BTreeSet<VmId>, _> = request.vms.iter().map(|vm| parsed("vms", vm)).collect();
        let vms = vms?;
        let adjustment: Adjustment = required("adjustment", request.adjustment)?;
        if !vms.is_empty() && !adjustment.limits.is_empty() {
            let what = "limits count for a whole evacuation, and VMs are named".to_owned();
            let mend = "leave the VMs out, or change the limits by a call of its own";
            return Err(OrchestratorError::OutOfOrder { reason: "LIMITS_ARE_COMMON", what, mend }.into());
        }
        let kind = JournalKind::Adjusted { adjustment };
        if self.earlier(&call).await?.is_none() {
            let seat = self.house.seats.of(evacuation);
            let mut driven = seat.driven.lock().await;
            self.may_be_adjusted(evacuation, &vms).await?;
            self.ordered_about(&call, evacuation, vms.iter().copied(), &kind).await?;
            seat.leave_terms(vms);
            self.house.drive_locked(evacuation, None, &mut driven);
        }
        Ok(self.shown(&self.named(&request.evacuation).await?).await?)
    }

    async fn may_be_adjusted(&self, evacuation: EvacuationId, vms: &BTreeSet<VmId>) -> Result<(), OrchestratorError> {
        let refused = |reason, what, mend| Err(OrchestratorError::OutOfOrder { reason, what, mend });
        let status = status_of(self.house.journal().as_ref(), evacuation).await?;
        match status.state {
            EvacuationState::Finished => {
                return refused("FINISHED", format!("evacuation {evacuation} is over"), "there is nothing to adjust");
            }
            EvacuationState::Planning => {
                let what = format!("evacuation {evacuation} is still being planned");
                return refused("PLANNING", what, "call again in a moment");
            }
            EvacuationState::Planned | EvacuationState::Running | EvacuationState::Paused(_) => {}
        }
        if vms.is_empty() {
            return Ok(());
        }
        let moves = all_moves(self.house.journal().as_ref(), evacuation).await?;
        let known: BTreeSet<VmId> = moves.iter().map(|one| one.planned.vm).collect();
        match vms.iter().find(|vm| !known.contains(vm)) {
            Some(vm) => {
                let what = format!("VM {vm} is not in evacuation {evacuation}");
                refused("NOT_IN_EVACUATION", what, "name VMs as muster status shows them")
            }
            None => Ok(()),
        }
    }
}
