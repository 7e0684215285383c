//! Asking guardians, as a runbook says: to take their hands off a VM for its move, and to take it back.
//!
//! The intent stands in the journal before a command is run, and what came of it after: so a command whose outcome nobody has
//! written down is run again, and has to be repeatable. Giving back is owed work, tried until it is done, also after a restart; it
//! never changes what became of a move. It must never touch a VM itself.

use crate::commands::{Ran, Run};
use crate::error::OrchestratorError;
use crate::evacuate::{all_moves, status_of};
use crate::parts::Orchestrator;
use backon::{BackoffBuilder, ExponentialBuilder};
use muster_core::evacuation::{JournalKind, MoveState, MoveStatus, PlannedMove};
use muster_core::guardian::{Ask, Custody, Guardian};
use muster_core::ids::{EvacuationId, HostName, SiteName, VmId};
use muster_core::runbook::Runbook;
use muster_store::JournalError;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// First wait before a VM that could not be given back is tried again.
pub const GIVE_BACK_WAIT_MIN: Duration = Duration::from_secs(1);
/// Longest such wait.
pub const GIVE_BACK_WAIT_MAX: Duration = Duration::from_secs(600);

/// A VM in a move, and its guardian.
pub(crate) struct Asking<'a> {
    pub(crate) house: &'a Orchestrator,
    pub(crate) evacuation: EvacuationId,
    pub(crate) runbook: &'a Runbook,
    pub(crate) planned: &'a PlannedMove,
    pub(crate) guardian: &'a Guardian,
}

/// What came of it.
pub(crate) enum Asked {
    Done,
    Failed(String),
    /// It was told to stop. The intent stands: it is asked again.
    Stopped,
}

/// Where a VM is.
struct Place<'a> {
    site: &'a SiteName,
    host: &'a HostName,
    /// Where its move has ended, if it has: the site's part in it, in a word.
    outcome: Option<&'static str>,
}

impl Asking<'_> {
    /// Asks for its hands off a VM that is still at the source.
    pub(crate) async fn hands_off(&self, stop: &CancellationToken) -> Result<Asked, JournalError> {
        let place = Place { site: &self.runbook.source, host: &self.planned.source_host, outcome: None };
        self.ask(Ask::HandsOff, place, stop).await
    }

    /// Gives the VM back, wherever it is now. Done at once where its move isn't over.
    async fn give_back(&self, status: &MoveStatus, stop: &CancellationToken) -> Result<Asked, JournalError> {
        let planned = self.planned;
        let place = match status.state {
            MoveState::Migrated => Place {
                site: &self.runbook.destination,
                host: status.host.as_ref().unwrap_or(&planned.destination_host),
                outcome: Some("destination"),
            },
            MoveState::StayedAtSource => Place {
                site: &self.runbook.source,
                host: status.host.as_ref().unwrap_or(&planned.source_host),
                outcome: Some("source"),
            },
            MoveState::Waiting | MoveState::Moving(_) | MoveState::Held(_) => return Ok(Asked::Done),
        };
        self.ask(Ask::GiveBack, place, stop).await
    }

    async fn ask(&self, ask: Ask, place: Place<'_>, stop: &CancellationToken) -> Result<Asked, JournalError> {
        let (vm, pen) = (self.planned.vm, self.house.pen(self.evacuation));
        let call = self.guardian.call(ask);
        pen.write(vec![pen.about(vm, JournalKind::CommandIntended { call: call.clone() })]).await?;
        let run = Run {
            command: &call.command,
            vm,
            environment: self.environment(ask, &place),
            within: Duration::from_millis(self.guardian.timeout_ms),
        };
        let (asked, outcome) = match self.house.commands.run(run, stop).await {
            Ran::Succeeded => (Asked::Done, JournalKind::CommandDone { call }),
            Ran::Failed(error) => (Asked::Failed(error.clone()), JournalKind::CommandFailed { call, error }),
            Ran::Stopped => return Ok(Asked::Stopped),
        };
        pen.write(vec![pen.about(vm, outcome)]).await?;
        Ok(asked)
    }

    fn environment(&self, ask: Ask, place: &Place<'_>) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("MUSTER_VM_ID", self.planned.vm.to_string()),
            ("MUSTER_VM_NAME", self.planned.name.as_str().to_owned()),
            ("MUSTER_GUARDIAN", self.guardian.name.clone()),
            ("MUSTER_ASK", ask.name().to_owned()),
            ("MUSTER_EVACUATION", self.evacuation.to_string()),
            ("MUSTER_SOURCE_SITE", self.runbook.source.to_string()),
            ("MUSTER_DESTINATION_SITE", self.runbook.destination.to_string()),
            ("MUSTER_SITE", place.site.to_string()),
            ("MUSTER_HOST", place.host.to_string()),
        ];
        environment.extend(place.outcome.map(|outcome| ("MUSTER_OUTCOME", outcome.to_owned())));
        environment
    }
}

impl Orchestrator {
    /// Goes on with what is owed from before a restart, of evacuations that are over as well.
    pub(crate) async fn give_back_all(self: &Arc<Self>) -> Result<(), OrchestratorError> {
        for evacuation in self.journal().evacuations().await? {
            if !evacuation.has_guardians {
                continue;
            }
            for one in all_moves(self.journal().as_ref(), evacuation.id).await? {
                if one.custody.as_ref().is_some_and(Custody::is_owed) {
                    self.give_back(evacuation.id, one.planned.vm);
                }
            }
        }
        Ok(())
    }

    /// Gives a VM whose move is over back to its guardian, if that is owed, in a task of its own.
    pub(crate) fn give_back(self: &Arc<Self>, evacuation: EvacuationId, vm: VmId) {
        let house = Arc::clone(self);
        self.tasks.spawn(async move {
            let waits =
                ExponentialBuilder::default().with_min_delay(GIVE_BACK_WAIT_MIN).with_max_delay(GIVE_BACK_WAIT_MAX);
            let mut waits = waits.without_max_times().build();
            loop {
                match house.try_to_give_back(evacuation, vm).await {
                    Ok(Asked::Done | Asked::Stopped) => return,
                    Ok(Asked::Failed(error)) => {
                        tracing::warn!(%vm, error, "a VM could not be given back to its guardian")
                    }
                    Err(error) => tracing::warn!(%vm, %error, "a VM could not be given back to its guardian"),
                }
                tokio::select! {
                    biased;
                    () = house.stop.cancelled() => return,
                    () = tokio::time::sleep(waits.next().unwrap_or(GIVE_BACK_WAIT_MAX)) => {}
                }
            }
        });
    }

    async fn try_to_give_back(&self, evacuation: EvacuationId, vm: VmId) -> Result<Asked, OrchestratorError> {
        let Some(status) = self.journal().a_move(evacuation, vm).await? else { return Ok(Asked::Done) };
        let Some(custody) = status.custody.as_ref().filter(|custody| custody.is_owed()) else { return Ok(Asked::Done) };
        let ordered = status_of(self.journal().as_ref(), evacuation).await?;
        let runbook = Runbook::parse(&ordered.runbook).map_err(|mistakes| OrchestratorError::Runbook { mistakes })?;
        let Some(guardian) = runbook.guardian(&custody.guardian) else {
            return Ok(Asked::Failed(format!("the runbook has no guardian {}", custody.guardian)));
        };
        let asking = Asking { house: self, evacuation, runbook: &runbook, planned: &status.planned, guardian };
        Ok(asking.give_back(&status, &self.stop).await?)
    }
}
