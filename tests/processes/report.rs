//! The result of a run as docs/RELIABILITY.md has it, to be pasted there: when, on what and with which figures.

use crate::AT_ONCE;
use crate::figures::{Figures, Kills, listed};
use muster_tests::circumstances::{machine, today};
use std::time::Duration;

/// The table of a run. `commit` is what it began with; `failed` are the seeds that did not come through.
pub(crate) fn table(commit: &str, total: &Figures, failed: &[u64], elapsed: Duration) -> String {
    let Kills { orchestrator, source, destination, recovery, under_way } = total.kills;
    let came_through = match failed {
        [] => "all".to_owned(),
        failed => format!("{}, not {failed:?}", total.evacuations.saturating_sub(failed.len() as u64)),
    };
    let rows = [
        ("date", today()),
        ("commit", commit.to_owned()),
        ("machine", machine()),
        ("evacuations", total.evacuations.to_string()),
        ("came through", came_through),
        ("VMs", total.vms.to_string()),
        ("migrated", format!("{} in {} attempts", total.migrated, total.attempts)),
        ("killed with SIGKILL", total.kills.all().to_string()),
        ("of these orchestrators", orchestrator.to_string()),
        ("of these source workers", source.to_string()),
        ("of these destination workers", destination.to_string()),
        ("of these recoveries", recovery.to_string()),
        ("while VMs had still to arrive", under_way.to_string()),
        ("finished by `muster recover --apply`", total.recoveries.to_string()),
        ("roll calls", total.roll_calls.to_string()),
        ("verdicts", total.verdicts.values().sum::<u64>().to_string()),
        ("by name", listed(&total.verdicts)),
        ("**wrong verdicts**", total.wrong_verdicts.to_string()),
        ("**ran twice**", total.ran_twice.to_string()),
        ("**lost**", total.lost.to_string()),
        ("**ran stale**", total.stale.to_string()),
        ("elapsed", format!("{} s, {AT_ONCE} evacuations at a time", elapsed.as_secs())),
        ("an evacuation", format!("{} ms in the mean, {} ms at most", mean_ms(total), total.elapsed_max_ms)),
    ];
    let rows: Vec<String> = rows.iter().map(|(what, value)| format!("| {what} | {value} |")).collect();
    format!("| | |\n|---|---|\n{}", rows.join("\n"))
}

fn mean_ms(total: &Figures) -> u64 {
    total.elapsed_ms / total.evacuations.max(1)
}

#[test]
fn a_failed_seed_stands_in_the_table() {
    let total = Figures { evacuations: 100, wrong_verdicts: 3, ..Figures::default() };
    let text = table("abc", &total, &[32], Duration::from_secs(700));
    assert!(text.contains("| came through | 99, not [32] |"), "{text}");
    assert!(text.contains("| **wrong verdicts** | 3 |"), "{text}");
    assert!(table("abc", &total, &[], Duration::ZERO).contains("| came through | all |"));
}
