//! The worker in Python that the examples have: it passes, restart and moves included, and muster evacuates it.

use super::own::{cases, free_address, report};
use super::restarts::Bell;
use crate::support::{Daemon, muster};
use crate::venv::interpreter;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python-worker").canonicalize().unwrap()
}

/// A Python that has what requirements.txt asks for, made once for all tests.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| interpreter("python-worker", &example().join("requirements.txt")))
}

/// Starts a worker; the site's hosts and two VMs are there from its first start on.
fn start(folder: &Path, (site, listen): (&str, &str), (peer, at): (&str, &str)) -> Daemon {
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (ledger, world, peer) = (file(&format!("{site}.ledger")), file("world"), format!("{peer}={at}"));
    let mut command = Command::new(python());
    command.arg(example().join("worker.py"));
    command.args(["--site", site, "--listen", listen, "--ledger", &ledger, "--world", &world]);
    command.args(["--peer", &peer, "--vms", if site == "rome" { "2" } else { "0" }]);
    // Nothing is left beside the sources.
    Daemon::of(command.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// Two sites that know each other.
struct Sites {
    folder: TempDir,
    rome: Daemon,
    oslo: Daemon,
}

impl Sites {
    fn set() -> Sites {
        let folder = tempfile::tempdir().unwrap();
        let (at_rome, at_oslo) = (free_address(), free_address());
        let rome = start(folder.path(), ("rome", &at_rome), ("oslo", &at_oslo));
        let oslo = start(folder.path(), ("oslo", &at_oslo), ("rome", &at_rome));
        Sites { folder, rome, oslo }
    }
}

#[test]
fn the_worker_in_python_passes_restart_and_moves_included() {
    let Sites { folder, rome, oslo } = Sites::set();
    let (at_rome, at_oslo) = (rome.address.clone(), oslo.address.clone());
    let (path, from, to) = (folder.path().to_owned(), at_rome.clone(), at_oslo.clone());
    let program = Bell::hang(folder.path()).answer(rome, move |mut rome| {
        rome.kill();
        start(&path, ("rome", &from), ("oslo", &to))
    });
    let arguments = ["--site", &at_rome, "--partner", &at_oslo, "--restart-command", program.to_str().unwrap()];
    let (report, ran) = report(&arguments);
    assert_eq!((cases(&report, "failed"), cases(&report, "not_checked")), (vec![], vec![]), "{}", ran.stderr);
    assert_eq!((ran.code, &report["version"]), (0, &Value::from("python-worker")), "{}", ran.stderr);
}

#[test]
fn muster_evacuates_a_site_of_the_worker_in_python() {
    let Sites { folder, rome, oslo } = Sites::set();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (at_rome, at_oslo, journal) =
        (format!("rome={}", rome.address), format!("oslo={}", oslo.address), file("journal"));
    let sites = ["--site", &at_rome, "--site", &at_oslo, "--journal", &journal];
    let orchestrator = Daemon::start(&[&["orchestrator", "--listen", "127.0.0.1:0"], &sites[..]].concat());
    let runbook = file("runbook.toml");
    let text = "name = \"leave-rome\"\nsource.site = \"rome\"\ndestination.site = \"oslo\"\n[[select]]\nall = true\n";
    std::fs::write(&runbook, text).unwrap();
    let ran = muster(&["evacuate", &runbook, "--watch", "--orchestrator", &orchestrator.address]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let workers = ["--destination", &oslo.address, "--source", &rome.address];
    let ran = muster(&[&["recover", "--output", "json"], &workers[..]].concat());
    let call: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(
        (&call["verdicts"]["FullyMigrated"], &call["settled"]),
        (&Value::from(2), &Value::from(true)),
        "{ran:?}"
    );
}
