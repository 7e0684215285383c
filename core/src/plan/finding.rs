//! What preflight finds, for a person to read: what, why it matters, what to do.

use crate::ids::{HostName, VmId, VmName};
use crate::preflight::Obstacle;
use crate::reading::VmListing;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most findings of each severity; where there are more, a last one says how many.
pub const FINDINGS_MAX: usize = 1_000;

/// Something about a VM or a site that a person has to know before the evacuation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// The VM it is about; none if it is about a selection or a site.
    pub vm: Option<VmId>,
    /// Its name.
    pub name: Option<VmName>,
    /// What was found.
    pub problem: Problem,
}

/// Whether a finding stops the evacuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// It does: nothing is begun.
    Blocking,
    /// It doesn't.
    Warning,
}

/// What can be found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    /// A selection takes no VM of the source.
    MatchesNothing {
        /// Its wave.
        wave: String,
        /// Its place in the wave, from 1.
        selection: usize,
    },
    /// More than one selection takes the VM.
    SelectedTwice {
        /// The waves of these selections; one wave twice if both are its own.
        waves: Vec<String>,
    },
    /// The source has it on several hosts.
    SeveralAtSource {
        /// The hosts.
        hosts: Vec<HostName>,
    },
    /// The destination has something with its UUID that is neither retired nor a placeholder.
    AlreadyAtDestination {
        /// The host that has it.
        host: HostName,
    },
    /// No host that it may go to has room for it, with the other moves of the plan placed.
    NoRoom {
        /// What it needs, in MiB.
        needed_mib: u64,
        /// What the freest of these hosts has left, in MiB.
        most_free_mib: u64,
    },
    /// Every host that it may go to has, by this plan, a VM that the runbook keeps apart from it.
    NoHostApart {
        /// By what name.
        apart: String,
    },
    /// No host of the destination is one that a selection allows, or none of those answers.
    NoHostAllowed {
        /// Its wave.
        wave: String,
        /// Its place in the wave, from 1.
        selection: usize,
    },
    /// The destination has no host that answers.
    NoDestinationHost,
    /// To be moved live, and it is off.
    LiveButOff,
    /// To be moved powered off, and it runs.
    OffButRuns,
    /// Somebody has paused it.
    Paused,
    /// Its memory is arriving at the source from somewhere else.
    StillArriving,
    /// Its definition is sealed: it belongs to another evacuation that isn't over.
    Sealed,
    /// The host has no definition of it stored, only the instance.
    NothingStored,
    /// It has an instance, though its definition is retired or a placeholder.
    InertAndYetThere,
    /// The source host that had it does not answer.
    OnSilentHost {
        /// The host.
        host: HostName,
    },
    /// To be moved cold, and it is off.
    ColdButOff,
    /// It has crashed.
    Crashed,
    /// Selected copies that are retired, since their VMs have moved away already.
    RetiredLeftOut {
        /// How many.
        count: usize,
    },
    /// Selected placeholders: their VMs are elsewhere and about to come to the source.
    PlaceholdersLeftOut {
        /// How many.
        count: usize,
    },
    /// A host of the source does not answer.
    SourceHostSilent {
        /// The host.
        host: HostName,
    },
    /// A host of the destination does not answer.
    DestinationHostSilent {
        /// The host.
        host: HostName,
    },
    /// Something that preflight found on the sites.
    Preflight {
        /// What.
        obstacle: Obstacle,
    },
    /// More findings than can be shown, all of this severity.
    More {
        /// How many.
        count: usize,
        /// What they are.
        severity: Severity,
    },
}

impl Finding {
    /// Whether it stops the evacuation.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.problem.severity()
    }
}

impl Finding {
    /// Whether it says that a host did not answer: what is found beside it may be found for that alone.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(
            self.problem,
            Problem::SourceHostSilent { .. } | Problem::DestinationHostSilent { .. } | Problem::OnSilentHost { .. }
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(vm), Some(name)) = (self.vm, &self.name) {
            write!(formatter, "{name} ({vm}): ")?;
        }
        write!(formatter, "{}: {}; {}", self.problem.what(), self.problem.why(), self.problem.mend())
    }
}

impl Problem {
    /// Whether it stops the evacuation.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Problem::MatchesNothing { .. }
            | Problem::SelectedTwice { .. }
            | Problem::SeveralAtSource { .. }
            | Problem::AlreadyAtDestination { .. }
            | Problem::NoRoom { .. }
            | Problem::NoHostApart { .. }
            | Problem::NoHostAllowed { .. }
            | Problem::NoDestinationHost
            | Problem::LiveButOff
            | Problem::OffButRuns
            | Problem::Paused
            | Problem::StillArriving
            | Problem::Sealed
            | Problem::NothingStored
            | Problem::InertAndYetThere
            | Problem::OnSilentHost { .. } => Severity::Blocking,
            Problem::ColdButOff
            | Problem::Crashed
            | Problem::RetiredLeftOut { .. }
            | Problem::PlaceholdersLeftOut { .. }
            | Problem::SourceHostSilent { .. }
            | Problem::DestinationHostSilent { .. } => Severity::Warning,
            Problem::Preflight { obstacle } => obstacle.severity(),
            Problem::More { severity, .. } => *severity,
        }
    }

    /// What was found, in a few words.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Problem::MatchesNothing { wave, selection } => {
                format!("selection {selection} of wave \"{wave}\" matches nothing")
            }
            Problem::SelectedTwice { waves } => {
                format!("selected more than once, by waves \"{}\"", waves.join("\", \""))
            }
            Problem::SeveralAtSource { hosts } => format!("on several hosts of the source: {}", names(hosts)),
            Problem::AlreadyAtDestination { host } => format!("its UUID is at the destination already, on {host}"),
            Problem::NoRoom { needed_mib, most_free_mib } => {
                format!("no host has room: it needs {needed_mib} MiB, the freest has {most_free_mib} MiB left")
            }
            Problem::NoHostApart { apart } => {
                format!("every host that it may go to takes another VM with apart = \"{apart}\"")
            }
            Problem::NoHostAllowed { wave, selection } => {
                format!("destination_hosts of selection {selection} of wave \"{wave}\" match no host that answers")
            }
            Problem::NoDestinationHost => "no host of the destination answers".to_owned(),
            Problem::LiveButOff => "mode \"live\", but it is off".to_owned(),
            Problem::OffButRuns => "mode \"off\", but it runs".to_owned(),
            Problem::Paused => "it is paused".to_owned(),
            Problem::StillArriving => "its memory is still arriving at the source".to_owned(),
            Problem::Sealed => "it is sealed".to_owned(),
            Problem::NothingStored => "no definition of it is stored".to_owned(),
            Problem::InertAndYetThere => "it has an instance beside an inert definition".to_owned(),
            Problem::OnSilentHost { host } => format!("its host {host} does not answer"),
            Problem::ColdButOff => "mode \"cold\", and it is off".to_owned(),
            Problem::Crashed => "it has crashed".to_owned(),
            Problem::RetiredLeftOut { count } => format!("{count} retired copies are left out"),
            Problem::PlaceholdersLeftOut { count } => format!("{count} placeholders are left out"),
            Problem::SourceHostSilent { host } => format!("host {host} of the source does not answer"),
            Problem::DestinationHostSilent { host } => format!("host {host} of the destination does not answer"),
            Problem::Preflight { obstacle } => obstacle.what(),
            Problem::More { count, .. } => format!("{count} more"),
        }
    }

    /// Why it matters.
    #[must_use]
    pub fn why(&self) -> &'static str {
        match self {
            Problem::MatchesNothing { .. } => "a selection that takes nothing is most likely a slip",
            Problem::SelectedTwice { .. } => "it is not clear when and how it is to be moved",
            Problem::SeveralAtSource { .. } => "it is not clear which of them is the VM",
            Problem::AlreadyAtDestination { .. } => "two VMs with one UUID can't be told apart",
            Problem::NoRoom { .. } => "its placeholder could not be made",
            Problem::NoHostApart { .. } => "one host's end would be the end of more than one of them",
            Problem::NoHostAllowed { .. } | Problem::NoDestinationHost => "its VMs have nowhere to go",
            Problem::LiveButOff => "a VM that is off has no memory to move",
            Problem::OffButRuns => "it would have to be shut down, which this mode never does",
            Problem::Paused => "whoever paused it may want it so; a move would let it run",
            Problem::StillArriving => "it isn't the source's yet",
            Problem::Sealed => "it belongs to another evacuation that isn't over, and can be in one only",
            Problem::NothingStored => "what isn't stored can't be sealed or brought back",
            Problem::InertAndYetThere => "no move leaves such a thing; somebody or some fault has changed it",
            Problem::OnSilentHost { .. } => "it can't be known whether it runs",
            Problem::ColdButOff => "it will be started at the destination",
            Problem::Crashed => "it is moved powered off unless its mode starts it",
            Problem::RetiredLeftOut { .. } => "their VMs have moved away already",
            Problem::PlaceholdersLeftOut { .. } => "their VMs are about to come here by another evacuation",
            Problem::SourceHostSilent { .. } => "VMs that only it knows of are not in this plan",
            Problem::DestinationHostSilent { .. } => "nothing is sent to it, and it may hold a UUID of the plan unseen",
            Problem::Preflight { obstacle } => obstacle.why(),
            Problem::More { .. } => "there are too many to show",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn mend(&self) -> &'static str {
        match self {
            Problem::MatchesNothing { .. } => "mend its names, tags, hosts or ids, or take it out",
            Problem::SelectedTwice { .. } => "leave it out of all but one, for instance with except = { waves = […] }",
            Problem::SeveralAtSource { .. } => "remove what is stale there by hand",
            Problem::AlreadyAtDestination { .. } => {
                "find out whose it is; move it away, delete it, or except the VM here"
            }
            Problem::NoRoom { .. } => "make room, allow more destination_hosts, or except some VMs",
            Problem::NoHostApart { .. } => "allow more destination_hosts, or give fewer VMs that name",
            Problem::NoHostAllowed { .. } => "mend destination_hosts, or bring the hosts back",
            Problem::NoDestinationHost => "bring its hosts back",
            Problem::LiveButOff => "use mode \"auto\" or \"off\", or start it",
            Problem::OffButRuns => "use mode \"auto\", \"live\" or \"cold\", or shut it down",
            Problem::Paused => "resume it or shut it down",
            Problem::StillArriving => "wait until it has arrived",
            Problem::Sealed => "let that evacuation end or recover it, or except the VM",
            Problem::NothingStored => "store its definition (libvirt: make it persistent), or except it",
            Problem::InertAndYetThere => "recover the evacuation it belonged to, or except it",
            Problem::OnSilentHost { .. } => "bring the host back, or except it",
            Problem::ColdButOff => "use mode \"off\" to keep it powered off",
            Problem::Crashed => "start it first if it should run there",
            Problem::RetiredLeftOut { .. } | Problem::PlaceholdersLeftOut { .. } => "nothing",
            Problem::SourceHostSilent { .. } | Problem::DestinationHostSilent { .. } => {
                "bring it back first, or go on without it"
            }
            Problem::Preflight { obstacle } => obstacle.mend(),
            Problem::More { .. } => "mend those shown first",
        }
    }
}

fn names(hosts: &[HostName]) -> String {
    hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", ")
}

/// Findings as they are made, bounded, and never so that one which blocks is forgotten.
#[derive(Debug, Default)]
pub(super) struct Findings {
    blocking: Bounded,
    warnings: Bounded,
}

#[derive(Debug, Default)]
struct Bounded {
    found: Vec<Finding>,
    more: usize,
}

impl Findings {
    pub(super) fn vm(&mut self, listing: &VmListing, problem: Problem) {
        let name = Some(listing.definition.name.clone());
        self.add(Finding { vm: Some(listing.vm), name, problem });
    }

    pub(super) fn site(&mut self, problem: Problem) {
        self.add(Finding { vm: None, name: None, problem });
    }

    fn add(&mut self, finding: Finding) {
        let bounded = match finding.severity() {
            Severity::Blocking => &mut self.blocking,
            Severity::Warning => &mut self.warnings,
        };
        if bounded.found.len() < FINDINGS_MAX {
            bounded.found.push(finding);
        } else {
            bounded.more += 1;
        }
    }

    /// What blocks, then the warnings.
    pub(super) fn into_list(self) -> Vec<Finding> {
        let mut list = self.blocking.into_list(Severity::Blocking);
        list.extend(self.warnings.into_list(Severity::Warning));
        list
    }
}

impl Bounded {
    fn into_list(mut self, severity: Severity) -> Vec<Finding> {
        if self.more > 0 {
            let problem = Problem::More { count: self.more, severity };
            self.found.push(Finding { vm: None, name: None, problem });
        }
        self.found
    }
}
