//! `muster plan RUNBOOK`, `evacuate --dry-run` and `report`: what is expected, live and from kept inventories, and what came of it.

use crate::site::{ALL, Land};
use crate::support::muster;
use serde_json::Value;

/// A line of a gigabit, filled by two moves.
const LINE: &str = "[[link]]\nname = \"line\"\nmbit_s = 1000\nat_once = 2\n";

fn moves(plan: &Value) -> &Vec<Value> {
    plan["moves"].as_array().unwrap()
}

#[test]
fn a_runbook_is_planned_live_and_again_from_what_was_kept() {
    let mut land = Land::with_fleet(16, 50);
    let file = |name: &str| land.directory.path().join(name).to_str().unwrap().to_owned();
    let (runbook, kept, drawn) = (land.runbook(&format!("{ALL}{LINE}")), file("kept.json"), file("plan.svg"));
    let live = land.json(&["plan", &runbook, "--save", &kept, "--svg", &drawn]);
    assert_eq!((moves(&live).len(), &live["late"], &live["assumed_rate_mbit_s"]), (16, &0.into(), &Value::Null));
    assert_eq!(live["bottleneck"], "link line");
    let (from, ends, bound) = (
        live["from_ms"].as_u64().unwrap(),
        live["ends_at_ms"].as_u64().unwrap(),
        live["bound_at_ms"].as_u64().unwrap(),
    );
    assert!(from < bound && bound <= ends && (ends - from) * 100 <= (bound - from) * 115, "{live}");
    assert!(moves(&live).iter().all(|planned| planned["links"] == serde_json::json!(["line"])), "{live}");
    assert_eq!(land.json(&["list"])["evacuations"].as_array().unwrap().len(), 0, "planning starts nothing");

    let picture = std::fs::read_to_string(&drawn).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
    for part in ["link line", "lower bound", "from paris-1", "to berlin-1", "bottleneck: link line"] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    assert_eq!(picture.matches("<title>").count(), 16 * 3, "each move on its link and at both hosts");

    let again = land.ask(&["plan", &runbook, "--save", &kept]);
    assert!(again.code != 0 && again.stderr.contains("keeping the inventories"), "nothing kept is lost: {again:?}");
    land.orchestrator.kill();
    let offline = muster(&["plan", &runbook, "--inventory", &kept, "--output", "json"]);
    assert_eq!(offline.code, 0, "{offline:?}");
    let offline: Value = serde_json::from_str(&offline.stdout).unwrap();
    let spans = |plan: &Value| {
        let mut durations: Vec<u64> = moves(plan).iter().map(|of| of["duration_ms"].as_u64().unwrap()).collect();
        durations.sort_unstable();
        durations
    };
    assert_eq!(spans(&live), spans(&offline));
    let text = muster(&["plan", &runbook, "--inventory", &kept]).stdout;
    assert!(text.contains("16 moves, over at ") && text.contains("for the link line"), "{text}");
    assert!(text.contains("live guests stand still for about"), "{text}");

    std::fs::write(&kept, "{\"read_at_ms\": 1}").unwrap();
    let wrong = muster(&["plan", &runbook, "--inventory", &kept]);
    assert!(wrong.code == 2 && wrong.stderr.contains("missing field"), "{wrong:?}");
}

#[test]
fn what_does_not_fit_is_said_with_the_rest_planned() {
    let land = Land::with_fleet(8, 50);
    let kept = land.directory.path().join("kept.json").to_str().unwrap().to_owned();
    land.json(&["plan", &land.runbook(ALL), "--save", &kept]);
    let text = std::fs::read_to_string(&kept).unwrap();
    let mut inventories: Value = serde_json::from_str(&text).unwrap();
    inventories["source"]["vms"][0]["definition"]["memory_mib"] = 1_000_000_000.into();
    inventories["source"]["vms"][1]["definition"]["name"] = "a<b>&\"c".into();
    std::fs::write(&kept, inventories.to_string()).unwrap();
    let drawn = land.directory.path().join("plan.svg").to_str().unwrap().to_owned();
    let ran = muster(&["plan", &land.runbook(ALL), "--inventory", &kept, "--svg", &drawn, "--output", "json"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((plan["findings"][0]["kind"].as_str(), moves(&plan).len()), (Some("no_room"), 7));
    assert_eq!(plan["assumed_rate_mbit_s"], 10_000, "nothing says how fast its links are");
    let picture = std::fs::read_to_string(&drawn).unwrap();
    assert!(picture.contains("a&lt;b&gt;&amp;&quot;c") && !picture.contains("a<b>"), "{picture}");
}

#[test]
fn a_deadline_that_can_not_be_met_is_said_before_anything_starts() {
    let land = Land::with_fleet(8, 50);
    let past = "[schedule]\ndeadline = 2001-01-01T00:00:00Z\n";
    let ran = land.ask(&["plan", &land.runbook(&format!("{ALL}{LINE}{past}"))]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("8 moves, none of which has a beginning"), "{ran:?}");
}

#[test]
fn a_dry_run_starts_nothing_and_a_report_holds_the_plan_against_what_came() {
    let land = Land::with_fleet(12, 50);
    let runbook = land.runbook(&format!("{ALL}{LINE}"));
    let dry = land.json(&["evacuate", &runbook, "--dry-run"]);
    assert_eq!(moves(&dry).len(), 12);
    assert_eq!(land.json(&["list"])["evacuations"].as_array().unwrap().len(), 0);

    let watched = land.ask(&["evacuate", &runbook, "--watch"]);
    assert_eq!(watched.code, 0, "{watched:?}");
    let report = land.json(&["report"]);
    assert_eq!(
        (&report["migrated"], &report["not_over"], &report["bottleneck"]),
        (&12.into(), &0.into(), &"link line".into())
    );
    let (ordered, planned, ended) = (
        report["ordered_at_ms"].as_u64().unwrap(),
        report["planned_end_at_ms"].as_u64().unwrap(),
        report["ended_at_ms"].as_u64().unwrap(),
    );
    assert!(ordered < planned && ordered < ended, "{report}");
    for course in moves(&report) {
        for field in ["planned_start_at_ms", "started_at_ms", "planned_duration_ms", "duration_ms", "downtime_ms"] {
            assert!(course[field].is_u64() || course["downtime_ms"].is_null(), "{field}: {course}");
        }
    }
    let text = land.ask(&["report"]).stdout;
    assert!(text.contains("planned    over after") && text.contains("happened   over after"), "{text}");
    let status = land.json(&["status"]);
    assert_eq!(status["planned_end_at_ms"], report["planned_end_at_ms"]);
}

#[test]
fn closed_windows_start_nothing_and_are_told() {
    let land = Land::with_fleet(4, 50);
    let never_soon = "[schedule]\nstart_at = 2100-01-01T00:00:00Z\n";
    land.json(&["evacuate", &land.runbook(&format!("{ALL}{never_soon}"))]);
    let waits = |_| land.json(&["status"])["opens_at_ms"] == 4_102_444_800_000_u64;
    assert!((0..1_000).any(waits), "{}", land.json(&["status"]));
    let status = land.json(&["status"]);
    assert_eq!((&status["counts"]["waiting"], &status["expected_end_at_ms"].is_u64()), (&4.into(), &true), "{status}");
    assert!(land.ask(&["status"]).stdout.contains("no move begins before 2100-01-01 00:00:00Z"));
    assert_eq!(land.json(&["cancel"])["cancelled"], true);
    assert_eq!(land.ask(&["status", "--watch"]).code, 0);
}
