//! Preflight alone, for those who ask before they order.

use super::Api;
use crate::error::OrchestratorError;
use crate::evacuate::check;
use muster_core::runbook::Runbook;
use muster_proto::v1 as pb;

impl Api {
    pub(super) async fn check(
        &self,
        request: pb::CheckRunbookRequest,
    ) -> Result<pb::CheckRunbookResponse, OrchestratorError> {
        let runbook = Runbook::parse(&request.runbook).map_err(|mistakes| OrchestratorError::Runbook { mistakes })?;
        let (moves, findings) = match check(&self.house, &runbook).await? {
            Ok(plan) => (plan.moves.len(), plan.warnings),
            Err(findings) => (0, findings),
        };
        Ok(pb::CheckRunbookResponse {
            retired_copies_kept_ms: runbook.retention.retired_copies_ms,
            name: runbook.name,
            source_site: runbook.source.into(),
            destination_site: runbook.destination.into(),
            moves: u32::try_from(moves).unwrap_or(u32::MAX),
            findings: findings.into_iter().map(Into::into).collect(),
        })
    }
}
