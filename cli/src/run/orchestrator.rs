//! The daemon that plans, schedules and drives evacuations.

use super::{Transport, daemon};
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::OrchestratorOrder;
use crate::writer::Writer;
use muster_core::class::Class;
use muster_core::env::Env;
use muster_orchestrator::{Orchestrator, OrchestratorParts, serve};
use muster_proto::channel::Counterpart;
use muster_recovery::link::Patience;
use muster_store::sqlite::SqliteJournal;
use std::sync::Arc;

/// The name that an orchestrator goes by in claims and in the journal.
const NAME: &str = "orchestrator";

pub(super) async fn run(
    order: OrchestratorOrder,
    env: Arc<dyn Env>,
    transport: &Transport,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let stop = daemon::stop_token(order.serving)?;
    transport.must_show("--tls", &Counterpart::Orchestrator)?;
    transport.keep_fresh(Arc::clone(&env), stop.clone());
    let path = order.journal;
    let opening = tokio::task::spawn_blocking(move || SqliteJournal::open(&path));
    let journal = opening.await.map_err(|error| failed(&format!("opening the journal: {error}"), Class::Bug))??;
    let listener = daemon::bind(order.serving).await?;
    let parts = OrchestratorParts {
        name: NAME.to_owned(),
        journal: Arc::new(journal),
        sites: order.sites,
        dial: transport.dial(),
        env,
        patience: Patience::default(),
        commands: order.commands,
    };
    let orchestrator = Orchestrator::start(parts).await.map_err(|error| failed(&error.to_string(), error.class()))?;
    daemon::say_listening(&listener, writer)?;
    // Whoever watches an evacuation is told of the end by the orchestrator itself, so it ends while it is still served.
    let ending = async {
        stop.cancelled().await;
        orchestrator.stop().await;
    };
    let serving = async {
        let served = serve(Arc::clone(&orchestrator), listener, transport.tls(), stop.clone()).await;
        stop.cancel();
        served
    };
    let (served, ()) = tokio::join!(serving, ending);
    served.map_err(|error| failed(&error.to_string(), Class::Retry))?;
    Ok(Exit::Done)
}

fn failed(why: &str, class: Class) -> CliError {
    CliError::Daemon { what: "the orchestrator", why: why.to_owned(), class }
}
