//! The command that predicts moves from a history of others.

use clap::Args;
use std::path::PathBuf;

/// What is beside the flags in its help.
pub(crate) const HELP: &str = "\
Both files are JSON lines: one object a line, empty lines don't count. A move has these numbers, all of them finite and 0 or more:
  memory_mib        the guest's memory
  hot_set_mib       what it writes over and over, and
  hot_set_s         in how many seconds it has written all of that once
  cold_dirty_mib_s  how fast it writes to the rest
  rate_mbit_s       its link's nominal rate, in 10^6 bits per second; above 0
  storage_mib       storage that is copied as well; 0 where it isn't given
A line of the history also has duration_s, above 0. It is in order, the oldest first: of more than 400 lines the newest are learned
from, and the newest count most. Without any line, predictions are as muster assumes of a site that it doesn't know.
Lines may say which way a move goes, by \"link\", \"path\", \"source\" or \"destination\", each a text or a number: each link's rate is then
learned apart, where that predicts the history better; without them, moves of the same nominal rate may be taken together. Any other
field is ignored.

For each move a line comes out, in order: duration_s, volume_mib (what is sent in all), downtime_ms, converges. What doesn't converge goes up
muster's ladder of longer downtimes: duration_s is then the time until it arrives with one of them, or is aborted.
Nothing is printed unless every line of both files is good. One of them may be standard input, written -.

  muster predict --history completed.jsonl --moves planned.jsonl";

#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// Completed moves, as JSON lines; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) history: PathBuf,
    /// Moves to come, as JSON lines; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) moves: PathBuf,
}
