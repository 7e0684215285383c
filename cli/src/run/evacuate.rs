//! Starts an evacuation, and watches it to its end.

use super::api::new_request;
use super::follow::{Follow, Snapshot};
use super::{Api, Progress};
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::AfterStart;
use crate::output::evacuation::{Evacuation, Validated, status_text, text, validated_text};
use crate::writer::Writer;
use muster_core::ids::RequestId;
use std::time::Duration;
use tokio::time::Instant;

/// How long an orchestrator may be silent before watching is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub(super) async fn run(
    api: &Api,
    runbook: &str,
    then: AfterStart,
    request: Option<RequestId>,
    by: &str,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let request = request.map_or_else(new_request, |given| given.to_string());
    match then {
        AfterStart::NothingStarted => {
            writer.result(&Validated::from(api.create(request, runbook, true, by).await?), validated_text);
            Ok(Exit::Done)
        }
        AfterStart::Leave => {
            let evacuation: Evacuation = api.create(request, runbook, false, by).await?.into();
            writer.result(&evacuation, text);
            Ok(Exit::Done)
        }
        AfterStart::Watch => {
            let evacuation = api.create(request, runbook, false, by).await?.evacuation;
            writer.note(&format!("evacuation {evacuation}"));
            watch(api, &evacuation, writer).await
        }
    }
}

/// Shows how an evacuation goes, until it has ended or all that is left of it is held.
pub(super) async fn watch(api: &Api, evacuation: &str, writer: &Writer) -> Result<Exit, CliError> {
    let mut follow = Follow::start(api.clone(), evacuation.to_owned());
    let mut progress = if writer.is_json() { Progress::silent(writer) } else { Progress::new(writer) };
    let mut silence = Silence { since: None };
    let last = loop {
        let snapshot = match tokio::time::timeout(SILENCE_MAX, follow.changed()).await {
            Ok(snapshot) => snapshot?,
            Err(_) => follow.now(),
        };
        progress.show(&snapshot);
        if let (true, Some(evacuation)) = (writer.is_json(), &snapshot.evacuation) {
            writer.result(evacuation, text);
        }
        if snapshot.is_finished() || snapshot.only_held_left() {
            break snapshot;
        }
        silence.note(&snapshot)?;
    };
    progress.finish(&last);
    if let (false, Some(status)) = (writer.is_json(), last.status()) {
        writer.result(&status, status_text);
    }
    Ok(exit(&last))
}

/// 0 if all that was to move has moved, 3 if some are held, 1 if some stayed though nobody cancelled.
fn exit(snapshot: &Snapshot) -> Exit {
    match &snapshot.evacuation {
        Some(evacuation) if evacuation.counts.held > 0 => Exit::Held,
        Some(evacuation) if evacuation.counts.stayed_at_source > 0 && !evacuation.cancelled => Exit::Failed,
        Some(_) => Exit::Done,
        None => Exit::Failed,
    }
}

/// Since when an orchestrator has been silent.
struct Silence {
    since: Option<Instant>,
}

impl Silence {
    /// Gives up once it has been silent for too long.
    fn note(&mut self, snapshot: &Snapshot) -> Result<(), CliError> {
        let Some(why) = &snapshot.silent else {
            self.since = None;
            return Ok(());
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < SILENCE_MAX {
            return Ok(());
        }
        let mend = format!("{why}; the evacuation itself may go on, see \"muster status\"");
        Err(CliError::Overdue { what: "the orchestrator's answer".to_owned(), waited_s: SILENCE_MAX.as_secs(), mend })
    }
}
