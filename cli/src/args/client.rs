//! The commands that call an orchestrator.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Where the orchestrator is.
#[derive(Debug, Args)]
pub(crate) struct OrchestratorAddress {
    /// The orchestrator's address
    #[arg(long, env = "MUSTER_ORCHESTRATOR", default_value = "127.0.0.1:7700", value_name = "ADDR")]
    pub(crate) orchestrator: String,
}

/// Who gives the order.
#[derive(Debug, Args)]
pub(crate) struct Person {
    /// Who orders it, for the audit trail
    #[arg(long, env = "USER", hide_env_values = true, default_value = "somebody", value_name = "NAME")]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
pub(crate) struct EvacuateArgs {
    /// The runbook, TOML; see examples/evacuate.toml
    pub(crate) runbook: PathBuf,
    /// Stay and show how it goes; Ctrl-C ends the watching, not the evacuation
    #[arg(long)]
    pub(crate) watch: bool,
    /// Check and plan only; nothing is started or kept
    #[arg(long, conflicts_with = "watch")]
    pub(crate) validate_only: bool,
    /// Show the plan, as "muster plan" does; nothing is started or kept
    #[arg(long, conflicts_with_all = ["watch", "validate_only"])]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
    #[command(flatten)]
    pub(crate) person: Person,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The runbook, TOML; see examples/evacuate.toml
    pub(crate) runbook: PathBuf,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Which evacuation; the newest if none is given
    pub(crate) evacuation: Option<String>,
    /// Stay and show how it goes, until it has ended
    #[arg(long)]
    pub(crate) watch: bool,
    /// Only these moves, like 'state = HELD AND tag = web'; see docs/API.md
    #[arg(long, value_name = "FILTER", conflicts_with = "watch")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only these, like 'state = RUNNING AND site = berlin'; see docs/API.md
    #[arg(long, value_name = "FILTER")]
    pub(crate) filter: Option<String>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The VM: its UUID, or its name if no other has it
    pub(crate) vm: String,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Which evacuation; the newest if none is given
    pub(crate) evacuation: Option<String>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
    #[command(flatten)]
    pub(crate) person: Person,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Which evacuation
    pub(crate) evacuation: String,
    /// Which VMs, by UUID or name; all that are held or have failed if none is given
    pub(crate) vms: Vec<String>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
    #[command(flatten)]
    pub(crate) person: Person,
}

#[derive(Debug, Args)]
pub(crate) struct AdjustArgs {
    /// Which evacuation; the newest if none is given
    pub(crate) evacuation: Option<String>,
    /// This VM alone, by UUID or name; can be given for several VMs
    #[arg(long, value_name = "VM")]
    pub(crate) vm: Vec<String>,
    /// Most that one transfer sends, in MiB per second; 0 for all there is
    #[arg(long, value_name = "MIB_S")]
    pub(crate) bandwidth_mib_s: Option<u64>,
    /// How long a transfer's setup may take
    #[arg(long, value_name = "MS")]
    pub(crate) setup_ms: Option<u64>,
    /// How long may be sent while the guest runs
    #[arg(long, value_name = "MS")]
    pub(crate) transfer_ms: Option<u64>,
    /// How long a handover may be unfinished; past it nothing is aborted
    #[arg(long, value_name = "MS")]
    pub(crate) handover_ms: Option<u64>,
    /// How long the hypervisors may take to settle who has it; past it the move is held
    #[arg(long, value_name = "MS")]
    pub(crate) finish_ms: Option<u64>,
    /// The ladder's longer downtimes, like 500,1000,2000
    #[arg(long, value_name = "MS,…", value_delimiter = ',')]
    pub(crate) downtimes_ms: Option<Vec<u64>>,
    /// Whether the next attempts slow down guests that dirty memory too fast
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) auto_converge: Option<AutoConvergeWord>,
    /// How many rounds without progress lead to the ladder's next rung
    #[arg(long, value_name = "ROUNDS")]
    pub(crate) stalled_rounds: Option<u32>,
    /// How many moves may be under way away from one source host; what is under way goes on
    #[arg(long, value_name = "MOVES")]
    pub(crate) per_source_host: Option<u32>,
    /// How many may be under way to one destination host
    #[arg(long, value_name = "MOVES")]
    pub(crate) per_destination_host: Option<u32>,
    /// How many a site may send and receive at once
    #[arg(long, value_name = "MOVES")]
    pub(crate) per_site: Option<u32>,
    /// How many may be under way in all; per_site counts as well
    #[arg(long, value_name = "MOVES")]
    pub(crate) total: Option<u32>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
    #[command(flatten)]
    pub(crate) person: Person,
}

/// When guests are slowed down, with the words that runbooks have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum AutoConvergeWord {
    /// Never
    Never,
    /// In the attempts after one that didn't converge
    NextAttempt,
    /// In every attempt
    Always,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The VM: its UUID, or its name if no other has it
    pub(crate) vm: String,
    /// Why it may run at its old site again
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
    #[command(flatten)]
    pub(crate) person: Person,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Of this evacuation alone
    #[arg(long, value_name = "EVACUATION")]
    pub(crate) evacuation: Option<String>,
    /// Of this VM alone, by UUID or name
    #[arg(long, value_name = "VM")]
    pub(crate) vm: Option<String>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}
