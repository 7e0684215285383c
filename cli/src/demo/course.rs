//! The course of the demonstration: what is broken when, and what is waited for.

use super::judge::{Sees, judge};
use super::stage::{Part, Stage};
use crate::error::CliError;
use crate::output::demo::{Demo, Kill};
use crate::output::roll_call::{self, RollCall};
use crate::run::Progress;
use crate::run::follow::{Follow, Snapshot};
use crate::writer::Writer;
use muster_core::reading::Phase;
use muster_worker::hypervisor::sim::world::{Fault, Rule, RuleKind, SiteFault, Trap, Truth};
use std::time::Duration;
use tokio::time::Instant;

/// Least time that an evacuation is given, and what is added for each VM.
const EVACUATED_WITHIN: (Duration, Duration) = (Duration::from_secs(120), Duration::from_millis(400));
/// How long a killed process stays dead.
const DEAD_FOR: Duration = Duration::from_millis(300);
/// How long transfers are waited for that are to stand at their handover when the source is lost.
const STANDING_WITHIN: Duration = Duration::from_secs(2);
/// How often the truth is looked at for these.
const LOOKED_EVERY: Duration = Duration::from_millis(50);
/// How often the roll is called again if the truth has moved on meanwhile.
const ROLL_CALLS_MAX: usize = 20;
/// Wait before it is.
const ROLL_CALLED_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The demonstration as it goes.
pub(super) struct Course<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) follow: Follow,
    pub(super) progress: Progress,
    pub(super) writer: &'a Writer,
    pub(super) report: &'a mut Demo,
    pub(super) begun: Instant,
}

impl Course<'_> {
    /// Nothing is broken.
    pub(super) async fn undisturbed(&mut self) -> Result<(), CliError> {
        let last = self.until("the evacuation's end", Snapshot::is_finished).await?;
        self.progress.finish(&last);
        Ok(())
    }

    /// Everything is broken, one after the other.
    pub(super) async fn broken(&mut self) -> Result<(), CliError> {
        let vms = self.report.vms;
        self.until("a third of the VMs", |snapshot| snapshot.migrated() >= vms / 3).await?;
        self.kill(Part::Orchestrator).await?;
        self.restart(Part::Orchestrator).await?;
        self.until("more than half of the VMs", |snapshot| is_past(snapshot, vms, 55) && is_in_pre_copy(snapshot))
            .await?;
        self.kill(Part::DestinationWorker).await?;
        self.restart(Part::DestinationWorker).await?;
        self.until("nine tenths of the VMs", |snapshot| is_past(snapshot, vms, 88)).await?;
        self.lose_source().await?;
        self.account_for_the_lost_source().await?;
        self.bring_source_back().await?;
        self.restart(Part::Orchestrator).await?;
        if !self.writer.is_json() {
            self.progress = Progress::new(self.writer);
        }
        let last = self.until("the evacuation's end", Snapshot::is_finished).await?;
        self.progress.finish(&last);
        Ok(())
    }

    /// Some transfers stand right at their handover when the plug is pulled: the hardest moment there is.
    async fn lose_source(&mut self) -> Result<(), CliError> {
        let standing = (self.report.vms / 50).clamp(1, 8);
        let stands = RuleKind::Phase(Phase::Finish, Trap::Hold);
        self.stage.inject(Fault::Rule(Rule { vm: None, times: standing, kind: stands })).await?;
        let begun = Instant::now();
        while begun.elapsed() < STANDING_WITHIN {
            let truths = self.stage.truth().await?;
            let stand = truths.iter().filter(|truth| !truth.paused_on().is_empty() && has_job(truth)).count();
            if stand >= standing as usize {
                break;
            }
            tokio::time::sleep(LOOKED_EVERY).await;
        }
        self.say("the source site is lost: unplugged, its worker and the orchestrator killed");
        self.stage.at_source(SiteFault::Unplugged).await?;
        self.kill(Part::SourceWorker).await?;
        self.kill(Part::Orchestrator).await?;
        self.progress.finish(&self.follow.now());
        Ok(())
    }

    /// The roll is called against the destination alone, and judged.
    async fn account_for_the_lost_source(&mut self) -> Result<(), CliError> {
        let (call, truths) = self.roll_call_of_a_still_world().await?;
        let wrong = judge("source lost", &call.lines, &truths, &self.stage.ordered, Sees::DestinationAlone);
        let agrees = truths.len().saturating_sub(wrong.len());
        self.tell("\nThe roll, called by \"muster recover\" from the destination alone:");
        self.tell(&roll_call::text(&call));
        self.tell(&format!("The world's own truth agrees for {agrees} of {} VMs.\n", truths.len()));
        self.report.verdicts_source_lost = call.verdicts;
        self.report.held_source_lost = call.held;
        self.report.wrong.extend(wrong);
        Ok(())
    }

    /// A roll call during which nothing changed, and the truth of that time.
    async fn roll_call_of_a_still_world(&mut self) -> Result<(RollCall, Vec<Truth>), CliError> {
        for _ in 0..ROLL_CALLS_MAX {
            let before = self.stage.truth().await?;
            let call = self.stage.roll_call_source_lost().await?;
            if self.stage.truth().await? == before {
                return Ok((call, before));
            }
            tokio::time::sleep(ROLL_CALLED_AGAIN_AFTER).await;
        }
        Err(CliError::Demo {
            what: "the world does not come to rest with its source lost".to_owned(),
            mend: "see the destination worker's output with --keep".to_owned(),
        })
    }

    async fn bring_source_back(&mut self) -> Result<(), CliError> {
        self.say("the source site is back; muster recover --apply settles what was held");
        self.stage.inject(Fault::ClearRules).await?;
        self.stage.at_source(SiteFault::PluggedIn).await?;
        self.restart(Part::SourceWorker).await?;
        let call = self.stage.recover_apply().await?;
        self.report.settled_after_return = Some(call.settled);
        if !call.settled {
            self.tell(&roll_call::text(&call));
        }
        Ok(())
    }

    async fn kill(&mut self, part: Part) -> Result<(), CliError> {
        self.stage.kill(part).await?;
        let migrated = self.follow.now().migrated();
        let after_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.report.kills += 1;
        self.report.kill_log.push(Kill { what: part.name(), after_ms, migrated });
        self.say(&format!("killed {} with SIGKILL, {migrated} of {} migrated", part.name(), self.report.vms));
        Ok(())
    }

    async fn restart(&mut self, part: Part) -> Result<(), CliError> {
        tokio::time::sleep(DEAD_FOR).await;
        self.stage.restart(part).await?;
        self.say(&format!("started {} again", part.name()));
        Ok(())
    }

    /// Waits until something is so, or the evacuation has ended before it could be.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Result<Snapshot, CliError> {
        let (least, for_each) = EVACUATED_WITHIN;
        let within = least + for_each * self.report.vms;
        let waiting = async {
            loop {
                let snapshot = self.follow.now();
                self.progress.show(&snapshot);
                if snapshot.is_finished() || is_so(&snapshot) {
                    return Ok(snapshot);
                }
                self.follow.changed().await?;
            }
        };
        match tokio::time::timeout(within, waiting).await {
            Ok(done) => done,
            Err(_) => {
                let snapshot = self.follow.now();
                let held = snapshot.moves.values().find_map(|one| one.held_because.clone().map(|why| (&one.name, why)));
                let mend = match (held, snapshot.silent) {
                    (_, Some(silent)) => silent,
                    (Some((name, why)), None) => format!("{name} is held: {why}"),
                    (None, None) => "see the daemons' output with --keep".to_owned(),
                };
                Err(CliError::Overdue { what: what.to_owned(), waited_s: within.as_secs(), mend })
            }
        }
    }

    /// A part of the result, for people.
    fn tell(&self, text: &str) {
        if !self.writer.is_json() {
            self.writer.line(text);
        }
    }

    /// Something beside the progress.
    fn say(&self, text: &str) {
        if !self.writer.is_json() {
            self.progress.say(text);
        }
    }
}

fn is_past(snapshot: &Snapshot, vms: u32, percent: u32) -> bool {
    u64::from(snapshot.migrated()) * 100 >= u64::from(vms) * u64::from(percent)
}

fn is_in_pre_copy(snapshot: &Snapshot) -> bool {
    snapshot.moving().any(|one| one.phase.as_deref() == Some(Phase::PreCopy.word()))
}

fn has_job(truth: &Truth) -> bool {
    truth.places.iter().any(|place| place.job)
}
