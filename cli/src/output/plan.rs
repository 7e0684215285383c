//! A plan: which move begins and ends when, how near to the bound that is, and what it hangs on.

use super::ROWS_SHOWN_MAX;
use super::table::table;
use crate::orders::{Name, Scenario};
use muster_core::timetable::{Bottleneck, Bound, SECOND_NS, Timetable};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// A plan, as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Planned {
    /// When the last source host is shut down.
    pub(crate) makespan_s: f64,
    /// What no plan of all moves ends before.
    pub(crate) lower_bound_s: f64,
    /// What the bound hangs on.
    pub(crate) bottleneck: Option<Hangs>,
    pub(crate) planning_ms: f64,
    /// By their starts.
    pub(crate) moves: Vec<PlannedMove>,
    pub(crate) left_behind: Vec<Name>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hangs {
    Link(Name),
    Vm(Name),
}

#[derive(Debug, Serialize)]
pub(crate) struct PlannedMove {
    pub(crate) vm: Name,
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
}

impl Planned {
    pub(crate) fn new(scenario: &Scenario, bound: &Bound, timetable: &Timetable, planning: Duration) -> Self {
        let vm = |task: usize| scenario.vms[task].clone();
        let starts = timetable.starts_ns.iter().zip(scenario.problem.tasks()).enumerate();
        let mut starts: Vec<(u64, u64, usize)> = starts
            .filter_map(|(task, (start_ns, of))| start_ns.map(|start_ns| (start_ns, start_ns + of.duration_ns, task)))
            .collect();
        starts.sort_unstable();
        let moves = starts.into_iter().map(|(start_ns, end_ns, task)| PlannedMove {
            vm: vm(task),
            start_s: seconds(start_ns),
            end_s: seconds(end_ns),
        });
        Planned {
            makespan_s: seconds(timetable.makespan_ns(&scenario.problem)),
            lower_bound_s: seconds(bound.ns),
            bottleneck: bound.bottleneck.map(|bottleneck| match bottleneck {
                Bottleneck::Link(link) => Hangs::Link(scenario.links[link].clone()),
                Bottleneck::Task(task) => Hangs::Vm(vm(task)),
            }),
            planning_ms: (planning.as_secs_f64() * 1e6).round() / 1e3,
            moves: moves.collect(),
            left_behind: timetable.left_behind().map(vm).collect(),
        }
    }
}

fn seconds(span_ns: u64) -> f64 {
    span_ns as f64 / SECOND_NS as f64
}

/// For people.
pub(crate) fn text(planned: &Planned) -> String {
    let mut out = String::new();
    let hangs = match &planned.bottleneck {
        None => "nothing is to be moved".to_owned(),
        Some(Hangs::Link(link)) => format!("link {link} is busy all that time"),
        Some(Hangs::Vm(vm)) => format!("VM {vm} alone takes that long"),
    };
    let _ = writeln!(out, "ends after    {:.1} s, source hosts shut down", planned.makespan_s);
    let _ = writeln!(out, "not before    {:.1} s: {hangs}", planned.lower_bound_s);
    if planned.lower_bound_s > 0.0 && planned.left_behind.is_empty() {
        let above = (planned.makespan_s / planned.lower_bound_s - 1.0) * 100.0;
        let _ = writeln!(out, "above that    {above:.2} %");
    }
    let _ = writeln!(out, "planned in    {:.0} ms", planned.planning_ms);
    if !planned.left_behind.is_empty() {
        let names: Vec<String> = planned.left_behind.iter().take(ROWS_SHOWN_MAX).map(Name::to_string).collect();
        let more = planned.left_behind.len() - names.len();
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let _ = writeln!(out, "left behind   {}: {}{more}", planned.left_behind.len(), names.join(", "));
    }
    let mut moves = table(["VM", "starts at s", "ends at s"]);
    for of in planned.moves.iter().take(ROWS_SHOWN_MAX) {
        moves.row([of.vm.to_string(), format!("{:.1}", of.start_s), format!("{:.1}", of.end_s)]);
    }
    let _ = writeln!(out, "\n{moves}");
    if planned.moves.len() > ROWS_SHOWN_MAX {
        let _ = writeln!(out, "and {} more; all are in --output json", planned.moves.len() - ROWS_SHOWN_MAX);
    }
    out
}
