//! The course of the demonstration: what is broken when, and what is waited for.

use super::fleet::WAITING;
use super::judge::{Sees, judge};
use super::stage::{Part, Stage};
use crate::error::CliError;
use crate::output::counted;
use crate::output::demo::{Demo, Kill, Planned};
use crate::output::roll_call::{self, RollCall};
use crate::run::Progress;
use crate::run::follow::{Follow, Snapshot};
use crate::writer::Writer;
use muster_core::ids::{SiteName, VmId};
use muster_core::reading::{Phase, Stored};
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

    /// Everything is broken, one after the other. Two transfers wait in their pre-copy for the faults that are to meet
    /// them, so that these fall into their moment however small the fleet is.
    pub(super) async fn broken(&mut self) -> Result<(), CliError> {
        let moments = Moments::of(self.report.vms);
        let waiting = self.stage.last_live_vms();
        for vm in &waiting {
            self.stand(Some(*vm), 1, Phase::PreCopy).await?;
        }
        self.until("a third of the VMs", |snapshot| snapshot.migrated() >= moments.third).await?;
        self.kill(Part::Orchestrator).await?;
        self.note_planned("the orchestrator killed at about a third", |at| at.open > 0).await?;
        self.restart(Part::Orchestrator).await?;
        self.until("more than half of the VMs", |snapshot| {
            snapshot.migrated() >= moments.half && is_in_pre_copy(snapshot)
        })
        .await?;
        self.kill(Part::DestinationWorker).await?;
        // Transfers are the hypervisors': one that is there now was there when the worker was killed.
        self.note_planned("the destination's worker killed in mid-transfer", |at| at.transfers > 0).await?;
        self.restart(Part::DestinationWorker).await?;
        self.stage.inject(Fault::ReleaseTransfers(waiting.first().copied())).await?;
        self.until("nine tenths of the VMs", |snapshot| snapshot.migrated() >= moments.nine_tenths).await?;
        self.lose_source(waiting.last().copied()).await?;
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
    async fn lose_source(&mut self, waiting: Option<VmId>) -> Result<(), CliError> {
        let standing = (self.report.vms / 50).clamp(1, 8);
        self.stand(None, standing, Phase::Finish).await?;
        self.stage.inject(Fault::ReleaseTransfers(waiting)).await?;
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
        self.note_planned("the source site unplugged with moves open", |at| at.begun > 0).await?;
        self.kill(Part::SourceWorker).await?;
        self.note_planned("the source's worker killed with its site", |at| at.begun > 0).await?;
        self.kill(Part::Orchestrator).await?;
        self.note_planned("the orchestrator killed with the source site", |at| at.begun > 0).await?;
        self.progress.finish(&self.follow.now());
        Ok(())
    }

    /// Has transfers, of one VM or of any, stand still as soon as they enter a phase.
    async fn stand(&self, vm: Option<VmId>, times: u32, phase: Phase) -> Result<(), CliError> {
        self.stage.inject(Fault::Rule(Rule { vm, times, kind: RuleKind::Phase(phase, Trap::Hold) })).await
    }

    /// Writes down whether a fault that has just been made has fallen into the moment that it was meant for, by the
    /// world's own truth.
    async fn note_planned(&mut self, fault: &'static str, in_its_moment: fn(&At) -> bool) -> Result<(), CliError> {
        let at = At::of(&self.stage.truth().await?, &self.stage.ordered.source);
        let happened = in_its_moment(&at);
        let At { open, begun, transfers } = at;
        self.report.planned_faults.push(Planned { fault, happened, open, begun, transfers });
        if !happened {
            let vms = counted(open, "VM", "VMs");
            self.say(&format!("{fault}: too late, {vms} still to arrive, {transfers} in transfer"));
        }
        Ok(())
    }

    /// The roll is called against the destination alone, and judged.
    async fn account_for_the_lost_source(&mut self) -> Result<(), CliError> {
        let (call, truths) = self.roll_call_of_a_still_world().await?;
        let wrong = judge("source lost", &call.lines, &truths, &self.stage.ordered, Sees::DestinationAlone);
        let agrees = truths.len().saturating_sub(wrong.len());
        self.tell("\nThe roll, called by \"muster recover\" from the destination alone:");
        self.tell(&roll_call::text(&call));
        let all = counted(u64::from(self.report.vms), "VM", "VMs");
        self.tell(&format!("The world's own truth agrees for {agrees} of {all}.\n"));
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

/// How many VMs have migrated when something is broken. Never more than all but the two that wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moments {
    third: u32,
    half: u32,
    nine_tenths: u32,
}

impl Moments {
    fn of(vms: u32) -> Moments {
        let percent = |percent: u32| (vms * percent).div_ceil(100).min(vms.saturating_sub(WAITING));
        Moments { third: (vms / 3).min(percent(100)), half: percent(55), nine_tenths: percent(88) }
    }
}

/// The moment of a fault, by the world's truth.
#[derive(Debug, Clone, Copy)]
struct At {
    /// VMs that have still to arrive.
    open: u64,
    /// Of these, those whose move has begun: sealed at the source.
    begun: u64,
    /// Jobs of hypervisors.
    transfers: u64,
}

impl At {
    fn of(truths: &[Truth], source: &SiteName) -> At {
        let count = |fits: &dyn Fn(&Truth) -> bool| {
            u64::try_from(truths.iter().filter(|truth| fits(truth)).count()).unwrap_or(u64::MAX)
        };
        let stored_at_source = |truth: &Truth, what: Stored| {
            truth.places.iter().any(|place| place.site == *source && place.stored == what)
        };
        let runs_elsewhere = |truth: &Truth| truth.runs_on().iter().any(|(site, _)| site != source);
        let is_open = |truth: &Truth| !stored_at_source(truth, Stored::Retired) && !runs_elsewhere(truth);
        At {
            open: count(&is_open),
            begun: count(&|truth| is_open(truth) && stored_at_source(truth, Stored::Sealed)),
            transfers: count(&has_job),
        }
    }
}

fn is_in_pre_copy(snapshot: &Snapshot) -> bool {
    snapshot.moving().any(|one| one.phase.as_deref() == Some(Phase::PreCopy.word()))
}

fn has_job(truth: &Truth) -> bool {
    truth.places.iter().any(|place| place.job)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_fall_while_vms_have_still_to_arrive_however_small_the_fleet() {
        for vms in fleet_sizes() {
            let Moments { third, half, nine_tenths } = Moments::of(vms);
            assert!((1..=half).contains(&third) && half <= nine_tenths && nine_tenths + WAITING <= vms, "{vms}");
        }
        assert_eq!(Moments::of(200), Moments { third: 66, half: 110, nine_tenths: 176 });
    }

    fn fleet_sizes() -> impl Iterator<Item = u32> {
        crate::demo::BREAKABLE_VMS_MIN..=20_000
    }
}
