//! The demonstration: an evacuation on simulated sites, by real processes, that survives being broken.
//!
//! ```text
//! stage    the processes: a world, two workers, an orchestrator; and what they are asked
//! fleet    the VMs, drawn from the seed, and the runbook
//! course   what is broken when, and what is waited for
//! judge    compares every verdict with the world's truth
//! process  a daemon as a child process
//! ```
//! It uses muster as anybody would, by its commands and its API. Only the judge reads the world's truth.

mod course;
mod fleet;
mod judge;
mod process;
mod stage;

use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::DemoOrder;
use crate::output::counted;
use crate::output::demo::{Demo, text};
use crate::run::follow::Follow;
use crate::run::{Progress, new_request};
use crate::writer::Writer;
use course::Course;
pub(crate) use fleet::BREAKABLE_VMS_MIN;
use judge::{Sees, judge, not_arrived};
use muster_worker::hypervisor::sim::world::Truth;
use stage::Stage;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// As whom the demonstration orders.
const BY: &str = "demo";

/// Runs the demonstration. Interrupted, it kills what it has started.
pub(crate) async fn run(order: DemoOrder, writer: &Writer) -> Result<Exit, CliError> {
    let failed = |source| CliError::System { doing: "listening for signals", source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        biased;
        _ = interrupt.recv() => Err(CliError::Interrupted),
        _ = terminate.recv() => Err(CliError::Interrupted),
        done = Box::pin(play(order, writer)) => done,
    }
}

async fn play(order: DemoOrder, writer: &Writer) -> Result<Exit, CliError> {
    let place = Place::prepare(order.keep.clone())?;
    let mut report = Demo { vms: order.vms, seed: order.seed, faults: order.faults, ..Demo::default() };
    let done = perform(&order, place.path(), writer, &mut report).await;
    match done {
        Ok(()) => {
            report.kept_in = place.kept();
            writer.result(&report, text);
            Ok(if report.passed { Exit::Done } else { Exit::Failed })
        }
        Err(error) => {
            writer.note(&format!("muster: the files of this demonstration are kept in {}", place.keep().display()));
            Err(error)
        }
    }
}

async fn perform(order: &DemoOrder, directory: &Path, writer: &Writer, report: &mut Demo) -> Result<(), CliError> {
    let begun = Instant::now();
    let mut stage = Stage::set(order, directory).await?;
    let api = stage.api().await?;
    report.evacuation = api.create(new_request(), &stage.runbook, false, BY).await?.evacuation;
    if !writer.is_json() {
        let (hosts, vms) = (stage.size.hosts, counted(u64::from(order.vms), "VM", "VMs"));
        writer.note(&format!("{vms} on {hosts} hosts of a simulated site, evacuation {}", report.evacuation));
    }
    let follow = Follow::start(api, report.evacuation.clone());
    let progress = if writer.is_json() { Progress::silent(writer) } else { Progress::new(writer) };
    let mut course = Course { stage: &mut stage, follow, progress, writer, report, begun };
    if order.faults {
        course.broken().await?
    } else {
        course.undisturbed().await?
    }
    conclude(&stage, report).await?;
    report.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(())
}

/// The last roll call, and what the truth says of everything.
async fn conclude(stage: &Stage, report: &mut Demo) -> Result<(), CliError> {
    let call = stage.roll_call().await?;
    let truths = stage.truth().await?;
    report.wrong.extend(judge("at the end", &call.lines, &truths, &stage.ordered, Sees::Both));
    report.wrong_verdicts = count(report.wrong.len());
    let strays = not_arrived(&truths, &stage.ordered);
    let count_of = |fits: fn(&Truth) -> bool| count(truths.iter().filter(|truth| fits(truth)).count());
    report.ran_twice = count_of(|truth| truth.ran_twice || truth.disk_writers_max > 1);
    report.lost = count_of(|truth| truth.lost);
    report.ran_stale = count_of(|truth| truth.ran_stale);
    report.ran_on_partial_disk = count_of(|truth| truth.ran_on_partial_disk);
    report.definition_changed = count_of(|truth| !truth.definition_intact);
    report.migrated = call.verdicts.get("FullyMigrated").copied().unwrap_or(0);
    report.verdicts = call.verdicts;
    let harm = report.ran_twice
        + report.lost
        + report.ran_stale
        + report.ran_on_partial_disk
        + report.definition_changed
        + report.wrong_verdicts
        + count(strays.len());
    let all_there = truths.len() == stage.fleet.len() && report.migrated == u64::from(report.vms);
    let broken_as_planned = report.planned_faults.iter().all(|planned| planned.happened);
    let came_back_well = report.settled_after_return != Some(false);
    report.passed = harm == 0 && all_there && call.settled && broken_as_planned && came_back_well;
    report.wrong.extend(strays);
    Ok(())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Where ledgers, journal, runbook and output are.
enum Place {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Place {
    fn prepare(keep: Option<PathBuf>) -> Result<Place, CliError> {
        match keep {
            Some(path) => {
                let failed = |source| CliError::File { path: path.clone(), doing: "making the directory", source };
                std::fs::create_dir_all(&path).map_err(failed)?;
                Ok(Place::Kept(path))
            }
            None => {
                let failed = |source| CliError::System { doing: "making a temporary directory", source };
                tempfile::Builder::new().prefix("muster-demo-").tempdir().map(Place::Temporary).map_err(failed)
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Place::Temporary(directory) => directory.path(),
            Place::Kept(path) => path,
        }
    }

    /// Where it stays, if it does.
    fn kept(&self) -> Option<String> {
        match self {
            Place::Temporary(_) => None,
            Place::Kept(path) => Some(path.display().to_string()),
        }
    }

    /// Keeps it in any case.
    fn keep(self) -> PathBuf {
        match self {
            Place::Temporary(directory) => directory.keep(),
            Place::Kept(path) => path,
        }
    }
}
