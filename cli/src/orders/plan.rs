//! What is planned: a scenario, or a runbook against inventories that are read now or were kept.

use super::input::read;
use super::{Scenario, orchestrator, read_runbook};
use crate::args::PlanArgs;
use crate::error::CliError;
use muster_core::reading::Inventory;
use muster_core::runbook::Runbook;
use muster_proto::channel::SiteAddress;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is planned.
#[derive(Debug)]
pub(crate) enum PlanOrder {
    Scenario(Box<Scenario>),
    Evacuation(Box<EvacuationPlanOrder>),
}

/// A runbook that is planned.
#[derive(Debug)]
pub(crate) struct EvacuationPlanOrder {
    pub(crate) runbook: Runbook,
    pub(crate) from: From,
    pub(crate) svg: Option<PathBuf>,
}

/// Where the inventories come from.
#[derive(Debug)]
pub(crate) enum From {
    /// From the sites, by way of an orchestrator; and where they are kept.
    Sites { orchestrator: SiteAddress, save: Option<PathBuf> },
    /// From a file.
    File(Box<Inventories>),
}

/// Both sites' inventories, as a file keeps them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inventories {
    /// When they were read, in milliseconds since the Unix epoch.
    pub(crate) read_at_ms: u64,
    pub(crate) source: Inventory,
    pub(crate) destination: Inventory,
}

impl TryFrom<PlanArgs> for PlanOrder {
    type Error = CliError;
    fn try_from(args: PlanArgs) -> Result<Self, CliError> {
        let PlanArgs { runbook, scenario, inventory, save, svg, orchestrator: address } = args;
        match (runbook, scenario) {
            (Some(runbook), _) => {
                let from = match inventory {
                    Some(path) => From::File(Box::new(inventories(&path)?)),
                    None => From::Sites { orchestrator: orchestrator(&address)?, save },
                };
                Ok(PlanOrder::Evacuation(Box::new(EvacuationPlanOrder::read(&runbook, from, svg)?)))
            }
            (None, Some(scenario)) => Ok(PlanOrder::Scenario(Box::new(Scenario::read(&scenario)?))),
            (None, None) => Err(CliError::Usage {
                what: "nothing is given to plan".to_owned(),
                mend: "give a runbook, or --scenario FILE".to_owned(),
            }),
        }
    }
}

impl EvacuationPlanOrder {
    /// A runbook, read whole.
    pub(crate) fn read(runbook: &Path, from: From, svg: Option<PathBuf>) -> Result<Self, CliError> {
        let (path, text) = (runbook.to_owned(), read_runbook(runbook)?);
        let runbook = Runbook::parse(&text).map_err(|mistakes| CliError::Runbook { path, mistakes })?;
        Ok(EvacuationPlanOrder { runbook, from, svg })
    }
}

fn inventories(path: &Path) -> Result<Inventories, CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), doing: "reading the inventories", source };
    let text = read(path).map_err(failed)?;
    serde_json::from_str(&text).map_err(|error| CliError::Scenario {
        path: path.to_owned(),
        what: format!("line {}, column {}: {error}", error.line(), error.column()),
        mend: "give a file that \"muster plan RUNBOOK --save FILE\" has written",
    })
}
