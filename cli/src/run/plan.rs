//! Plans a scenario. Asks no site.

use crate::exit::Exit;
use crate::orders::Scenario;
use crate::output::plan::{Planned, text};
use crate::writer::Writer;
use muster_core::timetable::{Bound, plan};
use std::time::Duration;
use tokio::time::Instant;

/// What chance begins with: the same scenario is planned the same way, as far as its budget allows the same steps.
const SEED: u64 = 1;

pub(super) fn run(scenario: &Scenario, writer: &Writer) -> Exit {
    let begun = Instant::now();
    let mut budget = Budget { begun, whole: scenario.budget, asked_at: begun, longest_step: Duration::ZERO };
    let timetable = plan(&scenario.problem, scenario.deadline_ns, SEED, &mut || budget.allows_more());
    let planning = begun.elapsed();
    let planned = Planned::new(scenario, &Bound::of(&scenario.problem), &timetable, planning);
    writer.result(&planned, text);
    if planned.left_behind.is_empty() { Exit::Done } else { Exit::Held }
}

/// How long planning may go on: not into a step that would most likely end too late.
struct Budget {
    begun: Instant,
    whole: Duration,
    asked_at: Instant,
    longest_step: Duration,
}

impl Budget {
    fn allows_more(&mut self) -> bool {
        let now = Instant::now();
        self.longest_step = self.longest_step.max(now - self.asked_at);
        self.asked_at = now;
        now - self.begun + self.longest_step < self.whole
    }
}
