//! Two sites, as a person sets them up by hand: a world, two workers, an orchestrator.

use crate::support::{Daemon, Ran, muster};
use serde_json::Value;
use tempfile::TempDir;

/// Two simulated sites and their daemons.
pub(crate) struct Land {
    pub(crate) directory: TempDir,
    pub(crate) destination: Daemon,
    pub(crate) source: Daemon,
    pub(crate) orchestrator: Daemon,
    pub(crate) world: Daemon,
}

impl Land {
    /// A fleet at paris; `time_scale` simulated milliseconds pass in a real one.
    pub(crate) fn with_fleet(vms: u32, time_scale: u32) -> Land {
        let (vms, scale) = (vms.to_string(), time_scale.to_string());
        Land::in_world(&["--site", "paris=2", "--site", "berlin=2", "--vms", &vms, "--time-scale", &scale])
    }

    /// The sites paris and berlin of such a world.
    pub(crate) fn in_world(sites: &[&str]) -> Land {
        Land::shown(tempfile::tempdir().unwrap(), sites, |_| Vec::new())
    }

    /// The same in this directory, where each daemon, by its site or as "main", is told something more.
    pub(crate) fn shown(directory: TempDir, sites: &[&str], more: impl Fn(&str) -> Vec<String>) -> Land {
        let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let world = Daemon::start(&[&["world", "--listen", "127.0.0.1:0"], sites].concat());
        let sim = format!("sim:{}", world.address);
        let worker = |site: &str, peer: &[&str]| {
            let ledger = file(site);
            let arguments = ["worker", "--site", site, "--listen", "127.0.0.1:0", "--ledger", &ledger];
            let more = more(site);
            let more: Vec<&str> = more.iter().map(String::as_str).collect();
            Daemon::start(&[&arguments[..], &["--hypervisor", &sim], peer, &more].concat())
        };
        let destination = worker("berlin", &[]);
        let source = worker("paris", &["--peer", &format!("berlin={}", destination.address)]);
        let more = more("main");
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let orchestrator = orchestrator(&directory, &source, &destination, &more);
        Land { directory, destination, source, orchestrator, world }
    }

    /// Kills the orchestrator with SIGKILL and starts another on its journal.
    pub(crate) fn restart_orchestrator(&mut self, more: &[&str]) {
        self.orchestrator.kill();
        self.orchestrator = orchestrator(&self.directory, &self.source, &self.destination, more);
    }

    pub(crate) fn runbook(&self, waves: &str) -> String {
        let path = self.directory.path().join("runbook.toml");
        let begin = "name = \"leave-paris\"\nsource.site = \"paris\"\ndestination.site = \"berlin\"\n";
        std::fs::write(&path, format!("{begin}{waves}")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn ask(&self, arguments: &[&str]) -> Ran {
        muster(&[arguments, &["--orchestrator", &self.orchestrator.address]].concat())
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.ask(&[arguments, &["--output", "json"]].concat());
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {ran:?}"))
    }
}

fn orchestrator(directory: &TempDir, source: &Daemon, destination: &Daemon, more: &[&str]) -> Daemon {
    let journal = directory.path().join("journal");
    let arguments = ["orchestrator", "--listen", "127.0.0.1:0", "--journal", journal.to_str().unwrap()];
    let (paris, berlin) = (format!("paris={}", source.address), format!("berlin={}", destination.address));
    Daemon::start(&[&arguments[..], &["--site", &paris, "--site", &berlin], more].concat())
}
