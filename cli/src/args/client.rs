//! The commands that call an orchestrator.

use clap::Args;
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
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
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
