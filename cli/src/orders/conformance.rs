//! Which worker is checked, and with what.

use super::{address, usage};
use crate::args::ConformanceArgs;
use crate::error::CliError;
use muster_core::ids::VmId;
use muster_orchestrator::Program;
use muster_proto::channel::SiteAddress;
use std::path::PathBuf;

/// A worker that is to be checked.
#[derive(Debug)]
pub(crate) struct ConformanceOrder {
    pub(crate) site: SiteAddress,
    pub(crate) partner: Option<SiteAddress>,
    pub(crate) vm: Option<VmId>,
    /// The certificate of the worker that the suite plays.
    pub(crate) worker_tls: Option<PathBuf>,
    /// A program that can be run.
    pub(crate) restart_command: Option<PathBuf>,
}

impl TryFrom<ConformanceArgs> for ConformanceOrder {
    type Error = CliError;
    fn try_from(args: ConformanceArgs) -> Result<Self, CliError> {
        let site = address("--site", &args.site)?;
        let partner = args.partner.as_deref().map(|partner| address("--partner", partner)).transpose()?;
        if partner.as_ref() == Some(&site) {
            return Err(usage("--partner", &"it is the site itself; give another site's worker"));
        }
        let vm = args.vm.as_deref().map(str::parse).transpose()?;
        if let Some(path) = &args.restart_command {
            Program::at(path.clone()).map_err(|error| usage("--restart-command", &error))?;
        }
        let ConformanceArgs { worker_tls, restart_command, .. } = args;
        Ok(ConformanceOrder { site, partner, vm, worker_tls, restart_command })
    }
}
