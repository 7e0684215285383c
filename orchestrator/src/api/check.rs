//! Preflight alone, for those who ask before they order.

use super::Api;
use crate::error::OrchestratorError;
use crate::evacuate::check;
use muster_core::plan::{Finding, Problem, Severity};
use muster_core::runbook::Runbook;
use muster_proto::v1 as pb;
use serde_json::Value;

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
            findings: findings.into_iter().map(finding).collect(),
        })
    }
}

fn finding(finding: Finding) -> pb::Finding {
    let severity = match finding.severity() {
        Severity::Blocking => pb::FindingSeverity::Blocking,
        Severity::Warning => pb::FindingSeverity::Warning,
    };
    let kind = if let Problem::Preflight { obstacle } = &finding.problem {
        tag("obstacle", serde_json::to_value(obstacle))
    } else {
        tag("problem", serde_json::to_value(&finding.problem))
    };
    pb::Finding {
        vm: finding.vm.map(|vm| vm.to_string()),
        name: finding.name.map(String::from).unwrap_or_default(),
        severity: severity.into(),
        kind,
        what: finding.problem.what(),
        why: finding.problem.why().to_owned(),
        mend: finding.problem.mend().to_owned(),
    }
}

/// The name under which serde keeps a value of a tagged enum. It is as stable as what is stored of it.
fn tag(key: &str, value: Result<Value, serde_json::Error>) -> String {
    let named = value.ok().and_then(|value| value.get(key).and_then(Value::as_str).map(str::to_owned));
    named.unwrap_or_default()
}
