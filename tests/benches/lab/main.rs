//! Measures an evacuation of the lab by muster against plain `virsh migrate`, one after the other and four at a time by
//! `xargs`, in one run and on the same guests.
//!
//! What happens to a guest is read from libvirt's own events, by `virsh event` on every host, for all three alike; so muster
//! is never asked how well it did. Between two trials the guests are brought back by `virsh`, and muster's ledgers begin anew.
//! Needs root. `-- --guests N --rounds N --memory-mib N --per-host N`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

mod daemons;
mod methods;
mod processor;
mod report;
mod watch;

use clap::Parser;
use muster_tests::Outcome;
use muster_tests::lab::{Kind, Lab, Order, judge};
use std::process::ExitCode;

/// The lab's name.
const LAB: &str = "measured";

/// Compare muster with `virsh migrate` in the lab.
#[derive(Parser)]
struct Terms {
    /// Guests in the lab, 1 to 100.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=100))]
    guests: u16,
    /// How often each way is measured, 1 to 100 times.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Memory of a guest, in MiB.
    #[arg(long, default_value_t = 8)]
    memory_mib: u32,
    /// Moves at a time on each host, by muster's runbook; without it, muster's default.
    #[arg(long)]
    per_host: Option<u32>,
    /// What cargo tells every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let terms = Terms::parse();
    let measured = measure(&terms).await;
    let down = Lab::down(LAB).map_err(|error| error.to_string());
    match measured.and_then(|trials| down.map(|()| trials)) {
        Ok(trials) => {
            println!("{}", report::table(&trials, terms.guests));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("not measured: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(terms: &Terms) -> Outcome<Vec<methods::Trial>> {
    let told = |error: muster_tests::lab::LabError| error.to_string();
    Lab::down(LAB).map_err(told)?;
    let mut lab = Lab::up(LAB).await.map_err(told)?;
    let order = Order { memory_mib: terms.memory_mib, ..Order::of(Kind::Quiet) };
    lab.add_guests(terms.guests, &order).await.map_err(told)?;
    let mut trials = Vec::new();
    for round in 0..terms.rounds {
        // Whoever is first in one round is last in the next: what grows slower over time is shared out.
        let mut ways = methods::Way::ALL;
        ways.rotate_left(usize::from(round) % methods::Way::ALL.len());
        for way in ways {
            let trial = methods::trial(&lab, way, terms.per_host).await?;
            eprintln!("round {}: {way}: {} ms", round + 1, trial.total_ms);
            trials.push(trial);
            nobody_ran_twice(&lab).await?;
            methods::bring_back(&lab).await?;
        }
    }
    Ok(trials)
}

/// A trial counts only where every guest is whole, at the destination and nowhere else.
async fn nobody_ran_twice(lab: &Lab) -> Outcome<()> {
    let opinions = lab.judge(judge::WATCH_MS).await.map_err(|error| error.to_string())?;
    let source = lab.source().map_err(|error| error.to_string())?;
    for opinion in opinions {
        let is_away = matches!(&opinion.answer, judge::Answer::Once { host } if *host != source.name);
        if !is_away {
            return Err(format!("{}: {}", opinion.guest, opinion.answer));
        }
    }
    Ok(())
}
