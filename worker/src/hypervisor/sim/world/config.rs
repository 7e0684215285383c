//! What a world is made of when it begins. Data only.

use muster_core::ids::{HostName, IdError, SiteName};
use serde::{Deserialize, Serialize};

/// Most hosts that a world holds.
pub const HOSTS_MAX: usize = 4096;

/// A world before its first millisecond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldConfig {
    /// What every random choice of the world is drawn from.
    pub seed: u64,
    /// Its sites.
    pub sites: Vec<SiteConfig>,
    /// What joins them. Sites without a link can't reach each other.
    pub links: Vec<LinkConfig>,
    /// How long its hypervisors take.
    pub timing: Timing,
    /// What becomes of a source whose peer falls silent after all was sent.
    pub finish_break: FinishBreak,
    /// How its time passes.
    pub clock: Clock,
}

/// A site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteConfig {
    /// Its name.
    pub name: SiteName,
    /// Its hosts.
    pub hosts: Vec<HostConfig>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostConfig {
    /// Its name, unique within its site.
    pub name: HostName,
    /// Its memory for guests, in MiB.
    pub memory_mib: u64,
    /// Its cores.
    pub cores: u32,
    /// What its network card carries in each direction, in MiB per second.
    pub nic_mib_s: u64,
}

/// A link between two sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkConfig {
    /// The sites at its ends, in any order.
    pub between: (SiteName, SiteName),
    /// What it carries in each direction, in MiB per second.
    pub rate_mib_s: u64,
}

/// How long the world's hypervisors take, in simulated milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// From a call's arrival until it takes effect. At 0 it does so at once.
    pub call_ms: u64,
    /// A transfer's setup.
    pub setup_ms: u64,
    /// The finish phase: both sides settle who has the guest.
    pub finish_ms: u64,
    /// Pre-copy ends when what is left takes no longer than this to send.
    pub downtime_max_ms: u64,
    /// How long a restarting host daemon is silent.
    pub daemon_restart_ms: u64,
    /// How fast a copied disk is read back, in MiB per second; at least 1.
    pub verify_mib_s: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            call_ms: 5,
            setup_ms: 200,
            finish_ms: 50,
            downtime_max_ms: 300,
            daemon_restart_ms: 1_000,
            verify_mib_s: 2_000,
        }
    }
}

/// What becomes of a source, paused and with everything sent, when its peer falls silent before it has said so. The
/// destination's copy is whole and stays paused in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishBreak {
    /// It is let go, as in a transfer that went well.
    LetGo,
    /// It stays paused, with no job on it.
    StaysPaused,
    /// Its own hypervisor resumes it.
    Resumes,
    /// One of the three, drawn each time.
    BySeed,
}

/// How a world's time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    /// With the runtime's clock: this many simulated milliseconds for each of its own.
    Running {
        /// The time scale, at least 1.
        simulated_ms_per_ms: u32,
    },
    /// Only when told to.
    Manual,
}

impl WorldConfig {
    /// Two linked sites, `source` and `destination`, with `hosts` hosts each (`source-1`, …) of `memory_mib` MiB, 10 Gbit/s
    /// everywhere, and time as the runtime's.
    ///
    /// # Errors
    /// When a host's name would be none: never, for sane counts.
    pub fn two_sites(seed: u64, hosts: u32, memory_mib: u64) -> Result<Self, IdError> {
        let source: SiteName = "source".parse()?;
        let destination: SiteName = "destination".parse()?;
        let sites = vec![
            SiteConfig::uniform(source.clone(), hosts, memory_mib)?,
            SiteConfig::uniform(destination.clone(), hosts, memory_mib)?,
        ];
        Ok(WorldConfig {
            seed,
            sites,
            links: vec![LinkConfig { between: (source, destination), rate_mib_s: TEN_GIGABIT_MIB_S }],
            timing: Timing::default(),
            finish_break: FinishBreak::BySeed,
            clock: Clock::Running { simulated_ms_per_ms: 1 },
        })
    }
}

impl SiteConfig {
    /// A site of `hosts` equal hosts, named after it and counted from 1, with 32 cores and 10 Gbit/s each.
    ///
    /// # Errors
    /// When the site's name is too long to be part of a host's.
    pub fn uniform(name: SiteName, hosts: u32, memory_mib: u64) -> Result<Self, IdError> {
        let hosts = (1..=hosts)
            .map(|number| {
                let name: HostName = format!("{name}-{number}").parse()?;
                Ok(HostConfig { name, memory_mib, cores: 32, nic_mib_s: TEN_GIGABIT_MIB_S })
            })
            .collect::<Result<Vec<_>, IdError>>()?;
        Ok(SiteConfig { name, hosts })
    }
}

const TEN_GIGABIT_MIB_S: u64 = 1_192;
