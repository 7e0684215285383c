//! The audit trail's commands.

use super::OrchestratorAddress;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What `muster audit --help` shows at its end.
pub(crate) const HELP: &str = "\
Each line's link is a hash over the line and the link before it. \"muster audit head\" prints the newest: keep it where
whoever can write the journal can't, and \"muster audit verify --against HEAD\" finds every later change to what stood
there. Without a kept head, a tail that was cut off or a chain written anew shows in nothing.

The history of a site's ledger is such a chain as well, of all that was done there and by whose order, also without an
orchestrator: \"muster audit verify --ledger FILE\" verifies it and says its head. The other site keeps that head by itself,
and a ledger that doesn't fit it takes no work.";

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: Option<AuditCommand>,
    #[command(flatten)]
    pub(crate) filter: AuditFilter,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// All lines with all that is known of them, to keep or to hand on
    #[command(after_help = EXPORT_HELP)]
    Export(AuditExportArgs),
    /// The newest line's number and link, as SEQUENCE:LINK, to keep elsewhere
    Head(AuditHeadArgs),
    /// Whether the trail is whole: finds any change, gap or cut-off tail, and says where
    Verify(AuditVerifyArgs),
}

/// Which lines.
#[derive(Debug, Args)]
pub(crate) struct AuditFilter {
    /// Of this evacuation alone
    #[arg(long, value_name = "EVACUATION")]
    pub(crate) evacuation: Option<String>,
    /// Of this VM alone, by UUID or name
    #[arg(long, value_name = "VM")]
    pub(crate) vm: Option<String>,
    /// By this person, or this orchestrator, alone
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Lines of this name alone, like settled; several may be given
    #[arg(long, value_name = "RECORD")]
    pub(crate) record: Vec<String>,
    /// From this time on, UTC, like 2026-05-01 or 2026-05-01T14:30:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time, UTC
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

const EXPORT_HELP: &str = "\
An export of JSON lines without a filter can be verified by itself: muster audit verify --export FILE. One with a filter
can't: the lines between are missing from its chain. Nor can one as CSV.

CSV is RFC 4180's, with a head line and CRLF. A cell that begins with = + - @, a tab or a carriage return would be a
formula to a spreadsheet: it gets an apostrophe before it.";

#[derive(Debug, Args)]
pub(crate) struct AuditExportArgs {
    /// As JSON lines, or as CSV
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl, value_name = "FORMAT")]
    pub(crate) format: ExportFormat,
    /// To a new file, and not to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: AuditFilter,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

/// How lines are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON object a line
    Jsonl,
    /// One row a line, for spreadsheets
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct AuditHeadArgs {
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    /// A head that was kept, as "muster audit head" or an earlier "muster audit verify" printed it
    #[arg(long, value_name = "HEAD")]
    pub(crate) against: Option<String>,
    /// Verify an export of all lines, JSON lines, without an orchestrator
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    pub(crate) export: Option<PathBuf>,
    /// Verify a journal's file as it lies there, without an orchestrator; changes nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Verify the history in a site's ledger, as the file lies there, without a worker; changes nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["journal", "export"])]
    pub(crate) ledger: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) orchestrator: OrchestratorAddress,
}
