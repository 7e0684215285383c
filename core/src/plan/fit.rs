//! Preflight's part in a plan: which hosts it rules out for whom, and its findings, each told once.

use super::PlannedMove;
use super::finding::{Findings, Problem, Severity};
use super::place::Wanted;
use crate::ids::{HostName, VmId};
use crate::preflight::{Obstacle, Preflight};
use crate::reading::Inventory;
use crate::runbook::Runbook;
use std::collections::BTreeMap;

/// Rules hosts out for each VM. Where no host is left, what stands in the way on each is a finding.
pub(super) fn rule_out(
    wanted: &mut [Wanted<'_>],
    preflight: &Preflight,
    runbook: &Runbook,
    destination: &Inventory,
    findings: &mut Findings,
) {
    let answering: Vec<&HostName> =
        destination.hosts.iter().filter(|listing| listing.answers).map(|listing| &listing.host).collect();
    for wanted in wanted {
        for obstacle in preflight.of_vm(wanted.subject(), &runbook.guardians) {
            findings.vm(wanted.candidate.listing, Problem::Preflight { obstacle });
        }
        let allowed = answering.iter().filter(|host| wanted.candidate.selection.may_go_to(host));
        let of_hosts: Vec<(&HostName, Vec<Obstacle>)> =
            allowed.map(|host| (*host, blocking(preflight.on_host(wanted.subject(), host)))).collect();
        let none_is_left = !of_hosts.is_empty() && of_hosts.iter().all(|(_, obstacles)| !obstacles.is_empty());
        for (host, obstacles) in of_hosts.into_iter().filter(|(_, obstacles)| !obstacles.is_empty()) {
            wanted.unfit.insert(host.clone());
            for obstacle in obstacles.into_iter().filter(|_| none_is_left) {
                findings.vm(wanted.candidate.listing, Problem::Preflight { obstacle });
            }
        }
    }
}

/// What there is to say of each VM on the host that it was given.
pub(super) fn of_layout(wanted: &[Wanted<'_>], moves: &[PlannedMove], preflight: &Preflight, findings: &mut Findings) {
    let hosts: BTreeMap<VmId, &HostName> =
        moves.iter().map(|planned| (planned.vm, &planned.destination_host)).collect();
    for wanted in wanted {
        let listing = wanted.candidate.listing;
        let Some(host) = hosts.get(&listing.vm) else { continue };
        for obstacle in preflight.on_host(wanted.subject(), host) {
            findings.vm(listing, Problem::Preflight { obstacle });
        }
    }
}

/// What there is to say of the sites and of the plan as a whole.
pub(super) fn of_whole(runbook: &Runbook, moves: &[PlannedMove], preflight: &Preflight, findings: &mut Findings) {
    let of_sites = preflight.of_sites(&runbook.source, &runbook.destination);
    let of_plan = preflight.of_plan(moves, runbook.transfer.needs_tls);
    let of_guardians = preflight.of_guardians(&runbook.guardians, moves);
    for obstacle in of_sites.into_iter().chain(of_plan).chain(of_guardians) {
        findings.site(Problem::Preflight { obstacle });
    }
}

fn blocking(obstacles: Vec<Obstacle>) -> Vec<Obstacle> {
    obstacles.into_iter().filter(|obstacle| obstacle.severity() == Severity::Blocking).collect()
}
