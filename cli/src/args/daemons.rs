//! The commands that run until they are stopped.

use clap::Args;
use std::path::PathBuf;

/// What every daemon takes.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// Where to listen; port 0 takes any free one. "listening on ADDR" on standard output says which. Loopback only, without --tls
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: String,
    /// Stop when standard input ends, as it does when the parent process dies
    #[arg(long)]
    pub(crate) stop_with_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OrchestratorArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// The journal's file; made new where there is none
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: PathBuf,
    /// A site and its worker's address; once for each site
    #[arg(long = "site", value_name = "NAME=ADDR", required = true)]
    pub(crate) sites: Vec<String>,
    /// A program that runbooks may name, to take VMs out of their guardians' hands and give them back; once for each
    #[arg(long = "command", value_name = "NAME=/PATH")]
    pub(crate) commands: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// The site's name
    #[arg(long, value_name = "NAME")]
    pub(crate) site: String,
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// The ledger's file; made new where there is none
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: PathBuf,
    /// The site's hypervisors: sim:ADDR for a simulated world
    #[arg(long, value_name = "KIND:ADDR")]
    pub(crate) hypervisor: String,
    /// Another site and its worker's address; once for each site that VMs come from or go to
    #[arg(long = "peer", value_name = "SITE=ADDR")]
    pub(crate) peers: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WorldArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonArgs,
    /// A site and how many hosts it has; its hosts are named after it, counted from 1
    #[arg(long = "site", value_name = "NAME=HOSTS", required = true)]
    pub(crate) sites: Vec<String>,
    /// Each host's memory for guests, in MiB
    #[arg(long, default_value_t = 262_144, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) host_memory_mib: u64,
    /// What each host's network card carries, in MiB per second
    #[arg(long, default_value_t = 1_192, value_name = "MIB_S", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) nic_mib_s: u64,
    /// What the link between two sites carries, in MiB per second
    #[arg(long, default_value_t = 1_192, value_name = "MIB_S", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) link_mib_s: u64,
    /// What every random choice is drawn from
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many simulated milliseconds pass in a real one
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) time_scale: u32,
    /// How many VMs, of mixed sizes and dirty rates, the first site has in the beginning
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) vms: u32,
}

/// What commands are told, as `muster orchestrator --help` shows it.
pub(crate) const ORCHESTRATOR_HELP: &str = "\
Commands: a runbook's [[guardian]] names two of them. \"hands_off\" is run before the move of a VM with the tag guardian:NAME
begins, \"give_back\" once its move is over. Neither is run by a shell. The only argument is the VM's UUID; the environment holds
PATH, MUSTER_VM_ID, MUSTER_VM_NAME, MUSTER_GUARDIAN, MUSTER_ASK (hands_off or give_back), MUSTER_EVACUATION, MUSTER_SOURCE_SITE,
MUSTER_DESTINATION_SITE, MUSTER_SITE and MUSTER_HOST (where the VM is now), and with give_back MUSTER_OUTCOME (destination or source).
Exit code 0 is success. A command has to be repeatable: it is run again when the orchestrator was killed while it ran, which may
still be running then; and a VM is given back also where taking the hands off failed.";

/// What a world is good for, as `muster world --help` shows it.
pub(crate) const WORLD_HELP: &str = "\
A world holds hosts, links and guests in memory, behaves as hypervisors do, and knows the truth about every VM. Without
--vms it is empty in the beginning: whoever drives it, as \"muster demo\" does, makes VMs and faults over its control
service. Connect workers to it with --hypervisor sim:ADDR. It has no security and must never be mistaken for real hypervisors.";
