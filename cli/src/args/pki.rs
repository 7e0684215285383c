//! Certificates.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct PkiArgs {
    #[command(subcommand)]
    pub(crate) command: PkiCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Make an authority: its certificate, and the key that signs every other. Keep the directory where no daemon runs
    Init(InitArgs),
    /// Issue a certificate to a worker, an orchestrator or a person
    #[command(after_help = HELP)]
    Issue(IssueArgs),
    /// Who bears the certificate of a directory, and until when it is valid
    Show(ShowPkiArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The authority's directory; made new
    pub(crate) directory: PathBuf,
    /// How long it is valid, in days
    #[arg(long, value_name = "DAYS", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
}

/// To whom a certificate is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BearerWord {
    /// A site's worker; its name is the site's
    Worker,
    /// An orchestrator
    Orchestrator,
    /// A person who may look
    Viewer,
    /// A person who may order evacuations, change their course, and recover
    Operator,
    /// A person who may also override what guards against a VM that runs twice
    Admin,
}

#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// To whom
    pub(crate) bearer: BearerWord,
    /// The bearer's name; a worker's is its site's
    pub(crate) name: String,
    /// The authority's directory, as "muster pki init" has made it
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) authority: PathBuf,
    /// Where to put ca.crt, tls.crt and tls.key; made new
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) to: PathBuf,
    /// A name or IP address that others dial a worker or an orchestrator by; once for each. Loopback always is one
    #[arg(long = "address", value_name = "NAME|IP")]
    pub(crate) addresses: Vec<String>,
    /// A site that a person's role counts at; once for each. Without any it counts everywhere
    #[arg(long = "site", value_name = "SITE")]
    pub(crate) sites: Vec<String>,
    /// A tag of the VMs that a person's role counts for; once for each. Without any it counts for all
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// How long it is valid, in days
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(crate) days: u32,
    /// Replace the certificate that stands there; daemons take the new one over within seconds
    #[arg(long)]
    pub(crate) renew: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowPkiArgs {
    /// The bearer's directory
    pub(crate) directory: PathBuf,
}

/// How certificates are made, as `muster pki issue --help` shows it.
const HELP: &str = "\
  muster pki init authority
  muster pki issue worker paris --authority authority --to paris-tls --address worker.paris.example --address 10.1.0.5
  muster pki issue orchestrator main --authority authority --to main-tls --address muster.example
  muster pki issue operator alice --authority authority --to alice-tls --site paris --site london

Give a daemon its directory by --tls, and a person's by --tls or MUSTER_TLS. The directory's key is its bearer's alone.
Certificates of another authority work as well, as long as each names its bearer in one URI: muster://worker/SITE,
muster://orchestrator/NAME, or muster://ROLE/NAME?site=SITE&tag=TAG.";
