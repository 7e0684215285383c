//! What rows and evacuations add up to, as docs/RELIABILITY.md has it.

use muster_tests::circumstances::{machine, today};
use std::time::Duration;

/// Figures of one row, or of many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) played: u64,
    pub(crate) failed: u64,
    pub(crate) guests: u64,
    pub(crate) kills: u64,
    pub(crate) roll_calls: u64,
    pub(crate) verdicts: u64,
    /// Workers that libvirt's own client has crashed.
    pub(crate) crashes: u64,
    /// Guests that lost their memory with the source's libvirtd, and were started from their disks.
    pub(crate) memory_lost: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, other: Figures) {
        self.played += other.played;
        self.failed += other.failed;
        self.guests += other.guests;
        self.kills += other.kills;
        self.roll_calls += other.roll_calls;
        self.verdicts += other.verdicts;
        self.crashes += other.crashes;
        self.memory_lost += other.memory_lost;
    }

    /// To be pasted into docs/RELIABILITY.md. `commit` is what the run began with.
    pub(crate) fn table(&self, what: &str, commit: &str, elapsed: Duration) -> String {
        let rows = [
            ("date", today()),
            ("commit", commit.to_owned()),
            ("machine", machine()),
            (what, self.played.to_string()),
            ("**not right**", self.failed.to_string()),
            ("guests", self.guests.to_string()),
            ("deaths, hangs and cuts", self.kills.to_string()),
            ("roll calls on the way and at the end", self.roll_calls.to_string()),
            ("verdicts, each held against what was seen", self.verdicts.to_string()),
            ("guests that lost their memory with the source's libvirtd", self.memory_lost.to_string()),
            ("workers crashed by libvirt's own client", self.crashes.to_string()),
            ("elapsed", format!("{} s", elapsed.as_secs())),
        ];
        let rows: Vec<String> = rows.iter().map(|(what, value)| format!("| {what} | {value} |")).collect();
        format!("| | |\n|---|---|\n{}", rows.join("\n"))
    }
}
