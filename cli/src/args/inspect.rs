//! The command that inspects anybody's hypervisors.

use clap::Args;

/// What is beside the flags in its help.
pub(crate) const HELP: &str = "\
Needs no worker, no ledger and no record of muster's, and changes nothing: it connects read-only.
  muster inspect --source qemu+ssh://root@old.example/system --destination qemu+ssh://root@new.example/system
Exit codes: 0 nothing needs a look; 3 something does; 1 a hypervisor could not be read (what it has is unknown).";

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A hypervisor that VMs were to leave, as a libvirt URI; once for each
    #[arg(long, required = true, value_name = "URI")]
    pub(crate) source: Vec<String>,
    /// A hypervisor that VMs were to come to, as a libvirt URI; once for each
    #[arg(long, required = true, value_name = "URI")]
    pub(crate) destination: Vec<String>,
    /// Show the VMs that need no look as well
    #[arg(long)]
    pub(crate) all: bool,
}
