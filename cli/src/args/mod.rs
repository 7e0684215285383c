//! What may be written on the command line. Structure only; what it means together is checked in `orders`.

mod audit;
mod client;
mod conformance;
mod daemons;
mod demo;
pub(crate) mod inspect;
mod ledger;
pub(crate) mod pki;
mod plan;
pub(crate) mod predict;
mod recover;

pub(crate) use audit::{AuditArgs, AuditCommand, AuditFilter, AuditVerifyArgs, ExportFormat};
pub(crate) use client::{
    AdjustArgs, AutoConvergeWord, ChangeArgs, CheckArgs, EvacuateArgs, ListArgs, OrchestratorAddress, Person,
    ReleaseArgs, RetryArgs, ShowArgs, StatusArgs,
};
pub(crate) use conformance::ConformanceArgs;
pub(crate) use daemons::{DaemonArgs, OrchestratorArgs, WorkerArgs, WorldArgs};
pub(crate) use demo::DemoArgs;
pub(crate) use inspect::InspectArgs;
pub(crate) use ledger::{LedgerArgs, LedgerCommand, RebuildArgs};
pub(crate) use pki::PkiArgs;
pub(crate) use plan::{PlanArgs, ReportArgs};
pub(crate) use predict::PredictArgs;
pub(crate) use recover::RecoverArgs;

use crate::exit;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Moves every VM of one site to another, and afterwards accounts for each of them.
#[derive(Debug, Parser)]
#[command(name = "muster", version, after_help = exit::HELP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How results are written: for people, or as JSON with stable field names
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Certificates: a directory with ca.crt, tls.crt and tls.key, as "muster pki issue" makes it. Without, only loopback is used
    #[arg(long, global = true, env = "MUSTER_TLS", value_name = "DIRECTORY")]
    pub(crate) tls: Option<PathBuf>,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences
    Text,
    /// One object; where something is watched, one object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Break an evacuation for real, on simulated sites, and see every VM accounted for
    Demo(DemoArgs),
    /// Preflight alone: everything that stands between a runbook and its end; nothing is started
    Check(CheckArgs),
    /// Evacuate a site, as a runbook says
    Evacuate(EvacuateArgs),
    /// How an evacuation stands
    Status(StatusArgs),
    /// All evacuations, newest first
    List(ListArgs),
    /// Every move of one VM
    Show(ShowArgs),
    /// Start nothing new; what is under way goes on
    Pause(ChangeArgs),
    /// Go on with a paused evacuation
    Resume(ChangeArgs),
    /// Leave the rest where it is: what has not arrived goes back to the source, as it was
    Cancel(ChangeArgs),
    /// Give held and failed VMs further attempts
    Retry(RetryArgs),
    /// Change bandwidth, limits or ladder while it runs: of the whole evacuation, or of some VMs
    Adjust(AdjustArgs),
    /// Make a retired copy at the source runnable again; the VM may then run twice
    Release(ReleaseArgs),
    /// Call the roll: what is proven of every VM. With --apply: finish, undo or hold each
    #[command(after_help = recover::HELP)]
    Recover(RecoverArgs),
    /// Anybody's broken migration: who runs where, what runs twice, what nobody runs
    #[command(after_help = inspect::HELP)]
    Inspect(InspectArgs),
    /// Check anybody's worker: whether it keeps what muster.worker.v1 promises. It changes the site
    #[command(after_help = conformance::HELP)]
    Conformance(ConformanceArgs),
    /// How long moves will take, learned from others that are over
    #[command(after_help = predict::HELP)]
    Predict(PredictArgs),
    /// When each move begins, and when all is over: plans a runbook, or a scenario; nothing is started
    #[command(after_help = plan::HELP)]
    Plan(PlanArgs),
    /// An evacuation's plan against what happened
    Report(ReportArgs),
    /// Make a site's ledger anew where it is gone
    Ledger(LedgerArgs),
    /// Make certificates for muster's parts and for people, and look at them
    Pki(PkiArgs),
    /// Who did what: orders, steps and what came of them; kept as a chain that shows every later change
    #[command(after_help = audit::HELP)]
    Audit(AuditArgs),
    /// Run the daemon that plans, schedules and drives evacuations
    #[command(after_help = daemons::ORCHESTRATOR_HELP)]
    Orchestrator(OrchestratorArgs),
    /// Run the daemon of a site: it drives the hypervisors and owns the ledger
    Worker(WorkerArgs),
    /// Run a simulated world of sites, hosts and links, as the demonstration does
    #[command(after_help = daemons::WORLD_HELP)]
    World(WorldArgs),
}
