//! Two simulated sites whose every part shows a certificate, with an authority of their own.

use crate::land::Land;
use crate::support::{Ran, muster};
use serde_json::Value;
use tempfile::TempDir;

/// Two simulated sites and their daemons, with an authority of their own.
pub(crate) struct Secured {
    pub(crate) land: Land,
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
        let certificates = of(&directory, "");
        let sites = ["--site", "paris=2", "--site", "berlin=2", "--vms", &vms.to_string(), "--time-scale", "50"];
        let shown = |daemon: &str| vec!["--tls".to_owned(), format!("{certificates}{daemon}")];
        Secured { land: Land::shown(directory, &sites, shown) }
    }

    /// The directory of somebody's certificate.
    pub(crate) fn of(&self, name: &str) -> String {
        of(&self.land.directory, name)
    }

    pub(crate) fn runbook(&self) -> String {
        self.land.runbook("[[select]]\nall = true\n")
    }

    /// What somebody asks the orchestrator.
    pub(crate) fn ask(&self, who: &str, arguments: &[&str]) -> Ran {
        muster(&[arguments, &["--orchestrator", &self.land.orchestrator.address, "--tls", &self.of(who)]].concat())
    }

    /// An evacuation that has gone to its end.
    pub(crate) fn evacuate(&self, who: &str) -> Value {
        let ran = self.ask(who, &["evacuate", &self.runbook(), "--watch", "--by", "somebody-else", "--output", "json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
    }
}

/// A place beside what the daemons keep.
pub(crate) fn of(directory: &TempDir, name: &str) -> String {
    directory.path().join("shown").join(name).to_str().unwrap().to_owned()
}

pub(crate) fn issue(directory: &TempDir, authority: &str, to: &str, more: &[&str]) -> Ran {
    let places = ["--authority", &of(directory, authority), "--to", &of(directory, to)];
    muster(&[&["pki", "issue"], more, &places[..]].concat())
}

pub(crate) fn done(ran: Ran) -> Ran {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran
}
