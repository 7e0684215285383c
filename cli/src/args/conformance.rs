//! The command that checks anybody's worker.

use clap::Args;
use std::path::PathBuf;

/// What is beside the flags in its help.
pub(crate) const HELP: &str = "\
What the site must have: a host that answers, with room for a few VMs of a VM's size, and a VM of its own. The suite makes VMs after
that one, under UUIDs of their own: powered off, their disk taken for shared storage, never started. It plays their orchestrator and
their source's worker. Use a site that may be changed: what the protocol can't take back stays, and is said (a powered-off VM that is
retired in the end; evacuations in the ledger that are over).

With --partner a running VM, --vm or the smallest, moves there and back, live. The two workers have to know each other (--peer), and
their hypervisors too. With --restart-command the worker is restarted under it: a program at an absolute path, run without a shell
and without arguments, which kills the worker (SIGKILL is best), starts it again on its ledger and address, and ends with 0.

  muster conformance --site 127.0.0.1:7701 --partner 127.0.0.1:7702 --restart-command /usr/local/bin/restart-site-a

Where workers ask for certificates, the suite needs two: an orchestrator's (--tls), and one of the worker of a site that is called
conformance-suite (--worker-tls), since it plays both. \"muster pki issue\" makes them.

Exit codes: 0 every case passed; 1 one failed; 3 none failed and some were not checked, each with the reason.
JSON has all that was sent and all that came, case by case.";

#[derive(Debug, Args)]
pub(crate) struct ConformanceArgs {
    /// The worker that is checked
    #[arg(long, value_name = "ADDR")]
    pub(crate) site: String,
    /// Another site's worker, that it can move VMs to and back from
    #[arg(long, value_name = "ADDR")]
    pub(crate) partner: Option<String>,
    /// The VM that moves, and that others are made after; the smallest that runs where it isn't given
    #[arg(long, value_name = "UUID")]
    pub(crate) vm: Option<String>,
    /// With --tls: a directory with the certificate of site conformance-suite's worker
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) worker_tls: Option<PathBuf>,
    /// The program that restarts the worker
    #[arg(long, value_name = "/PATH")]
    pub(crate) restart_command: Option<PathBuf>,
}
