//! Gathering what preflight rests on, from both sites' workers. Reads only; what it proves is the core's to say.

use crate::error::OrchestratorError;
use crate::parts::{Orchestrator, Pair};
use muster_core::ids::VmId;
use muster_core::plan;
use muster_core::preflight::Preflight;
use muster_core::reading::Inventory;
use muster_core::runbook::Runbook;
use muster_recovery::link::SiteLink;
use std::collections::BTreeSet;

/// Both sites' inventories, and what they say for the moves of a runbook.
pub(super) struct Gathered {
    pub(super) source: Inventory,
    pub(super) destination: Inventory,
    pub(super) preflight: Preflight,
}

/// Asks both sites: for their inventories, then the source what the selected VMs need, then the destination whether it
/// has it.
pub(super) async fn gather(
    house: &Orchestrator,
    pair: &Pair,
    runbook: &Runbook,
) -> Result<Gathered, OrchestratorError> {
    let Pair { source, destination } = pair;
    let (leaving, going) = futures::try_join!(inventory(source), inventory(destination))?;
    let vms: Vec<VmId> = plan::selected(runbook, &leaving);
    let at_source = source.survey(&[], &vms, &[]).await?;
    let wanted: BTreeSet<&String> = at_source.needs.values().filter_map(|needs| needs.processor.as_ref()).collect();
    let wanted: Vec<String> = wanted.into_iter().cloned().collect();
    let at_destination = destination.survey(&[], &[], &wanted).await?;
    let preflight = Preflight {
        source: at_source.site,
        destination: at_destination.site,
        needs: at_source.needs,
        processors: at_destination.processors,
        commands: house.commands.names().cloned().collect(),
    };
    Ok(Gathered { source: leaving, destination: going, preflight })
}

/// A site's inventory, once it is sure that it is that site's: evidence of the wrong site is worse than none.
pub(crate) async fn inventory(site: &SiteLink) -> Result<Inventory, OrchestratorError> {
    site.status().await?;
    Ok(site.inventory().await?)
}
