//! What rows and evacuations add up to, as docs/RELIABILITY.md has it.

use muster_tests::published::{Published, Zeros};
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
    pub(crate) wrong_verdicts: u64,
    pub(crate) ran_twice: u64,
    pub(crate) lost: u64,
    /// Rows that came to another end than they should, for no reason that is counted above.
    pub(crate) never_settled: u64,
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
        self.wrong_verdicts += other.wrong_verdicts;
        self.ran_twice += other.ran_twice;
        self.lost += other.lost;
        self.never_settled += other.never_settled;
    }

    /// What a run has found; `what` is what was played. `commit` is what the run began with.
    pub(crate) fn published(&self, run: &str, what: &str, commit: &str, elapsed: Duration) -> Published {
        let zeros = Zeros {
            wrong_verdicts: self.wrong_verdicts,
            ran_twice: self.ran_twice,
            lost: self.lost,
            never_settled: self.never_settled,
        };
        Published { commit: commit.to_owned(), ..Published::now("reality", run, zeros) }
            .row(what, self.played)
            .row("**not right**", self.failed)
            .row("guests", self.guests)
            .row("deaths, hangs and cuts", self.kills)
            .row("roll calls on the way and at the end", self.roll_calls)
            .row("verdicts, each held against what was seen", self.verdicts)
            .row("guests that lost their memory with the source's libvirtd", self.memory_lost)
            .row("workers crashed by libvirt's own client", self.crashes)
            .row("elapsed", format!("{} s", elapsed.as_secs()))
    }
}
