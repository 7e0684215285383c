//! What preflight and plans find, for people.

use crate::v1 as pb;
use muster_core::plan::{Finding, Problem, Severity};
use serde_json::Value;

impl From<Finding> for pb::Finding {
    fn from(finding: Finding) -> Self {
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
}

/// The name under which serde keeps a value of a tagged enum. It is as stable as what is stored of it.
fn tag(key: &str, value: Result<Value, serde_json::Error>) -> String {
    let named = value.ok().and_then(|value| value.get(key).and_then(Value::as_str).map(str::to_owned));
    named.unwrap_or_default()
}
