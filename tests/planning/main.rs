//! Timetables: each is checked by something that knows nothing of how it was made, and small ones are held against the true optimum.
//! `running` has the product run evacuations of simulated sites, and holds these against hindsight.
//!
//! How good plans are on large problems is measured, not tested: `cargo bench -p muster-tests --bench planning`.

#![allow(clippy::print_stdout, reason = "ratios are this test's result")]
#![allow(clippy::unwrap_used, reason = "a test that can't make its problem has failed")]

mod longest;
mod rules;
mod running;
mod small;
mod whole;

use muster_core::timetable::{Host, Link, Problem, SECOND_NS, Task};

/// Bits per second of a link or move of so many Gbit/s.
fn gbit(gbit_s: u64) -> u64 {
    gbit_s * 1_000_000_000
}

/// A move of so many seconds, with nothing special to it.
fn a_move(source: u32, destination: u32, path: &[u32], seconds: u64) -> Task {
    Task {
        source,
        destination,
        path: path.to_vec(),
        rate_bit_s: gbit(10),
        duration_ns: seconds * SECOND_NS,
        memory_mib: 1_024,
        wave: 0,
        priority: 0,
        value: 1.0,
        after: Vec::new(),
    }
}

/// So many hosts without limits, each with a link of 10 Gbit/s of the same number.
fn problem(hosts: usize, tasks: Vec<Task>) -> Problem {
    Problem::new(vec![Link { capacity_bit_s: gbit(10) }; hosts], vec![Host::default(); hosts], tasks).unwrap()
}

/// A stop after so many steps, so that a test goes the same way on any machine.
fn steps(count: u32) -> impl FnMut() -> bool {
    let mut left = count;
    move || {
        left = left.saturating_sub(1);
        left > 0
    }
}
