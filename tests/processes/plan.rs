//! What is killed when, drawn from the seed. The processes are real, so a seed repeats the plan, not the course.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Every so many-th seed has its orchestrator killed for good and finished by `muster recover`.
const RECOVERY_EVERY: u64 = 4;
/// A process stays dead for so long, in milliseconds.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 30..=900;
/// Sometimes for longer than the runbook is patient.
const LONG_PAUSE_MS: std::ops::RangeInclusive<u64> = 2_300..=3_500;

/// Who can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Orchestrator,
    Source,
    Destination,
}

impl Part {
    pub(crate) const ALL: [Part; 3] = [Part::Orchestrator, Part::Source, Part::Destination];
}

/// One or two processes killed at once.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    /// As soon as so many percent of the VMs have arrived,
    pub(crate) at_percent: usize,
    /// and then so much later.
    pub(crate) then: Duration,
    /// Who, and how long each stays dead.
    pub(crate) parts: Vec<(Part, Duration)>,
    /// The roll is called while they are dead.
    pub(crate) roll_call: bool,
}

/// The orchestrator is killed for good, and `muster recover --apply` finishes what had begun.
#[derive(Debug, Clone)]
pub(crate) struct Succession {
    pub(crate) at_percent: usize,
    /// Recovery itself is killed after so long, and run again.
    pub(crate) recovery_killed_after: Option<Duration>,
    /// A worker is killed so long after recovery has begun, and stays dead for so long.
    pub(crate) worker_killed: Option<(Part, Duration, Duration)>,
}

/// The whole plan.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// In their order.
    pub(crate) strikes: Vec<Strike>,
    /// After these.
    pub(crate) succession: Option<Succession>,
}

impl Plan {
    /// Three to six kills, each kind of process at least once.
    pub(crate) fn draw(seed: u64, random: &mut ChaCha8Rng) -> Plan {
        let succession = seed.is_multiple_of(RECOVERY_EVERY).then(|| draw_succession(random));
        let last_percent = succession.as_ref().map_or(94, |succession| succession.at_percent);
        let mut victims = Part::ALL.to_vec();
        for _ in 0..random.random_range(0..=3) {
            victims.push(Part::ALL[random.random_range(0..3)]);
        }
        victims.shuffle(random);
        let mut percents: Vec<usize> = victims.iter().map(|_| random.random_range(0..last_percent)).collect();
        percents.sort_unstable();
        let mut strikes: Vec<Strike> = Vec::new();
        for (part, at_percent) in victims.into_iter().zip(percents) {
            let pause = if random.random_range(0..6) == 0 { LONG_PAUSE_MS } else { PAUSE_MS };
            let victim = (part, milliseconds(random, pause));
            let at_once = random.random_range(0..3) == 0;
            match strikes.last_mut() {
                Some(strike) if at_once && strike.parts.len() == 1 && strike.parts[0].0 != part => {
                    strike.parts.push(victim);
                }
                Some(_) | None => strikes.push(Strike {
                    at_percent,
                    then: milliseconds(random, 0..=400),
                    parts: vec![victim],
                    // Before that the roll may not be written yet.
                    roll_call: at_percent > 0 && random.random_range(0..3) == 0,
                }),
            }
        }
        if let Some(last) = strikes.last_mut() {
            last.at_percent = last.at_percent.max(20);
            last.roll_call = true;
        }
        Plan { strikes, succession }
    }
}

fn draw_succession(random: &mut ChaCha8Rng) -> Succession {
    let what_else = random.random_range(0..3);
    let worker = if random.random() { Part::Source } else { Part::Destination };
    Succession {
        at_percent: random.random_range(60..=88),
        recovery_killed_after: (what_else == 1).then(|| milliseconds(random, 20..=900)),
        worker_killed: (what_else == 2)
            .then(|| (worker, milliseconds(random, 20..=600), milliseconds(random, PAUSE_MS))),
    }
}

fn milliseconds(random: &mut ChaCha8Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}
