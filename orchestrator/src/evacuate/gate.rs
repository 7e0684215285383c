//! What a move passes between its admission and its attempt: preflight once more, then the hands of whatever else starts and
//! stops its VM. Behind it nothing of the VM is touched yet; what doesn't pass is held.

use super::recheck::{Recheck, Rechecked};
use crate::guardians::{Asked, Asking};
use crate::parts::{Orchestrator, Pair};
use muster_core::evacuation::PlannedMove;
use muster_core::guardian::{Custody, CustodyState};
use muster_core::ids::{EvacuationId, HostName, VmId};
use muster_core::preflight::Obstacle;
use muster_core::runbook::Runbook;
use muster_core::step::{Hold, Side};
use muster_store::StoreError;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The gate of one evacuation.
pub(super) struct Gate {
    house: Arc<Orchestrator>,
    evacuation: EvacuationId,
    runbook: Runbook,
    recheck: Recheck,
}

/// Why a move doesn't pass.
pub(super) struct Barred {
    pub(super) hold: Hold,
    /// What was found, in words.
    pub(super) found: String,
}

impl Gate {
    pub(super) fn new(house: Arc<Orchestrator>, evacuation: EvacuationId, runbook: Runbook, pair: Pair) -> Self {
        let recheck = Recheck::new(pair, Arc::clone(house.env()));
        Gate { house, evacuation, runbook, recheck }
    }

    /// Lets a move to this host pass, or says what bars it. What is told to stop passes: settling says that it was.
    pub(super) async fn bars(
        &self,
        planned: &PlannedMove,
        host: &HostName,
        stop: &CancellationToken,
    ) -> Option<Barred> {
        let rechecked = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            rechecked = self.recheck.look(planned, host, &self.runbook.guardians) => rechecked,
        };
        match rechecked {
            Rechecked::Blocked { found } => Some(Barred { hold: Hold::NotReady, found }),
            Rechecked::Clear { guardian } => self.guardian_bars(planned, &guardian?, None, stop).await,
            Rechecked::Unasked { side, why } => {
                let silent = Barred { hold: silent(side), found: why };
                self.guardian_bars(planned, planned.guardian.as_deref()?, Some(silent), stop).await
            }
        }
    }

    /// Takes the guardian's hands off, once for the whole move; not while a site is silent, for then the move can't go on.
    async fn guardian_bars(
        &self,
        planned: &PlannedMove,
        guardian: &str,
        silent: Option<Barred>,
        stop: &CancellationToken,
    ) -> Option<Barred> {
        let status = match self.house.journal().a_move(self.evacuation, planned.vm).await {
            Ok(status) => status,
            Err(error) => return Some(Barred { hold: Hold::StepFails, found: error.to_string() }),
        };
        let begun = status.and_then(|status| status.custody).filter(is_begun);
        if let Some(begun) = begun.as_ref().filter(|begun| begun.guardian != guardian) {
            let found = format!(
                "{}'s hands were taken off it, and now {guardian} starts and stops it; one of them has to let it alone",
                begun.guardian
            );
            return Some(Barred { hold: Hold::HandsOffFails, found });
        }
        if begun.is_some_and(|begun| begun.state == CustodyState::HandsOff) {
            return None;
        }
        if silent.is_some() {
            return silent;
        }
        match self.owed_by_another(planned.vm).await {
            Ok(None) => {}
            // Its command could run in the middle of this move, and say where the VM was.
            Ok(Some((other, owed))) => {
                let why = owed.error.map(|error| format!(": {error}")).unwrap_or_default();
                let found = format!("evacuation {other} still has to give it back to {}{why}", owed.guardian);
                return Some(Barred { hold: Hold::HandsOffFails, found });
            }
            Err(error) => return Some(Barred { hold: Hold::StepFails, found: error.to_string() }),
        }
        let Some(known) = self.runbook.guardian(guardian) else {
            // Preflight has it blocked before; only a plan without one comes here.
            let obstacle = Obstacle::Guarded { guardian: guardian.to_owned() };
            return Some(Barred { hold: Hold::NotReady, found: format!("{}; {}", obstacle.what(), obstacle.mend()) });
        };
        let (house, evacuation) = (self.house.as_ref(), self.evacuation);
        let asking = Asking { house, evacuation, runbook: &self.runbook, planned, guardian: known };
        match asking.hands_off(stop).await {
            Ok(Asked::Done | Asked::Stopped) => None,
            Ok(Asked::Failed(found)) => Some(Barred { hold: Hold::HandsOffFails, found }),
            Err(error) => Some(Barred { hold: Hold::StepFails, found: error.to_string() }),
        }
    }

    /// Another evacuation that has taken a guardian's hands off this VM and hasn't given it back yet.
    async fn owed_by_another(&self, vm: VmId) -> Result<Option<(EvacuationId, Custody)>, StoreError> {
        let journal = self.house.journal();
        for other in journal.evacuations().await? {
            if !other.has_guardians || other.id == self.evacuation {
                continue;
            }
            let custody = journal.a_move(other.id, vm).await?.and_then(|status| status.custody);
            if let Some(custody) = custody.filter(|custody| custody.state != CustodyState::GivenBack) {
                return Ok(Some((other.id, custody)));
            }
        }
        Ok(None)
    }
}

/// Whether a guardian's hands are off the VM, or may be.
fn is_begun(custody: &Custody) -> bool {
    match custody.state {
        CustodyState::TakingOff | CustodyState::HandsOff => true,
        CustodyState::Owed | CustodyState::GivenBack => false,
    }
}

fn silent(side: Side) -> Hold {
    match side {
        Side::Source => Hold::SourceSilent,
        Side::Destination => Hold::DestinationSilent,
    }
}
