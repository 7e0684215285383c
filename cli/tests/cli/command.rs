//! The `muster` command as a person meets it: help, mistakes, exit codes, daemons, and the demonstration.

use crate::support::{Daemon, Ran, muster};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// A port that nobody listens on.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn help_documents_commands_exit_codes_and_environment() {
    let ran = muster(&["--help"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let commands = [
        "demo",
        "evacuate",
        "status",
        "list",
        "show",
        "pause",
        "resume",
        "cancel",
        "retry",
        "adjust",
        "release",
        "recover",
        "audit",
        "plan",
        "predict",
        "conformance",
        "orchestrator",
        "worker",
        "world",
    ];
    for word in commands.iter().chain(&["Exit codes", "MUSTER_ORCHESTRATOR", "MUSTER_LOG", "--output"]) {
        assert!(ran.stdout.contains(word), "{word} is missing in\n{}", ran.stdout);
    }
    for command in commands {
        let ran = muster(&[command, "--help"]);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
        assert!(ran.stdout.contains("Usage: muster"), "{command}: {ran:?}");
    }
    assert!(muster(&["demo", "--help"]).stdout.contains("ten simulated milliseconds pass in a real one"));
}

#[test]
fn wrong_command_lines_end_with_2_and_say_how_to_mend_them() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("something"), "").unwrap();
    let full = directory.path().to_str().unwrap();
    let text = directory.path().join("something");
    let (in_folder, in_text) = (format!("x={full}"), format!("x={}", text.to_str().unwrap()));
    let daemon = ["orchestrator", "--journal", "j", "--listen", "127.0.0.1:0", "--site", "a=127.0.0.1:1"];
    let runs = |more: &[&'static str]| daemon.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    let ledger = ["worker", "--site", "a", "--ledger", "l", "--listen", "127.0.0.1:0"];
    let with = |more: &[&'static str]| ledger.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (vec![], "Usage: muster"),
        (vec!["evacuat"], "unrecognized subcommand"),
        (vec!["status", "--output", "yaml"], "possible values: text, json"),
        (vec!["status", "not-a-uuid"], "is not a UUID; write it like"),
        (vec!["status", "--orchestrator", "nowhere"], "is not an address; write it like"),
        (vec!["list", "--orchestrator", "10.0.0.1:7700"], "not a loopback address"),
        (vec!["adjust"], "nothing is changed"),
        (vec!["adjust", "--bandwidth-mib-s", "9999999"], "--bandwidth-mib-s: is 9999999; use 0 to 1048576"),
        (vec!["adjust", "--setup-ms", "1"], "--setup-ms: is 1; use 100 to 604800000"),
        (vec!["adjust", "--downtimes-ms", "500,400"], "--downtimes-ms[1]: is 400; use 501 to 600000"),
        (vec!["adjust", "--auto-converge", "maybe"], "possible values: never, next_attempt, always"),
        (vec!["release", "web-1"], "--reason"),
        (vec!["release", "web-1", "--reason", ""], "--reason"),
        (vec!["audit", "--record", "setled"], "--record setled: no line has this name; give one of ordered,"),
        (
            vec!["audit", "export", "--from", "yesterday"],
            "--from \"yesterday\" is not a time; write it like 2026-05-01",
        ),
        (vec!["audit", "verify", "--against", "17"], "write it SEQUENCE:LINK"),
        (vec!["audit", "verify", "--export", "x", "--journal", "y"], "cannot be used with"),
        (vec!["recover", "--destination", NOBODY], "add --source ADDR, or --source-lost"),
        (vec!["recover", "--source", NOBODY], "--destination"),
        (vec!["recover", "--destination", NOBODY, "--source", NOBODY, "--source-lost"], "cannot be used with"),
        (vec!["recover", "--ledger", "x", "--apply"], "cannot be used with"),
        (vec!["recover", "--assert-source-fenced", "I pulled the plug"], "add --apply"),
        (vec!["recover", "--undo"], "recover with --destination"),
        (vec!["recover", "--assert-host-fenced", "only-a-host"], "2 values"),
        (with(&["--hypervisor", "xen:1"]), "sim:ADDR"),
        (with(&["--hypervisor", "sim:127.0.0.1:1", "--peer", "b"]), "has no '='"),
        (with(&["--hypervisor", "sim:127.0.0.1:1", "--peer", "a=127.0.0.1:1"]), "the site itself"),
        (vec!["orchestrator", "--journal", "j", "--listen", "127.0.0.1:0"], "--site"),
        (vec!["orchestrator", "--journal", "j", "--listen", "0.0.0.0:7700", "--site", "a=127.0.0.1:1"], "loopback"),
        (runs(&["--command", "/bin/sh"]), "has no '='; write it like --command"),
        (runs(&["--command", "a b=/bin/sh"]), "command \"a b\" is not a name"),
        (runs(&["--command", "x=bin/sh"]), "--command x: bin/sh is not an absolute path"),
        (runs(&["--command", "x=/nowhere/at/all"]), "--command x: /nowhere/at/all can't be looked at"),
        (runs(&["--command", "x=/bin/sh", "--command", "x=/bin/cat"]), "--command x is given twice"),
        ([&daemon[..], &["--command", &in_folder]].concat(), "is not a file"),
        ([&daemon[..], &["--command", &in_text]].concat(), "is not executable; chmod +x it"),
        (vec!["world", "--listen", "127.0.0.1:0", "--site", "a=none"], "not a number of hosts"),
        (vec!["world", "--listen", "127.0.0.1:0", "--site", "a=1", "--site", "a=2"], "given twice"),
        (vec!["conformance"], "--site"),
        (vec!["conformance", "--site", "10.0.0.1:7701"], "not a loopback address"),
        (vec!["conformance", "--site", NOBODY, "--partner", NOBODY], "it is the site itself"),
        (vec!["conformance", "--site", NOBODY, "--vm", "web-1"], "is not a UUID"),
        (vec!["conformance", "--site", NOBODY, "--restart-command", "restart"], "is not an absolute path"),
        (vec!["demo", "--vms", "0"], "0 is not in 1..=20000"),
        (vec!["demo", "--vms", "4"], "too few to break anything on the way; give 5 or more, or --no-faults"),
        (vec!["demo", "--keep", full], "the directory is not empty"),
    ];
    for (arguments, expected) in cases {
        let ran = muster(&arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{arguments:?}: {ran:?}");
        assert!(ran.stdout.is_empty(), "{arguments:?}: {ran:?}");
        let begins = ran.stderr.starts_with("muster: error: ") || arguments.is_empty();
        assert!(begins, "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_wrong_trace_filter_is_told() {
    let ran = Ran::of(Command::new(env!("CARGO_BIN_EXE_muster")).args(["list"]).env("MUSTER_LOG", "=,=")).unwrap();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("MUSTER_LOG"), "{ran:?}");
}

#[test]
fn every_mistake_of_a_runbook_is_told_with_its_place_before_anybody_is_called() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"a\"\n[[select]]\nall = true\n[limts]")
        .unwrap();
    let path = file.path().to_str().unwrap();
    let ran = muster(&["evacuate", path, "--orchestrator", NOBODY]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("2 mistakes"), "{ran:?}");
    assert!(ran.stderr.contains(&format!("{path}: line 3, column 20")), "{ran:?}");
    assert!(ran.stderr.contains("line 6, column 2: unknown key \"limts\""), "{ran:?}");
    let ran = muster(&["evacuate", "/nowhere/runbook.toml"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("/nowhere/runbook.toml: reading the runbook failed"), "{ran:?}");
}

#[test]
fn a_silent_orchestrator_or_worker_is_told_with_what_to_do() {
    let ran = muster(&["status", "--orchestrator", NOBODY]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("start it with \"muster orchestrator\""), "{ran:?}");
    let ran = muster(&["recover", "--destination", NOBODY, "--source-lost"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("recover with --ledger FILE"), "{ran:?}");
    let ran = muster(&["recover", "--ledger", "/nowhere/ledger"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("there is no such file"), "{ran:?}");
}

#[test]
fn daemons_say_where_they_listen_and_stop_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let world = Daemon::start(&["world", "--listen", "127.0.0.1:0", "--site", "a=1", "--site", "b=1"]);
    let sim = format!("sim:{}", world.address);
    let worker = |site: &str| {
        let ledger = file(site);
        Daemon::start(&["worker", "--site", site, "--listen", "127.0.0.1:0", "--ledger", &ledger, "--hypervisor", &sim])
    };
    let (a, b) = (worker("a"), worker("b"));
    let (at_a, at_b) = (format!("a={}", a.address), format!("b={}", b.address));
    let journal = file("journal");
    let orchestrator =
        ["orchestrator", "--listen", "127.0.0.1:0", "--journal", &journal, "--site", &at_a, "--site", &at_b];
    let mut orchestrator = Daemon::start(&orchestrator);

    let taken =
        muster(&["worker", "--site", "c", "--listen", &a.address, "--ledger", &file("c"), "--hypervisor", &sim]);
    assert_eq!(taken.code, 1, "{taken:?}");
    assert!(taken.stderr.contains("can't be listened on"), "{taken:?}");
    let in_use =
        muster(&["worker", "--site", "a", "--listen", "127.0.0.1:0", "--ledger", &file("a"), "--hypervisor", &sim]);
    assert_eq!(in_use.code, 1, "{in_use:?}");
    assert!(in_use.stderr.contains("open for writing"), "{in_use:?}");

    let ask = |arguments: &[&str]| muster(&[arguments, &["--orchestrator", &orchestrator.address]].concat());
    let list = ask(&["list", "--output", "json"]);
    assert_eq!((list.code, list.stdout.trim()), (0, "{\"evacuations\":[]}"), "{list:?}");
    let status = ask(&["status"]);
    assert_eq!(status.code, 4, "{status:?}");
    assert!(status.stderr.contains("there is no evacuation yet"), "{status:?}");
    let blocked = file("runbook.toml");
    std::fs::write(&blocked, "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"b\"\n[[select]]\nall = true\n")
        .unwrap();
    let ran = ask(&["evacuate", &blocked, "--validate-only"]);
    assert_eq!(ran.code, 4, "nothing is there to be moved: {ran:?}");
    let nothing = muster(&["recover", "--destination", &b.address, "--source", &a.address]);
    assert_eq!(nothing.code, 4, "{nothing:?}");
    assert!(nothing.stderr.contains("no evacuation is known there"), "{nothing:?}");

    for daemon in [&mut orchestrator].into_iter().chain(&mut [a, b, world]) {
        daemon.terminate();
        assert_eq!(daemon.exit_code(), Some(0));
    }
}

#[test]
fn a_demonstration_without_faults_moves_everything() {
    let ran = muster(&["demo", "--vms", "12", "--seed", "3", "--no-faults", "--output", "json"]);
    let report = demo_report(&ran);
    assert_eq!(report["kills"], 0, "{ran:?}");
    assert_eq!(report["migrated"], 12, "{ran:?}");
    assert_eq!(report["verdicts"]["FullyMigrated"], 12, "{ran:?}");
}

#[test]
fn a_demonstration_with_faults_accounts_for_every_vm() {
    let directory = tempfile::tempdir().unwrap();
    let keep = directory.path().join("kept");
    let arguments = ["demo", "--vms", "40", "--seed", "5", "--output", "json", "--keep", keep.to_str().unwrap()];
    let ran = muster(&arguments);
    let report = demo_report(&ran);
    assert_eq!(report["kills"], 4, "{ran:?}");
    assert_broken_as_planned(&report, &ran);
    assert_eq!(report["settled_after_return"], true, "{ran:?}");
    assert_eq!(report["verdicts"]["FullyMigrated"], 40, "{ran:?}");
    let lost: u64 = report["verdicts_source_lost"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(lost, 40, "{ran:?}");

    // With nobody left to ask, the destination's ledger alone still accounts for all.
    let ledger = keep.join("berlin.ledger");
    let ran = muster(&["recover", "--ledger", ledger.to_str().unwrap(), "--output", "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let call: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&call["vms"], &call["verdicts"]["FullyMigrated"]), (&Value::from(40), &Value::from(40)), "{ran:?}");
    let name = call["lines"][0]["name"].as_str().unwrap();
    let ran = muster(&["recover", "--ledger", ledger.to_str().unwrap(), "--explain", name]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("verdict: FullyMigrated, since"), "{ran:?}");
}

#[test]
fn the_smallest_demonstration_is_broken_at_its_moments_by_a_program_whose_file_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("muster");
    std::fs::copy(env!("CARGO_BIN_EXE_muster"), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(["demo", "--vms", "5", "--seed", "2", "--output", "json"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It runs by now, and starts everything from what it runs.
    std::fs::remove_file(&copy).unwrap();
    let ran = Ran::from(&child.wait_with_output().unwrap());
    let report = demo_report(&ran);
    assert_eq!(report["verdicts"]["FullyMigrated"], 5, "{ran:?}");
    assert_broken_as_planned(&report, &ran);
}

/// Every fault fell into its moment.
fn assert_broken_as_planned(report: &Value, ran: &Ran) {
    let planned = report["planned_faults"].as_array().unwrap();
    assert_eq!(planned.len(), 5, "{ran:?}");
    for fault in planned {
        assert_eq!(fault["happened"], true, "{ran:?}");
        assert!(fault["open"].as_u64() > Some(0), "{ran:?}");
    }
}

/// The one object on standard output, of a demonstration that passed.
fn demo_report(ran: &Ran) -> Value {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    for harm in ["wrong_verdicts", "ran_twice", "lost", "ran_stale", "ran_on_partial_disk", "definition_changed"] {
        assert_eq!(report[harm], 0, "{harm}: {ran:?}");
    }
    assert_eq!(report["passed"], true, "{ran:?}");
    assert_eq!(ran.code, 0, "{ran:?}");
    report
}
