//! What an exploration has found, as docs/RELIABILITY.md has it. It is written before anything is asserted.

use crate::protocol::Protocol;
use muster_tests::published::{Published, Zeros};
use stateright::{Checker, Model};
use std::time::Duration;

/// Writes down what was explored, and which properties failed.
pub(crate) fn publish(name: &str, checker: &impl Checker<Protocol>, elapsed: Duration) {
    let (bounds, found) = (checker.model(), checker.discoveries());
    let failed = failed(bounds, |name| found.contains_key(name));
    let listed = if failed.is_empty() { "none".to_owned() } else { failed.join(", ") };
    let settling = bounds.orchestrators + usize::from(bounds.recovery.is_some());
    let words: Vec<&str> = name.split(|sign: char| !sign.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    Published::now("model", &words.join("_"), zeros(&failed))
        .row("different states", checker.unique_state_count())
        .row("deepest", format!("{} steps", checker.max_depth()))
        .row("faults at most", bounds.faults)
        .row("attempts at most", bounds.attempts_max)
        .row("who settles", settling)
        .row("properties that failed", listed)
        .row("elapsed", format!("{} s", elapsed.as_secs()))
        .write();
}

/// Properties that a counterexample was found for.
fn failed(protocol: &Protocol, is_found: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let of_all = protocol.properties().into_iter();
    // What was to be seen is no failure when it is found.
    let red = of_all.filter(|property| property.expectation.discovery_is_failure() && is_found(property.name));
    red.map(|property| property.name).collect()
}

/// Each failed property is one of what must be zero. What breaks the order of a move, or lets its source's copy live on
/// behind its event, counts as what comes of it: two that run.
fn zeros(failed: &[&str]) -> Zeros {
    let count = |names: &[&str]| failed.iter().filter(|name| names.contains(name)).count() as u64;
    let lost = count(&["2 none lost"]);
    let wrong_verdicts = count(&["verdicts are true", "holds have a cause"]);
    let never_settled = count(&["8 settles when left alone"]);
    let ran_twice = failed.len() as u64 - lost - wrong_verdicts - never_settled;
    Zeros { wrong_verdicts, ran_twice, lost, never_settled }
}

#[test]
fn every_failed_property_is_counted() {
    let protocol = Protocol { shows: &["migrated"], ..Protocol::shipped(1, 1) };
    assert_eq!(failed(&protocol, |_| false), [""; 0]);
    assert_eq!(zeros(&failed(&protocol, |name| name == "migrated")), Zeros::default());
    let all = failed(&protocol, |_| true);
    assert_eq!(zeros(&all), Zeros { wrong_verdicts: 2, ran_twice: 4, lost: 1, never_settled: 1 }, "{all:?}");
    let one = |name: &str| zeros(&failed(&protocol, |found| found == name));
    assert_eq!(one("2 none lost"), Zeros { lost: 1, ..Zeros::default() });
    assert_eq!(one("8 settles when left alone"), Zeros { never_settled: 1, ..Zeros::default() });
    assert_eq!(one("1 one runner"), Zeros { ran_twice: 1, ..Zeros::default() });
}
