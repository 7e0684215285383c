//! Two sites by hand: a world with a fleet, two workers, an orchestrator; every command that asks or orders.

pub(crate) use crate::land::Land;
use crate::support::{interrupted, muster};
use serde_json::Value;

pub(crate) const ALL: &str = "[[select]]\nall = true\n";

#[test]
fn a_check_finds_everything_at_once_and_starts_nothing() {
    let mut land = Land::with_fleet(8, 50);
    let ready = land.json(&["check", &land.runbook(ALL)]);
    assert_eq!((&ready["moves"], &ready["blocking"], &ready["warnings"]), (&8.into(), &0.into(), &0.into()));

    let absurd = "[[select]]\nnames = [\"nobody\"]\n[[select]]\nall = true\ndestination_hosts = [\"nowhere\"]\n";
    let runbook = land.runbook(absurd);
    land.destination.terminate();
    land.destination.exit_code();
    let silent = land.ask(&["check", &runbook]);
    assert_eq!(silent.code, 1, "what isn't known is not refused: {silent:?}");

    let land = Land::with_fleet(8, 50);
    let refused = land.ask(&["check", &land.runbook(absurd), "--output", "json"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let check: Value = serde_json::from_str(&refused.stdout).unwrap();
    let kinds: Vec<&str> =
        check["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["matches_nothing", "no_host_allowed"]);
    let people = land.ask(&["check", &land.runbook(absurd)]);
    assert!(people.stdout.contains("matches nothing") && people.stdout.contains("not ready"), "{people:?}");
    assert_eq!(land.json(&["list"])["evacuations"].as_array().unwrap().len(), 0);
}

#[test]
fn an_evacuation_is_ordered_watched_explained_and_accounted_for() {
    let land = Land::with_fleet(16, 50);
    let runbook = land.runbook(ALL);
    let valid = land.json(&["evacuate", &runbook, "--validate-only"]);
    assert_eq!((&valid["valid"], &valid["moves"]), (&Value::from(true), &Value::from(16)));
    assert_eq!(land.json(&["list"])["evacuations"].as_array().unwrap().len(), 0, "validating starts nothing");

    let watched = land.ask(&["evacuate", &runbook, "--watch", "--by", "ada", "--output", "json"]);
    assert_eq!(watched.code, 0, "{watched:?}");
    let last: Value = serde_json::from_str(watched.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["state"], &last["counts"]["migrated"]), (&Value::from("finished"), &Value::from(16)));
    assert_eq!(last["ordered_by"], "ada");
    let evacuation = last["evacuation"].as_str().unwrap();

    let status = land.json(&["status", evacuation]);
    let moves = status["moves"].as_array().unwrap();
    assert_eq!(moves.len(), 16);
    for one in moves {
        assert_eq!(
            (&one["state"], &one["verdict"]),
            (&Value::from("migrated"), &Value::from("FullyMigrated")),
            "{one}"
        );
        assert_eq!(one["source_copy"], "Not Runnable", "{one}");
    }
    let name = moves[0]["name"].as_str().unwrap();
    assert_eq!(land.json(&["show", name])["moves"][0]["vm"], moves[0]["vm"]);
    assert!(land.ask(&["show", name]).stdout.contains("source's copy: Not Runnable"));
    assert!(land.ask(&["status"]).stdout.contains("16 VMs: 16 migrated"));
    assert!(land.ask(&["list"]).stdout.contains("leave-paris"));
    let moves_by = |filter: &str| {
        let status = land.json(&["status", evacuation, "--filter", filter]);
        status["moves"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((moves_by("state = MIGRATED").len(), moves_by("state = HELD").len()), (16, 0));
    assert_eq!(moves_by(&format!("state = MIGRATED AND name = \"{name}\"")), [name]);
    let listed = |filter: &str| land.json(&["list", "--filter", filter])["evacuations"].as_array().unwrap().len();
    assert_eq!((listed("site = berlin AND ordered_by = ada"), listed("site = rome")), (1, 0));
    for wrong in [&["list", "--filter", "sites = berlin"][..], &["status", "--filter", "state = GONE"]] {
        let refused = land.ask(wrong);
        assert!(refused.code == 4 && refused.stderr.contains("filter: column"), "{refused:?}");
    }
    let audit = land.json(&["audit", "--vm", name]);
    let lines = audit["lines"].as_array().unwrap();
    assert!(!lines.is_empty() && lines.iter().all(|line| line["vm"] == moves[0]["vm"]), "{audit}");

    let direct = ["--destination", &land.destination.address, "--source", &land.source.address];
    for way in [vec![], direct.to_vec()] {
        let call = land.json(&[&["recover"], &way[..]].concat());
        assert_eq!((&call["verdicts"]["FullyMigrated"], &call["settled"]), (&Value::from(16), &Value::from(true)));
        let told = land.ask(&[&["recover", "--explain", name], &way[..]].concat());
        assert!(told.code == 0 && told.stdout.contains("verdict: FullyMigrated, since"), "{told:?}");
    }
    // Nothing is left to be settled, and doing it again changes nothing.
    let again = land.json(&[&["recover", "--apply"], &direct[..]].concat());
    assert_eq!((&again["settled"], &again["claim_kept"]), (&Value::from(true), &Value::from(false)));
    assert_eq!(land.ask(&["retry", evacuation]).code, 0, "nothing is held, so nothing is retried");
    assert_eq!(land.ask(&["retry", evacuation, name]).code, 4, "it has migrated");
    let released = land.json(&["release", name, "--reason", "a test wants it back"]);
    assert_eq!(released["moves"][0]["vm"], moves[0]["vm"], "{released}");
}

#[test]
fn a_running_evacuation_is_paused_resumed_and_cancelled() {
    let land = Land::with_fleet(24, 4);
    let runbook = land.runbook(&format!("{ALL}[limits]\ntotal = 2\n"));
    let evacuation = land.json(&["evacuate", &runbook]);
    let evacuation = evacuation["evacuation"].as_str().unwrap();
    assert_eq!(land.json(&["pause"])["state"], "paused");
    let shown = land.ask(&["status"]);
    assert!(shown.stdout.contains("paused"), "{shown:?}");
    assert_ne!(land.json(&["resume", evacuation])["state"], "paused");
    assert_eq!(land.json(&["cancel"])["cancelled"], true);
    let watched = land.ask(&["status", "--watch"]);
    assert_eq!(watched.code, 0, "cancelled on purpose: {watched:?}");
    let counts = &land.json(&["status"])["counts"];
    let ended = counts["stayed_at_source"].as_u64().unwrap() + counts["migrated"].as_u64().unwrap();
    assert_eq!(ended, 24, "{counts}");
    assert!(counts["stayed_at_source"].as_u64().unwrap() > 0, "{counts}");
}

#[test]
fn a_recovery_tells_how_it_goes_and_can_be_left_and_taken_up_again() {
    let land = Land::with_fleet(8, 1);
    let runbook = land.runbook(&format!("{ALL}[limits]\ntotal = 2\n"));
    land.json(&["evacuate", &runbook]);
    let is_moving = |_| land.json(&["status"])["counts"]["moving"].as_u64().unwrap() == 2;
    assert!((0..1_000).any(is_moving), "two should move soon");
    let by_orchestrator = ["recover", "--apply", "--orchestrator", &land.orchestrator.address];
    let left = interrupted(&by_orchestrator, "recovering: ");
    assert_eq!((left.code, left.stdout.as_str()), (1, ""), "{left:?}");
    assert!(left.stderr.contains(" under way (") && left.stderr.contains("goes on at the orchestrator"), "{left:?}");
    let early = muster(&[&by_orchestrator[..], &["--deadline-ms", "500", "--output", "json"]].concat());
    let call: Value = serde_json::from_str(&early.stdout).unwrap();
    assert_eq!((early.code, &call["settled"]), (3, &Value::from(false)), "{early:?}");

    // Without an orchestrator: interrupted, past its deadline, and to the end.
    let Land { destination, source, orchestrator, directory: _directory, world: _world } = land;
    drop(orchestrator);
    let workers = ["--destination", &destination.address, "--source", &source.address, "--output", "json"];
    let by_workers = [&["recover", "--apply"], &workers[..]].concat();
    let left = interrupted(&by_workers, "recovering: ");
    let call: Value = serde_json::from_str(&left.stdout).unwrap_or_else(|error| panic!("{error}: {left:?}"));
    assert_eq!((left.code, &call["claim_kept"]), (3, &Value::from(true)), "{left:?}");
    assert!(left.stderr.contains("interrupted; ") && left.stderr.contains("pre-copy"), "{left:?}");
    let early = muster(&[&by_workers[..], &["--deadline-ms", "100"]].concat());
    assert!(early.code == 3 && early.stderr.contains("the deadline has passed"), "{early:?}");
    let done = muster(&by_workers);
    let call: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((done.code, &call["settled"], &call["claim_kept"]), (0, &Value::from(true), &Value::from(false)));
    for line in call["lines"].as_array().unwrap() {
        assert_eq!(line["fenced"], Value::from(line["verdict"] != "NotStarted"), "{line}");
    }
}
