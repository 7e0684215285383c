//! A ledger that is gone, made anew by the real command from what real processes still show.

use crate::site::{ALL, Land};
use crate::support::{Daemon, Ran, muster};
use serde_json::Value;
use std::time::Duration;

/// How often somebody looks how far an evacuation is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks before it counts as one that never gets there.
const LOOKS_MAX: usize = 1_200;

impl Land {
    #[allow(clippy::disallowed_methods, reason = "no runtime is here to be kept waiting")]
    fn until_migrated(&self, wanted: u64) {
        for _ in 0..LOOKS_MAX {
            if self.json(&["status"])["counts"]["migrated"].as_u64().unwrap() >= wanted {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        panic!("{wanted} never migrated: {}", self.json(&["status"]));
    }

    fn sim(&self) -> String {
        format!("sim:{}", self.world.address)
    }

    fn rebuild(&self, more: &[&str]) -> Ran {
        self.rebuild_with(&format!("paris={}", self.source.address), more)
    }

    fn rebuild_with(&self, peer: &str, more: &[&str]) -> Ran {
        let (ledger, sim) = (self.directory.path().join("berlin"), self.sim());
        let arguments = ["ledger", "rebuild", "--site", "berlin", "--ledger", ledger.to_str().unwrap()];
        muster(&[&arguments[..], &["--hypervisor", &sim, "--peer", peer], more].concat())
    }

    /// Kills the worker with SIGKILL, and removes the files.
    fn lose_the_destinations_ledger(&mut self) {
        self.destination.kill();
        for suffix in ["", "-wal", "-shm", "-lock"] {
            let path = self.directory.path().join(format!("berlin{suffix}"));
            if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// At the address that it had.
    fn start_the_destination_again(&mut self) {
        let (ledger, sim) = (self.directory.path().join("berlin"), self.sim());
        let listen = self.destination.address.clone();
        let arguments = ["worker", "--site", "berlin", "--listen", &listen, "--ledger", ledger.to_str().unwrap()];
        // Who can't ask the other site is confirmed only once that asks by itself.
        let peer = format!("paris={}", self.source.address);
        self.destination = Daemon::start(&[&arguments[..], &["--hypervisor", &sim, "--peer", &peer]].concat());
    }

    fn workers(&self) -> [String; 4] {
        let (destination, source) = (self.destination.address.clone(), self.source.address.clone());
        ["--destination".to_owned(), destination, "--source".to_owned(), source]
    }
}

#[test]
fn a_ledger_that_is_gone_is_made_anew_and_recovered_from() {
    let mut land = Land::with_fleet(6, 20);
    // One at a time, so that some are still to be moved when the ledger is lost, however late that is noticed.
    let runbook = land.runbook(&format!("[limits]\ntotal = 1\n{ALL}"));
    assert_eq!(land.ask(&["evacuate", &runbook]).code, 0);
    land.until_migrated(2);
    land.orchestrator.kill();

    let in_the_way = land.rebuild(&[]);
    assert_eq!(in_the_way.code, 1, "{in_the_way:?}");
    assert!(in_the_way.stderr.contains("there is a file already"), "{in_the_way:?}");
    land.lose_the_destinations_ledger();
    let nobody = land.rebuild_with("paris=127.0.0.1:1", &[]);
    assert_ne!(nobody.code, 0, "{nobody:?}");
    assert!(!land.directory.path().join("berlin").exists(), "a ledger was made of what nobody could be asked for");

    let rebuilt = land.rebuild(&["--output", "json"]);
    assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
    let told: Value = serde_json::from_str(&rebuilt.stdout).unwrap();
    let rows: u64 = told["rows"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!((rows, told["gaps"].as_array().unwrap().len()), (6, 0), "{told}");

    land.start_the_destination_again();
    let workers = land.workers();
    let workers: Vec<&str> = workers.iter().map(String::as_str).collect();
    let applied = muster(&[&["recover", "--apply", "--output", "json"], &workers[..]].concat());
    let call: Value = serde_json::from_str(&applied.stdout).unwrap_or_else(|error| panic!("{error}: {applied:?}"));
    assert_eq!(call["vms"], 6, "{call}");
    let verdicts = call["verdicts"].as_object().unwrap();
    assert!(verdicts["FullyMigrated"].as_u64().unwrap() >= 2, "{call}");
    assert!(!verdicts.contains_key("SplitBrain") && !verdicts.contains_key("MemoryLost"), "{call}");
    assert_eq!(call["unconfirmed"], Value::Array(Vec::new()), "each has seen the other: {call}");
}
