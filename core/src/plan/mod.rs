//! From a runbook and two inventories to the list of moves, or to everything that stands in the way. Pure.
//!
//! It says which VM moves how, in which wave and to which host; when it starts is [`crate::schedule`]'s to say. It must never leave
//! a VM out in silence: what was selected is planned or has a [`Finding`], and one that blocks refuses the whole.

mod choose;
mod finding;
mod fit;
mod place;

pub use finding::{FINDINGS_MAX, Finding, Problem, Severity};

use crate::definition::{Definition, Disk, Mode, TAGS_MAX};
use crate::evacuation;
use crate::ids::{EvacuationId, HostName, SiteName, VmId, VmName};
use crate::ledger::RollEntry;
use crate::preflight::Preflight;
use crate::reading::{Instance, Inventory, OffCause, Stored, VmListing};
use crate::runbook::selection::Turn;
use crate::runbook::{ModeChoice, Runbook};
use choose::Candidate;
use finding::Findings;
use place::Wanted;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Every move of an evacuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The site that is left.
    pub source: SiteName,
    /// The site that is moved to.
    pub destination: SiteName,
    /// The moves: by wave, then the largest memory first, then by id.
    pub moves: Vec<PlannedMove>,
    /// What a person should know, though it stops nothing.
    pub warnings: Vec<Finding>,
}

/// One VM's move.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedMove {
    /// The VM.
    pub vm: VmId,
    /// How it is moved.
    pub mode: Mode,
    /// Its wave, by its place among the runbook's, from 0.
    pub wave: usize,
    /// The host that has it.
    pub source_host: HostName,
    /// The host it is meant for.
    pub destination_host: HostName,
    /// Its real definition.
    pub definition: Definition,
    /// What else starts and stops it, as preflight found; none without a preflight.
    pub guardian: Option<String>,
    /// When it has its turn, and what it is worth.
    pub turn: Turn,
    /// What it is kept apart from, on hosts of their own.
    pub apart: Option<String>,
}

impl PlannedMove {
    /// What people call the VM.
    #[must_use]
    pub fn name(&self) -> &VmName {
        &self.definition.name
    }

    /// What is copied of its disk, in MiB; none where both sites reach it.
    #[must_use]
    pub fn disk_mib(&self) -> Option<u64> {
        match self.definition.disk {
            Disk::Shared => None,
            Disk::Local { size_mib } => Some(size_mib),
        }
    }

    /// The move as the journal has it, with nothing expected of it yet.
    #[must_use]
    pub fn to_journal(&self) -> evacuation::PlannedMove {
        evacuation::PlannedMove {
            vm: self.vm,
            name: self.name().clone(),
            mode: self.mode,
            // A runbook has at most 100 waves.
            wave: u32::try_from(self.wave).unwrap_or(u32::MAX),
            source_host: self.source_host.clone(),
            destination_host: self.destination_host.clone(),
            memory_mib: self.memory_mib(),
            guardian: self.guardian.clone(),
            disk_mib: self.disk_mib(),
            turn: self.turn.clone(),
            apart: self.apart.clone(),
            expected: None,
            tags: self.definition.tags.iter().take(TAGS_MAX).cloned().collect(),
        }
    }

    /// The room it takes, in MiB.
    #[must_use]
    pub fn memory_mib(&self) -> u64 {
        self.definition.memory_mib
    }
}

impl Plan {
    /// The entries of the roll, in the order of the moves.
    pub fn roll(&self, evacuation: EvacuationId) -> impl Iterator<Item = RollEntry> {
        self.moves.iter().map(move |planned| RollEntry {
            evacuation,
            vm: planned.vm,
            mode: planned.mode,
            source_site: self.source.clone(),
            destination_site: self.destination.clone(),
            destination_host: planned.destination_host.clone(),
            definition: planned.definition.clone(),
        })
    }
}

/// Plans an evacuation; without a preflight only from what the inventories show.
///
/// # Errors
/// Everything that was found if any of it blocks: what blocks first, then the warnings; at most [`FINDINGS_MAX`] of each.
pub fn plan(
    runbook: &Runbook,
    source: &Inventory,
    destination: &Inventory,
    preflight: Option<&Preflight>,
) -> Result<Plan, Vec<Finding>> {
    let (plan, findings) = lay_out(runbook, source, destination, preflight);
    let blocks = |finding: &Finding| finding.severity() == Severity::Blocking;
    if findings.iter().any(blocks) { Err(findings) } else { Ok(Plan { warnings: findings, ..plan }) }
}

/// The same, whatever blocks: the moves that have a host all the same, and everything that was found. For looking, not for moving.
#[must_use]
pub fn lay_out(
    runbook: &Runbook,
    source: &Inventory,
    destination: &Inventory,
    preflight: Option<&Preflight>,
) -> (Plan, Vec<Finding>) {
    let mut findings = Findings::default();
    silent_hosts(source, destination, &mut findings);
    let candidates = choose::candidates(runbook, source, &mut findings);
    let silent: BTreeSet<&HostName> = silent(source).collect();
    let there = by_vm(destination);
    let mut wanted = Vec::new();
    for candidate in candidates {
        at_source(candidate.listing, &silent, &mut findings);
        at_destination(candidate.listing, there.get(&candidate.listing.vm), &mut findings);
        let mode = mode(&candidate, &mut findings);
        wanted.push(Wanted { candidate, mode, unfit: BTreeSet::new() });
    }
    if let Some(preflight) = preflight {
        fit::rule_out(&mut wanted, preflight, runbook, destination, &mut findings);
    }
    let mut moves = place::place(&wanted, destination, &mut findings);
    if let Some(preflight) = preflight {
        for planned in &mut moves {
            planned.guardian = preflight.needs.get(&planned.vm).and_then(|needs| needs.guardian.clone());
        }
        fit::of_layout(&wanted, &moves, preflight, &mut findings);
        fit::of_whole(runbook, &moves, preflight, &mut findings);
    }
    let (source, destination) = (runbook.source.clone(), runbook.destination.clone());
    (Plan { source, destination, moves, warnings: Vec::new() }, findings.into_list())
}

/// The VMs of the source that a runbook's selections take, by id; whatever else may be wrong with them.
#[must_use]
pub fn selected(runbook: &Runbook, source: &Inventory) -> Vec<VmId> {
    let candidates = choose::candidates(runbook, source, &mut Findings::default());
    candidates.into_iter().map(|candidate| candidate.listing.vm).collect()
}

fn silent(site: &Inventory) -> impl Iterator<Item = &HostName> {
    site.hosts.iter().filter(|listing| !listing.answers).map(|listing| &listing.host)
}

fn by_vm(site: &Inventory) -> BTreeMap<VmId, Vec<&VmListing>> {
    let mut by_vm: BTreeMap<VmId, Vec<&VmListing>> = BTreeMap::new();
    for listing in &site.vms {
        by_vm.entry(listing.vm).or_default().push(listing);
    }
    by_vm
}

fn silent_hosts(source: &Inventory, destination: &Inventory, findings: &mut Findings) {
    for host in silent(source) {
        findings.site(Problem::SourceHostSilent { host: host.clone() });
    }
    for host in silent(destination) {
        findings.site(Problem::DestinationHostSilent { host: host.clone() });
    }
}

/// Whether the source can give the VM away.
fn at_source(listing: &VmListing, silent: &BTreeSet<&HostName>, findings: &mut Findings) {
    if silent.contains(&listing.host) {
        findings.vm(listing, Problem::OnSilentHost { host: listing.host.clone() });
    }
    match listing.stored {
        Stored::Real => {}
        Stored::Nothing => findings.vm(listing, Problem::NothingStored),
        Stored::Sealed => findings.vm(listing, Problem::Sealed),
        // `choose` lets one with an instance through, and no other.
        Stored::Retired | Stored::Placeholder | Stored::Arrived => findings.vm(listing, Problem::InertAndYetThere),
    }
}

/// Whether the destination is free of the VM. A retired copy and a placeholder are muster's own and make way.
fn at_destination(listing: &VmListing, there: Option<&Vec<&VmListing>>, findings: &mut Findings) {
    for copy in there.into_iter().flatten() {
        let inert = match (copy.stored, copy.instance) {
            (Stored::Retired | Stored::Placeholder | Stored::Arrived, Instance::Off(_)) => true,
            (
                Stored::Retired | Stored::Placeholder | Stored::Arrived,
                Instance::Incoming | Instance::Paused | Instance::Running,
            )
            | (Stored::Nothing | Stored::Real | Stored::Sealed, _) => false,
        };
        if !inert {
            findings.vm(listing, Problem::AlreadyAtDestination { host: copy.host.clone() });
        }
    }
}

/// How the VM is to be moved, and whether it can be. Where it can't, the mode returned is only there to go on with.
fn mode(candidate: &Candidate<'_>, findings: &mut Findings) -> Mode {
    let listing = candidate.listing;
    let wanted = candidate.selection.mode;
    let running = match listing.instance {
        Instance::Running => true,
        Instance::Off(cause) => {
            if cause == OffCause::Crashed {
                findings.vm(listing, Problem::Crashed);
            }
            false
        }
        Instance::Paused => {
            findings.vm(listing, Problem::Paused);
            return wanted.fixed().unwrap_or(Mode::Live);
        }
        Instance::Incoming => {
            findings.vm(listing, Problem::StillArriving);
            return wanted.fixed().unwrap_or(Mode::Live);
        }
    };
    let mode = match (wanted, running) {
        (ModeChoice::Live, _) | (ModeChoice::Auto, true) => Mode::Live,
        (ModeChoice::Cold, _) => Mode::Cold,
        (ModeChoice::Off, _) | (ModeChoice::Auto, false) => Mode::Off,
    };
    match (mode, running) {
        (Mode::Live, false) => findings.vm(listing, Problem::LiveButOff),
        (Mode::Off, true) => findings.vm(listing, Problem::OffButRuns),
        (Mode::Cold, false) => findings.vm(listing, Problem::ColdButOff),
        (Mode::Live | Mode::Cold, true) | (Mode::Off, false) => {}
    }
    mode
}
