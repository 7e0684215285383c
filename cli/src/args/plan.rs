//! The command that plans, and the one that holds a plan against what happened.

use super::OrchestratorAddress;
use clap::{ArgGroup, Args};
use std::path::PathBuf;

/// What is beside the flags in its help.
pub(crate) const HELP: &str = "\
A plan of a runbook rests on both sites' inventories as they are, or as --save kept them. It says when each move begins and ends, when all is over,
what nothing ends before and what that hangs on, what isn't expected to converge, and what doesn't fit. Nothing is started or kept.

  muster plan leave-hamburg.toml --svg plan.svg
  muster plan leave-hamburg.toml --save inventories.json
  muster plan leave-hamburg.toml --inventory inventories.json     no site and no orchestrator is asked

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
Exit codes: 0 everything is planned; 4 something blocks the runbook; 3 something is left behind, or doesn't end by the deadline.";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["runbook", "scenario"]))]
pub(crate) struct PlanArgs {
    /// The runbook, TOML; see examples/evacuate.toml
    pub(crate) runbook: Option<PathBuf>,
    /// Hosts, links and moves, as JSON; - for standard input. No site is asked
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Both sites' inventories as --save kept them; without it the orchestrator reads them now
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    pub(crate) inventory: Option<PathBuf>,
    /// Keep the inventories that were read in this file, which must not be there yet
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "inventory"])]
    pub(crate) save: Option<PathBuf>,
    /// Draw the plan into this file: a Gantt chart by host and link
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Which evacuation; the newest if none is given
    pub(crate) evacuation: Option<String>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}
