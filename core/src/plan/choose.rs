//! Which VMs of the source the runbook's selections take. Never takes one twice.

use super::by_vm;
use super::finding::{Findings, Problem};
use crate::reading::{Instance, Inventory, Stored, VmListing};
use crate::runbook::Runbook;
use crate::runbook::selection::Selection;
use std::collections::BTreeSet;

/// A VM that exactly one selection takes.
pub(super) struct Candidate<'a> {
    pub(super) listing: &'a VmListing,
    /// The place of its wave, from 0.
    pub(super) wave: usize,
    pub(super) wave_name: &'a str,
    /// The place of the selection in its wave, from 0.
    pub(super) place: usize,
    pub(super) selection: &'a Selection,
}

/// The VMs selected, by id.
pub(super) fn candidates<'a>(
    runbook: &'a Runbook,
    source: &'a Inventory,
    findings: &mut Findings,
) -> Vec<Candidate<'a>> {
    let mut matched = BTreeSet::new();
    let mut candidates = Vec::new();
    let (mut retired, mut arriving) = (0, 0);
    for listings in by_vm(source).into_values() {
        let here: Vec<&VmListing> = listings.iter().copied().filter(|listing| is_here(listing)).collect();
        let Some(listing) = here.first().copied() else {
            for listing in listings.into_iter().take(1).filter(|listing| !takers(runbook, listing).is_empty()) {
                match listing.stored {
                    Stored::Retired => retired += 1,
                    Stored::Placeholder | Stored::Arrived | Stored::Nothing | Stored::Real | Stored::Sealed => {
                        arriving += 1;
                    }
                }
            }
            continue;
        };
        // A VM on two hosts may be selected by either of them, and is refused by whichever it is.
        let mut takers: Vec<Candidate<'a>> = here.iter().flat_map(|listing| takers(runbook, listing)).collect();
        matched.extend(takers.iter().map(|candidate| (candidate.wave, candidate.place)));
        if takers.is_empty() {
            continue;
        }
        if here.len() > 1 {
            let hosts = here.iter().map(|listing| listing.host.clone()).collect();
            findings.vm(listing, Problem::SeveralAtSource { hosts });
        } else if takers.len() > 1 {
            let waves = takers.iter().map(|candidate| candidate.wave_name.to_owned()).collect();
            findings.vm(listing, Problem::SelectedTwice { waves });
        } else {
            candidates.append(&mut takers);
        }
    }
    if retired > 0 {
        findings.site(Problem::RetiredLeftOut { count: retired });
    }
    if arriving > 0 {
        findings.site(Problem::PlaceholdersLeftOut { count: arriving });
    }
    unmatched(runbook, &matched, findings);
    candidates
}

/// The selections that take this VM; an exception for earlier waves holds for what these take of the same listing.
fn takers<'a>(runbook: &'a Runbook, listing: &'a VmListing) -> Vec<Candidate<'a>> {
    let mut takers = Vec::new();
    let mut waves = BTreeSet::new();
    for (number, wave) in runbook.waves.iter().enumerate() {
        let before = waves.clone();
        for (place, selection) in wave.selections.iter().enumerate() {
            if selection.takes(listing) && selection.except.waves.is_disjoint(&before) {
                takers.push(Candidate { listing, wave: number, wave_name: &wave.name, place, selection });
                waves.insert(number);
            }
        }
    }
    takers
}

/// Whether the VM itself is there, and not only what muster left of it or keeps ready for it.
fn is_here(listing: &VmListing) -> bool {
    match (listing.stored, listing.instance) {
        (Stored::Real | Stored::Sealed | Stored::Nothing, _) => true,
        (Stored::Retired | Stored::Placeholder | Stored::Arrived, Instance::Running)
        | (Stored::Retired, Instance::Paused) => true,
        (Stored::Retired, Instance::Off(_) | Instance::Incoming)
        | (Stored::Placeholder | Stored::Arrived, Instance::Off(_) | Instance::Incoming | Instance::Paused) => false,
    }
}

fn unmatched(runbook: &Runbook, matched: &BTreeSet<(usize, usize)>, findings: &mut Findings) {
    for (number, wave) in runbook.waves.iter().enumerate() {
        for place in (0..wave.selections.len()).filter(|place| !matched.contains(&(number, *place))) {
            findings.site(Problem::MatchesNothing { wave: wave.name.clone(), selection: place + 1 });
        }
    }
}
