//! One case, played: a stage, a hit, and the way on.

use crate::case::{Besides, Case, Kind, Points, Way};
use crate::ends::{self, Report};
use crate::wrong::Wrong;
use muster_core::class::Class;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_proto::status::Fault as CallFault;
use muster_proto::v1 as pb;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_recovery::error::RecoveryError;
use muster_recovery::recover::{Recovered, Sites, recover};
use muster_tests::life::{Hit, Life, Moment};
use muster_tests::orders::PERSON;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Fault, HostFault};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use uuid::Uuid;

/// How long a dead process stays dead.
const DEAD_FOR: Duration = Duration::from_millis(400);
/// After this a restarted hypervisor daemon answers again.
const DAEMON_IS_BACK: Duration = Duration::from_millis(1_500);
/// How often somebody looks whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often an order that was refused is tried again.
const REFUSALS_MAX: u32 = 8;
/// How long anything may take, in simulated time. Less than the time after which settling looks again unasked, and than a
/// transfer's deadline: what only ends by these has gone wrong.
pub(crate) const LONGEST: Duration = Duration::from_secs(25);

/// Plays in a runtime of its own, which takes all that is left of the case along when it ends.
pub(crate) fn in_a_world_of_its_own<T>(case: impl Future<Output = Result<T, Wrong>>) -> Result<T, Wrong> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(case)
}

/// A hit, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) process: Process,
    /// Which of its lives, from 1.
    pub(crate) life: usize,
    pub(crate) hit: Hit,
}

/// A stage with everybody on it.
pub(crate) struct Cast {
    pub(crate) stage: Stage,
    pub(crate) vm: VmId,
    pub(crate) kind: Kind,
    /// The orchestrator never comes back.
    is_given_up: bool,
    planned: Vec<Planned>,
    /// In the order in which they began.
    pub(crate) lives: Vec<(Process, Life)>,
}

impl Cast {
    pub(crate) async fn set(kind: Kind, planned: Vec<Planned>) -> Cast {
        let stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", kind.mode(), kind.disk()).await;
        let mut cast = Cast { stage, vm, kind, is_given_up: false, planned, lives: Vec::new() };
        for process in [Process::Source, Process::Destination, Process::Orchestrator] {
            cast.stage.kill(process);
            cast.begin(process).await;
        }
        cast
    }

    /// The first life of a process.
    pub(crate) fn life(&self, process: Process) -> Life {
        let found = self.lives.iter().find(|(whom, _)| *whom == process);
        found.expect("everybody is on the stage").1.clone()
    }

    /// Where the next life of a process is to be hit.
    pub(crate) fn hits_of(&self, process: Process) -> Vec<Hit> {
        let life = self.lives.iter().filter(|(whom, _)| *whom == process).count() + 1;
        let planned = self.planned.iter().filter(|planned| (planned.process, planned.life) == (process, life));
        planned.map(|planned| planned.hit).collect()
    }

    async fn begin(&mut self, process: Process) {
        let hits = self.hits_of(process);
        let life = match process {
            Process::Source | Process::Destination => self.stage.start_worker(process, hits).await,
            Process::Orchestrator => self.stage.start_orchestrator(hits).await,
            Process::Caller => return,
        };
        self.lives.push((process, life));
    }

    /// The orchestrator dies, for good.
    pub(crate) fn give_up(&mut self) {
        self.is_given_up = true;
        self.stage.kill(Process::Orchestrator);
    }

    async fn come_back(&mut self, process: Process) {
        tokio::time::sleep(DEAD_FOR).await;
        self.stage.kill(process);
        self.begin(process).await;
    }

    /// Whoever is dead and not given up comes back.
    pub(crate) async fn all_come_back(&mut self) {
        while let Some(process) = self.dead() {
            self.come_back(process).await;
        }
    }

    fn dead(&self) -> Option<Process> {
        self.present().find(|(_, life)| life.has_ended()).map(|(process, _)| process)
    }

    /// Waits until one of those who come back has died.
    pub(crate) fn until_one_dies(&self) -> impl Future<Output = ()> + use<> {
        let lives: Vec<Life> = self.present().map(|(_, life)| life).collect();
        async move {
            let deaths = lives.iter().map(|life| Box::pin(life.until_ended()));
            futures::future::select_all(deaths).await;
        }
    }

    /// The present life of everybody who comes back when dead.
    fn present(&self) -> impl Iterator<Item = (Process, Life)> {
        let come_back = [Process::Source, Process::Destination, Process::Orchestrator];
        let who = come_back.into_iter().filter(|process| *process != Process::Orchestrator || !self.is_given_up);
        who.filter_map(|process| self.lives.iter().rfind(|(whom, _)| *whom == process).cloned())
    }

    fn runbook(&self, name: &str, from: &SiteName, to: &SiteName) -> String {
        let mode = self.kind.mode().word();
        format!(
            "name = \"{name}\"\nsource.site = \"{from}\"\ndestination.site = \"{to}\"\n\
             [retry]\nattempts = 5\nbackoff_ms = 100\nbackoff_max_ms = 400\njitter = false\n\
             [deadlines]\ntransfer_ms = 60000\nhandover_ms = 3000\nsilence_ms = 3000\n\
             [[select]]\nall = true\nmode = \"{mode}\"\n"
        )
    }

    /// Orders an evacuation, in a task of its own, as a person does who repeats what wasn't answered.
    pub(crate) async fn order(
        &self,
        name: &str,
        from: &SiteName,
        to: &SiteName,
    ) -> tokio::task::JoinHandle<Result<EvacuationId, String>> {
        let request = pb::CreateEvacuationRequest {
            request_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string(),
            runbook: self.runbook(name, from, to),
            validate_only: false,
            ordered_by: PERSON.to_owned(),
        };
        tokio::spawn(ordered(self.stage.client().await, request))
    }

    /// Waits until an evacuation is over. Whoever has died comes back.
    pub(crate) async fn until_finished(
        &mut self,
        order: tokio::task::JoinHandle<Result<EvacuationId, String>>,
    ) -> Result<EvacuationId, String> {
        let mut client = self.stage.client().await;
        let deadline = Instant::now() + LONGEST;
        let mut order = Some(order);
        let mut evacuation = None;
        let mut last = String::from("never answered");
        while Instant::now() < deadline {
            let _ = tokio::time::timeout(LOOK_EVERY, self.until_one_dies()).await;
            self.all_come_back().await;
            if let Some(task) = order.take_if(|task| task.is_finished()) {
                evacuation = Some(task.await.map_err(|error| format!("the order: {error}"))??);
            }
            let Some(id) = evacuation else { continue };
            let asked = client.get_evacuation(pb::GetEvacuationRequest { evacuation: id.to_string() });
            match tokio::time::timeout(LOOK_EVERY, asked).await {
                Ok(Ok(shown)) if shown.get_ref().state() == pb::EvacuationState::Finished => return Ok(id),
                Ok(shown) => last = format!("{shown:?}"),
                Err(_) => {}
            }
        }
        let moves = match evacuation {
            Some(id) => format!("{:#?}", self.stage.shown(id).await),
            None => "no evacuation".to_owned(),
        };
        Err(format!("no end within {LONGEST:?}; last: {last}; moves: {moves}; {}", self.account(evacuation).await))
    }

    /// All that may explain a failure: the verdicts as a recovery would report them, and the truth.
    pub(crate) async fn account(&mut self, evacuation: Option<EvacuationId>) -> String {
        let verdicts = match self.recover(evacuation, false, true).await {
            Ok(Report::Roll(recovered)) => ends::explained(&recovered),
            Ok(Report::NothingBegun) => "no evacuation is known".to_owned(),
            Err(error) => error,
        };
        format!("verdicts:\n{verdicts}\ntruth: {:#?}", self.stage.truth().await)
    }

    /// `muster recover` against the workers.
    pub(crate) async fn recover(
        &mut self,
        evacuation: Option<EvacuationId>,
        apply: bool,
        with_source: bool,
    ) -> Result<Report, String> {
        let destination = self.stage.link(Process::Destination).await;
        let source = if with_source { Some(self.stage.link(Process::Source).await) } else { None };
        let mut order = self.stage.recover_order(apply);
        order.evacuation = evacuation;
        let env = self.stage.caller_env();
        let sites = Sites { destination, source };
        match tokio::time::timeout(LONGEST, recover(&sites, &env, &order)).await {
            Ok(Ok(recovered)) => Ok(Report::Roll(recovered)),
            Ok(Err(RecoveryError::NoEvacuation { .. })) => Ok(Report::NothingBegun),
            Ok(Err(error)) => Err(format!("recover failed: {error}")),
            Err(_) => Err(format!("recover did not end within {LONGEST:?}; {:#?}", self.stage.truth().await)),
        }
    }
}

async fn ordered(
    mut client: EvacuationsClient<Channel>,
    request: pb::CreateEvacuationRequest,
) -> Result<EvacuationId, String> {
    let mut refusals = 0;
    loop {
        let asked = client.create_evacuation(request.clone());
        match tokio::time::timeout(Duration::from_secs(20), asked).await {
            Ok(Ok(made)) => return made.into_inner().evacuation.parse().map_err(|error| format!("{error}")),
            Ok(Err(status)) => {
                let words = format!("the order was refused: {status:?}");
                match CallFault::from(status).class() {
                    Class::Retry | Class::Unknown => {}
                    // A host that is silent just now stands in the way of a plan; the person tries again.
                    Class::Refused if refusals < REFUSALS_MAX => refusals += 1,
                    Class::Refused | Class::Bug => return Err(words),
                }
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The dry run: one evacuation that nothing disturbs, and the way back and forth after it.
pub(crate) async fn undisturbed(kind: Kind) -> Result<Points, Wrong> {
    let mut cast = Cast::set(kind, Vec::new()).await;
    let (from, to) = (cast.stage.source.clone(), cast.stage.destination.clone());
    let order = cast.order("leave", &from, &to).await;
    let evacuation = cast.until_finished(order).await?;
    let points = cast.lives.iter().map(|(process, life)| (*process, life.points())).collect();
    ends::over(&mut cast, evacuation).await?;
    back_and_forth(&mut cast).await?;
    Ok(points)
}

/// Plays one case to its end. Returns how long that took, in simulated time and without the way back.
pub(crate) async fn play(case: Case, moved_back: bool) -> Result<Duration, Wrong> {
    let began = Instant::now();
    let mut cast = Cast::set(case.kind, vec![case.planned()]).await;
    match case.besides {
        Besides::Nothing => {}
        Besides::DaemonRestarts => drop(tokio::spawn(daemon_restarts(&cast, cast.life(case.process)))),
    }
    let played = match case.way {
        Way::GoesOn => goes_on(&mut cast, &case).await,
        Way::Recovered => is_recovered(&mut cast, &case, moved_back).await,
    };
    let lasted = began.elapsed();
    let played = match played {
        Ok(()) if moved_back => back_and_forth(&mut cast).await,
        other => other,
    };
    played.map(|()| lasted).map_err(|wrong| wrong.of(case.point))
}

/// Restarts the daemon of the source's host as soon as somebody is hit.
fn daemon_restarts(cast: &Cast, hit: Life) -> impl Future<Output = ()> + use<> {
    let (world, site, host) = (cast.stage.world.clone(), cast.stage.source.clone(), cast.stage.source_host(1));
    async move {
        hit.until_struck().await;
        world.inject(Fault::Host(site, host, HostFault::DaemonRestart)).await.expect("a host that restarts its daemon");
    }
}

async fn goes_on(cast: &mut Cast, case: &Case) -> Result<(), Wrong> {
    let (from, to) = (cast.stage.source.clone(), cast.stage.destination.clone());
    let order = cast.order("leave", &from, &to).await;
    let evacuation = cast.until_finished(order).await?;
    struck(cast, case).await?;
    ends::over(cast, evacuation).await
}

async fn is_recovered(cast: &mut Cast, case: &Case, goes_on_after: bool) -> Result<(), Wrong> {
    let (from, to) = (cast.stage.source.clone(), cast.stage.destination.clone());
    let order = cast.order("leave", &from, &to).await;
    struck(cast, case).await?;
    cast.give_up();
    match (case.process, case.hit.moment) {
        (Process::Source, Moment::Before | Moment::After) => {
            // The destination alone has to say what is so, as long as the source is silent.
            ends::report_agrees(cast, false).await?;
            cast.come_back(Process::Source).await;
        }
        (Process::Destination, Moment::Before | Moment::After) => cast.come_back(Process::Destination).await,
        (Process::Orchestrator | Process::Caller, _) | (_, Moment::ReplyLost) => {}
    }
    ends::report_agrees(cast, true).await?;
    match case.besides {
        Besides::Nothing => {}
        // As long as it is silent, holding is all that a recovery may do.
        Besides::DaemonRestarts => tokio::time::sleep(DAEMON_IS_BACK).await,
    }
    ends::recovered(cast).await?;
    if goes_on_after {
        // Back after all, it finds the move settled without it, and everything else still to do.
        cast.is_given_up = false;
        cast.come_back(Process::Orchestrator).await;
        let evacuation = cast.until_finished(order).await?;
        ends::over(cast, evacuation).await?;
    } else {
        order.abort();
    }
    Ok(())
}

pub(crate) async fn struck(cast: &Cast, case: &Case) -> Result<(), Wrong> {
    let life = cast.life(case.process);
    match tokio::time::timeout(LONGEST, life.until_struck()).await {
        Ok(()) => Ok(()),
        Err(_) => Err(format!("its point was never reached; passed: {:?}", life.points()).into()),
    }
}

/// The same VM back to its old source, and forth again.
async fn back_and_forth(cast: &mut Cast) -> Result<(), Wrong> {
    let (source, destination) = (cast.stage.source.clone(), cast.stage.destination.clone());
    for (name, from, to) in [("return", &destination, &source), ("leave-again", &source, &destination)] {
        let order = cast.order(name, from, to).await;
        cast.until_finished(order).await.map_err(|failure| format!("{name}: {failure}"))?;
        ends::at(cast, from, to).await.map_err(|wrong| wrong.of(name))?;
    }
    Ok(())
}

/// What a recovery said, for those who only read it.
pub(crate) fn lines(report: &Report) -> &[muster_recovery::roll_call::RollCallLine] {
    match report {
        Report::Roll(Recovered { lines, .. }) => lines,
        Report::NothingBegun => &[],
    }
}
