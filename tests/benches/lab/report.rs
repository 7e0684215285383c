//! The figures of a run, as a table for docs/. Medians and ranges only: machines are shared and noisy.

use crate::methods::{Trial, Way};
use std::fmt::Write;

/// The table, and what the other ways compare to.
pub(crate) fn table(trials: &[Trial], guests: u16) -> String {
    let mut text = format!(
        "| {guests} guests | total, median (range) | downtime p50 / p99 | of it the commit p50 / p99 | muster's processors per move | libvirt's |\n\
         |---|---|---|---|---|---|\n"
    );
    for way in Way::ALL {
        let of: Vec<&Trial> = trials.iter().filter(|trial| trial.way == way).collect();
        let totals = sorted(of.iter().map(|trial| trial.total_ms));
        let downtimes = sorted(of.iter().flat_map(|trial| &trial.moved).filter_map(|moved| moved.downtime_ms()));
        // Writing to a text can't fail.
        let _ = writeln!(
            text,
            "| {way} | {} ms ({} to {}) | {} / {} ms | {} | {} | {:.1} ms |",
            percentile(&totals, 50),
            percentile(&totals, 0),
            percentile(&totals, 100),
            percentile(&downtimes, 50),
            percentile(&downtimes, 99),
            commit(way, &of),
            processing(&of, guests),
            percentile(&sorted(of.iter().map(|trial| trial.libvirtds_ms)), 50) as f64 / f64::from(guests),
        );
    }
    let total =
        |way| percentile(&sorted(trials.iter().filter(|trial| trial.way == way).map(|trial| trial.total_ms)), 50);
    let muster = total(Way::Muster).max(1) as f64;
    for way in [Way::Loop, Way::FourAtATime] {
        let _ = writeln!(text, "\n{way} takes {:.2} times as long as muster.", total(way) as f64 / muster);
    }
    text
}

fn commit(way: Way, trials: &[&Trial]) -> String {
    match way {
        Way::Loop | Way::FourAtATime => "–".to_owned(),
        Way::Muster => {
            let commits = sorted(trials.iter().flat_map(|trial| &trial.moved).filter_map(|moved| moved.commit_ms()));
            format!("{} / {} ms", percentile(&commits, 50), percentile(&commits, 99))
        }
    }
}

fn processing(trials: &[&Trial], guests: u16) -> String {
    let taken: Vec<_> = trials.iter().filter_map(|trial| trial.processing).collect();
    if taken.is_empty() {
        return "–".to_owned();
    }
    let orchestrator = percentile(&sorted(taken.iter().map(|taken| taken.orchestrator_ms)), 50);
    let workers = percentile(&sorted(taken.iter().map(|taken| taken.workers_ms)), 50);
    let each = |ms: u64| ms as f64 / f64::from(guests);
    format!("orchestrator {:.1} ms, both workers {:.1} ms", each(orchestrator), each(workers))
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

/// The nearest rank of sorted values; zero where there are none.
fn percentile(values: &[u64], percent: usize) -> u64 {
    let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(rank).copied().unwrap_or_default()
}
