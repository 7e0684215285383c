//! The command that plans.

use clap::Args;
use std::path::PathBuf;

/// What is beside the flags in its help.
pub(crate) const HELP: &str = "\
A scenario is one JSON object; times are in seconds from the start, fields that it doesn't know are ignored:
  hosts       [{id, memory_mib (none: without limit), used_mib (0), ready_at_s (0), shutdown_s (0: what a source needs after its last VM)}]
  links       [{id, capacity_mbit_s}]
  moves       [{vm, source, destination, path [link ids], rate_mbit_s, duration_s at that rate, memory_mib (0),
               after [VMs that it follows], wave (0), priority (0; the higher first), value (1)}]
              in place of duration_s: hot_set_mib, hot_set_s, cold_dirty_mib_s, storage_mib, from which it is predicted
  deadline_s  what doesn't end by then, its source's shutdown included, is left behind: the least valuable for what it takes of the bottleneck
  budget_ms   how long to look for a better plan (2000); the first plan takes what it takes
A move holds its rate on every link of its path from its start to its end, and the memory of its destination from its start on.

  muster plan --scenario scenario.json --output json
Exit codes: 0 everything is planned; 3 something is left behind.";

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Hosts, links and moves, as JSON; - for standard input. No site is asked
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: PathBuf,
}
