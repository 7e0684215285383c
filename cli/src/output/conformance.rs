//! What came of checking a worker, for people.

use super::{counted, table};
use muster_worker::conformance::{CaseReport, CaseResult, Report};

/// Most exchanges of a case that failed which are shown: the last ones. JSON has them all.
const EXCHANGES_SHOWN_MAX: usize = 3;

/// A row a case, then each that failed with what was seen, then the sum.
pub(crate) fn text(report: &Report) -> String {
    let mut rows = table(["Case", "", "What the protocol demands"]);
    for case in &report.cases {
        rows.row([case.case.to_owned(), word(case.result).to_owned(), case.demand.to_owned()]);
    }
    let mut lines = vec![rows.to_string()];
    for case in &report.cases {
        match case.result {
            CaseResult::Passed => {}
            CaseResult::Failed => failed(case, &mut lines),
            CaseResult::NotChecked => lines.push(format!("{}: not checked: {}", case.case, why(case))),
        }
    }
    lines.extend(report.left.iter().map(|left| format!("left: {left}")));
    let count = |result| report.count(result) as u64;
    let (passed, failed, unchecked) =
        (count(CaseResult::Passed), count(CaseResult::Failed), count(CaseResult::NotChecked));
    let verdict = match (failed, unchecked) {
        (0, 0) => "conforms to muster.worker.v1",
        (0, _) => "conforms as far as it was checked",
        (_, _) => "does not conform to muster.worker.v1",
    };
    let cases = counted(passed, "case passed", "cases passed");
    lines.push(format!(
        "{} ({}) {verdict}: {cases}, {failed} failed, {unchecked} not checked",
        report.site, report.version
    ));
    lines.join("\n")
}

fn failed(case: &CaseReport, lines: &mut Vec<String>) {
    lines.push(format!("{}: FAILED: {}", case.case, why(case)));
    let skipped = case.exchanges.len().saturating_sub(EXCHANGES_SHOWN_MAX);
    for exchange in case.exchanges.iter().skip(skipped) {
        lines.push(format!("  sent {}", exchange.sent));
        lines.push(format!("  came {}", exchange.came));
    }
}

fn why(case: &CaseReport) -> &str {
    case.why.as_deref().unwrap_or_default()
}

fn word(result: CaseResult) -> &'static str {
    match result {
        CaseResult::Passed => "passed",
        CaseResult::Failed => "FAILED",
        CaseResult::NotChecked => "not checked",
    }
}
