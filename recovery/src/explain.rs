//! A verdict's reasons: the evidence about one VM, line by line, and what it proves. Words only; decides nothing.

use crate::roll_call::RollCallLine;
use muster_core::evidence::{Heard, Outcome};
use muster_core::ids::HostName;
use muster_core::ledger::{ArrivalRecord, RetiredCopy, SourceState, Standing};
use muster_core::reading::{Instance, OffCause, Sighting, SiteReading, Stored};
use muster_core::step::{Side, Step};
use muster_core::verdict::Verdict;

/// The evidence line by line, then the verdict and why, then what comes next.
#[must_use]
pub fn explain(line: &RollCallLine) -> Vec<String> {
    let entry = &line.entry;
    let mut lines = vec![
        format!("VM {} ({}), evacuation {}", entry.vm, entry.definition.name, entry.evacuation),
        format!("from site {} to site {}, host {}", entry.source_site, entry.destination_site, entry.destination_host),
    ];
    lines.extend(side(Side::Destination, &line.readings.destination));
    lines.extend(side(Side::Source, &line.readings.source));
    if line.evidence.source_fenced {
        lines.push("assertion: somebody has sworn that the source can't run it".to_owned());
    }
    if line.evidence.destination_host_fenced {
        lines.push("assertion: somebody has sworn that the destination host can't run anything".to_owned());
    }
    lines.push(format!("verdict: {}, since {}", line.decision.verdict, because(line.decision.verdict)));
    lines.push(format!("next: {}", next(line.decision.step)));
    lines
}

/// Why a verdict is what it is, in a sentence.
#[must_use]
pub fn because(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotStarted => "it is on the roll and no started record stands: it is at the source",
        Verdict::NotMigrated => {
            "a move was begun, no completion event stands and handover is ruled out: it is the source's"
        }
        Verdict::HandedOver => {
            "it is whole at the destination and the source is proven gone: only the event is missing"
        }
        Verdict::FullyMigrated => {
            "its completion event stands, or it runs at the destination with the source proven gone"
        }
        Verdict::MemoryLost => "no side has its running state any more; a disk is good",
        Verdict::SplitBrain => "two hosts run it",
        Verdict::Indeterminate(doubt) => doubt.sentence(),
    }
}

/// The next step in words.
#[must_use]
pub fn next(step: Step) -> String {
    match step {
        Step::ObserveFenced => "look again behind raised floors".to_owned(),
        Step::Act(action) => action.words().to_owned(),
        Step::Wait(_) => "wait for the job or call that is under way".to_owned(),
        Step::Hold(hold) => format!("hold: {}; {}", hold.sentence(), hold.remedy()),
        Step::Settled(Outcome::Migrated) => "nothing: migrated, the source's copy is Not Runnable".to_owned(),
        Step::Settled(Outcome::StayedAtSource) => "nothing: it stayed at the source, as before".to_owned(),
    }
}

fn side(side: Side, heard: &Heard<SiteReading>) -> Vec<String> {
    let reading = match heard {
        Heard::Silent => return vec![format!("{side}: silent; what it holds is unknown")],
        Heard::Answer(reading) => reading,
    };
    let mut lines = vec![
        format!("{side} ledger: {}", ledger(reading.standing.as_ref())),
        format!("{side} floor: {}", reading.floor),
    ];
    for sighting in &reading.sight.sightings {
        lines.push(format!("{side} host {}: {}", sighting.host, sighted(sighting)));
    }
    if reading.sight.sightings.is_empty() {
        lines.push(format!("{side} hosts: nothing of it is there"));
    }
    let silent: Vec<&str> = reading.sight.silent_hosts.iter().map(HostName::as_str).collect();
    if !silent.is_empty() {
        lines.push(format!("{side} hosts that do not answer: {}", silent.join(", ")));
    }
    if reading.mutation_under_way || reading.sight.call_under_way {
        lines.push(format!("{side}: a change to it is still under way"));
    }
    lines
}

fn ledger(standing: Option<&Standing>) -> String {
    match standing {
        None => "nothing is known of it".to_owned(),
        Some(Standing::Destination(at)) => {
            let record = match &at.record {
                ArrivalRecord::Enrolled => "on the roll, no started record".to_owned(),
                ArrivalRecord::Started(started) => {
                    format!("started record of attempt {} on {}, no event", started.attempt, started.host)
                }
                ArrivalRecord::Abandoned(started) => format!("attempt {} was given up for good", started.attempt),
                ArrivalRecord::Completed(completed) => {
                    let ran = if completed.ran.is_some() { "and it was let run" } else { "not yet let run" };
                    format!("completion event of attempt {}, {ran}", completed.started.attempt)
                }
                ArrivalRecord::Closed(closed) => format!("over: {}", outcome(closed.outcome)),
            };
            match at.leftovers.len() {
                0 => record,
                leftovers => format!("{record}; {leftovers} given-up attempts are to be cleaned up"),
            }
        }
        Some(Standing::Source(at)) => {
            let state = match &at.state {
                SourceState::Unsealed => "not sealed".to_owned(),
                SourceState::Sealed { transfer: None } => "sealed, no transfer begun".to_owned(),
                SourceState::Sealed { transfer: Some(transfer) } => match &transfer.failed {
                    None => format!("sealed, transfer of attempt {} begun", transfer.attempt),
                    Some(error) => format!("sealed, transfer of attempt {} failed: {error}", transfer.attempt),
                },
                SourceState::Gone { transfer } => format!("proven gone by attempt {}", transfer.attempt),
                SourceState::Retired => match at.retired_copy {
                    RetiredCopy::Kept => "retired: Not Runnable".to_owned(),
                    RetiredCopy::KeptUntil { at, .. } => {
                        format!("retired: Not Runnable, to be deleted at {} ms since 1970", at.0)
                    }
                    RetiredCopy::Deleted { .. } => "retired, and deleted when its time had come".to_owned(),
                },
            };
            if at.closed { format!("{state}; closed") } else { state }
        }
    }
}

fn sighted(sighting: &Sighting) -> String {
    let instance = match sighting.instance {
        Instance::Running => "running",
        Instance::Paused => "whole and paused",
        Instance::Incoming => "memory arriving",
        Instance::Off(OffCause::Migrated) => "off, migrated away",
        Instance::Off(OffCause::ShutDown) => "off",
        Instance::Off(OffCause::Crashed) => "off, crashed",
        Instance::Off(OffCause::Saved) => "off, its memory in a saved image",
        Instance::Off(OffCause::Unknown) => "off, the hypervisor does not know why",
    };
    let stored = match sighting.stored {
        Stored::Nothing => "no stored definition",
        Stored::Real => "its real definition",
        Stored::Placeholder => "an inert placeholder",
        Stored::Arrived => "an inert definition until its event",
        Stored::Sealed => "a sealed definition",
        Stored::Retired => "a retired definition, Not Runnable",
    };
    let mark = match sighting.mark {
        None => String::new(),
        Some(mark) => format!(", marked attempt {} of {}", mark.attempt, mark.evacuation),
    };
    let job = match sighting.job {
        None => String::new(),
        Some(job) => format!(", {} {} %", job.phase.word(), job.done_basis_points / 100),
    };
    format!("{instance}, {stored}{mark}{job}")
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Migrated => "migrated",
        Outcome::StayedAtSource => "stayed at the source",
    }
}
