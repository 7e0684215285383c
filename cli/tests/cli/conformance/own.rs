//! Muster's own worker, over a simulated world, in real processes.

use super::restarts::Bell;
use crate::secured_land::{Secured, done, issue};
use crate::support::{Daemon, Ran, muster};
use serde_json::Value;
use std::net::TcpListener;
use tempfile::TempDir;

/// A world with a fleet at paris, and the workers of both sites.
pub(super) struct Sites {
    pub(super) directory: TempDir,
    pub(super) source: Option<Daemon>,
    pub(super) address: String,
    pub(super) partner: Daemon,
    pub(super) world: Daemon,
}

/// An address that nobody listens on: a worker has to come back where it was.
pub(super) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Sites {
    pub(super) fn set() -> Sites {
        let directory = tempfile::tempdir().unwrap();
        let sites = ["--site", "paris=2", "--site", "berlin=2", "--vms", "4", "--time-scale", "20"];
        let world = Daemon::start(&[&["world", "--listen", "127.0.0.1:0"], &sites[..]].concat());
        let address = free_address();
        let partner = worker(&directory, &world, ("berlin", "127.0.0.1:0"), ("paris", &address));
        let source = worker(&directory, &world, ("paris", &address), ("berlin", &partner.address));
        Sites { directory, source: Some(source), address, partner, world }
    }
}

fn worker(directory: &TempDir, world: &Daemon, (site, listen): (&str, &str), peer: (&str, &str)) -> Daemon {
    let ledger = directory.path().join(format!("{site}.ledger"));
    start(ledger.to_str().unwrap(), &world.address, (site, listen), peer, &[])
}

fn start(ledger: &str, world: &str, (site, listen): (&str, &str), (peer, at): (&str, &str), more: &[&str]) -> Daemon {
    let (sim, peer) = (format!("sim:{world}"), format!("{peer}={at}"));
    let arguments = ["worker", "--site", site, "--listen", listen, "--ledger", ledger];
    Daemon::start(&[&arguments[..], &["--hypervisor", &sim, "--peer", &peer], more].concat())
}

/// The report of a run, and how it ended.
pub(super) fn report(arguments: &[&str]) -> (Value, Ran) {
    let ran = muster(&[&["conformance", "--output", "json"], arguments].concat());
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    (report, ran)
}

/// The cases that ended like this, with what they say.
pub(super) fn cases<'a>(report: &'a Value, result: &str) -> Vec<(&'a str, &'a str)> {
    let text = |value: &'a Value| value.as_str().unwrap_or_default();
    let cases = report["cases"].as_array().unwrap().iter();
    cases.filter(|case| case["result"] == result).map(|case| (text(&case["case"]), text(&case["why"]))).collect()
}

#[test]
fn musters_own_worker_passes_restart_and_moves_included() {
    let mut sites = Sites::set();
    let worker = sites.source.take().unwrap();
    let ledger = sites.directory.path().join("paris.ledger").to_str().unwrap().to_owned();
    let (world, address, partner) = (sites.world.address.clone(), sites.address.clone(), sites.partner.address.clone());
    let program = Bell::hang(sites.directory.path()).answer(worker, move |mut worker| {
        worker.kill();
        start(&ledger, &world, ("paris", &address), ("berlin", &partner), &[])
    });
    let arguments = ["--site", &sites.address, "--partner", &sites.partner.address];
    let (report, ran) = report(&[&arguments[..], &["--restart-command", program.to_str().unwrap()]].concat());
    assert_eq!((cases(&report, "failed"), cases(&report, "not_checked")), (vec![], vec![]), "{}", ran.stderr);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for case in report["cases"].as_array().unwrap() {
        assert!(!case["exchanges"].as_array().unwrap().is_empty(), "{}: nothing was sent", case["case"]);
    }
    let left = report["left"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{left:?}");

    // Without a partner and a way to restart it, it says what it could not check.
    let people = muster(&["conformance", "--site", &sites.address]);
    assert_eq!(people.code, 3, "{people:?}");
    let sum = "conforms as far as it was checked: 17 cases passed, 0 failed, 2 not checked";
    for told in ["move: not checked: without --partner", "restart: not checked: without --restart-command", sum] {
        assert!(people.stdout.contains(told), "{told}: {people:?}");
    }
    let localhost = sites.address.replace("127.0.0.1", "localhost");
    let itself = muster(&["conformance", "--site", &sites.address, "--partner", &localhost]);
    assert_eq!((itself.code, itself.stdout.as_str()), (1, ""), "{itself:?}");
    assert!(itself.stderr.contains("a partner is another site"), "{itself:?}");
}

#[test]
fn a_worker_that_asks_for_certificates_is_checked_with_an_orchestrators_and_a_workers() {
    let mut land = Secured::with_fleet(4);
    land.land.destination.kill();
    let ledger = land.land.directory.path().join("berlin").to_str().unwrap().to_owned();
    let (world, listen) = (land.land.world.address.clone(), land.land.destination.address.clone());
    let knowing = ("paris", land.land.source.address.as_str());
    land.land.destination = start(&ledger, &world, ("berlin", &listen), knowing, &["--tls", &land.of("berlin")]);
    let directory = &land.land.directory;
    done(issue(directory, "authority", "suite", &["worker", "conformance-suite"]));
    let (site, partner) = (land.land.source.address.clone(), land.land.destination.address.clone());
    let addresses = ["--site", &site, "--partner", &partner];
    let shown =
        |main: &str, worker: &str| vec!["--tls".to_owned(), land.of(main), "--worker-tls".to_owned(), land.of(worker)];
    let all = |more: &[String]| {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        report(&[&addresses[..], &more].concat())
    };
    let (report, ran) = all(&shown("main", "suite"));
    assert_eq!(cases(&report, "failed"), vec![], "{}", ran.stderr);
    let unchecked: Vec<&str> = cases(&report, "not_checked").into_iter().map(|(case, _)| case).collect();
    assert_eq!(unchecked, ["restart"], "{report}");

    let refused = |more: &[String], code: u8, told: &str| {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let ran = muster(&[&["conformance"], &addresses[..], &more].concat());
        assert!(ran.code == i32::from(code) && ran.stderr.contains(told), "{more:?}: {ran:?}");
    };
    refused(&shown("main", "paris"), 2, "--worker-tls: what stands there is the certificate of muster://worker/paris");
    refused(&shown("main", "suite")[..2], 2, "muster pki issue worker conformance-suite");
    refused(&[], 1, "the worker could not be checked");
    // Who only may look can't play an orchestrator.
    let (report, _) = all(&shown("eve", "suite"));
    assert!(cases(&report, "failed").len() > 5, "{report}");
}

#[test]
fn who_does_not_answer_is_not_checked() {
    let ran = muster(&["conformance", "--site", &free_address()]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("the worker could not be checked"), "{ran:?}");
}
