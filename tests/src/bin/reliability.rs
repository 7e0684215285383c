//! The `reliability` command: runs what measures reliability, writes its figures into docs/RELIABILITY.md, and shuts the gate
//! where one of the four that must be zero isn't. What it makes of the figures is in [`muster_tests::reliability`].

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use muster_tests::circumstances::commit;
use muster_tests::published::{FIGURES, MUTANTS, Published};
use muster_tests::reliability::mutants::{EXPLAINED, PARTS, Part};
use muster_tests::reliability::suites::{Call, Length, SETTINGS, SUITES, expected, names};
use muster_tests::reliability::{ReliabilityError, gate, house, mutants, page, read_all, text};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Figures of what was measured: publishes them, and holds them against what must be.
#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run suites, and write their figures into the page. Fails where a run does, or the gate is shut.
    Publish(Publish),
    /// Say of every run in a directory what must be zero. Fails where it isn't, where a file can't be read, and where a suite
    /// that every test run has on this machine has left nothing.
    Gate {
        /// Where MUSTER_FIGURES had them written.
        directory: PathBuf,
    },
    /// Hold what cargo-mutants has left against the list of explained mutants. Fails where a survivor isn't on it.
    Mutants {
        /// Its `mutants.out`.
        directory: PathBuf,
    },
}

#[derive(Args)]
struct Publish {
    /// How much is run.
    #[arg(long, value_enum, default_value = "quick")]
    length: Length,
    /// Only these suites.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(names()))]
    only: Vec<String>,
    /// Run nothing: take the figures that are in this directory.
    #[arg(long)]
    from: Option<PathBuf>,
    /// The page.
    #[arg(long, default_value_os_t = house().join("docs/RELIABILITY.md"))]
    page: PathBuf,
}

fn main() -> ExitCode {
    let done = match Command::parse().action {
        Action::Publish(publish) => run_and_publish(&publish),
        Action::Gate { directory } => shut(&directory, &expected()),
        Action::Mutants { directory } => {
            mutants::read(MUTANTS, &directory.join("outcomes.json"), &house().join(EXPLAINED)).map(|found| {
                println!("{}", found.published.table());
                found.faults
            })
        }
    };
    let faults = done.unwrap_or_else(|error| vec![error.to_string()]);
    faults.iter().for_each(|fault| eprintln!("reliability: {fault}"));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns what is wrong with what was run and found.
fn run_and_publish(order: &Publish) -> Result<Vec<String>, ReliabilityError> {
    let is_wanted = |name: &str| order.only.is_empty() || order.only.iter().any(|only| only == name);
    let (mut faults, mut wanted) = (Vec::new(), Vec::new());
    let directory = match &order.from {
        Some(directory) => directory.clone(),
        None => {
            let directory = house().join("target/figures/publish");
            fresh(&directory)?;
            for suite in SUITES.iter().filter(|suite| is_wanted(suite.name) && suite.can_run()) {
                wanted.push(suite.name);
                faults.extend(run(&suite.call(order.length), Some(&directory)));
            }
            if is_wanted(MUTANTS) {
                wanted.push(MUTANTS);
                faults.extend(try_mutants(order.length, &directory)?);
            }
            directory
        }
    };
    let read = read_all(&directory)?;
    let found: Vec<Published> = read.iter().flatten().filter(|found| is_wanted(&found.suite)).cloned().collect();
    let page = page::rewrite(&text(&order.page)?, &found)?;
    write(&order.page, &page.text)?;
    faults.extend(page.unplaced.iter().map(|run| format!("{run} has no place in {}", order.page.display())));
    faults.extend(shut(&directory, &wanted)?);
    Ok(faults)
}

/// Tells what is in a directory; returns why the gate is shut.
fn shut(directory: &Path, expected: &[&str]) -> Result<Vec<String>, ReliabilityError> {
    let gate = gate::judge(&read_all(directory)?, expected);
    println!("{}", gate.table);
    Ok(gate.faults)
}

/// Tries the mutants of `decide`, or of all the core.
fn try_mutants(length: Length, figures: &Path) -> Result<Vec<String>, ReliabilityError> {
    let mut faults = Vec::new();
    for part in PARTS.iter().filter(|part| length == Length::Long || part.is_quick) {
        let Part { name, .. } = part;
        let (output, commit) = (format!("target/mutants/{name}"), commit());
        fresh(&house().join(&output))?;
        // Survivors make it fail; which of them are explained is told below.
        let failed = run(&part.call(&output), None);
        let outcomes = house().join(&output).join("mutants.out/outcomes.json");
        let found = match mutants::read(name, &outcomes, &house().join(EXPLAINED)) {
            Ok(found) => found,
            Err(error) => {
                faults.extend(failed);
                faults.push(format!("{error}; `cargo install cargo-mutants --locked` has the command"));
                continue;
            }
        };
        Published { commit, ..found.published }.write_to(figures);
        faults.extend(found.faults);
    }
    Ok(faults)
}

/// Calls cargo in the workspace; returns what went wrong.
fn run(call: &Call, figures: Option<&Path>) -> Option<String> {
    let Call { arguments, settings } = call;
    let shown = format!("cargo {}", arguments.join(" "));
    println!("{shown}");
    let mut cargo = std::process::Command::new("cargo");
    cargo.args(arguments).current_dir(house());
    for setting in SETTINGS {
        cargo.env_remove(setting);
    }
    cargo.envs(settings.iter().copied()).envs(figures.map(|directory| (FIGURES, directory)));
    match cargo.status() {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("{shown}: {status}")),
        Err(error) => Some(format!("{shown}: {error}")),
    }
}

fn fresh(directory: &Path) -> Result<(), ReliabilityError> {
    let failed = |source| ReliabilityError::File { path: directory.to_owned(), action: "made", source };
    if directory.exists() {
        std::fs::remove_dir_all(directory).map_err(failed)?;
    }
    std::fs::create_dir_all(directory).map_err(failed)
}

fn write(path: &Path, text: &str) -> Result<(), ReliabilityError> {
    let failed = |source| ReliabilityError::File { path: path.to_owned(), action: "written", source };
    std::fs::write(path, text).map_err(failed)
}
