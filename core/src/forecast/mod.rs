//! When each move of an evacuation begins and ends, and when all of it is over: before it starts, and for what is left of it while it
//! runs. From planned moves, what the runbook says lies between the hosts, and what completed moves have told.
//!
//! ```text
//!   planned moves, runbook ─▶ resources ─▶ timetable::plan ─▶ Forecast: the order, beginnings, the end, what it hangs on
//!   completed moves ────────▶ Calibration ─┘
//! ```
//! Pure. It orders and tells; it must never start anything, nor keep anything from starting: that is [`crate::schedule`]'s, which takes the
//! order from here and looks at what fits.

mod resources;

pub use resources::Resource;

use crate::definition::Mode;
use crate::evacuation::{Expected, Outlook, PlannedMove};
use crate::ids::VmId;
use crate::predict::{Assumed, Calibration, Completed, Course, HISTORY_MAX, Move, Prediction, Workload};
use crate::route::{ASSUMED_MBIT_S, Route, Routes};
use crate::runbook::{Limits, Runbook};
use crate::time::Timestamp;
use crate::timetable::{self, Bottleneck, Bound, Problem, ProblemError, SECOND_NS, Timetable};
use resources::Resources;
use std::collections::BTreeMap;

/// Nanoseconds of a millisecond.
const MS_NS: u64 = SECOND_NS / 1_000;
/// What is left of a move that should be over already, in milliseconds.
const OVERDUE_LEFT_MS: u64 = 1_000;

/// Foretells one evacuation.
#[derive(Debug, Clone)]
pub struct Forecaster {
    runbook: Runbook,
    routes: Routes,
    assumed: Assumed,
    history: Vec<Completed>,
    calibration: Calibration,
}

/// A move that isn't over, and since when it is under way, if it is.
#[derive(Debug, Clone, Copy)]
pub struct Ahead<'a> {
    /// The move.
    pub planned: &'a PlannedMove,
    /// When it began.
    pub since: Option<Timestamp>,
}

/// What is to be expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The moves in the order in which they are to start; those last that don't end by the deadline.
    pub moves: Vec<Foreseen>,
    /// When the last of those that have a beginning has arrived. None where nothing moves, or no window is left for it.
    pub ends_at: Option<Timestamp>,
    /// What no order of these moves ends before. None as above.
    pub bound_at: Option<Timestamp>,
    /// What that hangs on.
    pub bottleneck: Option<Resource>,
    /// Moves that don't end by the deadline: those that are worth the least for what they take of the bottleneck.
    pub late: usize,
    /// Nothing says how fast anything is: durations rest on [`ASSUMED_MBIT_S`].
    pub rate_is_assumed: bool,
}

/// One move.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// Its VM.
    pub vm: VmId,
    /// When it begins, and how long it takes. None where it doesn't end by the deadline, or no window is left for it.
    pub expected: Option<Expected>,
    /// What its sending is expected to be.
    pub prediction: Prediction,
    /// What it takes on its way, in bits per second.
    pub rate_bit_s: u64,
    /// What it takes that of.
    pub resources: Vec<Resource>,
}

/// What a move sends, as far as that is known.
#[derive(Debug, Clone)]
struct Sending {
    prediction: Prediction,
    /// What is still to come of it, in milliseconds; at least 1.
    left_ms: u64,
    route: Route,
}

/// A timetable, and what its parts stand for.
struct Laid<'a> {
    problem: Problem,
    timetable: Timetable,
    resources: Resources<'a>,
    late: usize,
}

impl Forecaster {
    /// For one runbook, with nothing seen yet.
    #[must_use]
    pub fn new(runbook: &Runbook) -> Self {
        let assumed = Assumed { ladder: runbook.ladder.clone(), ..Assumed::default() };
        Forecaster {
            runbook: runbook.clone(),
            routes: Routes::of(runbook),
            calibration: Calibration::learn(assumed.clone(), &[]),
            assumed,
            history: Vec::new(),
        }
    }

    /// Learns from moves that have arrived at their first attempt, each with how long that took in milliseconds, oldest first.
    pub fn learn<'a>(&mut self, arrived: impl IntoIterator<Item = (&'a PlannedMove, u64)>) {
        let known = self.history.len();
        for (planned, duration_ms) in arrived {
            let (of, _) = self.predictable(planned);
            // What can't be learned from says nothing.
            let completed = of.and_then(|of| Completed::new(of, duration_ms as f64 / 1e3).ok());
            self.history.extend(completed);
        }
        if self.history.len() == known {
            return;
        }
        let too_old = self.history.len().saturating_sub(HISTORY_MAX);
        self.history.drain(..too_old);
        self.calibration = Calibration::learn(self.assumed.clone(), &self.history);
    }

    /// Takes changed limits over.
    pub fn set_limits(&mut self, limits: Limits) {
        self.runbook.limits = limits;
    }

    /// How many completed moves are learned from.
    #[must_use]
    pub fn learned_from(&self) -> usize {
        self.history.len()
    }

    /// Foretells these moves from `now` on. `go_on` is asked whether a better order is to be looked for; the same seed and the same
    /// answers give the same forecast.
    ///
    /// # Errors
    /// Where they can't be planned.
    pub fn forecast(
        &mut self,
        ahead: &[Ahead<'_>],
        now: Timestamp,
        seed: u64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Forecast, ProblemError> {
        let sendings: Vec<Sending> = ahead.iter().map(|one| self.sending(*one, now)).collect();
        let mut resources = Resources::new(&self.runbook, &self.routes);
        let waits: Vec<usize> = (0..ahead.len()).filter(|place| ahead[*place].since.is_none()).collect();
        let waiting: Vec<Ahead<'_>> = waits.iter().map(|place| ahead[*place]).collect();
        let sent: Vec<Sending> = waits.iter().map(|place| sendings[*place].clone()).collect();
        let problem = resources.problem(&waiting, &sent)?;
        let deadline_at = self.runbook.deadline_at;
        let deadline_ns = deadline_at.map(|at| self.runbook.calendar.open_ms(now, at).saturating_mul(MS_NS));
        let planned = timetable::plan(&problem, deadline_ns, seed, go_on);
        let planned = together(&problem, &waiting, planned);
        let late = planned.left_behind().count();
        if waits.len() == ahead.len() {
            return Ok(self.told(ahead, &sendings, &Laid { problem, timetable: planned, resources, late }, now));
        }
        // What is under way goes on, and all that waits keeps its turn behind it.
        let mut turns_ns = vec![0; ahead.len()];
        for (place, turn_ns) in waits.iter().zip(planned.turns_ns()) {
            turns_ns[*place] = turn_ns.saturating_add(1);
        }
        let mut resources = Resources::new(&self.runbook, &self.routes);
        let problem = resources.problem(ahead, &sendings)?;
        let timetable = timetable::repair(&problem, &turns_ns);
        Ok(self.told(ahead, &sendings, &Laid { problem, timetable, resources, late }, now))
    }

    /// A timetable in the words of the evacuation.
    fn told(&self, ahead: &[Ahead<'_>], sendings: &[Sending], laid: &Laid<'_>, now: Timestamp) -> Forecast {
        let Laid { problem, timetable, resources, late } = laid;
        let calendar = &self.runbook.calendar;
        let turns_ns = timetable.turns_ns();
        let mut order: Vec<usize> = (0..ahead.len()).collect();
        order.sort_by_key(|place| {
            let Ahead { planned, since } = ahead[*place];
            (since.is_none(), planned.wave, turns_ns[*place], *place)
        });
        let foreseen = |place: usize| {
            let (Sending { prediction, left_ms, .. }, Ahead { planned, since }) = (&sendings[place], ahead[place]);
            let start_at = timetable.starts_ns[place].and_then(|ns| calendar.after_open_ms(now, ns / MS_NS));
            let duration_ms = since.map_or(*left_ms, |since| now.plus_ms(*left_ms).since_ms(since));
            let downtime_ms = prediction.downtime_ms as u64;
            let task = &problem.tasks()[place];
            Foreseen {
                vm: planned.vm,
                expected: since.or(start_at).map(|start_at| Expected { start_at, duration_ms, downtime_ms }),
                prediction: *prediction,
                rate_bit_s: task.rate_bit_s,
                resources: task.path.iter().map(|link| resources.name(*link)).collect(),
            }
        };
        let moves: Vec<Foreseen> = order.into_iter().map(foreseen).collect();
        let bound = Bound::of(problem);
        let bottleneck = bound.bottleneck.map(|bottleneck| match bottleneck {
            Bottleneck::Link(link) => resources.name(u32::try_from(link).unwrap_or(u32::MAX)),
            Bottleneck::Task(task) => Resource::Move(ahead[task].planned.name.clone()),
        });
        let ends = moves.iter().filter_map(|foreseen| foreseen.expected);
        Forecast {
            ends_at: ends.map(|expected| expected.start_at.plus_ms(expected.duration_ms)).max(),
            bound_at: bottleneck.as_ref().and_then(|_| calendar.after_open_ms(now, bound.ns / MS_NS)),
            bottleneck,
            late: *late,
            rate_is_assumed: sendings.iter().any(|sending| sending.route.rate_bit_s.is_none()),
            moves,
        }
    }

    fn sending(&mut self, one: Ahead<'_>, now: Timestamp) -> Sending {
        let (of, route) = self.predictable(one.planned);
        // What can't be predicted has nothing to send.
        let nothing = || Prediction {
            duration_s: self.calibration.fixed_s(),
            volume_mib: 0.0,
            downtime_ms: 0.0,
            course: Course::Converges,
        };
        let prediction = of.map_or_else(nothing, |of| self.calibration.predict(&of));
        Sending { left_ms: left_ms(&prediction, one.since, now), prediction, route }
    }

    /// What can be known of a move beforehand: how its guest writes to its memory can't.
    fn predictable(&mut self, planned: &PlannedMove) -> (Option<Move>, Route) {
        let route = self.routes.between(&planned.source_host, &planned.destination_host);
        let memory_mib = match planned.mode {
            Mode::Live => planned.memory_mib as f64,
            Mode::Cold | Mode::Off => 0.0,
        };
        let storage_mib = planned.disk_mib.unwrap_or(0) as f64;
        let rate_mbit_s = route.rate_bit_s.map_or(ASSUMED_MBIT_S as f64, |bit_s| bit_s as f64 / 1e6);
        let names: Vec<&str> = route.links.iter().map(|link| self.routes.links()[*link].name.as_str()).collect();
        let way = crate::predict::Route {
            link: names.first().map(|name| (*name).to_owned()),
            path: (!names.is_empty()).then(|| names.join(" ")),
            source: Some(planned.source_host.to_string()),
            destination: Some(planned.destination_host.to_string()),
        };
        let workload = Workload { memory_mib, storage_mib, ..Workload::default() };
        (Move::new(workload, rate_mbit_s, way).ok(), route)
    }
}

impl Forecast {
    /// The whole in short, as the journal keeps it.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        Outlook {
            ends_at: self.ends_at,
            bound_at: self.bound_at,
            bottleneck: self.bottleneck.as_ref().map(Resource::to_string),
            late: u32::try_from(self.late).unwrap_or(u32::MAX),
        }
    }

    /// How many moves' sending is not expected to converge by itself.
    #[must_use]
    pub fn will_not_converge(&self) -> usize {
        self.moves.iter().filter(|foreseen| !foreseen.prediction.converges()).count()
    }
}

/// What is still to come of a move, in milliseconds; at least 1.
fn left_ms(prediction: &Prediction, since: Option<Timestamp>, now: Timestamp) -> u64 {
    let whole_ms = (prediction.duration_s * 1e3).max(1.0) as u64;
    match since {
        None => whole_ms,
        Some(since) => whole_ms.checked_sub(now.since_ms(since)).filter(|left| *left > 0).unwrap_or(OVERDUE_LEFT_MS),
    }
}

/// The same with the moves of each group one right after the other: each has its turn with the first of its group. Where some are left
/// behind it stays as it is: what was chosen for a deadline wouldn't be over by it in another order.
fn together(problem: &Problem, ahead: &[Ahead<'_>], timetable: Timetable) -> Timetable {
    if timetable.left_behind().next().is_some() {
        return timetable;
    }
    let mut turns_ns = timetable.turns_ns();
    let mut firsts: BTreeMap<(u32, &str), u64> = BTreeMap::new();
    let group = |place: usize| {
        let planned = ahead[place].planned;
        planned.turn.group.as_deref().map(|group| (planned.wave, group))
    };
    for (place, turn_ns) in turns_ns.iter().enumerate() {
        if let Some(group) = group(place) {
            let first_ns = firsts.entry(group).or_insert(u64::MAX);
            *first_ns = (*first_ns).min(*turn_ns);
        }
    }
    if firsts.is_empty() {
        return timetable;
    }
    for (place, turn_ns) in turns_ns.iter_mut().enumerate() {
        if let Some(first_ns) = group(place).and_then(|group| firsts.get(&group)) {
            *turn_ns = *first_ns;
        }
    }
    timetable::repair(problem, &turns_ns)
}
