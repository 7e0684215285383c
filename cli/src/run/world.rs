//! The daemon of a simulated world.

use super::daemon;
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::WorldOrder;
use crate::writer::Writer;
use muster_worker::hypervisor::sim::engine;
use muster_worker::hypervisor::sim::server::serve_world;
use tokio_stream::wrappers::TcpListenerStream;

pub(super) async fn run(order: WorldOrder, writer: &Writer) -> Result<Exit, CliError> {
    let stop = daemon::stop_token(order.serving)?;
    let listener = daemon::bind(order.serving).await?;
    let failed = |why: String, class| CliError::Daemon { what: "the world", why, class };
    let world = engine::start(&order.config, stop.clone()).map_err(|error| failed(error.to_string(), error.class()))?;
    if let Some(fleet) = order.fleet {
        world.create_fleet(fleet).await.map_err(|error| failed(error.to_string(), error.class()))?;
    }
    daemon::say_listening(&listener, writer)?;
    let served = serve_world(world, TcpListenerStream::new(listener), stop).await;
    served.map_err(|error| failed(error.to_string(), error.class()))?;
    Ok(Exit::Done)
}
