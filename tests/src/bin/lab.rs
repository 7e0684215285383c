//! The `lab` command: brings the lab up, works with it, takes it down. All it does is in [`muster_tests::lab`].

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use clap::{Args, Parser, Subcommand, ValueEnum};
use muster_tests::lab::{Kind, Lab, LabError, Order, RELAY_COMMAND, Role, Shape, command, judge, packages};
use muster_tests::sites::{libvirt_configuration, runbook};
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
    /// Install from Debian what the lab needs; `up` does that too.
    Install,
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
    /// Write what muster needs to evacuate it: a configuration for the worker of each site, and a runbook.
    Configure {
        /// The folder that they are written to.
        folder: std::path::PathBuf,
    },
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
    /// Say of each guest where it runs, and whether it ever ran twice. Fails where one has.
    Judge {
        /// How long to watch their counters, in milliseconds.
        #[arg(long, default_value_t = judge::WATCH_MS)]
        watch_ms: u64,
    },
    /// Make the link between the sites long, slow, lossy; cut it, mend it.
    Link {
        #[command(flatten)]
        change: Option<LinkChange>,
        #[command(flatten)]
        shape: ShapeArguments,
    },
    /// Relay the link's frames; `link` runs this by itself.
    #[command(name = RELAY_COMMAND, hide = true)]
    Relay {
        #[command(flatten)]
        shape: ShapeArguments,
    },
    /// Break or mend a host.
    Host {
        /// The host.
        host: String,
        /// What happens to it.
        #[arg(value_enum)]
        fault: HostFault,
    },
    /// Kill a guest's QEMU.
    KillGuest {
        /// The host it is on.
        host: String,
        /// The guest.
        guest: String,
    },
}

#[derive(Args)]
#[group(multiple = false)]
struct LinkChange {
    /// Cut it: nothing passes, and nobody is told.
    #[arg(long)]
    cut: bool,
    /// Mend it after a cut, as long and lossy as it was.
    #[arg(long)]
    mend: bool,
    /// Make it short, fast and whole again.
    #[arg(long)]
    clear: bool,
}

#[derive(Args)]
struct ShapeArguments {
    /// How long a frame takes in each direction, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delay_ms: u32,
    /// How many of a hundred frames are lost.
    #[arg(long, default_value_t = 0.0)]
    loss_percent: f64,
    /// The most that passes in each direction, in Mbit a second.
    #[arg(long)]
    rate_mbit: Option<u32>,
    /// The seed of chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl ShapeArguments {
    fn shape(&self) -> Shape {
        Shape {
            delay_ms: self.delay_ms,
            // A float that is out of range becomes the nearest number, which is then refused or harmless.
            lost_per_million: (self.loss_percent * 10_000.0) as u32,
            rate_kbit: self.rate_mbit.map(|rate| rate.saturating_mul(1_000)),
            seed: self.seed,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum HostFault {
    /// Kill its libvirtd with -9; guests run on.
    KillLibvirtd,
    /// Start its libvirtd again.
    StartLibvirtd,
    /// Stop its libvirtd in its tracks.
    HangLibvirtd,
    /// Let that go on.
    ReleaseLibvirtd,
    /// The host dies, guests and all.
    Die,
    /// A dead host boots: guests with autostart start.
    Boot,
    /// Pull its wire.
    Unplug,
    /// Plug it in again.
    Plug,
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
        Action::Install => packages::install().await.map(|()| ExitCode::SUCCESS),
        Action::Up { fresh } => {
            packages::install().await?;
            if *fresh {
                Lab::down(name)?;
            }
            status(&Lab::up(name).await?).await
        }
        Action::Down => Lab::down(name).map(|()| ExitCode::SUCCESS),
        Action::Status => status(&Lab::open(name)?).await,
        Action::Configure { folder } => configure(&Lab::open(name)?, folder),
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
        Action::Judge { watch_ms } => tell_opinions(&Lab::open(name)?, *watch_ms).await,
        Action::Link { change, shape } => {
            change_link(&Lab::open(name)?, change.as_ref(), shape).await.map(|()| ExitCode::SUCCESS)
        }
        Action::Relay { shape } => relay(&Lab::open(name)?, shape).await,
        Action::Host { host, fault } => change_host(&Lab::open(name)?, host, *fault).await.map(|()| ExitCode::SUCCESS),
        Action::KillGuest { host, guest } => Lab::open(name)?.kill_guest(host, guest).await.map(|()| ExitCode::SUCCESS),
        Action::Exec { host, command } => {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            Ok(tell(&Lab::open(name)?.inside(host, &command, muster_tests::lab::LONG_LIMIT_MS).await?))
        }
    }
}

fn configure(lab: &Lab, folder: &std::path::Path) -> Result<ExitCode, LabError> {
    let record = lab.record();
    let side = |role| {
        let of_side = record.hosts.iter().find(|host| host.role == role);
        let name = of_side.map(|host| format!("{}.toml", host.site)).unwrap_or_default();
        (name, libvirt_configuration(record, role, None))
    };
    for (name, text) in [side(Role::Source), side(Role::Destination), ("evacuate.toml".to_owned(), runbook(record))] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| LabError::File {
            path: path.clone(),
            action: "written",
            source,
        })?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

async fn change_link(lab: &Lab, change: Option<&LinkChange>, shape: &ShapeArguments) -> Result<(), LabError> {
    match change {
        Some(LinkChange { cut: true, .. }) => lab.cut_link().await,
        Some(LinkChange { mend: true, .. }) => lab.mend_link().await,
        Some(_) => lab.clear_link().await,
        None => {
            let failed = |source| LabError::CantRun { command: "lab".to_owned(), source };
            let program = std::env::current_exe().map_err(failed)?;
            let mut arguments = vec!["--name".to_owned(), lab.record().name.clone(), RELAY_COMMAND.to_owned()];
            arguments.extend(["--delay-ms".to_owned(), shape.delay_ms.to_string()]);
            arguments.extend(["--loss-percent".to_owned(), shape.loss_percent.to_string()]);
            arguments.extend(shape.rate_mbit.iter().flat_map(|rate| ["--rate-mbit".to_owned(), rate.to_string()]));
            arguments.extend(["--seed".to_owned(), shape.seed.to_string()]);
            lab.lengthen_link_by(&program, &arguments).await
        }
    }
}

/// Relays until it is killed, which `lab link` and `lab down` do.
async fn relay(lab: &Lab, shape: &ShapeArguments) -> Result<ExitCode, LabError> {
    lab.lengthen_link(&shape.shape()).await?;
    println!("the link is relayed");
    std::future::pending().await
}

async fn change_host(lab: &Lab, host: &str, fault: HostFault) -> Result<(), LabError> {
    match fault {
        HostFault::KillLibvirtd => lab.kill_libvirtd(host).await,
        HostFault::StartLibvirtd => lab.start_libvirtd(host).await,
        HostFault::HangLibvirtd => lab.hang_libvirtd(host),
        HostFault::ReleaseLibvirtd => lab.release_libvirtd(host),
        HostFault::Die => lab.kill_host(host).await,
        HostFault::Boot => lab.boot_host(host).await,
        HostFault::Unplug => lab.unplug(host).await,
        HostFault::Plug => lab.plug(host).await,
    }
}

/// One line for each guest.
async fn tell_opinions(lab: &Lab, watch_ms: u64) -> Result<ExitCode, LabError> {
    let opinions = lab.judge(watch_ms).await?;
    for opinion in &opinions {
        let newest = opinion.newest().map(|newest| format!(", boot {} count {}", newest.boot, newest.count));
        println!("{} {}{}", opinion.guest, opinion.answer, newest.unwrap_or_default());
    }
    let is_red = opinions.iter().any(|opinion| opinion.answer.is_red());
    Ok(if is_red { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
