//! Progress of an evacuation on standard error: bars on a terminal, otherwise a plain line now and then.

use super::follow::Snapshot;
use crate::output::moves::{Move, phase};
use crate::writer::{Writer, stderr_is_terminal};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::Duration;
use tokio::time::Instant;

/// Most moves that are shown one by one.
const MOVES_SHOWN: usize = 6;
/// How often a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(2);
/// How often bars are drawn, at most.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// Hundredths of a percent in a whole.
const WHOLE_BASIS_POINTS: u64 = 10_000;

/// Shows how an evacuation goes.
pub(crate) struct Progress {
    writer: Writer,
    shown: Shown,
}

enum Shown {
    Bars(Box<Bars>),
    Plain { last: Option<(Instant, u32)> },
    Nothing,
}

struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    moves: Vec<ProgressBar>,
    drawn: Option<Instant>,
}

impl Progress {
    /// Bars on a terminal, plain lines elsewhere.
    pub(crate) fn new(writer: &Writer) -> Self {
        let shown = if stderr_is_terminal() { Shown::Bars(Box::new(Bars::new())) } else { Shown::Plain { last: None } };
        Progress { writer: writer.clone(), shown }
    }

    /// Nothing at all.
    pub(crate) fn silent(writer: &Writer) -> Self {
        Progress { writer: writer.clone(), shown: Shown::Nothing }
    }

    /// Shows how it stands now.
    pub(crate) fn show(&mut self, snapshot: &Snapshot) {
        let now = Instant::now();
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Bars(bars) => bars.show(snapshot, now),
            Shown::Plain { last } => {
                let (migrated, total) = (snapshot.migrated(), snapshot.total());
                let due = last.is_none_or(|(at, shown)| now - at >= PLAIN_EVERY && shown != migrated);
                if total > 0 && due {
                    *last = Some((now, migrated));
                    self.writer.note(&line(snapshot));
                }
            }
        }
    }

    /// Says something beside the progress.
    pub(crate) fn say(&self, text: &str) {
        match &self.shown {
            Shown::Bars(bars) => {
                if bars.all.println(text).is_err() {
                    self.writer.note(text);
                }
            }
            Shown::Plain { .. } | Shown::Nothing => self.writer.note(text),
        }
    }

    /// Takes the bars away.
    pub(crate) fn finish(&mut self, snapshot: &Snapshot) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Plain { .. } => self.writer.note(&line(snapshot)),
            Shown::Bars(bars) => {
                bars.moves.iter().for_each(ProgressBar::finish_and_clear);
                bars.whole.finish_and_clear();
            }
        }
        self.shown = Shown::Nothing;
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let whole = all.add(ProgressBar::new(0));
        whole.set_style(style("{bar:40} {pos}/{len} migrated, {msg}"));
        let moves = (0..MOVES_SHOWN).map(|_| {
            let bar = all.add(ProgressBar::new(WHOLE_BASIS_POINTS));
            bar.set_style(style("  {bar:20} {msg}"));
            bar
        });
        let moves = moves.collect();
        Bars { all, whole, moves, drawn: None }
    }

    fn show(&mut self, snapshot: &Snapshot, now: Instant) {
        if self.drawn.is_some_and(|drawn| now - drawn < DRAWN_EVERY) {
            return;
        }
        self.drawn = Some(now);
        self.whole.set_length(u64::from(snapshot.total()));
        self.whole.set_position(u64::from(snapshot.migrated()));
        self.whole.set_message(rest(snapshot));
        let mut moving: Vec<&Move> = snapshot.moving().filter(|one| one.phase.is_some()).collect();
        moving.sort_by_key(|one| (one.started_at_ms, one.vm.as_str()));
        for (at, bar) in self.moves.iter().enumerate() {
            match moving.get(at) {
                Some(one) => {
                    bar.set_position(u64::from(one.phase_done_basis_points));
                    bar.set_message(format!("{} {}", one.name, phase(one)));
                }
                None => {
                    bar.set_position(0);
                    bar.set_message(String::new());
                }
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(snapshot: &Snapshot) -> String {
    format!("{} of {} migrated, {}", snapshot.migrated(), snapshot.total(), rest(snapshot))
}

fn rest(snapshot: &Snapshot) -> String {
    let Some(evacuation) = &snapshot.evacuation else { return "waiting for the orchestrator".to_owned() };
    let counts = evacuation.counts;
    let mut rest = format!("{} moving, {} waiting", counts.moving, counts.waiting);
    if counts.held > 0 {
        rest.push_str(&format!(", {} held", counts.held));
    }
    if counts.stayed_at_source > 0 {
        rest.push_str(&format!(", {} stayed at the source", counts.stayed_at_source));
    }
    if snapshot.silent.is_some() {
        rest.push_str("; the orchestrator does not answer");
    }
    rest
}
