//! Orders, carried out. Decides nothing about a VM; every answer it shows is a daemon's, or recovery's.

mod api;
mod audit;
mod client;
mod conformance;
mod daemon;
mod evacuate;
pub(crate) mod follow;
mod inspect;
mod ledger;
mod orchestrator;
mod pki;
mod plan;
mod predict;
mod progress;
mod recover;
mod transport;
mod waiting;
mod worker;
mod world;

pub(crate) use api::{Api, new_request};
pub(crate) use progress::Progress;
pub(crate) use transport::Transport;

use crate::demo;
use crate::env::SystemEnv;
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::Order;
use crate::writer::Writer;
use muster_core::env::Env;
use std::path::Path;
use std::sync::Arc;

/// Carries an order out.
pub(crate) async fn run(order: Order, tls: Option<&Path>, writer: &Writer) -> Result<Exit, CliError> {
    let env: Arc<dyn Env> = Arc::new(SystemEnv);
    let transport = Transport::open(tls, &order, env.as_ref())?;
    match order {
        Order::Demo(order) => demo::run(order, writer).await,
        Order::World(order) => world::run(order, writer).await,
        Order::Worker(order) => worker::run(order, env, &transport, writer).await,
        Order::Orchestrator(order) => orchestrator::run(order, env, &transport, writer).await,
        Order::Recover(order) => recover::run(*order, env, &transport, writer).await,
        Order::Inspect(order) => inspect::run(order, writer).await,
        Order::Conformance(order) => Box::pin(conformance::run(order, env, &transport, writer)).await,
        Order::Plan(order) => plan::run(order, env.as_ref(), &transport, writer).await,
        Order::Pki(order) => pki::run(order, env.as_ref(), writer),
        Order::Predict(order) => Ok(predict::run(&order, writer)),
        Order::Rebuild(order) => ledger::run(order, env, &transport, writer).await,
        Order::Trail(order) => audit::verify(order, writer),
        Order::Client(address, order) => client::run(address, order, &transport, writer).await,
    }
}
