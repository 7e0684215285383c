//! `muster plan --scenario`: a plan on standard output, or every mistake with its place and nothing planned.

use crate::support::{Ran, muster};
use serde_json::{Value, json};
use std::path::Path;

fn plan(directory: &Path, scenario: &Value, format: &str) -> Ran {
    let path = directory.join("scenario.json");
    std::fs::write(&path, scenario.to_string()).unwrap();
    muster(&["plan", "--scenario", path.to_str().unwrap(), "--output", format])
}

/// Two sources behind one line of 10 Gbit/s, two destinations.
fn scenario() -> Value {
    let a_move = |vm: &str, source: &str, destination: &str, duration_s: f64| {
        json!({"vm": vm, "source": source, "destination": destination, "path": ["line"], "rate_mbit_s": 10_000,
               "duration_s": duration_s, "memory_mib": 4_096})
    };
    json!({
        "hosts": [{"id": "old-1", "shutdown_s": 30}, {"id": "old-2"}, {"id": "new-1", "memory_mib": 8_192, "used_mib": 0},
                  {"id": "new-2", "ready_at_s": 5}],
        "links": [{"id": "line", "capacity_mbit_s": 10_000}],
        "moves": [a_move("a", "old-1", "new-1", 10.5), a_move("b", "old-2", "new-2", 20.0), a_move("c", "old-2", "new-1", 7.25)],
        "budget_ms": 100,
        "comment": "what it does not know is ignored"
    })
}

#[test]
fn a_plan_says_when_each_move_begins_and_what_it_cannot_end_before() {
    let directory = tempfile::tempdir().unwrap();
    let ran = plan(directory.path(), &scenario(), "json");
    assert_eq!(ran.code, 0, "{ran:?}");
    let planned: Value = serde_json::from_str(&ran.stdout).unwrap();
    // The line: 10.5 + 20 + 7.25, and no shutdown; a alone: 10.5 + 30.
    assert_eq!(planned["lower_bound_s"], json!(40.5));
    assert_eq!(planned["bottleneck"], json!({"vm": "a"}));
    assert_eq!(planned["makespan_s"], json!(40.5), "{planned}");
    assert!(planned["planning_ms"].as_f64().unwrap() >= 0.0);
    assert_eq!(planned["left_behind"], json!([]));
    let moves = planned["moves"].as_array().unwrap();
    assert_eq!(moves.len(), 3);
    assert_eq!(moves[0], json!({"vm": "a", "start_s": 0.0, "end_s": 10.5}));
    let text = plan(directory.path(), &scenario(), "text").stdout;
    assert!(text.contains("ends after    40.5 s") && text.contains("VM a alone takes that long"), "{text}");
}

#[test]
fn what_has_no_time_or_no_room_is_left_behind_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let mut late = scenario();
    late["deadline_s"] = json!(30.0);
    late["hosts"][0]["shutdown_s"] = json!(0);
    late["moves"][1]["value"] = json!(0.5);
    let ran = plan(directory.path(), &late, "json");
    let planned: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &planned["left_behind"]), (3, &json!(["b"])), "{ran:?}");
    let mut full = scenario();
    full["hosts"][2]["used_mib"] = json!(5_000);
    let planned: Value = serde_json::from_str(&plan(directory.path(), &full, "json").stdout).unwrap();
    assert_eq!(planned["left_behind"].as_array().unwrap().len(), 2, "{planned}");
}

#[test]
fn names_may_be_numbers_and_durations_may_be_predicted() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = json!({
        "hosts": [{"id": 1}, {"id": 2}],
        "links": [{"id": 7, "capacity_mbit_s": 25_000}],
        "moves": [{"vm": 100, "source": 1, "destination": 2, "path": [7], "rate_mbit_s": 10_000, "memory_mib": 10_240,
                   "hot_set_mib": 256, "hot_set_s": 5, "cold_dirty_mib_s": 3},
                  {"vm": 101, "source": 1, "destination": 2, "path": [7], "rate_mbit_s": 10_000, "duration_s": 5, "after": 100}],
        "budget_ms": 0
    });
    let ran = plan(directory.path(), &scenario, "json");
    let planned: Value = serde_json::from_str(&ran.stdout).unwrap();
    let moves = planned["moves"].as_array().unwrap();
    assert_eq!((moves[0]["vm"].clone(), moves[1]["vm"].clone()), (json!(100), json!(101)), "{ran:?}");
    // 10 GiB at 10 Gbit/s take 8.6 s, what is sent again and the fixed cost come on top.
    let end_s = moves[0]["end_s"].as_f64().unwrap();
    assert!((9.0..15.0).contains(&end_s) && moves[1]["start_s"].as_f64().unwrap() >= end_s, "{planned}");
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_how_to_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let with = |path: &str, value: Value| {
        let mut changed = scenario();
        *changed.pointer_mut(path).unwrap() = value;
        changed
    };
    let cases = [
        (
            with("/moves/0/source", json!("gone")),
            "move of VM a: source names gone, which is not there; add it to the hosts",
        ),
        (with("/moves/1/path", json!(["line", "line"])), "move of VM b: a link is on its path twice (link line)"),
        (with("/moves/1/path", json!(["wire"])), "move of VM b: path names wire"),
        (with("/moves/2/vm", json!("a")), "move of VM a is there twice"),
        (with("/moves/2/rate_mbit_s", json!(20_000)), "(link line); lower its rate"),
        (with("/moves/2/duration_s", json!(-1)), "move of VM c: duration_s is -1; use seconds"),
        (with("/moves/2/duration_s", Value::Null), "move of VM c: neither duration_s nor hot_set_mib is there"),
        (with("/moves/2/duration_s", json!(0)), "move of VM c: its duration is 0"),
        (with("/links/0/capacity_mbit_s", json!(0)), "link line: a link carries nothing"),
        (with("/hosts/0/shutdown_s", json!(1e9)), "host old-1: shutdown_s is 1000000000; use seconds"),
        (with("/budget_ms", json!(u64::MAX)), "budget_ms is 18446744073709551615; use 3600000 at most"),
        (with("/moves", json!({"a": 1})), "invalid type: map, expected a sequence at line 1 column "),
        (with("/moves/0/path", json!(null)), "at line 1 column "),
    ];
    for (scenario, expected) in cases {
        let ran = plan(directory.path(), &scenario, "json");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("nothing was planned"), "{expected}: {ran:?}");
    }
    let mut circle = scenario();
    circle["moves"][0]["after"] = json!(["b"]);
    circle["moves"][1]["after"] = json!(["a"]);
    assert!(plan(directory.path(), &circle, "json").stderr.contains("break the circle"));
    let ran = muster(&["plan", "--scenario", "/nowhere/scenario.json"]);
    assert!(ran.code == 1 && ran.stderr.contains("reading the scenario failed"), "{ran:?}");
}
