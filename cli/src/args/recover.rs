//! Recovery.

use super::{OrchestratorAddress, Person};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use muster_core::runbook::Deadlines;
use muster_orchestrator::RECOVER_WAIT_MAX;
use std::path::PathBuf;

fn deadline() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(Deadlines::MIN_MS..=Deadlines::MAX_MS)
}

/// How long a recovery waits in all where it isn't told: an hour.
const DEADLINE_DEFAULT_MS: u64 = 3_600_000;

/// A recovery waits a day at most; run again, it goes on.
fn whole_deadline() -> RangedU64ValueParser<u64> {
    let longest = u64::try_from(RECOVER_WAIT_MAX.as_millis()).unwrap_or(u64::MAX);
    RangedU64ValueParser::new().range(Deadlines::MIN_MS..=longest)
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Which evacuation; without it, the orchestrator's newest, or the only one that the destination's ledger knows
    pub(crate) evacuation: Option<String>,
    /// Act; without it, only report
    #[arg(long)]
    pub(crate) apply: bool,
    /// Without an orchestrator: the destination's worker
    #[arg(long, value_name = "ADDR", conflicts_with = "ledger")]
    pub(crate) destination: Option<String>,
    /// The source's worker
    #[arg(long, value_name = "ADDR", requires = "destination", conflicts_with = "source_lost")]
    pub(crate) source: Option<String>,
    /// The source can't be reached: account for everything from the destination alone
    #[arg(long, requires = "destination")]
    pub(crate) source_lost: bool,
    /// Without anybody left to ask: a ledger's file. Report only
    #[arg(long, value_name = "FILE", conflicts_with_all = ["apply", "take_over"])]
    pub(crate) ledger: Option<PathBuf>,
    /// Swear that the whole source can't run anything: powered off, or cut from all storage. Durable
    #[arg(long, value_name = "REASON")]
    pub(crate) assert_source_fenced: Option<String>,
    /// Swear that a host can't run anything. Durable; can be given for several hosts
    #[arg(long, num_args = 2, value_names = ["HOST", "REASON"], action = clap::ArgAction::Append)]
    pub(crate) assert_host_fenced: Vec<String>,
    /// Start this VM from its disk at the destination, if its memory is lost; can be given for several VMs
    #[arg(long, value_name = "VM")]
    pub(crate) cold_start: Vec<String>,
    /// Bring what has not arrived back to the source, instead of on to the destination
    #[arg(long)]
    pub(crate) undo: bool,
    /// Show the evidence about this VM line by line, and why it proves the verdict
    #[arg(long, value_name = "VM", conflicts_with = "apply")]
    pub(crate) explain: Option<String>,
    /// Take over another recovery's claim, for this reason
    #[arg(long, value_name = "REASON")]
    pub(crate) take_over: Option<String>,
    /// With --apply: how long to wait in all, in milliseconds; then the roll is called, and what is under way goes on
    #[arg(long, value_name = "MS", default_value_t = DEADLINE_DEFAULT_MS, value_parser = whole_deadline())]
    pub(crate) deadline_ms: u64,
    /// Without an orchestrator: how long a transfer may take before it is aborted, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3_600_000, value_parser = deadline())]
    pub(crate) transfer_deadline_ms: u64,
    /// Without an orchestrator: how long a handover may be unfinished before one direction is recorded and followed
    #[arg(long, value_name = "MS", default_value_t = Deadlines::default().handover_ms, value_parser = deadline())]
    pub(crate) handover_deadline_ms: u64,
    /// Without an orchestrator: how long a silent site is waited for before its VMs are held
    #[arg(long, value_name = "MS", default_value_t = Deadlines::default().silence_ms, value_parser = deadline())]
    pub(crate) silence_deadline_ms: u64,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
    #[command(flatten)]
    pub(crate) person: Person,
}

/// How recovery is used, as `muster recover --help` shows it.
pub(super) const HELP: &str = "\
Three ways, by what is left:
  muster recover                                           through the orchestrator
  muster recover --destination ADDR --source ADDR          both workers, no orchestrator or journal needed
  muster recover --destination ADDR --source-lost          the destination alone
  muster recover --ledger FILE                             a ledger's file alone; a report only

It reports unless --apply is given. Then it tells on standard error how it goes, and ends once all that had begun is
settled or held, at --deadline-ms, or with Ctrl-C. Nothing is lost by ending early: what the sites were told goes on
there, an orchestrator goes on by itself, and without one the next recovery goes on. Exit code 0 if every VM is accounted for and settled, 3 if some are held or not
settled yet, 4 if it was refused, 1 if it failed.

Without an orchestrator no command of a runbook's [[guardian]] is run, and no ledger knows whose hands are off which VM: the
journal alone does. Start the orchestrator on its journal, and it gives these VMs back; or give them back by hand.";
