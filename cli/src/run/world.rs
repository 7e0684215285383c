//! The daemon of a simulated world.

use super::daemon;
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::WorldOrder;
use crate::writer::Writer;
use muster_worker::hypervisor::sim::server::serve;

pub(super) async fn run(order: WorldOrder, writer: &Writer) -> Result<Exit, CliError> {
    let stop = daemon::stop_token(order.serving)?;
    let listener = daemon::bind(order.serving).await?;
    daemon::say_listening(&listener, writer)?;
    let served = serve(listener, order.config, stop).await;
    served.map_err(|error| CliError::Daemon { what: "the world", why: error.to_string(), class: error.class() })?;
    Ok(Exit::Done)
}
