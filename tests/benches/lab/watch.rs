//! Listens to libvirt's own events on every host of the lab, by `virsh event`, and reads from them how long a guest stood
//! still. It changes nothing.
//!
//! ```text
//!  source        Suspended ──────────── Stopped
//!  destination              (arrives)              Resumed
//!                └───────── downtime ──────────────┘
//!                                        └ commit ─┘   muster only: its proof, its record, its call
//! ```

use muster_tests::Outcome;
use muster_tests::lab::{Host, Lab, Role};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// How long the listeners may take until they hear.
const LISTENING_WITHIN: Duration = Duration::from_millis(500);
/// How long an event may take from libvirt to a listener.
const HEARD_WITHIN: Duration = Duration::from_millis(500);
/// Milliseconds of a day: the clock of `virsh event` begins anew at midnight here.
const DAY_MS: u64 = 86_400_000;

/// What happened to one guest while it moved, in milliseconds of the day.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Moved {
    suspended: Option<u64>,
    stopped: Option<u64>,
    resumed: Option<u64>,
}

impl Moved {
    /// From its last step at the source to its first at the destination, in milliseconds.
    pub(crate) fn downtime_ms(&self) -> Option<u64> {
        // Two listeners: what happened within a millisecond may be heard the wrong way round.
        let later = (self.resumed? + DAY_MS - self.suspended?) % DAY_MS;
        Some(if later > DAY_MS / 2 { 0 } else { later })
    }

    /// From libvirt's word that the source is gone to the first step at the destination, in milliseconds. None where the
    /// destination did not wait for that.
    pub(crate) fn commit_ms(&self) -> Option<u64> {
        self.resumed?.checked_sub(self.stopped?)
    }
}

/// Listens until it is asked what it heard.
pub(crate) struct Watch {
    folder: TempDir,
    listeners: Vec<(Host, Child)>,
}

impl Watch {
    pub(crate) async fn begin(lab: &Lab) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("virsh event can't be run: {error}");
        let folder = TempDir::new().map_err(failed)?;
        let mut listeners = Vec::new();
        for host in &lab.record().hosts {
            let heard = std::fs::File::create(folder.path().join(&host.name)).map_err(failed)?;
            // Line by line: it is ended in the middle of listening.
            let mut listener = Command::new("stdbuf");
            listener.args(["-oL", "virsh", "--connect", &host.libvirt_uri]);
            listener.args(["event", "--event", "lifecycle", "--loop", "--timestamp"]);
            listener.stdin(Stdio::null()).stdout(heard).stderr(Stdio::null()).kill_on_drop(true);
            listeners.push((host.clone(), listener.spawn().map_err(failed)?));
        }
        sleep(LISTENING_WITHIN).await;
        Ok(Self { folder, listeners })
    }

    /// Ends the listeners, and gives what happened to each guest.
    pub(crate) async fn end(mut self) -> Outcome<BTreeMap<String, Moved>> {
        sleep(HEARD_WITHIN).await;
        let mut moved: BTreeMap<String, Moved> = BTreeMap::new();
        for (host, listener) in &mut self.listeners {
            listener.kill().await.map_err(|error| format!("virsh event can't be ended: {error}"))?;
            let path: PathBuf = self.folder.path().join(&host.name);
            let heard = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            for event in heard.lines().filter_map(Event::read) {
                event.note(host.role, moved.entry(event.guest.clone()).or_default());
            }
        }
        Ok(moved)
    }
}

/// One line of `virsh event`, such as
/// `2026-01-31 23:59:59.123+0000: event 'lifecycle' for domain 'vm1': Suspended Paused`.
struct Event {
    at_ms: u64,
    guest: String,
    what: String,
}

impl Event {
    fn read(line: &str) -> Option<Self> {
        let (stamp, rest) = line.split_once(": event 'lifecycle' for domain '")?;
        let (guest, what) = rest.split_once("': ")?;
        let clock = stamp.split(' ').nth(1)?.split('+').next()?;
        let (seconds, thousandths) = clock.split_once('.')?;
        let seconds = seconds.split(':').try_fold(0, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))?;
        let at_ms = seconds * 1_000 + thousandths.parse::<u64>().ok()?;
        Some(Self { at_ms, guest: guest.to_owned(), what: what.split(' ').next()?.to_owned() })
    }

    /// The last of each kind counts: what was tried again before is no part of how it moved.
    fn note(&self, role: Role, moved: &mut Moved) {
        match (role, self.what.as_str()) {
            (Role::Source, "Suspended") => moved.suspended = Some(self.at_ms),
            (Role::Source, "Stopped") => moved.stopped = Some(self.at_ms),
            (Role::Destination, "Resumed") => moved.resumed = Some(self.at_ms),
            _ => {}
        }
    }
}
