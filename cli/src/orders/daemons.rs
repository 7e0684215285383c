//! What daemons, the making of their files and the demonstration are told.

use super::{address, on_loopback, usage};
use crate::args::{DemoArgs, OrchestratorArgs, RebuildArgs, WorkerArgs, WorldArgs};
use crate::demo::BREAKABLE_VMS_MIN;
use crate::error::CliError;
use muster_core::ids::{CommandName, IdError, SiteName};
use muster_orchestrator::Program;
use muster_proto::channel::{SiteAddress, require_loopback};
use muster_worker::hypervisor::sim::world::{
    Clock, FinishBreak, FleetSpec, HOSTS_MAX, LinkConfig, SiteConfig, Timing, WorldConfig,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a daemon listens and when it stops besides on signals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serving {
    pub(crate) listen: SocketAddr,
    pub(crate) stop_with_stdin: bool,
}

#[derive(Debug)]
pub(crate) struct OrchestratorOrder {
    pub(crate) serving: Serving,
    pub(crate) journal: PathBuf,
    pub(crate) sites: BTreeMap<SiteName, SiteAddress>,
    pub(crate) commands: BTreeMap<CommandName, Program>,
}

#[derive(Debug)]
pub(crate) struct WorkerOrder {
    pub(crate) serving: Serving,
    pub(crate) site: SiteName,
    pub(crate) ledger: PathBuf,
    pub(crate) hypervisor: HypervisorAt,
    pub(crate) peers: BTreeMap<SiteName, SiteAddress>,
}

/// A ledger that is to be made anew.
#[derive(Debug)]
pub(crate) struct RebuildOrder {
    pub(crate) site: SiteName,
    pub(crate) ledger: PathBuf,
    pub(crate) hypervisor: HypervisorAt,
    pub(crate) peers: BTreeMap<SiteName, SiteAddress>,
    pub(crate) without_silent_peers: bool,
    pub(crate) without_silent_hosts: bool,
}

/// A site's hypervisors.
#[derive(Debug)]
pub(crate) enum HypervisorAt {
    /// In a simulated world that listens here.
    Simulated(SiteAddress),
    /// Real ones, spoken to through libvirt, as this file says.
    Libvirt(PathBuf),
}

#[derive(Debug)]
pub(crate) struct WorldOrder {
    pub(crate) serving: Serving,
    pub(crate) config: WorldConfig,
    /// The VMs that the first site has in the beginning.
    pub(crate) fleet: Option<FleetSpec>,
}

#[derive(Debug)]
pub(crate) struct DemoOrder {
    pub(crate) vms: u32,
    pub(crate) seed: u64,
    pub(crate) faults: bool,
    pub(crate) keep: Option<PathBuf>,
}

impl TryFrom<OrchestratorArgs> for OrchestratorOrder {
    type Error = CliError;
    fn try_from(args: OrchestratorArgs) -> Result<Self, CliError> {
        let sites = named_addresses("--site", &args.sites)?;
        let commands = commands(&args.commands)?;
        Ok(OrchestratorOrder { serving: serving(&args.daemon)?, journal: args.journal, sites, commands })
    }
}

impl TryFrom<WorkerArgs> for WorkerOrder {
    type Error = CliError;
    fn try_from(args: WorkerArgs) -> Result<Self, CliError> {
        let site: SiteName = args.site.parse()?;
        let peers = peers_of(&site, &args.peers)?;
        Ok(WorkerOrder {
            serving: serving(&args.daemon)?,
            site,
            ledger: args.ledger,
            hypervisor: hypervisor(&args.hypervisor)?,
            peers,
        })
    }
}

impl TryFrom<RebuildArgs> for RebuildOrder {
    type Error = CliError;
    fn try_from(args: RebuildArgs) -> Result<Self, CliError> {
        let site: SiteName = args.site.parse()?;
        let peers = peers_of(&site, &args.peers)?;
        Ok(RebuildOrder {
            site,
            ledger: args.ledger,
            hypervisor: hypervisor(&args.hypervisor)?,
            peers,
            without_silent_peers: args.without_silent_peers,
            without_silent_hosts: args.without_silent_hosts,
        })
    }
}

impl TryFrom<WorldArgs> for WorldOrder {
    type Error = CliError;
    fn try_from(args: WorldArgs) -> Result<Self, CliError> {
        let mut counts: BTreeMap<SiteName, u32> = BTreeMap::new();
        for given in &args.sites {
            let (name, hosts): (SiteName, &str) = pair("--site", given, "paris=4")?;
            let hosts = hosts.parse::<u32>().ok().filter(|hosts| (1..=HOSTS_MAX).contains(&(*hosts as usize)));
            let hosts = hosts.ok_or_else(|| CliError::Usage {
                what: format!("--site {given}: not a number of hosts"),
                mend: format!("give 1 to {HOSTS_MAX}"),
            })?;
            if counts.insert(name.clone(), hosts).is_some() {
                return Err(twice("--site", name.as_str()));
            }
        }
        let mut sites = Vec::new();
        for (name, hosts) in &counts {
            let mut site = SiteConfig::uniform(name.clone(), *hosts, args.host_memory_mib)?;
            site.hosts.iter_mut().for_each(|host| host.nic_mib_s = args.nic_mib_s);
            sites.push(site);
        }
        let names: Vec<SiteName> = counts.into_keys().collect();
        let links = names.iter().enumerate().flat_map(|(at, first)| {
            let rate_mib_s = args.link_mib_s;
            names[at + 1..]
                .iter()
                .map(move |second| LinkConfig { between: (first.clone(), second.clone()), rate_mib_s })
        });
        let first = args.sites.first().and_then(|given| given.split_once('=')).map(|(name, _)| name.parse());
        let fleet = match first {
            Some(Ok(site)) if args.vms > 0 => {
                // Disks of their own would need a runbook that says which VMs may be shut down, and guests that write faster
                // than they can be copied one that says when to give up.
                Some(FleetSpec { local_disk: 0, busy: 0, ..FleetSpec::mixed(args.seed, site, args.vms) })
            }
            Some(Ok(_) | Err(_)) | None => None,
        };
        let config = WorldConfig {
            seed: args.seed,
            links: links.collect(),
            sites,
            timing: Timing::default(),
            finish_break: FinishBreak::BySeed,
            clock: Clock::Running { simulated_ms_per_ms: args.time_scale },
        };
        let serving = serving(&args.daemon)?;
        // A world has no security at all.
        require_loopback(serving.listen).map_err(|error| usage("--listen", &error))?;
        Ok(WorldOrder { serving, config, fleet })
    }
}

impl TryFrom<DemoArgs> for DemoOrder {
    type Error = CliError;
    fn try_from(args: DemoArgs) -> Result<Self, CliError> {
        if let Some(directory) = &args.keep
            && std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
        {
            return Err(CliError::Usage {
                what: format!("--keep {}: the directory is not empty", directory.display()),
                mend: "give an empty one, or one that is not there yet".to_owned(),
            });
        }
        if !args.no_faults && args.vms < BREAKABLE_VMS_MIN {
            return Err(CliError::Usage {
                what: format!("--vms {}: too few to break anything on the way", args.vms),
                mend: format!("give {BREAKABLE_VMS_MIN} or more, or --no-faults"),
            });
        }
        Ok(DemoOrder { vms: args.vms, seed: args.seed, faults: !args.no_faults, keep: args.keep })
    }
}

fn serving(args: &crate::args::DaemonArgs) -> Result<Serving, CliError> {
    let listen = match args.listen.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => args.listen.parse().ok(),
    };
    let listen = listen.ok_or_else(|| CliError::Usage {
        what: format!("--listen {:?} is not an address", args.listen),
        mend: "write it like 127.0.0.1:7700, with port 0 for any free one".to_owned(),
    })?;
    Ok(Serving { listen, stop_with_stdin: args.stop_with_stdin })
}

fn peers_of(site: &SiteName, given: &[String]) -> Result<BTreeMap<SiteName, SiteAddress>, CliError> {
    let peers = named_addresses("--peer", given)?;
    if peers.contains_key(site) {
        return Err(CliError::Usage {
            what: format!("--peer {site}: this is the site itself"),
            mend: "name the other sites alone".to_owned(),
        });
    }
    Ok(peers)
}

fn named_addresses(flag: &str, given: &[String]) -> Result<BTreeMap<SiteName, SiteAddress>, CliError> {
    let mut addresses = BTreeMap::new();
    for one in given {
        let (name, at): (SiteName, &str) = pair(flag, one, "paris=127.0.0.1:7701")?;
        if addresses.insert(name.clone(), address(flag, at)?).is_some() {
            return Err(twice(flag, name.as_str()));
        }
    }
    Ok(addresses)
}

fn commands(given: &[String]) -> Result<BTreeMap<CommandName, Program>, CliError> {
    let mut commands = BTreeMap::new();
    for one in given {
        let (name, path): (CommandName, &str) = pair("--command", one, "pacemaker-unmanage=/usr/local/bin/unmanage")?;
        let program = Program::at(PathBuf::from(path)).map_err(|error| usage(&format!("--command {name}"), &error))?;
        if commands.insert(name.clone(), program).is_some() {
            return Err(twice("--command", name.as_str()));
        }
    }
    Ok(commands)
}

fn pair<'a, N>(flag: &str, given: &'a str, example: &str) -> Result<(N, &'a str), CliError>
where
    N: FromStr<Err = IdError>,
{
    let Some((name, value)) = given.split_once('=') else {
        return Err(CliError::Usage {
            what: format!("{flag} {given:?} has no '='"),
            mend: format!("write it like {flag} {example}"),
        });
    };
    Ok((name.parse()?, value))
}

fn twice(flag: &str, name: &str) -> CliError {
    CliError::Usage { what: format!("{flag} {name} is given twice"), mend: "give each name once".to_owned() }
}

fn hypervisor(given: &str) -> Result<HypervisorAt, CliError> {
    match given.split_once(':') {
        Some(("sim", at)) => Ok(HypervisorAt::Simulated(on_loopback("--hypervisor", at)?)),
        Some(("libvirt", file)) if !file.is_empty() => Ok(HypervisorAt::Libvirt(PathBuf::from(file))),
        Some(_) | None => Err(CliError::Usage {
            what: format!("--hypervisor {given:?} is of no known kind"),
            mend: "write libvirt:FILE, with the site's libvirt configuration, or sim:ADDR, with the address of a simulated world".to_owned(),
        }),
    }
}
