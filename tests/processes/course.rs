//! The course of one evacuation: what is killed when, how it goes on, and what came of it.

use crate::Outcome;
use crate::figures::Figures;
use crate::fleet::{self, DESTINATION, Ordered};
use crate::judge::{Presence, Span, wrong_end, wrong_verdicts};
use crate::plan::{Part, Plan, Strike, Succession};
use crate::stage::{Stage, Way};
use muster_core::reading::Stored;
use muster_core::verdict::Verdict;
use muster_proto::v1 as wire;
use muster_tests::daemon::{self, Ended};
use muster_tests::judge::{violation, wrong_end as shown_wrong};
use muster_tests::roll_call::RollCall;
use muster_worker::hypervisor::sim::world::Truth;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Longest time from the order to the last verdict.
const WITHIN: Duration = Duration::from_secs(120);
/// How often the truth is looked at.
const LOOKED_EVERY: Duration = Duration::from_millis(25);
/// How often a roll call, or a recovery, is tried again while a worker isn't ready.
const TRIES: usize = 20;
/// Wait before it is.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// Plays one evacuation. What it has counted so far, and what went wrong if anything did.
pub(crate) async fn play(seed: u64, directory: &Path) -> (Figures, Outcome<()>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let fleet = match fleet::draw(&mut random) {
        Ok(fleet) => fleet,
        Err(error) => return (Figures::default(), Err(error)),
    };
    let plan = Plan::draw(seed, &mut random);
    let stage = match Stage::set(seed, &fleet, directory).await {
        Ok(stage) => stage,
        Err(error) => return (Figures::default(), Err(error)),
    };
    let mut course = Course {
        stage,
        fleet,
        directory,
        figures: Figures { evacuations: 1, vms: u64::from(fleet::VMS), ..Figures::default() },
        evacuation: String::new(),
        due: BTreeMap::new(),
        last_call: None,
        log: Vec::new(),
        begun: Instant::now(),
    };
    let ended = match tokio::time::timeout(WITHIN, course.run(&plan)).await {
        Ok(ended) => ended,
        Err(_) => Err(format!("not finished within {} s", WITHIN.as_secs())),
    };
    course.figures.elapsed_ms = u64::try_from(course.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let ended = match ended {
        Ok(()) => Ok(()),
        Err(why) => Err(course.account(&why, &plan).await),
    };
    (course.figures, ended)
}

struct Course<'a> {
    stage: Stage,
    fleet: Vec<Ordered>,
    directory: &'a Path,
    figures: Figures,
    evacuation: String,
    /// When who is started again.
    due: BTreeMap<Part, Instant>,
    last_call: Option<String>,
    log: Vec<String>,
    begun: Instant,
}

impl Course<'_> {
    async fn run(&mut self, plan: &Plan) -> Outcome<()> {
        let before = self.stage.truth().await?;
        self.evacuation = self.stage.evacuate(self.directory).await?;
        for strike in &plan.strikes {
            self.strike(strike).await?;
        }
        if let Some(succession) = &plan.succession {
            self.succeed(succession).await?;
        }
        self.until_finished().await?;
        self.conclude(&before).await
    }

    async fn strike(&mut self, strike: &Strike) -> Outcome<()> {
        self.until_arrived(strike.at_percent).await?;
        self.wait(strike.then).await?;
        for (part, _) in &strike.parts {
            self.until_up(*part).await?;
        }
        for (part, pause) in &strike.parts {
            self.kill(*part).await?;
            self.due.insert(*part, Instant::now() + *pause);
        }
        if strike.roll_call { self.call_the_roll().await } else { Ok(()) }
    }

    /// The orchestrator is dead for good, a recovery finishes what had begun, and another orchestrator takes over from it.
    async fn succeed(&mut self, succession: &Succession) -> Outcome<()> {
        self.until_arrived(succession.at_percent).await?;
        for part in Part::ALL {
            self.until_up(part).await?;
        }
        self.kill(Part::Orchestrator).await?;
        if let Some(after) = succession.recovery_killed_after
            && self.stage.recover_apply_and_kill(after).await?
        {
            self.figures.kills.recovery += 1;
            self.note_kill("a recovery").await?;
        }
        self.recover(succession.worker_killed).await?;
        self.figures.recoveries += 1;
        self.due.insert(Part::Orchestrator, Instant::now());
        Ok(())
    }

    /// Runs recovery until it gives its claim back, as a person would. Once, a worker is killed beneath it.
    async fn recover(&mut self, mut worker_killed: Option<(Part, Duration, Duration)>) -> Outcome<()> {
        let mut last = String::new();
        for _ in 0..TRIES {
            self.stage.until_workers_ready().await?;
            let killed = worker_killed.take();
            let ended = match killed {
                None => self.stage.recover_apply().await?,
                Some((part, after, pause)) => {
                    let recovered = self.recover_and_kill(part, after, pause).await?;
                    self.figures.kills.count(part);
                    self.note_kill(&format!("{part:?}, under a recovery")).await?;
                    recovered
                }
            };
            self.note(format!("recovery ended with exit code {}", ended.code));
            if matches!(ended.code, 0 | 3) {
                let call = RollCall::read(&ended.stdout)?;
                let (source, destination) = self.stage.presence().await;
                let unhurt = |part: Part, now: Presence| match killed {
                    Some((victim, _, _)) if victim == part => Presence::Away,
                    Some(_) | None => now,
                };
                let span = Span {
                    times: vec![self.stage.truth().await?],
                    source: unhurt(Part::Source, source),
                    destination: unhurt(Part::Destination, destination),
                };
                self.judge("after recovery", &call, &span)?;
                if !call.claim_kept {
                    return Ok(());
                }
            }
            last = format!("{ended:?}");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        Err(format!("recovery never settles what had begun: {last}"))
    }

    async fn recover_and_kill(&mut self, part: Part, after: Duration, pause: Duration) -> Outcome<Ended> {
        let arguments = self.stage.apply_arguments();
        let killing = async {
            tokio::time::sleep(after).await;
            self.stage.kill(part).await?;
            tokio::time::sleep(pause).await;
            self.stage.start(part).await
        };
        let (ended, killed) = tokio::join!(daemon::run(&arguments), killing);
        killed?;
        ended
    }

    /// The roll is called by whatever way there is, while the truth is written down.
    async fn call_the_roll(&mut self) -> Outcome<()> {
        self.until_up(Part::Destination).await?;
        let ways = if self.figures.roll_calls % 2 == 1 && self.stage.is_up(Part::Orchestrator) {
            Way::Orchestrator
        } else if self.stage.is_up(Part::Source) {
            Way::BothWorkers
        } else {
            Way::DestinationAlone
        };
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.witnessed(ways).await? {
                (Ok(call), span) => {
                    let unanswered = call.unanswered();
                    let (seen, source, destination) = (span.times.len(), span.source, span.destination);
                    self.note(format!(
                        "called the roll, {ways:?}, {seen} truths, source {source:?}, destination {destination:?}, \
                         {unanswered} unanswered"
                    ));
                    self.judge(&format!("{ways:?}"), &call, &span)?;
                    if unanswered == 0 {
                        return Ok(());
                    }
                    last = format!("the destination's worker is up and silent on {unanswered} VMs, {ways:?}");
                }
                (Err(error), _) => last = error,
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        Err(last)
    }

    /// Calls the roll, and meanwhile looks at the truth and asks the workers whether they work. Nobody is killed or
    /// started in this time.
    async fn witnessed(&self, way: Way) -> Outcome<(Outcome<RollCall>, Span)> {
        let (source, destination) = self.stage.presence().await;
        let source = if way == Way::DestinationAlone { Presence::Away } else { source };
        let mut span = Span { times: vec![self.stage.truth().await?], source, destination };
        let mut calling = std::pin::pin!(self.stage.roll_call(way));
        let called = loop {
            tokio::select! {
                biased;
                called = &mut calling => break called,
                () = tokio::time::sleep(LOOKED_EVERY) => self.witness(&mut span).await?,
            }
        };
        self.witness(&mut span).await?;
        span.times.dedup();
        Ok((called, span))
    }

    async fn witness(&self, span: &mut Span) -> Outcome<()> {
        span.times.push(self.stage.truth().await?);
        let (source, destination) = self.stage.presence().await;
        span.source = both(span.source, source);
        span.destination = both(span.destination, destination);
        Ok(())
    }

    fn judge(&mut self, when: &str, call: &RollCall, span: &Span) -> Outcome<()> {
        self.last_call = Some(call.text.clone());
        let wrong = wrong_verdicts(call, &self.fleet, span)?;
        self.figures.roll_calls += 1;
        self.figures.wrong_verdicts += u64::try_from(wrong.len()).unwrap_or_default();
        for verdict in call.lines.values() {
            self.figures.count_verdict(*verdict);
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("wrong verdicts, {when}: {}", wrong.join("\n"))) }
    }

    /// The last roll call, the orchestrator's own account, and the truth.
    async fn conclude(&mut self, before: &[Truth]) -> Outcome<()> {
        self.stage.until_workers_ready().await?;
        let truths = self.stage.truth().await?;
        let mut wrong = self.count_harm(&truths);
        for (vm, was) in self.fleet.iter().zip(in_order(&self.fleet, before)?) {
            let truth = truths.iter().find(|truth| truth.vm == was.vm).ok_or("a VM is lost to the world itself")?;
            let end = wrong_end(vm, was, truth)?;
            wrong.extend(end.iter().map(|what| format!("{} {what}: {:?}", vm.spec.definition.name, truth.places)));
        }
        let span = Span::moment(truths.clone());
        for way in [Way::BothWorkers, Way::DestinationAlone, Way::Orchestrator] {
            let call = self.stage.roll_call(way).await?;
            self.judge(&format!("at the end, {way:?}"), &call, &span)?;
            let others = call.lines.iter().filter(|(_, verdict)| **verdict != Verdict::FullyMigrated);
            wrong.extend(others.map(|(vm, verdict)| format!("{vm} is {verdict:?} at the end, {way:?}")));
            if !call.settled && way != Way::DestinationAlone {
                wrong.push(format!("not settled at the end, {way:?}"));
            }
        }
        wrong.extend(self.shown_wrong(&truths).await?);
        self.stage.check()?;
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    fn count_harm(&mut self, truths: &[Truth]) -> Vec<String> {
        let count = |is_so: fn(&Truth) -> bool| {
            u64::try_from(truths.iter().filter(|truth| is_so(truth)).count()).unwrap_or(u64::MAX)
        };
        self.figures.ran_twice += count(|truth| truth.ran_twice || truth.disk_writers_max > 1);
        self.figures.lost += count(|truth| truth.lost);
        self.figures.stale += count(|truth| truth.ran_stale || truth.ran_on_partial_disk);
        truths.iter().filter_map(violation).collect()
    }

    /// What the orchestrator shows of the moves, against the truth.
    async fn shown_wrong(&mut self, truths: &[Truth]) -> Outcome<Vec<String>> {
        let moves = self.stage.moves(&self.evacuation).await.map_err(|status| format!("no moves: {status}"))?;
        let mut wrong = Vec::new();
        for vm in &self.fleet {
            let id = vm.spec.vm.to_string();
            let (Some(shown), Some(truth)) =
                (moves.iter().find(|one| one.vm == id), truths.iter().find(|truth| truth.vm == vm.spec.vm))
            else {
                wrong.push(format!("{} is not among the moves", vm.spec.definition.name));
                continue;
            };
            let destination = DESTINATION.parse().map_err(|error| format!("{DESTINATION}: {error}"))?;
            wrong.extend(shown_wrong(shown, truth, &vm.spec.site, &destination));
            let state = shown.state();
            self.figures.migrated += u64::from(state == wire::MoveState::Migrated);
            self.figures.attempts += u64::from(shown.attempts);
            if state != wire::MoveState::Migrated || shown.source_copy != "Not Runnable" {
                wrong.push(format!("{} is shown as {state:?}, {}", shown.name, shown.source_copy));
            }
        }
        Ok(wrong)
    }

    async fn kill(&mut self, part: Part) -> Outcome<()> {
        self.stage.kill(part).await?;
        self.figures.kills.count(part);
        self.note_kill(&format!("{part:?}")).await
    }

    async fn note_kill(&mut self, who: &str) -> Outcome<()> {
        let arrived = arrived(&self.stage.truth().await?);
        self.figures.kills.under_way += u64::from(arrived < self.fleet.len());
        self.note(format!("killed {who}, {arrived} had arrived"));
        Ok(())
    }

    async fn until_arrived(&mut self, percent: usize) -> Outcome<()> {
        while arrived(&self.stage.truth().await?) * 100 < self.fleet.len() * percent {
            self.wait(LOOKED_EVERY).await?;
        }
        Ok(())
    }

    async fn until_up(&mut self, part: Part) -> Outcome<()> {
        while !self.stage.is_up(part) {
            self.wait(LOOKED_EVERY).await?;
        }
        Ok(())
    }

    async fn until_finished(&mut self) -> Outcome<()> {
        loop {
            for part in Part::ALL {
                self.until_up(part).await?;
            }
            if let Ok(evacuation) = self.stage.evacuation(&self.evacuation).await
                && evacuation.state() == wire::EvacuationState::Finished
            {
                return Ok(());
            }
            self.stage.check()?;
            self.wait(LOOKED_EVERY * 4).await?;
        }
    }

    /// Waits, and meanwhile starts who is due.
    async fn wait(&mut self, time: Duration) -> Outcome<()> {
        let until = Instant::now() + time;
        loop {
            let next = self.due.iter().map(|(part, due)| (*due, *part)).min();
            match next {
                Some((due, part)) if due <= until => {
                    tokio::time::sleep_until(due).await;
                    self.due.remove(&part);
                    self.stage.start(part).await?;
                    self.note(format!("started {part:?}"));
                }
                Some(_) | None => break,
            }
        }
        tokio::time::sleep_until(until).await;
        Ok(())
    }

    fn note(&mut self, what: String) {
        self.log.push(format!("{:>6} ms  {what}", self.begun.elapsed().as_millis()));
    }

    /// Everything that helps to find out why.
    async fn account(&mut self, why: &str, plan: &Plan) -> String {
        if let Ok(truths) = self.stage.truth().await {
            let _ = std::fs::write(self.directory.join("truth.txt"), format!("{truths:#?}"));
            if self.figures.migrated == 0 {
                self.count_harm(&truths);
            }
        }
        let status = match self.stage.is_up(Part::Orchestrator) {
            true => self.stage.status().await.unwrap_or_else(|error| error),
            false => "the orchestrator is dead".to_owned(),
        };
        let call = self.last_call.as_deref().unwrap_or("the roll was never called");
        let _ = std::fs::write(self.directory.join("roll_call.json"), call);
        let text = format!("{why}\n\n{plan:#?}\n\n{}\n\n{status}", self.log.join("\n"));
        let _ = std::fs::write(self.directory.join("course.txt"), &text);
        text
    }
}

fn both(before: Presence, now: Presence) -> Presence {
    if before == Presence::Working { now } else { before }
}

fn arrived(truths: &[Truth]) -> usize {
    let has_arrived = |truth: &&Truth| {
        truth.places.iter().any(|place| place.site.as_str() == DESTINATION && place.stored == Stored::Real)
    };
    truths.iter().filter(has_arrived).count()
}

fn in_order<'a>(fleet: &[Ordered], truths: &'a [Truth]) -> Outcome<Vec<&'a Truth>> {
    let find = |vm: &Ordered| truths.iter().find(|truth| truth.vm == vm.spec.vm);
    fleet.iter().map(|vm| find(vm).ok_or_else(|| "a VM was never made".to_owned())).collect()
}
