//! A runbook's plan: when each move begins and ends, when all is over, what that hangs on, and what doesn't fit.

use super::check::Finding;
use super::{ROWS_SHOWN_MAX, counted, instant, middle_and_greatest, span, table};
use muster_core::definition::Mode;
use muster_core::evacuation::PlannedMove;
use muster_core::forecast::{Forecast, Foreseen, Resource};
use muster_core::ids::VmId;
use muster_core::plan;
use muster_core::route::ASSUMED_MBIT_S;
use muster_core::runbook::Runbook;
use muster_core::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A plan, as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct EvacuationPlan {
    pub(crate) name: String,
    pub(crate) source_site: String,
    pub(crate) destination_site: String,
    /// From when on it is planned.
    pub(crate) from_ms: u64,
    /// When the last move that has a beginning has arrived.
    pub(crate) ends_at_ms: Option<u64>,
    /// What no order of these moves ends before.
    pub(crate) bound_at_ms: Option<u64>,
    /// What that hangs on.
    pub(crate) bottleneck: Option<String>,
    #[serde(skip)]
    pub(crate) bottleneck_of: Option<Resource>,
    pub(crate) deadline_at_ms: Option<u64>,
    /// How many moves don't end by the deadline.
    pub(crate) late: usize,
    /// Nothing says how fast anything is; what is taken for it.
    pub(crate) assumed_rate_mbit_s: Option<u64>,
    /// Moves whose sending isn't expected to converge by itself.
    pub(crate) not_converging: usize,
    /// How long a guest stands still, in the middle and at most.
    pub(crate) downtime_median_ms: Option<u64>,
    pub(crate) downtime_max_ms: Option<u64>,
    pub(crate) planning_ms: u64,
    /// What blocks first, then the warnings.
    pub(crate) findings: Vec<Finding>,
    /// In the order in which they start.
    pub(crate) moves: Vec<Planned>,
}

/// One move.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    pub(crate) vm: String,
    pub(crate) name: String,
    /// "live", "cold" or "off".
    pub(crate) mode: &'static str,
    pub(crate) wave: u32,
    pub(crate) priority: u32,
    pub(crate) group: Option<String>,
    pub(crate) source_host: String,
    pub(crate) destination_host: String,
    pub(crate) memory_mib: u64,
    pub(crate) disk_mib: Option<u64>,
    /// None: it doesn't end by the deadline, or no window is left for it.
    pub(crate) start_at_ms: Option<u64>,
    pub(crate) end_at_ms: Option<u64>,
    pub(crate) duration_ms: u64,
    pub(crate) downtime_ms: u64,
    /// Repeated pages included.
    pub(crate) volume_mib: u64,
    pub(crate) rate_mbit_s: u64,
    pub(crate) converges: bool,
    /// The links that it takes.
    pub(crate) links: Vec<String>,
}

impl EvacuationPlan {
    pub(crate) fn new(
        runbook: &Runbook,
        from: Timestamp,
        moves: &[PlannedMove],
        forecast: &Forecast,
        findings: &[plan::Finding],
        planning: Duration,
    ) -> Self {
        let by_vm: BTreeMap<VmId, &PlannedMove> = moves.iter().map(|planned| (planned.vm, planned)).collect();
        let shown = forecast.moves.iter().filter_map(|foreseen| Some(planned(by_vm.get(&foreseen.vm)?, foreseen)));
        let moves: Vec<Planned> = shown.collect();
        let live = moves.iter().filter(|planned| planned.mode == Mode::Live.word());
        let downtimes = middle_and_greatest(live.map(|planned| planned.downtime_ms).collect(), u64::cmp);
        EvacuationPlan {
            name: runbook.name.clone(),
            source_site: runbook.source.to_string(),
            destination_site: runbook.destination.to_string(),
            from_ms: from.0,
            ends_at_ms: forecast.ends_at.map(|at| at.0),
            bound_at_ms: forecast.bound_at.map(|at| at.0),
            bottleneck: forecast.bottleneck.as_ref().map(Resource::to_string),
            bottleneck_of: forecast.bottleneck.clone(),
            deadline_at_ms: runbook.deadline_at.map(|at| at.0),
            late: forecast.late,
            assumed_rate_mbit_s: forecast.rate_is_assumed.then_some(ASSUMED_MBIT_S),
            not_converging: forecast.will_not_converge(),
            downtime_median_ms: downtimes.map(|(median_ms, _)| median_ms),
            downtime_max_ms: downtimes.map(|(_, max_ms)| max_ms),
            planning_ms: u64::try_from(planning.as_millis()).unwrap_or(u64::MAX),
            findings: findings.iter().map(Finding::from).collect(),
            moves,
        }
    }
}

fn planned(planned: &PlannedMove, foreseen: &Foreseen) -> Planned {
    let links = foreseen.resources.iter().filter_map(|resource| match resource {
        Resource::Link(name) => Some(name.clone()),
        Resource::SourceInterface(_)
        | Resource::DestinationInterface(_)
        | Resource::SourceHost(_)
        | Resource::DestinationHost(_)
        | Resource::SourceStorage(_)
        | Resource::DestinationStorage(_)
        | Resource::InAll
        | Resource::Move(_) => None,
    });
    let expected = foreseen.expected;
    Planned {
        vm: planned.vm.to_string(),
        name: planned.name.to_string(),
        mode: planned.mode.word(),
        wave: planned.wave,
        priority: planned.turn.priority,
        group: planned.turn.group.clone(),
        source_host: planned.source_host.to_string(),
        destination_host: planned.destination_host.to_string(),
        memory_mib: planned.memory_mib,
        disk_mib: planned.disk_mib,
        start_at_ms: expected.map(|expected| expected.start_at.0),
        end_at_ms: expected.map(|expected| expected.start_at.plus_ms(expected.duration_ms).0),
        duration_ms: (foreseen.prediction.duration_s * 1e3) as u64,
        downtime_ms: foreseen.prediction.downtime_ms as u64,
        volume_mib: foreseen.prediction.volume_mib as u64,
        rate_mbit_s: foreseen.rate_bit_s / 1_000_000,
        converges: foreseen.prediction.converges(),
        links: links.collect(),
    }
}

/// For people.
pub(crate) fn text(plan: &EvacuationPlan) -> String {
    let mut lines = vec![format!("{}: {} → {}", plan.name, plan.source_site, plan.destination_site)];
    lines.extend(ends(plan));
    lines.extend(expectations(plan));
    if !plan.findings.is_empty() {
        let mut rows = table(["", "VM", "What", "What to do"]);
        for finding in plan.findings.iter().take(ROWS_SHOWN_MAX) {
            let name = finding.name.clone().unwrap_or_default();
            rows.row([finding.severity.to_owned(), name, finding.what.clone(), finding.mend.clone()]);
        }
        lines.push(rows.to_string());
    }
    let mut rows = table(["VM", "Mode", "Wave", "From", "To", "MiB", "Begins", "Takes", "Stands still", "Links"]);
    for planned in plan.moves.iter().take(ROWS_SHOWN_MAX) {
        rows.row([
            planned.name.clone(),
            planned.mode.to_owned(),
            planned.wave.to_string(),
            planned.source_host.clone(),
            planned.destination_host.clone(),
            planned.memory_mib.to_string(),
            planned.start_at_ms.map_or_else(|| "late".to_owned(), |at_ms| begins(plan.from_ms, at_ms)),
            span(planned.duration_ms),
            if planned.mode == Mode::Live.word() { span(planned.downtime_ms) } else { "all the time".to_owned() },
            planned.links.join(", "),
        ]);
    }
    lines.push(rows.to_string());
    for (what, count) in [("moves", plan.moves.len()), ("findings", plan.findings.len())] {
        if count > ROWS_SHOWN_MAX {
            lines.push(format!("and {} more {what}; all are in --output json", count - ROWS_SHOWN_MAX));
        }
    }
    lines.join("\n")
}

fn ends(plan: &EvacuationPlan) -> Vec<String> {
    let moves = counted(plan.moves.len() as u64, "move", "moves");
    let Some(ends_at_ms) = plan.ends_at_ms else { return vec![format!("{moves}, none of which has a beginning")] };
    let takes = span(ends_at_ms.saturating_sub(plan.from_ms));
    let mut lines = vec![format!("{moves}, over at {}, in {takes}", instant(ends_at_ms))];
    if let (Some(bound_at_ms), Some(bottleneck)) = (plan.bound_at_ms, &plan.bottleneck) {
        let (bound_ms, all_ms) = (bound_at_ms.saturating_sub(plan.from_ms), ends_at_ms.saturating_sub(plan.from_ms));
        let above = match plan.late {
            0 => format!(", {:.1} % above that", (all_ms as f64 / bound_ms.max(1) as f64 - 1.0) * 100.0),
            _ => String::new(),
        };
        lines.push(format!("not before {}, for the {bottleneck}{above}", span(bound_ms)));
    }
    if let Some(deadline_at_ms) = plan.deadline_at_ms {
        let deadline = instant(deadline_at_ms);
        lines.push(match plan.late {
            0 => format!("the deadline at {deadline} is met"),
            late => format!(
                "{} not over by the deadline at {deadline}: the least valuable for what they send, last in the list",
                moves_are(late)
            ),
        });
    }
    lines
}

fn expectations(plan: &EvacuationPlan) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(median_ms), Some(max_ms)) = (plan.downtime_median_ms, plan.downtime_max_ms) {
        lines.push(format!("live guests stand still for about {}, at most {}", span(median_ms), span(max_ms)));
    }
    if plan.not_converging > 0 {
        lines.push(format!("{} not expected to converge by themselves", moves_are(plan.not_converging)));
    }
    if let Some(mbit_s) = plan.assumed_rate_mbit_s {
        lines.push(format!(
            "the runbook doesn't say how fast its links are: {mbit_s} Mbit/s is taken for it; [[link]] or [limits] say it better"
        ));
    }
    lines
}

fn moves_are(count: usize) -> String {
    if count == 1 { "1 move is".to_owned() } else { format!("{count} moves are") }
}

fn begins(from_ms: u64, at_ms: u64) -> String {
    match at_ms.saturating_sub(from_ms) {
        0 => "at once".to_owned(),
        after_ms => format!("after {}", span(after_ms)),
    }
}
