//! The `lab` command: brings the lab up, works with it, takes it down. All it does is in [`muster_tests::lab`].

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use clap::{Args, Parser, Subcommand, ValueEnum};
use muster_tests::lab::{Kind, Lab, LabError, Order, command};
use std::process::ExitCode;

/// Two real libvirt sites on one machine, in namespaces of their own. Needs root.
#[derive(Parser)]
struct Command {
    /// The lab's name; labs of different names know nothing of each other.
    #[arg(long, global = true, default_value = "lab")]
    name: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Bring it up.
    Up {
        /// Take down first what is up under this name.
        #[arg(long)]
        fresh: bool,
    },
    /// Take it down, without a trace.
    Down,
    /// Say what is there.
    Status,
    /// Add guests at the source, and start them.
    Guests(Guests),
    /// Run virsh against a host.
    Virsh {
        /// The host.
        host: String,
        /// What virsh is to do.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run a program in a host's namespaces.
    Exec {
        /// The host.
        host: String,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Args)]
struct Guests {
    #[command(subcommand)]
    action: GuestsAction,
}

#[derive(Subcommand)]
enum GuestsAction {
    /// Add guests at the source, and start them.
    Add {
        /// How many.
        count: u16,
        /// What kind.
        #[arg(long, value_enum, default_value = "quiet")]
        kind: KindArgument,
        /// Memory of each, in MiB.
        #[arg(long)]
        memory_mib: Option<u32>,
        /// What each rewrites in a second, in KiB; the dirty kind only.
        #[arg(long)]
        dirty_kib_per_second: Option<u32>,
        /// Disk of each, in MiB.
        #[arg(long)]
        disk_mib: Option<u32>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArgument {
    /// Counts, on a shared disk.
    Quiet,
    /// Rewrites its memory all the time.
    Dirty,
    /// Counts, on a disk of its host's own.
    Local,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    match Box::pin(act(&command)).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(deeper) = cause {
                eprintln!("  {deeper}");
                cause = deeper.source();
            }
            ExitCode::from(if matches!(error, LabError::NotRoot) { 2 } else { 1 })
        }
    }
}

async fn act(command: &Command) -> Result<ExitCode, LabError> {
    let name = &command.name;
    match &command.action {
        Action::Up { fresh } => {
            if *fresh {
                Lab::down(name)?;
            }
            status(&Lab::up(name).await?).await
        }
        Action::Down => Lab::down(name).map(|()| ExitCode::SUCCESS),
        Action::Status => status(&Lab::open(name)?).await,
        Action::Guests(Guests { action }) => {
            let GuestsAction::Add { count, kind, memory_mib, dirty_kib_per_second, disk_mib } = action;
            let mut order = Order::of(match kind {
                KindArgument::Quiet => Kind::Quiet,
                KindArgument::Dirty => Kind::Dirty,
                KindArgument::Local => Kind::Local,
            });
            order.memory_mib = memory_mib.unwrap_or(order.memory_mib);
            order.dirty_kib_per_second = dirty_kib_per_second.unwrap_or(order.dirty_kib_per_second);
            order.disk_mib = disk_mib.unwrap_or(order.disk_mib);
            let added = Lab::open(name)?.add_guests(*count, &order).await?;
            println!("{}", added.join(" "));
            Ok(ExitCode::SUCCESS)
        }
        Action::Virsh { host, arguments } => {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Ok(tell(&Lab::open(name)?.virsh(host, &arguments).await?))
        }
        Action::Exec { host, command } => {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            Ok(tell(&Lab::open(name)?.inside(host, &command, muster_tests::lab::LONG_LIMIT_MS).await?))
        }
    }
}

fn tell(ran: &command::Ran) -> ExitCode {
    print!("{}", ran.stdout);
    eprint!("{}", ran.stderr);
    if ran.success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn status(lab: &Lab) -> Result<ExitCode, LabError> {
    for host in &lab.record().hosts {
        println!("{} ({}): {}", host.name, host.site, host.libvirt_uri);
        let listed = lab.virsh(&host.name, &["list", "--all"]).await?;
        print!("{}{}", listed.stdout, listed.stderr);
    }
    let whole = lab.is_whole();
    println!("{}", if whole { "all of it is there" } else { "NOT all of it is there" });
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
