//! The end of a move: where its VM is now, and what is left to do about it.

use super::moves::{Doing, Moves, flaw};
use crate::error::OrchestratorError;
use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::evidence::Outcome;
use muster_core::ids::{EvacuationId, HostName, VmId, clip};
use muster_core::ledger::{ArrivalRecord, Standing};
use muster_core::reading::{Instance, SiteReading};
use muster_core::schedule::MoveStanding;

impl Moves<'_> {
    /// Takes a move for over. Returns the host that has its VM.
    pub(super) fn over(
        &mut self,
        vm: VmId,
        outcome: Outcome,
        attempts: u32,
        error: Option<String>,
        records: &mut Vec<JournalRecord>,
    ) -> Result<Option<HostName>, OrchestratorError> {
        self.open -= 1;
        let standing = match outcome {
            Outcome::Migrated => MoveStanding::Done,
            Outcome::StayedAtSource if self.cancelled => MoveStanding::Cancelled,
            Outcome::StayedAtSource => MoveStanding::Failed,
        };
        self.schedule.set(vm, standing).map_err(flaw)?;
        let Some(tracked) = self.moves.get_mut(&vm) else { return Ok(None) };
        tracked.doing = Doing::Over;
        // The last attempt's failure has no other line: after it came the way back.
        let told = tracked.error.take();
        if let (MoveStanding::Failed, Some(error)) = (standing, error.map(|error| clip(&error)).or(told))
            && attempts > 0
        {
            records.push(self.driver.pen.about(vm, JournalKind::AttemptFailed { attempt: attempts, error }));
        }
        let host = match outcome {
            Outcome::Migrated => {
                let reading = self.pair.destination.feed().last_reading(vm);
                let arrival = reading.and_then(|reading| arrival_host(self.driver.evacuation, &reading));
                arrival.unwrap_or_else(|| tracked.destination_host.clone())
            }
            Outcome::StayedAtSource => tracked.planned.source_host.clone(),
        };
        Ok(Some(host))
    }

    /// Has VMs whose moves are over given back to their guardians. Whether one is owed, the journal says.
    pub(super) fn give_back(&self, over: Vec<VmId>) {
        if self.runbook.guardians.is_empty() {
            return;
        }
        for vm in over {
            self.driver.house.give_back(self.driver.evacuation, vm);
        }
    }
}

/// Whether a line says that a move is over.
pub(super) fn is_end(record: &JournalRecord) -> bool {
    matches!(record.kind, JournalKind::Settled { .. })
}

/// Where the attempt that counts went, as the destination told.
pub(crate) fn arrival_host(evacuation: EvacuationId, reading: &SiteReading) -> Option<HostName> {
    match &reading.standing {
        Some(Standing::Destination(at)) if at.evacuation == evacuation => match &at.record {
            ArrivalRecord::Started(started) => Some(started.host.clone()),
            ArrivalRecord::Completed(completed) => Some(completed.started.host.clone()),
            ArrivalRecord::Closed(_) => reading
                .sight
                .sightings
                .iter()
                .find(|sighting| sighting.instance == Instance::Running)
                .map(|sighting| sighting.host.clone()),
            ArrivalRecord::Enrolled | ArrivalRecord::Abandoned(_) => None,
        },
        Some(Standing::Destination(_) | Standing::Source(_)) | None => None,
    }
}
