//! The result of a run as docs/RELIABILITY.md has it: when, on what and with which figures.

use crate::AT_ONCE;
use crate::figures::{Figures, Kills, listed};
use muster_tests::published::{Published, Zeros};
use std::time::Duration;

/// What a run has found. `commit` is what it began with; `failed` are the seeds that did not come through.
pub(crate) fn published(run: &str, commit: &str, total: &Figures, failed: &[u64], elapsed: Duration) -> Published {
    let Kills { orchestrator, source, destination, recovery, under_way } = total.kills;
    let came_through = match failed {
        [] => "all".to_owned(),
        failed => format!("{}, not {failed:?}", total.evacuations.saturating_sub(failed.len() as u64)),
    };
    let zeros = Zeros {
        wrong_verdicts: total.wrong_verdicts,
        ran_twice: total.ran_twice,
        // What ran on a disk that had been left behind has lost what it wrote elsewhere.
        lost: total.lost + total.stale,
        never_settled: total.vms.saturating_sub(total.migrated),
    };
    Published { commit: commit.to_owned(), ..Published::now("processes", run, zeros) }
        .row("evacuations", total.evacuations)
        .row("came through", came_through)
        .row("VMs", total.vms)
        .row("migrated", format!("{} in {} attempts", total.migrated, total.attempts))
        .row("killed with SIGKILL", total.kills.all())
        .row("of these orchestrators", orchestrator)
        .row("of these source workers", source)
        .row("of these destination workers", destination)
        .row("of these recoveries", recovery)
        .row("while VMs had still to arrive", under_way)
        .row("finished by `muster recover --apply`", total.recoveries)
        .row("roll calls", total.roll_calls)
        .row("verdicts", total.verdicts.values().sum::<u64>())
        .row("by name", listed(&total.verdicts))
        .row("ran stale, counted as lost", total.stale)
        .row("elapsed", format!("{} s, {AT_ONCE} evacuations at a time", elapsed.as_secs()))
        .row("an evacuation", format!("{} ms in the mean, {} ms at most", mean_ms(total), total.elapsed_max_ms))
}

fn mean_ms(total: &Figures) -> u64 {
    total.elapsed_ms / total.evacuations.max(1)
}

#[test]
fn a_failed_seed_stands_in_the_table() {
    let total = Figures { evacuations: 100, vms: 50, migrated: 48, wrong_verdicts: 3, stale: 2, ..Figures::default() };
    let found = published("a_run", "abc", &total, &[32], Duration::from_secs(700));
    assert_eq!(found.zeros, Zeros { wrong_verdicts: 3, ran_twice: 0, lost: 2, never_settled: 2 });
    let text = found.table();
    assert!(text.contains("| came through | 99, not [32] |"), "{text}");
    assert!(text.contains("| **wrong verdicts** | 3 |"), "{text}");
    let right = published("a_run", "abc", &total, &[], Duration::ZERO).table();
    assert!(right.contains("| came through | all |"), "{right}");
}
