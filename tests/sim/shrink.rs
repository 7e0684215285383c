//! Shrinks a plan that fails to the fewest faults that still fail, writes it down to be kept, and tells all about it.

use crate::plan::Plan;
use crate::play::{Played, play};
use std::path::Path;

/// Most plays that a plan is shrunk by.
const PLAYS_MAX: usize = 300;
/// Most lines of the trace that are told.
const TRACE_TOLD: usize = 60;

/// Shrinks it, keeps it, and tells of it.
pub(crate) fn account(plan: &Plan, name: &str) -> String {
    let failing = play(plan, false);
    if failing.wrong.is_empty() {
        return "it didn't fail again: what it does isn't all drawn from its seed".to_owned();
    }
    let shrunk = shrink(plan, &failing);
    let json = serde_json::to_string_pretty(&shrunk).unwrap_or_else(|error| error.to_string());
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/regressions").join(format!("{name}.json"));
    let where_to = match std::fs::write(&kept, format!("{json}\n")) {
        Ok(()) => format!("kept as {}", kept.display()),
        Err(error) => format!("it could not be kept: {error}"),
    };
    let (before, after) = (plan.faults(), shrunk.faults());
    format!("{before} faults shrunk to {after}; {where_to}\n{}\n\n{json}", told(&shrunk, name))
}

/// Plays it once more, and tells what is wrong and how it ended.
pub(crate) fn told(plan: &Plan, name: &str) -> String {
    let Played { wrong, trace, .. } = play(plan, true);
    let traced = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.trace"));
    let where_to = match std::fs::write(&traced, trace.join("\n")) {
        Ok(()) => format!("its trace is {}", traced.display()),
        Err(error) => format!("its trace could not be written: {error}"),
    };
    let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{}: {}", wrong.invariant, wrong.what)).collect();
    let end = trace[trace.len().saturating_sub(TRACE_TOLD)..].join("\n");
    format!("{}\n{where_to}; it ends:\n{end}", wrong.join("\n"))
}

/// The fewest faults, of as few evacuations, that break the same invariant first.
fn shrink(plan: &Plan, failing: &Played) -> Plan {
    let broken = failing.wrong[0].invariant;
    let mut plays = 0;
    let mut still_fails = |candidate: &Plan| {
        plays += 1;
        plays <= PLAYS_MAX && play(candidate, false).wrong.iter().any(|wrong| wrong.invariant == broken)
    };
    let mut best = plan.clone();
    // What comes after the evacuation that failed never happened.
    let failed_at = usize::try_from(failing.figures.evacuations).unwrap_or(usize::MAX).max(1);
    best.evacuations.truncate(failed_at);
    for change in [without_looks, without_succession, without_vms] {
        let mut candidate = best.clone();
        change(&mut candidate);
        if candidate != best && still_fails(&candidate) {
            best = candidate;
        }
    }
    let mut parts = 2;
    while parts <= best.faults().max(1) {
        match (0..parts).map(|part| without_part(&best, part, parts)).find(|candidate| still_fails(candidate)) {
            Some(candidate) => {
                best = candidate;
                parts = parts.saturating_sub(1).max(2);
            }
            None if parts >= best.faults() => break,
            None => parts = (parts * 2).min(best.faults()),
        }
    }
    if best.faults() == 1 {
        let candidate = without_part(&best, 0, 1);
        if still_fails(&candidate) {
            best = candidate;
        }
    }
    best
}

/// The plan without one of so many equal parts of its faults.
fn without_part(plan: &Plan, part: usize, parts: usize) -> Plan {
    let (all, mut number) = (plan.faults(), 0);
    let dropped = all * part / parts..all * (part + 1) / parts;
    let mut candidate = plan.clone();
    for evacuation in &mut candidate.evacuations {
        evacuation.faults.retain(|_| {
            number += 1;
            !dropped.contains(&(number - 1))
        });
    }
    candidate
}

fn without_looks(plan: &mut Plan) {
    plan.evacuations.iter_mut().for_each(|evacuation| evacuation.looks.clear());
}

fn without_succession(plan: &mut Plan) {
    plan.evacuations.iter_mut().for_each(|evacuation| evacuation.succession = None);
}

/// Half the fleet.
fn without_vms(plan: &mut Plan) {
    plan.vms.truncate(plan.vms.len().div_ceil(2));
}

#[test]
fn parts_together_are_the_whole() {
    use crate::plan::Size;
    let plan = Plan::draw(3, Size::Large);
    for parts in 1..=plan.faults() {
        let dropped: usize = (0..parts).map(|part| plan.faults() - without_part(&plan, part, parts).faults()).sum();
        assert_eq!(dropped, plan.faults(), "{parts}");
    }
}
