//! A runbook engine's hooks: one for a shell and one in Python. Both are to behave alike.

use crate::land::Land;
use crate::python::{Python, example};
use crate::support::{Ran, muster};
use serde_json::{Value, json};
use std::process::Command;
use uuid::Uuid;

/// Who orders, by either hook.
const BY: &str = "runbook-engine";
const ALL: &str = "[[select]]\nall = true\n";

#[derive(Debug, Clone, Copy)]
enum Hook {
    Shell,
    Python,
}

const BOTH: [Hook; 2] = [Hook::Shell, Hook::Python];

impl Hook {
    fn run(self, land: &Land, job: &str, runbook: &str) -> Ran {
        let address = land.orchestrator.address.as_str();
        match self {
            Hook::Shell => {
                let mut command = Command::new(example().join("hooks/evacuate-hook.sh"));
                command.args([job, runbook, address]).env("MUSTER", env!("CARGO_BIN_EXE_muster")).env("MUSTER_BY", BY);
                Ran::of(&mut command).unwrap()
            }
            Hook::Python => {
                Python::ready().run("hooks/evacuate_hook.py", &[job, runbook, "--orchestrator", address, "--by", BY])
            }
        }
    }
}

/// What a hook has written, which ended with this code.
fn told(ran: &Ran, code: i32) -> Value {
    assert_eq!(ran.code, code, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// The request id of a job, as RFC 9562 makes it.
fn request_id(job: &str) -> Uuid {
    Uuid::new_v5(&Uuid::new_v5(&Uuid::NAMESPACE_URL, b"muster:jobs"), job.as_bytes())
}

#[test]
fn a_job_is_started_once_by_whichever_hook_it_is_called() {
    let land = Land::with_fleet(10, 50);
    let (job, runbook) = ("change 4711/ä", land.runbook(ALL));
    let first = told(&Hook::Shell.run(&land, job, &runbook), 0);
    assert_eq!(first["request_id"], request_id(job).to_string());
    assert_eq!(first["fully_migrated"], true, "{first}");
    assert_eq!(first["verdicts"], json!({"FullyMigrated": 10}), "{first}");
    for hook in BOTH {
        assert_eq!(told(&hook.run(&land, job, &runbook), 0), first, "{hook:?}");
    }
    assert_eq!(land.json(&["list"])["evacuations"].as_array().unwrap().len(), 1, "one job, one evacuation");
}

#[test]
fn what_is_refused_or_wrong_ends_at_once_with_its_own_code() {
    let land = Land::with_fleet(4, 50);
    let runbook = land.runbook(ALL);
    for hook in BOTH {
        let job = format!("{hook:?}");
        let id = request_id(&job).to_string();
        let ordered = land.ask(&["evacuate", &runbook, "--request-id", &id, "--by", "somebody else"]);
        let ran = hook.run(&land, &job, &runbook);
        assert_eq!((ordered.code, ran.code, ran.stdout.as_str()), (0, 4, ""), "{hook:?}: {ordered:?} {ran:?}");
        assert!(ran.stderr.contains("REQUEST_ID_REUSED"), "{hook:?}: {ran:?}");
        let ran = hook.run(&land, "no runbook", "/nowhere/runbook.toml");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{hook:?}: {ran:?}");
    }
    assert_eq!(muster(&["evacuate", &runbook, "--request-id", "4711"]).code, 2, "no UUID");
}

#[test]
fn vms_that_stayed_at_the_source_are_no_success() {
    let land = Land::with_fleet(12, 4);
    let (job, runbook) = ("left", land.runbook(&format!("{ALL}[limits]\ntotal = 2\n")));
    let started = land.json(&["evacuate", &runbook, "--request-id", &request_id(job).to_string(), "--by", BY]);
    assert_eq!(land.json(&["cancel", started["evacuation"].as_str().unwrap()])["cancelled"], true);
    for hook in BOTH {
        let told = told(&hook.run(&land, job, &runbook), 1);
        assert_eq!(told["evacuation"], started["evacuation"], "{hook:?}: it is the job's own");
        assert_eq!(told["fully_migrated"], false, "{hook:?}: {told}");
        assert!(told["verdicts"]["NotMigrated"].as_u64() > Some(0), "{hook:?}: {told}");
    }
}

#[test]
fn vms_that_are_held_are_told_with_the_code_for_that() {
    let mut land = Land::with_fleet(6, 1);
    let (job, runbook) = ("held", land.runbook(&format!("{ALL}[limits]\ntotal = 6\n[deadlines]\nsilence_ms = 500\n")));
    land.json(&["evacuate", &runbook, "--request-id", &request_id(job).to_string(), "--by", BY]);
    let is_moving = |_| land.json(&["status"])["counts"]["moving"].as_u64() > Some(0);
    assert!((0..1_000).any(is_moving), "some should move soon");
    land.source.kill();
    for hook in BOTH {
        let told = told(&hook.run(&land, job, &runbook), 3);
        assert_eq!(told["fully_migrated"], false, "{hook:?}: {told}");
    }
}
