//! Waiting for a recovery: how it goes on standard error, its deadline, and Ctrl-C. Ending the wait loses nothing.

use super::Api;
use super::follow::{Follow, Snapshot};
use crate::error::CliError;
use crate::output::moves::phase;
use crate::output::roll_call::{Line, Unconfirmed};
use crate::writer::{Writer, stderr_is_terminal};
use indicatif::{ProgressBar, ProgressStyle};
use muster_core::env::Env;
use muster_core::ids::VmId;
use muster_proto::status::{Fault, TRANSPORT};
use muster_proto::v1 as wire;
use muster_recovery::recover::{Course, RecoverOrder, Recovered, Sites, Standing, recover_on_course};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// How often it is looked how it goes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a plain line is written where something has changed; nothing is written before.
const CHANGE_EVERY: Duration = Duration::from_secs(2);
/// How often one is written at least.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Most VMs that a line names.
const NAMED_MAX: usize = 3;
/// Wait before an orchestrator that has gone away is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long it may stay away.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The roll, as an orchestrator has called it.
pub(super) struct Called {
    pub(super) lines: Vec<Line>,
    /// The sites whose ledgers nobody confirms to be whole.
    pub(super) unconfirmed: Vec<Unconfirmed>,
}

/// Has the orchestrator recover, and waits for the roll call.
pub(super) async fn at_orchestrator(
    api: &Api,
    request: wire::RecoverEvacuationRequest,
    longest: Duration,
    writer: &Writer,
) -> Result<Called, CliError> {
    if !request.apply {
        return ask(api, request).await.map_err(|status| api.failed(&status));
    }
    let mut interrupt = interrupts()?;
    let follow = Follow::start(api.clone(), request.evacuation.clone());
    let mut shown = Shown::new(writer);
    let called = ask_again(api, request, longest);
    tokio::pin!(called);
    loop {
        tokio::select! {
            biased;
            called = &mut called => {
                shown.clear();
                return called;
            }
            _ = interrupt.recv() => {
                shown.clear();
                let what = "what was ordered goes on at the orchestrator: see \"muster status --watch\"";
                return Err(CliError::Left { what });
            }
            () = tokio::time::sleep(LOOK_EVERY) => shown.show(&of_snapshot(&follow.now())),
        }
    }
}

/// Asks with the same request until there is an answer: an orchestrator that is killed and started again goes on.
async fn ask_again(
    api: &Api,
    mut request: wire::RecoverEvacuationRequest,
    longest: Duration,
) -> Result<Called, CliError> {
    let began = Instant::now();
    let mut silent_since: Option<Instant> = None;
    loop {
        let asked = Instant::now();
        let left = longest.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        request.wait_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let status = match ask(api, request.clone()).await {
            Ok(called) => return Ok(called),
            Err(status) => status,
        };
        if asked.elapsed() > SILENCE_MAX {
            // It was there until now.
            silent_since = None;
        }
        let since = *silent_since.get_or_insert_with(Instant::now);
        if Fault::from(&status).reason != TRANSPORT || since.elapsed() > SILENCE_MAX {
            return Err(api.failed(&status));
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn ask(api: &Api, request: wire::RecoverEvacuationRequest) -> Result<Called, tonic::Status> {
    let mut stream = api.client().recover_evacuation(request).await?.into_inner();
    let mut called = Called { lines: Vec::new(), unconfirmed: Vec::new() };
    while let Some(mut line) = stream.message().await? {
        let lonely = std::mem::take(&mut line.unconfirmed_ledgers).into_iter();
        called.unconfirmed.extend(lonely.map(|of| Unconfirmed { site: Some(of.site), as_of_ms: of.as_of_ms }));
        called.lines.push(Line::from(line));
    }
    Ok(called)
}

/// Recovers from the workers. At the deadline, or with Ctrl-C, it stops sending and calls the roll; with a second Ctrl-C it
/// ends at once.
pub(super) async fn at_workers(
    sites: &Sites,
    env: &Arc<dyn Env>,
    order: &RecoverOrder,
    longest: Duration,
    writer: &Writer,
) -> Result<Recovered, CliError> {
    if !order.apply {
        return Ok(muster_recovery::recover::recover(sites, env, order).await?);
    }
    let mut interrupt = interrupts()?;
    let course = Course::default();
    let mut shown = Shown::new(writer);
    let deadline = tokio::time::sleep(longest);
    let recovered = recover_on_course(sites, env, order, &course);
    tokio::pin!(recovered, deadline);
    loop {
        let stopping = course.stop.is_cancelled();
        tokio::select! {
            biased;
            recovered = &mut recovered => {
                shown.clear();
                return Ok(recovered?);
            }
            _ = interrupt.recv() => {
                shown.clear();
                if stopping {
                    let what = "what the sites were told goes on there; the claim stays: recover again";
                    return Err(CliError::Left { what });
                }
                writer.note("interrupted; what the sites were told goes on there. Now the roll is called");
                course.stop.cancel();
            }
            () = &mut deadline, if !stopping => {
                shown.clear();
                writer.note("the deadline has passed; what the sites were told goes on there. Now the roll is called");
                course.stop.cancel();
            }
            () = tokio::time::sleep(LOOK_EVERY) => shown.show(&of_standing(&course.standing(), sites)),
        }
    }
}

/// Ctrl-C, from here on.
fn interrupts() -> Result<Signal, CliError> {
    signal(SignalKind::interrupt()).map_err(|source| CliError::System { doing: "listening for Ctrl-C", source })
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Now {
    ended: usize,
    total: usize,
    rest: String,
}

fn of_snapshot(snapshot: &Snapshot) -> Now {
    let moving: Vec<String> = snapshot.moving().map(|one| with(&one.name, &phase(one))).collect();
    let mut rest = under_way(&moving);
    let mut ended = 0;
    if let Some(evacuation) = &snapshot.evacuation {
        let counts = evacuation.counts;
        ended = counts.migrated.saturating_add(counts.stayed_at_source);
        rest = format!("{rest}, {} waiting, {} held", counts.waiting, counts.held);
        rest = evacuation.warnings.last().map_or(rest.clone(), |warning| format!("{rest}; {warning}"));
    }
    if snapshot.silent.is_some() {
        rest.push_str("; the orchestrator does not answer");
    }
    Now {
        ended: ended.try_into().unwrap_or(usize::MAX),
        total: snapshot.total().try_into().unwrap_or(usize::MAX),
        rest,
    }
}

fn of_standing(standing: &Standing, sites: &Sites) -> Now {
    let named = |(vm, name): (&VmId, &muster_core::ids::VmName)| with(name.as_str(), &phase_of(*vm, sites));
    let moving: Vec<String> = standing.under_way.iter().map(named).collect();
    Now { ended: standing.ended, total: standing.total, rest: under_way(&moving) }
}

/// The phase of a VM's transfer and how much of it is done, as its source told last.
fn phase_of(vm: VmId, sites: &Sites) -> String {
    let reading = sites.source.as_ref().and_then(|source| source.feed().last_reading(vm));
    let job = reading.as_deref().and_then(|reading| reading.sight.sightings.iter().find_map(|seen| seen.job));
    job.map(|job| format!("{} {} %", job.phase.word(), job.done_basis_points / 100)).unwrap_or_default()
}

fn with(name: &str, phase: &str) -> String {
    if phase.is_empty() { name.to_owned() } else { format!("{name} {phase}") }
}

fn under_way(moving: &[String]) -> String {
    let mut named: Vec<&str> = moving.iter().take(NAMED_MAX).map(String::as_str).collect();
    if moving.len() > NAMED_MAX {
        named.push("…");
    }
    let names = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    format!("{} under way{names}", moving.len())
}

/// A bar on a terminal, a plain line now and then elsewhere.
struct Shown {
    writer: Writer,
    bar: Option<ProgressBar>,
    said: Instant,
    last: Option<Now>,
}

impl Shown {
    fn new(writer: &Writer) -> Self {
        let bar = stderr_is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} settled, {msg}");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Shown { writer: writer.clone(), bar, said: Instant::now(), last: None }
    }

    fn show(&mut self, now: &Now) {
        if let Some(bar) = &self.bar {
            bar.set_length(now.total.try_into().unwrap_or(u64::MAX));
            bar.set_position(now.ended.try_into().unwrap_or(u64::MAX));
            bar.set_message(now.rest.clone());
            return;
        }
        let since = self.said.elapsed();
        let has_changed = self.last.as_ref() != Some(now);
        if since >= LINE_EVERY || has_changed && since >= CHANGE_EVERY {
            self.writer.note(&format!("recovering: {} of {} settled, {}", now.ended, now.total, now.rest));
            (self.said, self.last) = (Instant::now(), Some(now.clone()));
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
