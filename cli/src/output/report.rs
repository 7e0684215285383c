//! A plan held against what happened.

use super::evacuation::Evacuation;
use super::moves::Move;
use super::{ROWS_SHOWN_MAX, counted, instant, middle_and_greatest, span, table};
use serde::Serialize;

/// An evacuation's plan and its course.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) evacuation: String,
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) ordered_at_ms: u64,
    /// By the plan.
    pub(crate) planned_end_at_ms: Option<u64>,
    pub(crate) bound_at_ms: Option<u64>,
    pub(crate) bottleneck: Option<String>,
    /// When the last move was over.
    pub(crate) ended_at_ms: Option<u64>,
    pub(crate) migrated: usize,
    pub(crate) stayed_at_source: usize,
    pub(crate) not_over: usize,
    /// Moves that took more than one attempt.
    pub(crate) tried_again: usize,
    /// How far durations were from the plan, as a part of it: in the middle, of moves that arrived at their first attempt.
    pub(crate) duration_error_median: Option<f64>,
    /// How long guests stood still, in the middle and at most.
    pub(crate) downtime_median_ms: Option<u64>,
    pub(crate) downtime_max_ms: Option<u64>,
    /// By their beginnings.
    pub(crate) moves: Vec<Course>,
}

/// One move's plan and its course.
#[derive(Debug, Serialize)]
pub(crate) struct Course {
    pub(crate) vm: String,
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) attempts: u32,
    pub(crate) planned_start_at_ms: Option<u64>,
    pub(crate) started_at_ms: Option<u64>,
    pub(crate) planned_duration_ms: Option<u64>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) planned_downtime_ms: Option<u64>,
    pub(crate) downtime_ms: Option<u64>,
    pub(crate) error: Option<String>,
}

impl Report {
    pub(crate) fn new(evacuation: Evacuation, moves: Vec<Move>) -> Self {
        let ended_at_ms = moves.iter().filter_map(|of| of.ended_at_ms).max();
        let in_state = |state: &str| moves.iter().filter(|of| of.state == state).count();
        let (migrated, stayed_at_source) = (in_state("migrated"), in_state("stayed_at_source"));
        let (not_over, tried_again) =
            (moves.len() - migrated - stayed_at_source, moves.iter().filter(|of| of.attempts > 1).count());
        let downtimes = middle_and_greatest(moves.iter().filter_map(|of| of.downtime_ms).collect(), u64::cmp);
        let mut courses: Vec<Course> = moves.into_iter().map(Course::from).collect();
        courses
            .sort_by_key(|course| (course.started_at_ms.is_none(), course.started_at_ms, course.planned_start_at_ms));
        let errors = middle_and_greatest(courses.iter().filter_map(Course::duration_error).collect(), f64::total_cmp);
        Report {
            evacuation: evacuation.evacuation,
            name: evacuation.name,
            state: evacuation.state,
            ordered_at_ms: evacuation.ordered_at_ms,
            planned_end_at_ms: evacuation.planned_end_at_ms,
            bound_at_ms: evacuation.bound_at_ms,
            bottleneck: evacuation.bottleneck,
            ended_at_ms,
            migrated,
            stayed_at_source,
            not_over,
            tried_again,
            duration_error_median: errors.map(|(median, _)| median),
            downtime_median_ms: downtimes.map(|(median_ms, _)| median_ms),
            downtime_max_ms: downtimes.map(|(_, max_ms)| max_ms),
            moves: courses,
        }
    }
}

impl From<Move> for Course {
    fn from(of: Move) -> Self {
        Course {
            duration_ms: of.ended_at_ms.zip(of.started_at_ms).map(|(ended, started)| ended.saturating_sub(started)),
            vm: of.vm,
            name: of.name,
            state: of.state,
            attempts: of.attempts,
            planned_start_at_ms: of.planned_start_at_ms,
            started_at_ms: of.started_at_ms,
            planned_duration_ms: of.planned_duration_ms,
            planned_downtime_ms: of.planned_downtime_ms,
            downtime_ms: of.downtime_ms,
            error: of.error,
        }
    }
}

impl Course {
    /// How far its duration was from the plan, as a part of it.
    fn duration_error(&self) -> Option<f64> {
        let (planned_ms, took_ms) = (self.planned_duration_ms?, self.duration_ms?);
        let arrived_at_once = self.state == "migrated" && self.attempts == 1;
        (arrived_at_once && planned_ms > 0).then(|| (took_ms as f64 / planned_ms as f64 - 1.0).abs())
    }
}

/// For people.
pub(crate) fn text(report: &Report) -> String {
    let Report { migrated, stayed_at_source, not_over, tried_again, .. } = report;
    let mut lines = vec![
        format!("{} ({}), {}", report.name, report.evacuation, report.state),
        format!("ordered at {}", instant(report.ordered_at_ms)),
        format!(
            "{migrated} migrated, {stayed_at_source} stayed at the source, {not_over} not over; {} more than one attempt",
            if *tried_again == 1 { "1 took".to_owned() } else { format!("{tried_again} took") }
        ),
    ];
    let since = |at_ms: u64| span(at_ms.saturating_sub(report.ordered_at_ms));
    if let Some(planned_ms) = report.planned_end_at_ms {
        let hangs = report.bottleneck.as_ref().map(|of| format!(", for the {of}")).unwrap_or_default();
        let bound = report.bound_at_ms.map(|at_ms| format!("; not before {}{hangs}", since(at_ms))).unwrap_or_default();
        lines.push(format!("planned    over after {}{bound}", since(planned_ms)));
    }
    if let Some(ended_ms) = report.ended_at_ms {
        lines.push(format!("happened   over after {}", since(ended_ms)));
    }
    if let Some(error) = report.duration_error_median {
        lines.push(format!("durations  {:.0} % off the plan in the middle", error * 100.0));
    }
    if let (Some(median_ms), Some(max_ms)) = (report.downtime_median_ms, report.downtime_max_ms) {
        lines.push(format!("guests stood still for about {}, at most {}", span(median_ms), span(max_ms)));
    }
    lines.push(rows(report));
    if report.moves.len() > ROWS_SHOWN_MAX {
        let more = counted((report.moves.len() - ROWS_SHOWN_MAX) as u64, "more move", "more moves");
        lines.push(format!("and {more}; all are in --output json"));
    }
    lines.join("\n")
}

fn rows(report: &Report) -> String {
    let mut rows =
        table(["VM", "State", "Attempts", "Begins", "Began", "Takes", "Took", "Stands still", "Stood still", "Error"]);
    let after = |at_ms: Option<u64>| at_ms.map(|at_ms| span(at_ms.saturating_sub(report.ordered_at_ms)));
    let text = |told: Option<String>| told.unwrap_or_else(|| "–".to_owned());
    for course in report.moves.iter().take(ROWS_SHOWN_MAX) {
        rows.row([
            course.name.clone(),
            course.state.to_owned(),
            course.attempts.to_string(),
            text(after(course.planned_start_at_ms)),
            text(after(course.started_at_ms)),
            text(course.planned_duration_ms.map(span)),
            text(course.duration_ms.map(span)),
            text(course.planned_downtime_ms.map(span)),
            text(course.downtime_ms.map(span)),
            course.error.clone().unwrap_or_default(),
        ]);
    }
    rows.to_string()
}
