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
mod plan;
mod predict;
mod progress;
mod recover;
mod waiting;
mod worker;
mod world;

pub(crate) use api::Api;
pub(crate) use progress::Progress;

use crate::demo;
use crate::env::SystemEnv;
use crate::error::CliError;
use crate::exit::Exit;
use crate::orders::Order;
use crate::writer::Writer;
use muster_core::env::Env;
use std::sync::Arc;

/// Carries an order out.
pub(crate) async fn run(order: Order, writer: &Writer) -> Result<Exit, CliError> {
    let env: Arc<dyn Env> = Arc::new(SystemEnv);
    match order {
        Order::Demo(order) => demo::run(order, writer).await,
        Order::World(order) => world::run(order, writer).await,
        Order::Worker(order) => worker::run(order, env, writer).await,
        Order::Orchestrator(order) => orchestrator::run(order, env, writer).await,
        Order::Recover(order) => recover::run(*order, env, writer).await,
        Order::Inspect(order) => inspect::run(order, writer).await,
        Order::Conformance(order) => Box::pin(conformance::run(order, env, writer)).await,
        Order::Plan(order) => plan::run(order, env.as_ref(), writer).await,
        Order::Predict(order) => Ok(predict::run(&order, writer)),
        Order::Rebuild(order) => ledger::run(order, env, writer).await,
        Order::Client(address, order) => client::run(address, order, writer).await,
    }
}
