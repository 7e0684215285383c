//! `muster predict`, run as a person or a planner runs it.

use crate::support::{Ran, muster};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// 100 MiB/s, in Mbit/s.
const RATE_MBIT_S: f64 = 838.860_8;

fn a_move(memory_mib: f64, rate_mbit_s: f64) -> Value {
    json!({
        "memory_mib": memory_mib, "hot_set_mib": 100, "hot_set_s": 10, "cold_dirty_mib_s": 5.0, "rate_mbit_s": rate_mbit_s,
        "vm": "of no interest",
    })
}

/// How long such a move takes at 0.7 of the nominal rate, with 6 s beside.
fn seen_s(memory_mib: f64) -> f64 {
    let (rate, first_s) = (70.0, memory_mib / 70.0);
    first_s + (100.0 + (first_s - 10.0) * 5.0) / (rate - 5.0) + 100.0 / rate * 10.0 / (rate - 10.0) + 6.0
}

fn with(mut line: Value, field: &str, value: Value) -> Value {
    line[field] = value;
    line
}

fn history() -> Vec<Value> {
    let sizes = (0..30).map(|at| 1_024.0 * f64::from(1 + at * 7 % 20));
    sizes.map(|mib| with(a_move(mib, RATE_MBIT_S), "duration_s", json!(seen_s(mib)))).collect()
}

fn write(path: &Path, lines: &[Value]) -> String {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(path, text.join("\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn predictions(ran: &Ran) -> Vec<Value> {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_move_is_predicted_from_the_history_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let history = write(&directory.path().join("history"), &history());
    let stuck = with(a_move(4_096.0, RATE_MBIT_S), "cold_dirty_mib_s", json!(500));
    let with_disks = with(a_move(30_000.0, RATE_MBIT_S), "storage_mib", json!(7_000));
    let moves = [a_move(30_000.0, RATE_MBIT_S), stuck, a_move(2_000.0, RATE_MBIT_S), with_disks];
    let moves = write(&directory.path().join("moves"), &moves);
    let predicted = predictions(&muster(&["predict", "--history", &history, "--moves", &moves]));
    assert_eq!(predicted.len(), 4);
    for (at, wanted_s) in [(0, seen_s(30_000.0)), (2, seen_s(2_000.0)), (3, seen_s(30_000.0) + 100.0)] {
        let is_s = predicted[at]["duration_s"].as_f64().unwrap();
        assert!((is_s / wanted_s - 1.0).abs() < 0.01, "{is_s}, not {wanted_s}");
        assert_eq!(predicted[at]["converges"], true);
        assert!(predicted[at]["downtime_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(predicted[at].as_object().unwrap().len(), 4);
    }
    assert_eq!(predicted[1]["converges"], false);
    assert!(predicted[1]["duration_s"].is_number(), "{}", predicted[1]);
    let volume = |at: usize| predicted[at]["volume_mib"].as_f64().unwrap();
    assert!(volume(0) > 30_000.0 && (volume(3) - volume(0) - 7_000.0).abs() < 1.0, "{predicted:?}");
}

#[test]
fn links_are_learned_apart() {
    let directory = tempfile::tempdir().unwrap();
    let of_b = |line: &Value| {
        let slower_s = line["duration_s"].as_f64().unwrap() * 1.3;
        with(with(line.clone(), "link", json!("b")), "duration_s", json!(slower_s))
    };
    let both = history().into_iter().flat_map(|line| [of_b(&line), with(line, "link", json!("a"))]);
    let history = write(&directory.path().join("history"), &both.collect::<Vec<_>>());
    let moves = ["a", "b"].map(|link| with(a_move(20_000.0, RATE_MBIT_S), "link", json!(link)));
    let moves = write(&directory.path().join("moves"), &moves);
    let predicted = predictions(&muster(&["predict", "--history", &history, "--moves", &moves]));
    let [a_s, b_s] = [0, 1].map(|at| predicted[at]["duration_s"].as_f64().unwrap());
    assert!((a_s / seen_s(20_000.0) - 1.0).abs() < 0.03 && (b_s / a_s - 1.3).abs() < 0.05, "{a_s}, {b_s}");
}

#[test]
fn no_history_and_no_moves_are_nothing_wrong_and_one_may_be_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = write(&directory.path().join("nothing"), &[]);
    assert!(predictions(&muster(&["predict", "--history", &nothing, "--moves", &nothing])).is_empty());
    let mut child = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(["predict", "--history", &nothing, "--moves", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // An empty line between, and a line's end as Windows writes it.
    let text = format!("{}\r\n\n{}\n", a_move(9_400.0, RATE_MBIT_S), a_move(940.0, RATE_MBIT_S));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let predicted = predictions(&Ran::from(&child.wait_with_output().unwrap()));
    assert_eq!(predicted.len(), 2);
    assert!(predicted[0]["duration_s"].as_f64().unwrap() > 100.0, "{predicted:?}");
}

#[test]
fn every_wrong_line_is_told_with_its_place_and_nothing_is_predicted() {
    let directory = tempfile::tempdir().unwrap();
    let good = write(&directory.path().join("good"), &[a_move(1_024.0, 1_000.0)]);
    let without = |field: &str| {
        let mut line = a_move(1_024.0, 1_000.0);
        line.as_object_mut().unwrap().remove(field);
        line.to_string()
    };
    let line = a_move(1_024.0, 1_000.0);
    let cases = [
        (without("hot_set_s"), "line 2, column 1: hot_set_s is missing; add \"hot_set_s\""),
        (with(line.clone(), "memory_mib", json!(-5)).to_string(), "memory_mib is -5; use a finite number from 0"),
        (with(line.clone(), "rate_mbit_s", json!(0)).to_string(), "rate_mbit_s is 0; use a finite number from 0.001"),
        (with(line.clone(), "hot_set_mib", json!("many")).to_string(), "hot_set_mib is \"many\"; use a number"),
        (with(line.clone(), "storage_mib", json!([1])).to_string(), "storage_mib is [1]; use a number"),
        (with(line.clone(), "link", json!([1])).to_string(), "link is [1]; use a text or a number"),
        (with(line.clone(), "path", json!([true])).to_string(), "path is [true]; use a list of texts or numbers"),
        (r#"{"memory_mib": NaN}"#.to_owned(), "line 2, column 16: the line is not a JSON object; write one object"),
        (r#"{"memory_mib": 1e999}"#.to_owned(), "the line is not a JSON object"),
        ("[1]".to_owned(), "the line is not a JSON object"),
    ];
    for (bad, expected) in cases {
        let path = directory.path().join("bad");
        std::fs::write(&path, format!("{}\n{bad}\n", a_move(1_024.0, 1_000.0))).unwrap();
        let path = path.to_str().unwrap();
        let ran = muster(&["predict", "--history", "/dev/null", "--moves", path]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(&format!("{path}: line 2, column ")) && ran.stderr.contains(expected), "{ran:?}");
    }
    let place = r#"{"hot_set_mib": 1, "memory_mib": -1, "hot_set_s": 1, "cold_dirty_mib_s": 1, "rate_mbit_s": 1}"#;
    let wrong = directory.path().join("wrong");
    std::fs::write(&wrong, place).unwrap();
    let wrong = wrong.to_str().unwrap();
    let ran = muster(&["predict", "--history", &good, "--moves", wrong]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    let told = ["2 lines are wrong", "line 1, column 20: memory_mib is -1", "line 1, column 1: duration_s is missing"];
    assert!(told.iter().all(|told| ran.stderr.contains(told)), "{ran:?}");
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let ran = muster(&["predict", "--history", "/nowhere/at/all", "--moves", "/dev/null"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("/nowhere/at/all: reading the history failed"), "{ran:?}");
    let ran = muster(&["predict", "--history", "-", "--moves", "-"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("both are standard input; write one of them to a file"), "{ran:?}");
}
