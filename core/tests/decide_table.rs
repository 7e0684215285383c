//! The exhaustive table: every combination of evidence with every order, `decide` against the oracle.
//!
//! A failing run prints each kind of disagreement once: how many combinations show it, and the values they take. With
//! `MUSTER_STOP_EARLY=1` it ends at the first disagreement, which is all that a mutant of `decide` is asked for: what is
//! right is looked at as fully as without.

mod oracle;

use muster_core::decide::{ColdStart, Goal, Leftovers, MoveOrder, decide};
use muster_core::definition::Mode;
use muster_core::evidence::{
    ArrivalKind, DestinationEvidence, Evidence, Freshness, Heard, Outcome, Record, SourceEvidence,
};
use muster_core::ids::Attempt;
use muster_core::step::{Decision, Step};
use muster_core::verdict::Verdict;
use oracle::values::{COPIES, DISKS, INSTANCES, OTHERS, SEALS};
use oracle::{permission, progress, verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the table at its first disagreement.
const STOP_EARLY: &str = "MUSTER_STOP_EARLY";

const BOTH: [bool; 2] = [false, true];
const MODES: [Mode; 3] = [Mode::Live, Mode::Cold, Mode::Off];
const THREADS: usize = 4;

/// Of each kind of disagreement, this many are looked at for what they have in common.
const LOOKED_AT_MAX: u64 = 20_000;

/// What is wrong, in whose terms.
type Disagreements = BTreeMap<String, Seen>;

/// How often a disagreement was seen, and the values that its evidence and orders take.
#[derive(Default)]
struct Seen {
    count: u64,
    values: BTreeMap<&'static str, BTreeSet<String>>,
}

fn attempt() -> Attempt {
    Attempt::FIRST.next()
}

fn destinations() -> Vec<Heard<DestinationEvidence>> {
    let attempt = attempt();
    let records = [
        Record::NotOnRoll,
        Record::Enrolled,
        Record::Started { attempt, kind: ArrivalKind::Transfer },
        Record::Started { attempt, kind: ArrivalKind::ColdStart },
        Record::Abandoned { attempt },
        Record::Completed { attempt, kind: ArrivalKind::Transfer },
        Record::Completed { attempt, kind: ArrivalKind::ColdStart },
        Record::Closed(Outcome::Migrated),
        Record::Closed(Outcome::StayedAtSource),
    ];
    let mut all = vec![Heard::Silent];
    for record in records {
        for copy in COPIES {
            for other in OTHERS {
                for disk in DISKS {
                    for busy in BOTH {
                        all.push(Heard::Answer(DestinationEvidence { record, copy, other, busy, disk }));
                    }
                }
            }
        }
    }
    all
}

fn sources() -> Vec<Heard<SourceEvidence>> {
    let mut all = vec![Heard::Silent];
    for seal in SEALS {
        for instance in INSTANCES {
            for busy in BOTH {
                all.push(Heard::Answer(SourceEvidence { seal, instance, busy }));
            }
        }
    }
    all
}

/// Every order of one mode: goals, policies, attempts left or not, the attempt refused or not, or its leftovers not to be
/// removed.
fn orders(mode: Mode) -> Vec<MoveOrder> {
    let mut all = Vec::new();
    for goal in [Goal::Finish, Goal::Undo] {
        for cold_start in [ColdStart::Never, ColdStart::Policy, ColdStart::Ordered] {
            for attempts_max in [attempt().count(), attempt().next().count()] {
                for refused in [None, Some(attempt())] {
                    let leftovers = Leftovers::AreDiscarded;
                    all.push(MoveOrder { mode, goal, attempts_max, cold_start, refused, leftovers });
                }
                let leftovers = Leftovers::AreLeft;
                all.push(MoveOrder { mode, goal, attempts_max, cold_start, refused: None, leftovers });
            }
        }
    }
    all
}

fn note(found: &mut Disagreements, kind: String, order: &MoveOrder, evidence: &Evidence) {
    let seen = found.entry(kind).or_default();
    seen.count += 1;
    if seen.count > LOOKED_AT_MAX {
        return;
    }
    let mut value = |name, value: String| {
        seen.values.entry(name).or_default().insert(value);
    };
    value("order", format!("{:?} {:?}", order.mode, order.goal));
    value("cold start", format!("{:?}", order.cold_start));
    let refused = order.refused.is_some();
    value("attempts", format!("max {} refused {refused} leftovers {:?}", order.attempts_max, order.leftovers));
    value("freshness", format!("{:?}", evidence.freshness));
    let sworn = (evidence.source_fenced, evidence.destination_host_fenced, evidence.past_deadline);
    value("source fenced, host fenced, past deadline", format!("{sworn:?}"));
    match evidence.destination {
        Heard::Silent => value("copy, other", "silent".to_owned()),
        Heard::Answer(at) => {
            value("copy, other", format!("{:?} {:?}", at.copy, at.other));
            value("destination's disk, busy", format!("{:?} {}", at.disk, at.busy));
        }
    }
    match evidence.source {
        Heard::Silent => value("source", "silent".to_owned()),
        Heard::Answer(at) => {
            value("source", format!("{:?} {:?}", at.seal, at.instance));
            value("source busy", at.busy.to_string());
        }
    }
}

/// The verdict of one combination, against the truths that fit; it may not hang on the order.
fn check_verdict(
    found: &mut Disagreements,
    allowed: verdict::Allowed,
    order: &MoveOrder,
    evidence: &Evidence,
    is: Verdict,
) {
    if !allowed.holds(is) {
        let record = record_name(evidence);
        note(found, format!("verdict [{record}]: {is:?}, allowed {allowed:?}"), order, evidence);
    }
    if let Verdict::Indeterminate(doubt) = is
        && !verdict::is_true(doubt, evidence)
    {
        note(found, format!("doubt [{}]: {doubt:?} is not true here", record_name(evidence)), order, evidence);
    }
}

fn record_name(evidence: &Evidence) -> String {
    match evidence.destination {
        Heard::Silent => "destination silent".to_owned(),
        Heard::Answer(at) => match at.record {
            Record::NotOnRoll => "not on roll".to_owned(),
            Record::Enrolled => "enrolled".to_owned(),
            Record::Started { kind, .. } => format!("started {kind:?}"),
            Record::Abandoned { .. } => "abandoned".to_owned(),
            Record::Completed { kind, .. } => format!("completed {kind:?}"),
            Record::Closed(outcome) => format!("closed {outcome:?}"),
        },
    }
}

fn check_step(
    found: &mut Disagreements,
    allowed: verdict::Allowed,
    order: &MoveOrder,
    evidence: &Evidence,
    is: Decision,
) {
    if let Some(rule) = permission::broken_rule(order, evidence, is.verdict, is.step) {
        note(found, format!("step [{}]: {:?}: {rule}", record_name(evidence), is.step), order, evidence);
    }
    if let Some(rule) = progress::stuck(order, evidence, allowed, is.step) {
        note(found, format!("stuck [{}]: {:?}: {rule}", record_name(evidence), is.step), order, evidence);
    }
}

/// All readings of one pair of answers: their freshness, what was sworn, the deadline, and every order.
fn check_pair(
    found: &mut Disagreements,
    orders: &[Vec<MoveOrder>],
    destination: Heard<DestinationEvidence>,
    source: Heard<SourceEvidence>,
) -> u64 {
    let mut combinations = 0;
    for source_fenced in BOTH {
        for destination_host_fenced in BOTH {
            for of_mode in orders {
                let mut first: Option<Verdict> = None;
                for freshness in [Freshness::Streamed, Freshness::Fenced] {
                    for past_deadline in BOTH {
                        let evidence = Evidence {
                            freshness,
                            destination,
                            source,
                            source_fenced,
                            destination_host_fenced,
                            past_deadline,
                        };
                        let allowed = verdict::allowed(&evidence, of_mode[0].mode);
                        for order in of_mode {
                            combinations += 1;
                            let is = decide(order, &evidence);
                            match first {
                                None => {
                                    check_verdict(found, allowed, order, &evidence, is.verdict);
                                    first = Some(is.verdict);
                                }
                                Some(first) if first != is.verdict => {
                                    let kind = format!(
                                        "verdict {first:?} becomes {:?} by order, time or freshness",
                                        is.verdict
                                    );
                                    note(found, kind, order, &evidence);
                                }
                                Some(_) => {}
                            }
                            check_step(found, allowed, order, &evidence, is);
                        }
                    }
                }
            }
        }
    }
    combinations
}

fn merge(into: &mut Disagreements, from: Disagreements) {
    for (kind, from) in from {
        let into = into.entry(kind).or_default();
        into.count += from.count;
        for (name, values) in from.values {
            into.values.entry(name).or_default().extend(values);
        }
    }
}

#[test]
fn every_combination_of_evidence_is_decided_as_the_design_says() {
    let destinations = destinations();
    let sources = sources();
    let orders: Vec<Vec<MoveOrder>> = MODES.iter().map(|mode| orders(*mode)).collect();
    let (mut found, mut combinations) = (Disagreements::new(), 0);
    let (stops_early, enough) = (std::env::var_os(STOP_EARLY).is_some(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let work = |part: usize| {
            let (destinations, sources, orders, enough) = (&destinations, &sources, &orders, &enough);
            move || {
                let (mut found, mut combinations) = (Disagreements::new(), 0);
                for destination in destinations.iter().skip(part).step_by(THREADS) {
                    for source in sources {
                        if enough.load(Ordering::Relaxed) {
                            return (found, combinations);
                        }
                        combinations += check_pair(&mut found, orders, *destination, *source);
                        if stops_early && !found.is_empty() {
                            enough.store(true, Ordering::Relaxed);
                        }
                    }
                }
                (found, combinations)
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|part| scope.spawn(work(part))).collect();
        for thread in threads {
            let (part, count) = thread.join().unwrap();
            merge(&mut found, part);
            combinations += count;
        }
    });
    let mut report = String::new();
    for (kind, seen) in &found {
        writeln!(report, "{:>9} × {kind}", seen.count).unwrap();
        for (name, values) in &seen.values {
            let values: Vec<_> = values.iter().map(String::as_str).collect();
            writeln!(report, "            {name}: {}", values.join(" | ")).unwrap();
        }
    }
    assert!(found.is_empty(), "{} kinds of disagreement:\n{report}", found.len());
    assert_eq!(combinations, 2161 * 109 * 16 * 108, "the table has lost some of its combinations");
}

/// Steps that a table without meaning would still pass: each must be the answer somewhere.
#[test]
fn every_kind_of_step_is_taken_somewhere() {
    let mut steps: BTreeMap<String, u64> = BTreeMap::new();
    for destination in destinations() {
        for source in sources() {
            for order in MODES.iter().flat_map(|mode| orders(*mode)).step_by(5) {
                for source_fenced in BOTH {
                    let evidence = Evidence {
                        freshness: Freshness::Fenced,
                        destination,
                        source,
                        source_fenced,
                        destination_host_fenced: source_fenced,
                        past_deadline: false,
                    };
                    if let Step::Act(action) = decide(&order, &evidence).step {
                        *steps.entry(format!("{action:?}")).or_default() += 1;
                    }
                }
            }
        }
    }
    assert_eq!(steps.len(), 18, "some action is never taken: {steps:#?}");
}
