//! A plan as a picture: a Gantt chart with a row for each link, each source host and each destination host, the bottleneck
//! and the lower bound marked. SVG, in itself complete; names are escaped.

use super::evacuation_plan::{EvacuationPlan, Planned};
use super::{instant, span};
use muster_core::forecast::Resource;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Most rows that are drawn, links first.
const ROWS_MAX: usize = 400;
/// Width of the chart beside its labels, in pixels.
const WIDTH: f64 = 1_200.0;
/// Width of the labels.
const LABELS: f64 = 260.0;
/// Height of one move of a row.
const BAR: f64 = 9.0;
/// Room between rows.
const GAP: f64 = 6.0;
/// Room above the rows.
const HEAD: f64 = 64.0;
/// How many marks the time has.
const MARKS: u32 = 8;

/// What rows stand for, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Link,
    /// A source host.
    From,
    /// A destination host.
    To,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Link => "link",
            Kind::From => "from",
            Kind::To => "to",
        }
    }
}

/// One row: what it stands for, and its moves with the line in which each is drawn.
struct Row<'a> {
    label: String,
    kind: Kind,
    bars: Vec<(usize, &'a Planned)>,
    lines: usize,
}

/// The picture.
pub(crate) fn svg(plan: &EvacuationPlan) -> String {
    let rows = rows(plan);
    let until_ms = [plan.ends_at_ms, plan.bound_at_ms, plan.deadline_at_ms].into_iter().flatten().max();
    let scale =
        Scale { from_ms: plan.from_ms, span_ms: until_ms.unwrap_or(plan.from_ms).saturating_sub(plan.from_ms).max(1) };
    let height = HEAD + rows.iter().map(|row| height_of(row) + GAP).sum::<f64>() + GAP;
    let width = LABELS + WIDTH + GAP;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">"
    );
    let _ = writeln!(out, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>");
    let title = format!("{}: {} to {}", plan.name, plan.source_site, plan.destination_site);
    let _ = writeln!(out, "<text x=\"{GAP}\" y=\"18\" font-size=\"15\">{}</text>", escaped(&title));
    let _ = writeln!(out, "<text x=\"{GAP}\" y=\"36\">{}</text>", escaped(&summary(plan)));
    marks(&mut out, &scale, height);
    let mut top = HEAD;
    for row in &rows {
        draw(&mut out, row, top, &scale, plan.bottleneck_of.as_ref());
        top += height_of(row) + GAP;
    }
    let lines = [(plan.bound_at_ms, "lower bound", "#c02020"), (plan.deadline_at_ms, "deadline", "#202020")];
    for (at_ms, label, colour) in lines {
        if let Some(at_ms) = at_ms {
            let x = scale.x(at_ms);
            let _ = writeln!(
                out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{height}\" stroke=\"{colour}\" stroke-dasharray=\"4 3\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" fill=\"{colour}\" text-anchor=\"end\">{label} </text>",
                HEAD - 8.0,
                HEAD - 10.0
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

fn summary(plan: &EvacuationPlan) -> String {
    let ends = plan.ends_at_ms.map_or_else(|| "no end".to_owned(), instant);
    let hangs = plan.bottleneck.as_ref().map(|bottleneck| format!("; bottleneck: {bottleneck}")).unwrap_or_default();
    let late = if plan.late > 0 { format!("; {} past the deadline", plan.late) } else { String::new() };
    format!("{} moves, from {}, over at {ends}{hangs}{late}", plan.moves.len(), instant(plan.from_ms))
}

/// Where points in time are drawn.
struct Scale {
    from_ms: u64,
    span_ms: u64,
}

impl Scale {
    fn x(&self, at_ms: u64) -> f64 {
        LABELS + at_ms.saturating_sub(self.from_ms) as f64 / self.span_ms as f64 * WIDTH
    }
}

fn rows(plan: &EvacuationPlan) -> Vec<Row<'_>> {
    let mut by_row: BTreeMap<(Kind, &str), Vec<&Planned>> = BTreeMap::new();
    for planned in &plan.moves {
        for link in &planned.links {
            by_row.entry((Kind::Link, link)).or_default().push(planned);
        }
        by_row.entry((Kind::From, &planned.source_host)).or_default().push(planned);
        by_row.entry((Kind::To, &planned.destination_host)).or_default().push(planned);
    }
    by_row.into_iter().take(ROWS_MAX).map(|((kind, label), moves)| row(kind, label, moves)).collect()
}

/// Each move in the first line that is free again when it begins.
fn row<'a>(kind: Kind, label: &str, mut moves: Vec<&'a Planned>) -> Row<'a> {
    moves.sort_by_key(|planned| planned.start_at_ms);
    // When each line is free again.
    let mut free_at_ms: Vec<u64> = Vec::new();
    let mut bars = Vec::new();
    for planned in moves {
        let (Some(start_ms), Some(end_ms)) = (planned.start_at_ms, planned.end_at_ms) else { continue };
        let line = free_at_ms.iter().position(|free| *free <= start_ms).unwrap_or(free_at_ms.len());
        free_at_ms.resize(free_at_ms.len().max(line + 1), 0);
        free_at_ms[line] = end_ms;
        bars.push((line, planned));
    }
    Row { label: label.to_owned(), kind, bars, lines: free_at_ms.len().max(1) }
}

fn height_of(row: &Row<'_>) -> f64 {
    row.lines as f64 * BAR
}

fn marks(out: &mut String, scale: &Scale, height: f64) {
    for mark in 0..=MARKS {
        let after_ms = (scale.span_ms as f64 * f64::from(mark) / f64::from(MARKS)) as u64;
        let x = scale.x(scale.from_ms + after_ms);
        let label = span(after_ms);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{HEAD}\" y2=\"{height}\" stroke=\"#e4e4e4\"/>\
             <text x=\"{x:.1}\" y=\"52\" fill=\"#606060\" text-anchor=\"middle\">{label}</text>"
        );
    }
}

fn draw(out: &mut String, row: &Row<'_>, top: f64, scale: &Scale, bottleneck: Option<&Resource>) {
    let named = format!("{} {}", row.kind.word(), row.label);
    let is_bottleneck = bottleneck.is_some_and(|bottleneck| is_of(row, bottleneck));
    let (weight, colour) = if is_bottleneck { ("bold", "#c02020") } else { ("normal", "#202020") };
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" font-weight=\"{weight}\" fill=\"{colour}\">{}</text>",
        LABELS - GAP,
        top + BAR,
        escaped(&named)
    );
    for (line, planned) in &row.bars {
        let (Some(start_ms), Some(end_ms)) = (planned.start_at_ms, planned.end_at_ms) else { continue };
        let (x, y) = (scale.x(start_ms), top + *line as f64 * BAR);
        let width = (scale.x(end_ms) - x).max(1.0);
        let fill = if is_bottleneck { "#e08070" } else { colour_of(planned) };
        let told =
            format!("{}: after {}, takes {}", planned.name, span(start_ms - scale.from_ms), span(planned.duration_ms));
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{fill}\" stroke=\"#ffffff\" \
             stroke-width=\"0.5\"><title>{}</title></rect>",
            BAR - 1.0,
            escaped(&told)
        );
    }
}

/// Whether a row is what an evacuation's end hangs on, or its host is.
fn is_of(row: &Row<'_>, bottleneck: &Resource) -> bool {
    let (kind, name) = match bottleneck {
        Resource::Link(name) => (Kind::Link, name.as_str()),
        Resource::SourceInterface(host) | Resource::SourceHost(host) | Resource::SourceStorage(host) => {
            (Kind::From, host.as_str())
        }
        Resource::DestinationInterface(host) | Resource::DestinationHost(host) | Resource::DestinationStorage(host) => {
            (Kind::To, host.as_str())
        }
        Resource::InAll | Resource::Move(_) => return false,
    };
    row.kind == kind && row.label == name
}

fn colour_of(planned: &Planned) -> &'static str {
    match (planned.mode, planned.converges) {
        ("live", true) => "#5b8fc7",
        ("live", false) => "#c79a3b",
        _ => "#7fae7a",
    }
}

/// A text as XML holds it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
