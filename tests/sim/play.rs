//! Plays a plan on a stage: each evacuation has a safety phase in which things go wrong, then everything that was wrong ends
//! and all must settle. What happened is judged on the way and at the end.

use crate::fault::Side;
use crate::figures::Figures;
use crate::invariants::{self, Wrong, isolated};
use crate::look::Look;
use crate::person::Ordered;
use crate::plan::{Evacuation, Plan};
use crate::strike::Ending;
use crate::weather::{Hindrance, SpanId, Weather};
use muster_core::definition::Mode;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::reading::Stored;
use muster_tests::players::{GivenUp, in_a_thread};
use muster_tests::trace::Trace;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Deed as HandDeed, Fault as WorldFault, Truth, VmSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// The real time that a play may take before it counts as one that never ends.
const PLAY_LONGEST: Duration = Duration::from_secs(300);
/// Memory of each host, in MiB: enough for every fleet.
const HOST_MEMORY_MIB: u64 = 256 * 1_024;

/// What came of a play.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) figures: Figures,
    pub(crate) wrong: Vec<Wrong>,
    /// The same for two plays that went the same way, where the trace is wanted.
    pub(crate) digest: u64,
    pub(crate) trace: Vec<String>,
}

/// Plays in a thread and a runtime of its own, which take all that is left along when they end. The trace is kept as text
/// only where it is wanted.
pub(crate) fn play(plan: &Plan, with_trace: bool) -> Played {
    let plan = plan.clone();
    let outcome = in_a_thread(PLAY_LONGEST, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async move {
            let mut game = Game::set(plan).await;
            game.run().await;
            game.ended(with_trace)
        })
    });
    let what = match outcome {
        Ok(played) => return played,
        Err(GivenUp::NeverEnds) => format!("the play doesn't end within {PLAY_LONGEST:?}"),
        Err(GivenUp::Panicked(words)) => format!("the play panicked: {words}"),
    };
    Played { wrong: vec![Wrong::new("no_endless_wait", what)], ..Played::default() }
}

/// Something that is due.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// A fault of the present evacuation, by its number.
    Strike(usize),
    /// The end of one.
    End(Ending, Option<SpanId>),
    /// The roll is called; by the destination alone where so marked.
    Look(bool),
    /// The orchestrator's end.
    Succeed,
}

/// A process that fell, and how long it stays dead, in milliseconds.
type Fallen = (Process, u64);

/// A play under way.
pub(crate) struct Game {
    pub(crate) stage: Stage,
    pub(crate) plan: Plan,
    pub(crate) vms: Vec<VmId>,
    pub(crate) trace: Trace,
    pub(crate) weather: Weather,
    pub(crate) agenda: BTreeMap<(Instant, u64), Deed>,
    numbers: u64,
    /// Where processes that were hit at one of their points are told of, with how long they stay dead.
    pub(crate) fallen: (mpsc::UnboundedSender<Fallen>, mpsc::UnboundedReceiver<Fallen>),
    /// The worker whose site is left.
    pub(crate) from: Process,
    pub(crate) number: usize,
    pub(crate) evacuation: Option<EvacuationId>,
    pub(crate) looks: Vec<JoinHandle<Look>>,
    /// How many attempts each move of it took, where the orchestrator told.
    pub(crate) attempts: BTreeMap<VmId, u32>,
    pub(crate) stubborn: BTreeSet<VmId>,
    /// A host or a guest died: what ran there lost its memory, and that is nobody's fault.
    pub(crate) memory_may_be_lost: bool,
    /// The orchestrator is not to come back yet.
    pub(crate) succeeded: bool,
    pub(crate) figures: Figures,
    pub(crate) wrong: Vec<Wrong>,
}

/// How a move of an evacuation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Migrated,
    Stayed,
}

impl Game {
    async fn set(plan: Plan) -> Game {
        // Says what goes on only where RUST_LOG asks for it: stores that stop are what is wanted here.
        let quiet = tracing_subscriber::filter::LevelFilter::OFF.into();
        let filter = tracing_subscriber::EnvFilter::builder().with_default_directive(quiet).from_env_lossy();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().without_time().try_init();
        let options = StageOptions {
            seed: plan.seed,
            hosts: plan.hosts,
            host_memory_mib: HOST_MEMORY_MIB,
            traced: true,
            ..StageOptions::default()
        };
        let mut stage = Stage::set(options).await;
        let mut vms = Vec::new();
        for (number, vm) in plan.vms.iter().enumerate() {
            let definition = vm.definition(number);
            let id = VmId(Uuid::new_v5(&Uuid::NAMESPACE_URL, definition.name.as_str().as_bytes()));
            let host = stage.source_host(u32::try_from(number).unwrap_or_default() % plan.hosts + 1);
            let runs = vm.mode != Mode::Off;
            let spec = VmSpec { vm: id, site: stage.source.clone(), host, definition, runs };
            stage.world.create_vm(spec).await.expect("room for a VM");
            vms.push(id);
        }
        stage.start_orchestrator(None).await;
        let trace = stage.trace.clone().expect("a stage that is traced");
        Game {
            stage,
            plan,
            vms,
            trace,
            weather: Weather::default(),
            agenda: BTreeMap::new(),
            numbers: 0,
            fallen: mpsc::unbounded_channel(),
            from: Process::Source,
            number: 0,
            evacuation: None,
            looks: Vec::new(),
            attempts: BTreeMap::new(),
            stubborn: BTreeSet::new(),
            memory_may_be_lost: false,
            succeeded: false,
            figures: Figures { seeds: 1, ..Figures::default() },
            wrong: Vec::new(),
        }
    }

    async fn run(&mut self) {
        for (number, evacuation) in self.plan.evacuations.clone().iter().enumerate() {
            self.number = number;
            self.evacuate(evacuation).await;
            if !self.wrong.is_empty() {
                break;
            }
        }
        self.figures.simulated_ms = self.trace.now_ms();
    }

    fn ended(mut self, with_trace: bool) -> Played {
        let broken = self.trace.read(|entries| invariants::of_the_trace(entries, &self.weather));
        self.wrong.extend(broken);
        let mut played = Played { figures: self.figures, wrong: self.wrong, ..Played::default() };
        if with_trace {
            played.digest = self.trace.digest();
            played.trace = self.trace.read(|entries| entries.iter().map(ToString::to_string).collect());
        }
        played
    }

    async fn evacuate(&mut self, evacuation: &Evacuation) {
        let before = self.stage.truth().await;
        self.from = self.fuller_side(&before);
        let from = self.site(Side::From);
        let leaving: Vec<&Truth> = before.values().filter(|truth| is_home_at(truth, &from)).collect();
        self.figures.evacuations += 1;
        self.figures.moves += leaving.len() as u64;
        (self.evacuation, self.memory_may_be_lost, self.succeeded) = (None, false, false);
        self.attempts.clear();
        self.note(&format!("evacuation {} of {} VMs from {from} is ordered", self.number, leaving.len()));
        let leaving: BTreeSet<VmId> = leaving.into_iter().map(|truth| truth.vm).collect();
        let begun = Instant::now();
        let mut ordered = self.order(evacuation, &leaving).await;
        for (number, fault) in evacuation.faults.iter().enumerate() {
            self.is_due(begun + Duration::from_millis(fault.at_ms), Deed::Strike(number));
        }
        for (at_ms, alone) in &evacuation.looks {
            self.is_due(begun + Duration::from_millis(*at_ms), Deed::Look(*alone));
        }
        if let Some(succession) = &evacuation.succession {
            self.is_due(begun + Duration::from_millis(succession.at_ms), Deed::Succeed);
        }
        self.safety(evacuation, begun + Duration::from_millis(evacuation.safety_ms), &mut ordered).await;
        self.heal().await;
        let settled = self.settle(evacuation, &mut ordered).await;
        ordered.task.abort();
        self.judge_looks().await;
        let ends = match settled {
            Ok(ends) => ends,
            Err(why) => {
                self.figures.never_settled += 1;
                self.is_wrong(isolated::of_an_endless_one(&self.stubborn), why);
                return;
            }
        };
        self.judge_ends(evacuation, &leaving, &ends, &before).await;
        self.recover_again().await;
        self.owners_put_right().await;
    }

    /// Does what is due until the safety phase is over.
    async fn safety(&mut self, evacuation: &Evacuation, until: Instant, ordered: &mut Ordered) {
        loop {
            self.evacuation = self.evacuation.or_else(|| ordered.known());
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= until);
            let fallen = tokio::select! {
                biased;
                fallen = self.fallen.1.recv() => fallen,
                () = tokio::time::sleep_until(next.unwrap_or(until)) => None,
            };
            if let Some((process, for_ms)) = fallen {
                self.note(&format!("the {} fell at one of its points", process.word()));
                // Its life has ended already; what it had not synced ends with it.
                self.stage.kill(process);
                self.ends_after(for_ms, Ending::Born(process), Some(Hindrance::Dead(process)));
                continue;
            }
            let Some(_) = next else { break };
            let Some((_, deed)) = self.agenda.pop_first() else { break };
            self.do_what_is_due(evacuation, deed).await;
        }
    }

    async fn do_what_is_due(&mut self, evacuation: &Evacuation, due: Deed) {
        match due {
            Deed::Strike(number) => {
                let kind = &evacuation.faults[number].kind;
                self.note(&format!("goes wrong: {kind:?}"));
                if self.strike(kind).await {
                    self.figures.count_fault(kind.name());
                }
            }
            Deed::End(ending, span) => {
                self.note(&format!("ends: {ending:?}"));
                self.end(ending, span).await;
            }
            Deed::Look(alone) => self.look(alone).await,
            Deed::Succeed => {
                self.note("the orchestrator is killed and not started again");
                self.succeeded = true;
                self.stage.kill(Process::Orchestrator);
                self.figures.count_fault("process: orchestrator killed, finished by a recovery");
            }
        }
    }

    pub(crate) fn is_due(&mut self, at: Instant, deed: Deed) {
        self.numbers += 1;
        self.agenda.insert((at, self.numbers), deed);
    }

    /// What just went wrong ends so much later; meanwhile it hinders as `what` says.
    pub(crate) fn ends_after(&mut self, for_ms: u64, ending: Ending, what: Option<Hindrance>) {
        let span = what.map(|what| self.weather.begin(what, self.trace.now_ms()));
        self.is_due(Instant::now() + Duration::from_millis(for_ms), Deed::End(ending, span));
    }

    /// VMs that ought to run and don't, since their host or guest died, are started by whoever owns them; those that were off
    /// and came up with their host are shut down.
    async fn owners_put_right(&mut self) {
        for (vm, truth) in self.stage.truth().await {
            if self.mode(vm) == Mode::Off {
                self.shut_down_by_hand(vm).await;
            } else if truth.runs_on().is_empty() {
                let home = truth.places.iter().find(|place| place.stored == Stored::Real);
                let started = match home {
                    Some(home) => {
                        let fault = WorldFault::ByHand(home.site.clone(), home.host.clone(), vm, HandDeed::Start);
                        self.stage.world.inject(fault).await.map_err(|error| error.to_string())
                    }
                    None => Err("no real definition of it is anywhere".to_owned()),
                };
                if let Err(why) = started {
                    self.is_wrong(
                        "none_lost",
                        format!("{} can't be started by its owner: {why}: {truth:#?}", truth.name),
                    );
                }
            }
        }
    }

    fn fuller_side(&self, truths: &BTreeMap<VmId, Truth>) -> Process {
        let at = |site: &SiteName| truths.values().filter(|truth| is_home_at(truth, site)).count();
        let (source, destination) = (at(&self.stage.source), at(&self.stage.destination));
        if source >= destination { Process::Source } else { Process::Destination }
    }

    pub(crate) fn worker(&self, side: Side) -> Process {
        match (side, self.from) {
            (Side::From, from) => from,
            (Side::To, Process::Source) => Process::Destination,
            (Side::To, _) => Process::Source,
        }
    }

    pub(crate) fn site(&self, side: Side) -> SiteName {
        match self.worker(side) {
            Process::Source => self.stage.source.clone(),
            Process::Destination | Process::Orchestrator | Process::Caller => self.stage.destination.clone(),
        }
    }

    pub(crate) fn vm(&self, number: u32) -> VmId {
        self.vms[number as usize % self.vms.len()]
    }

    pub(crate) fn mode(&self, vm: VmId) -> Mode {
        let number = self.vms.iter().position(|one| *one == vm).expect("a VM of the fleet");
        self.plan.vms[number].mode
    }

    pub(crate) fn note(&self, what: &str) {
        self.trace.note(Process::Caller, what.to_owned());
    }

    pub(crate) fn is_wrong(&mut self, invariant: &'static str, what: String) {
        self.note(&format!("WRONG: {invariant}: {what}"));
        self.wrong.push(Wrong::new(invariant, what));
    }
}

/// Whether the VM belongs to this site: its real definition, or what became of it in a move, is there.
pub(crate) fn is_home_at(truth: &Truth, site: &SiteName) -> bool {
    truth.places.iter().any(|place| place.site == *site && place.stored == Stored::Real)
}
