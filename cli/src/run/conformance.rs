//! Checks anybody's worker. The suite decides; this reaches the site, restarts it where it is told how, and shows what came of it.

use super::Transport;
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::ConformanceOrder;
use crate::output::conformance::text;
use crate::writer::Writer;
use futures::FutureExt;
use muster_core::env::Env;
use muster_proto::channel::Counterpart;
use muster_worker::conformance::{CaseResult, NOWHERE, Restart, Subject, check};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

/// How long the program that restarts the worker may take.
const RESTART_DEADLINE: Duration = Duration::from_secs(120);

pub(super) async fn run(
    order: ConformanceOrder,
    env: Arc<dyn Env>,
    transport: &Transport,
    writer: &Writer,
) -> Result<Exit, CliError> {
    let ConformanceOrder { site, partner, vm, worker_tls, restart_command } = order;
    let played = Counterpart::Worker(Some(NOWHERE.parse()?));
    let dial_as_worker = match (transport.tls(), worker_tls) {
        (None, _) => transport.dial(),
        (Some(_), Some(directory)) => {
            let worker = Transport::shown(&directory, env.as_ref())?;
            worker.must_show("--worker-tls", &played)?;
            worker.dial()
        }
        (Some(_), None) => {
            return Err(CliError::Usage {
                what: format!("--tls without --worker-tls: the suite also plays the worker of a site {NOWHERE}"),
                mend: format!(
                    "issue its certificate with \"muster pki issue worker {NOWHERE}\", and give its directory"
                ),
            });
        }
    };
    let (dial, restart) = (transport.dial(), restart_command.map(restart_by));
    let report = check(Subject { dial, dial_as_worker, site, partner, vm, restart, env }).await?;
    writer.result(&report, text);
    Ok(match (report.count(CaseResult::Failed), report.count(CaseResult::NotChecked)) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Held,
        (_, _) => Exit::Failed,
    })
}

fn restart_by(program: PathBuf) -> Restart {
    let program: Arc<Path> = program.into();
    Arc::new(move || {
        let program = Arc::clone(&program);
        async move { run_to_its_end(&program).await }.boxed()
    })
}

/// Runs the program, by itself: no shell, no arguments, nothing to read.
async fn run_to_its_end(program: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(RESTART_DEADLINE, command.status()).await;
    let program = program.display();
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program} ended with {status}")),
        Ok(Err(error)) => Err(format!("{program} can't be run: {error}")),
        Err(_) => Err(format!("{program} has not ended within {} s and was killed", RESTART_DEADLINE.as_secs())),
    }
}
