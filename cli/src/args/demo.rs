//! The demonstration.

use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct DemoArgs {
    /// How many VMs; 5 or more, unless nothing is to be broken
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) vms: u32,
    /// What the fleet and the world's choices are drawn from
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub(crate) seed: u64,
    /// Break nothing
    #[arg(long)]
    pub(crate) no_faults: bool,
    /// Keep ledgers, journal, runbook and the daemons' output in this directory, which must be empty or not there yet
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

const HELP: &str = "\
A simulated world of two sites, a worker process for each and an orchestrator process are started on loopback; the fleet
of the first site is evacuated to the second. On the way the orchestrator is killed at about a third and started again,
the destination's worker is killed in mid-transfer and started again, and at about nine tenths the whole source site is
lost: unplugged, its worker and the orchestrator killed. Then \"muster recover\" calls the roll against the destination
alone, and every verdict is compared with the world's own truth. The site comes back, recovery settles what it held, the
orchestrator finishes, and the roll is called and judged again.

The world's time is scaled: ten simulated milliseconds pass in a real one, so that a guest of 8 GiB moves over its host's
10 Gbit/s in less than a second. Deadlines and waits of the runbook are as short as that asks for.

Exit code 0 only if the truth agreed with every verdict both times, no VM ever ran twice, none was lost, and everything
that was to be broken was broken at its moment: with VMs still to arrive, in a transfer, with moves open.";
