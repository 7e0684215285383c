//! The commands that deal with a site's ledger itself.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What is beside the flags in its help.
pub(crate) const HELP: &str = "\
For a site whose ledger is gone altogether, and no copy of it is left. Stop its worker first. What its hypervisors still show (the
marks on placeholders, arrived VMs and sealed copies) and what the other sites' ledgers hold is put into a new file; no completion
event is made up, and no proof that a source has stopped. Then start the worker on it, and call the roll: muster recover.
  muster ledger rebuild --site berlin --ledger /var/lib/muster/berlin --hypervisor libvirt:/etc/muster/berlin.toml --peer paris=127.0.0.1:7701
Exit codes: 0 made; 3 made, and something could not be known again (listed); 1 not made, and why.";

#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    pub(crate) command: LedgerCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Make a ledger anew from what hypervisors and the other sites still show
    #[command(after_help = HELP)]
    Rebuild(RebuildArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// The site's name
    #[arg(long, value_name = "NAME")]
    pub(crate) site: String,
    /// The new ledger's file; there must be none yet
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: PathBuf,
    /// The site's hypervisors, as for its worker
    #[arg(long, value_name = "KIND:ADDR")]
    pub(crate) hypervisor: String,
    /// Another site and its worker's address; once for each site that VMs come from or go to
    #[arg(long = "peer", value_name = "SITE=ADDR", required = true)]
    pub(crate) peers: Vec<String>,
    /// Go on although another site's worker does not answer: what only its ledger knows is then missing
    #[arg(long)]
    pub(crate) without_silent_peers: bool,
    /// Go on although hosts do not answer: what they hold is then missing, and would be taken for not there
    #[arg(long)]
    pub(crate) without_silent_hosts: bool,
}
