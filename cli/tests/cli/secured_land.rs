//! Two simulated sites whose every part shows a certificate, with an authority of their own.

use crate::support::{Daemon, Ran, muster};
use serde_json::Value;
use tempfile::TempDir;

/// Two simulated sites and their daemons, with an authority of their own.
pub(crate) struct Secured {
    pub(crate) directory: TempDir,
    pub(crate) world: Daemon,
    pub(crate) destination: Daemon,
    pub(crate) source: Daemon,
    pub(crate) orchestrator: Daemon,
}

/// Everybody who has a certificate: by the directory's name, what `muster pki issue` is told.
const BEARERS: [(&str, &[&str]); 9] = [
    ("paris", &["worker", "paris"]),
    ("berlin", &["worker", "berlin"]),
    ("main", &["orchestrator", "main"]),
    ("eve", &["viewer", "eve"]),
    ("bob", &["operator", "bob"]),
    ("alice", &["admin", "alice"]),
    ("rome", &["admin", "romeo", "--site", "rome"]),
    ("both", &["operator", "betty", "--site", "paris", "--site", "berlin"]),
    ("web", &["operator", "walter", "--tag", "web"]),
];

impl Secured {
    pub(crate) fn with_fleet(vms: u32) -> Secured {
        let directory = tempfile::tempdir().unwrap();
        done(muster(&["pki", "init", &of(&directory, "authority")]));
        for (name, bearer) in BEARERS {
            done(issue(&directory, "authority", name, bearer));
        }
        let sites = ["--site", "paris=2", "--site", "berlin=2", "--vms", &vms.to_string(), "--time-scale", "50"];
        let world = Daemon::start(&[&["world", "--listen", "127.0.0.1:0"], &sites[..]].concat());
        let destination = worker(&directory, &world, "berlin", "berlin", &[]);
        let source =
            worker(&directory, &world, "paris", "paris", &["--peer", &format!("berlin={}", destination.address)]);
        let journal = of(&directory, "journal");
        let (paris, berlin) = (format!("paris={}", source.address), format!("berlin={}", destination.address));
        let tls = of(&directory, "main");
        let orchestrator = Daemon::start(&[
            "orchestrator",
            "--listen",
            "127.0.0.1:0",
            "--journal",
            &journal,
            "--site",
            &paris,
            "--site",
            &berlin,
            "--tls",
            &tls,
        ]);
        Secured { directory, world, destination, source, orchestrator }
    }

    /// The directory of somebody's certificate.
    pub(crate) fn of(&self, name: &str) -> String {
        of(&self.directory, name)
    }

    pub(crate) fn runbook(&self) -> String {
        let path = self.of("runbook.toml");
        let text = "name = \"leave\"\nsource.site = \"paris\"\ndestination.site = \"berlin\"\n[[select]]\nall = true\n";
        std::fs::write(&path, text).unwrap();
        path
    }

    /// What somebody asks the orchestrator.
    pub(crate) fn ask(&self, who: &str, arguments: &[&str]) -> Ran {
        muster(&[arguments, &["--orchestrator", &self.orchestrator.address, "--tls", &self.of(who)]].concat())
    }

    /// An evacuation that has gone to its end.
    pub(crate) fn evacuate(&self, who: &str) -> Value {
        let ran = self.ask(who, &["evacuate", &self.runbook(), "--watch", "--by", "somebody-else", "--output", "json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
    }
}

pub(crate) fn of(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).to_str().unwrap().to_owned()
}

pub(crate) fn issue(directory: &TempDir, authority: &str, to: &str, more: &[&str]) -> Ran {
    let places = ["--authority", &of(directory, authority), "--to", &of(directory, to)];
    muster(&[&["pki", "issue"], more, &places[..]].concat())
}

pub(crate) fn worker(directory: &TempDir, world: &Daemon, site: &str, certificate: &str, more: &[&str]) -> Daemon {
    let (ledger, sim) = (of(directory, &format!("{site}-ledger")), format!("sim:{}", world.address));
    let tls = of(directory, certificate);
    let arguments = ["worker", "--site", site, "--listen", "127.0.0.1:0", "--ledger", &ledger, "--hypervisor", &sim];
    Daemon::start(&[&arguments[..], &["--tls", &tls], more].concat())
}

pub(crate) fn done(ran: Ran) -> Ran {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}
