//! What another site's ledger knows of the moves that a ledger which is gone took part in. Asks and decides nothing.

use crate::error::LinkError;
use crate::link::SiteLink;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::{AtSource, RollEntry, SourceState, Standing};
use std::collections::BTreeSet;

/// What one ledger knows.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Every VM on its rolls.
    pub rolls: Vec<RollEntry>,
    /// The moves that are over at their source, whose copy is retired: that is done only after the event.
    pub moved: BTreeSet<(EvacuationId, VmId)>,
}

/// Asks a site for all that its ledger knows of moves.
///
/// # Errors
/// No answer, or a failure.
pub async fn known_at(link: &SiteLink) -> Result<Known, LinkError> {
    let mut known = Known::default();
    for one in link.evacuations().await? {
        let evacuation = one.evacuation;
        let roll = link.roll(evacuation).await?;
        let vms: Vec<_> = roll.keys().map(|vm| (*vm, None)).collect();
        for (vm, reading) in link.observe(evacuation, &vms).await? {
            // One that can't be read now proves nothing.
            let is_over = reading.is_ok_and(|reading| reading.standing.as_ref().is_some_and(has_moved));
            known.moved.extend(is_over.then_some((evacuation, vm)));
        }
        known.rolls.extend(roll.into_values());
    }
    Ok(known)
}

fn has_moved(standing: &Standing) -> bool {
    match standing {
        Standing::Source(AtSource { state: SourceState::Retired, closed, .. }) => *closed,
        Standing::Source(_) | Standing::Destination(_) => false,
    }
}
