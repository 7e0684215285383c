//! Clients that muster knows nothing of: Python ones, made from the published protos alone, and a runbook engine's hooks. They are
//! those of examples/python-client, against real daemons.

#![allow(clippy::unwrap_used, reason = "a test that can't run its command has failed")]

#[path = "../cli/land.rs"]
#[allow(dead_code, reason = "shared with the command's own tests, which use the rest")]
mod land;
#[path = "../cli/secured_land.rs"]
#[allow(dead_code, reason = "shared with the command's own tests, which use the rest")]
mod secured_land;
#[path = "../cli/support.rs"]
#[allow(dead_code, reason = "shared with the command's own tests, which use the rest")]
mod support;
#[path = "../cli/venv.rs"]
mod venv;

mod hooks;
mod python;

use land::Land;
use python::Python;
use secured_land::Secured;

/// More than 10,000 moves for the scenario's large evacuation, and 50 for its small one.
const SCENARIO_VMS: &str = "10100";
/// Hosts of a site, and memory of each, that hold such a fleet.
const SCENARIO_HOSTS: u32 = 20;
const SCENARIO_HOST_MEMORY_MIB: &str = "2097152";

#[test]
fn a_client_is_cut_off_resumes_and_accounts_for_ten_thousand_moves() {
    let python = Python::ready();
    let (paris, berlin) = (format!("paris={SCENARIO_HOSTS}"), format!("berlin={SCENARIO_HOSTS}"));
    let fleet = ["--vms", SCENARIO_VMS, "--host-memory-mib", SCENARIO_HOST_MEMORY_MIB, "--time-scale", "10"];
    let land = Land::in_world(&[&["--site", &paris, "--site", &berlin], &fleet[..]].concat());
    let ran = python.run("scenario.py", &["--orchestrator", &land.orchestrator.address]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("10050 moves on ") && ran.stdout.contains("all is as it should be"), "{ran:?}");
}

#[test]
fn the_example_evacuates_a_site_and_accounts_for_every_vm() {
    let python = Python::ready();
    let land = Land::with_fleet(12, 50);
    let runbook = land.runbook("[[select]]\nall = true\n");
    let arguments = [runbook.as_str(), "--job", "leave", "--by", "ada", "--orchestrator", &land.orchestrator.address];
    let ran = python.run("evacuate.py", &arguments);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((ran.code, &told["verdicts"]), (0, &serde_json::json!({"FullyMigrated": 12})), "{ran:?}");
    assert!(ran.stderr.contains("by ada"), "the audit trail has who ordered it: {ran:?}");
    assert_eq!(land.json(&["list"])["evacuations"][0]["evacuation"], told["evacuation"], "{ran:?}");
}

#[test]
fn the_example_shows_its_certificate_and_is_nobody_else() {
    let python = Python::ready();
    let land = Secured::with_fleet(6);
    let file = |who: &str, name: &str| format!("{}/{name}", land.of(who));
    let evacuate = |who: &str| {
        let (ca, certificate, key) = (file(who, "ca.crt"), file(who, "tls.crt"), file(who, "tls.key"));
        let runbook = land.runbook();
        let tls = ["--tls-ca", &ca, "--tls-certificate", &certificate, "--tls-key", &key];
        let order =
            [&runbook, "--job", "leave", "--by", "somebody-else", "--orchestrator", &land.land.orchestrator.address];
        python.run("evacuate.py", &[&order[..], &tls[..]].concat())
    };
    let refused = evacuate("eve");
    assert!(refused.code != 0 && refused.stderr.contains("NOT_PERMITTED"), "{refused:?}");
    let ran = evacuate("bob");
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!((ran.code, &told["verdicts"]), (0, &serde_json::json!({"FullyMigrated": 6})), "{ran:?}");
    assert!(ran.stderr.contains("by bob"), "the audit trail has the certificate's name: {ran:?}");
}

#[test]
fn stock_clients_ask_for_health_and_reflection() {
    let python = Python::ready();
    let land = Land::with_fleet(1, 50);
    let ran = python.run("stock_checks.py", &["--orchestrator", &land.orchestrator.address]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
}
