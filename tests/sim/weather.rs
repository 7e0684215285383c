//! What was wrong when, as far as it can keep somebody from hearing or reaching somebody: for the oracle, which must know what
//! nobody could know.

use muster_tests::Process;

/// How long what was wrong may go on to be felt after its end, in milliseconds: connections are made anew, daemons and
/// workers come up, what was asked meanwhile times out.
const AFTERMATH_MS: u64 = 8_000;

/// Something that keeps from hearing or reaching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// The process is dead.
    Dead(Process),
    /// Nobody reaches the worker, nor it anybody.
    Unplugged(Process),
    /// Its store takes no work, or is slow to.
    Store(Process),
    /// A host of this worker's site, or all of them, don't answer.
    Hosts(Process),
    /// What the first sends doesn't come to the second, or comes late.
    Path(Process, Process),
}

/// Names what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanId(usize);

#[derive(Debug, Clone, Copy)]
struct Span {
    what: Hindrance,
    begin_ms: u64,
    end_ms: Option<u64>,
}

/// All that was wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    spans: Vec<Span>,
}

impl Weather {
    pub(crate) fn begin(&mut self, what: Hindrance, now_ms: u64) -> SpanId {
        self.spans.push(Span { what, begin_ms: now_ms, end_ms: None });
        SpanId(self.spans.len() - 1)
    }

    pub(crate) fn end(&mut self, span: SpanId, now_ms: u64) {
        let end_ms = &mut self.spans[span.0].end_ms;
        *end_ms = end_ms.or(Some(now_ms));
    }

    /// A dead process lives again, by whichever way.
    pub(crate) fn is_back(&mut self, process: Process, now_ms: u64) {
        for span in self.spans.iter_mut().filter(|span| span.what == Hindrance::Dead(process)) {
            span.end_ms = span.end_ms.or(Some(now_ms));
        }
    }

    pub(crate) fn end_all(&mut self, now_ms: u64) {
        for span in &mut self.spans {
            span.end_ms = span.end_ms.or(Some(now_ms));
        }
    }

    /// Whether anything kept, or may have kept, somebody from hearing of this worker's site in this time.
    pub(crate) fn may_hide(&self, worker: Process, from_ms: u64, to_ms: u64) -> bool {
        self.spans.iter().any(|span| {
            let about = match span.what {
                Hindrance::Dead(process)
                | Hindrance::Unplugged(process)
                | Hindrance::Store(process)
                | Hindrance::Hosts(process) => process == worker,
                Hindrance::Path(..) => false,
            };
            about && span.begin_ms <= to_ms && span.end_ms.is_none_or(|end_ms| end_ms + AFTERMATH_MS >= from_ms)
        })
    }

    /// Whether the one could not call the other, or get its answer, at any moment of this time.
    pub(crate) fn apart_throughout(&self, caller: Process, called: Process, from_ms: u64, to_ms: u64) -> bool {
        let apart = |what: Hindrance| match what {
            Hindrance::Dead(process) => process == called,
            Hindrance::Unplugged(process) => process == called || process == caller,
            Hindrance::Path(one, other) => (one, other) == (caller, called) || (one, other) == (called, caller),
            Hindrance::Hosts(_) | Hindrance::Store(_) => false,
        };
        let mut reached_ms = from_ms;
        let mut spans: Vec<&Span> = self.spans.iter().filter(|span| apart(span.what)).collect();
        spans.sort_by_key(|span| span.begin_ms);
        for span in spans {
            if span.begin_ms > reached_ms {
                return false;
            }
            reached_ms = reached_ms.max(span.end_ms.unwrap_or(u64::MAX));
        }
        // At the moment of its end it comes through again.
        reached_ms > to_ms
    }
}

#[test]
fn the_weather_knows_who_could_be_heard() {
    let (source, destination) = (Process::Source, Process::Destination);
    let mut weather = Weather::default();
    let dead = weather.begin(Hindrance::Dead(destination), 1_000);
    weather.is_back(destination, 2_000);
    weather.end(dead, 3_000);
    let cut = weather.begin(Hindrance::Path(source, destination), 1_900);
    weather.end(cut, 4_000);
    assert!(weather.apart_throughout(source, destination, 1_000, 3_999));
    assert!(!weather.apart_throughout(source, destination, 900, 3_999));
    assert!(!weather.apart_throughout(source, destination, 1_000, 4_000));
    assert!(!weather.apart_throughout(Process::Orchestrator, destination, 1_000, 2_001));
    assert!(weather.may_hide(destination, 2_000 + AFTERMATH_MS, 90_000));
    assert!(!weather.may_hide(destination, 2_001 + AFTERMATH_MS, 90_000));
    assert!(!weather.may_hide(source, 0, 90_000));
}
