//! The `muster` command: parse, validate, call, print.
//!
//! ```text
//! args     what may be written on the command line (clap)
//! orders   the same, validated as a whole: nothing is bound, opened or called before an order stands
//! run      carries an order out
//! demo     the demonstration: a simulated world, real processes, real kills, and a judge
//! output   what comes out, as stable JSON or for people
//! writer   the one place that prints
//! exit     exit codes
//! error    what can go wrong, and how to mend it
//! env      the one place that reads the clock and draws ids
//! ```
//! It composes the other crates and decides nothing about a VM itself.

#![forbid(unsafe_code)]

mod args;
mod demo;
mod env;
mod error;
mod exit;
mod orders;
mod output;
mod run;
mod writer;

use args::Cli;
use clap::Parser;
use error::CliError;
use exit::Exit;
use orders::Order;
use std::path::Path;
use std::process::ExitCode;
use writer::Writer;

/// Level of tracing where `MUSTER_LOG` says nothing.
const LOG_DEFAULT: &str = "warn";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return writer::usage(&error).into(),
    };
    let writer = Writer::new(cli.output);
    let tls = cli.tls.clone();
    let done = Order::try_from(cli).and_then(|order| carry_out(order, tls.as_deref(), &writer));
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            writer.error(&error);
            error.exit().into()
        }
    }
}

fn carry_out(order: Order, tls: Option<&Path>, writer: &Writer) -> Result<Exit, CliError> {
    trace()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::System { doing: "starting the runtime", source })?;
    let done = runtime.block_on(run::run(order, tls, writer));
    // What still waits for a blocking read (standard input) must not keep the process.
    runtime.shutdown_background();
    done
}

/// Tracing goes to standard error, by the filter in `MUSTER_LOG`.
fn trace() -> Result<(), CliError> {
    let filter = match std::env::var("MUSTER_LOG") {
        Ok(given) => tracing_subscriber::EnvFilter::try_new(&given).map_err(|error| CliError::Usage {
            what: format!("MUSTER_LOG {given:?} is not a filter: {error}"),
            mend: "write it like warn, or muster_worker=debug,info".to_owned(),
        })?,
        Err(_) => tracing_subscriber::EnvFilter::new(LOG_DEFAULT),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}
