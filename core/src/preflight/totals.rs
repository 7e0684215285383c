//! A plan's sums against what a host or an owner allows: processors, room for disks, licences; and the hosts that take part.

use super::survey::{HostSurvey, LicenceUnit};
use super::{LINK_SLOW_BELOW_MBIT_S, Obstacle, Preflight, place_for_copy, products, survey_of};
use crate::definition::Mode;
use crate::ids::HostName;
use crate::plan::PlannedMove;
use std::collections::{BTreeMap, BTreeSet};

impl Preflight {
    /// What a plan asks for too much of, and the hosts that are ill prepared for it. `needs_tls`: nothing may be transferred in the clear.
    #[must_use]
    pub fn of_plan(&self, moves: &[PlannedMove], needs_tls: bool) -> Vec<Obstacle> {
        let mut found = self.links(moves, needs_tls);
        found.extend(self.processors_of_hosts(moves));
        found.extend(self.room_for_disks(moves));
        found.extend(self.licences(moves));
        found
    }

    fn links(&self, moves: &[PlannedMove], needs_tls: bool) -> Vec<Obstacle> {
        let live = || moves.iter().filter(|planned| planned.mode == Mode::Live);
        let sources: BTreeSet<&HostName> = live().map(|planned| &planned.source_host).collect();
        let destinations: BTreeSet<&HostName> = live().map(|planned| &planned.destination_host).collect();
        let surveys = |site, hosts: BTreeSet<&HostName>| -> Vec<&HostSurvey> {
            hosts.into_iter().filter_map(|host| survey_of(site, host)).collect()
        };
        let mut found = Vec::new();
        let arriving = surveys(&self.destination, destinations);
        for survey in surveys(&self.source, sources).into_iter().chain(arriving.iter().copied()) {
            let host = survey.host.clone();
            if needs_tls && !survey.link.tls {
                found.push(Obstacle::NoTls { host: host.clone() });
            }
            match (survey.link.up, survey.link.rate_mbit_s) {
                (Some(false), _) => found.push(Obstacle::LinkDown { host }),
                (_, Some(rate_mbit_s)) if rate_mbit_s < LINK_SLOW_BELOW_MBIT_S => {
                    found.push(Obstacle::LinkSlow { host, rate_mbit_s });
                }
                (Some(true) | None, _) => {}
            }
        }
        let in_the_clear = arriving.into_iter().filter(|survey| !survey.link.tls && !needs_tls);
        found.extend(in_the_clear.map(|survey| Obstacle::NotEncrypted { host: survey.host.clone() }));
        found
    }

    fn processors_of_hosts(&self, moves: &[PlannedMove]) -> Vec<Obstacle> {
        let mut wanted: BTreeMap<&HostName, u64> = BTreeMap::new();
        for planned in moves {
            *wanted.entry(&planned.destination_host).or_default() += u64::from(planned.definition.vcpus);
        }
        let exceeded = wanted.into_iter().filter_map(|(host, more)| {
            let survey = survey_of(&self.destination, host)?;
            let (wanted, allowed) = (survey.vcpus_used + more, survey.vcpus_max?);
            (wanted > allowed).then(|| Obstacle::NoProcessors { host: host.clone(), wanted, allowed })
        });
        exceeded.collect()
    }

    fn room_for_disks(&self, moves: &[PlannedMove]) -> Vec<Obstacle> {
        let mut wanted: BTreeMap<(&HostName, &str), (u64, u64)> = BTreeMap::new();
        for planned in moves {
            let (Some(needs), Some(survey)) =
                (self.needs.get(&planned.vm), survey_of(&self.destination, &planned.destination_host))
            else {
                continue;
            };
            for disk in needs.disks.iter().filter(|disk| !disk.shared) {
                if let Some(place) = place_for_copy(survey, &disk.path) {
                    let entry = wanted.entry((&survey.host, &place.path)).or_insert((0, place.free_mib));
                    entry.0 += disk.size_mib;
                }
            }
        }
        let exceeded = wanted.into_iter().filter(|(_, (needed_mib, free_mib))| needed_mib > free_mib);
        exceeded
            .map(|((host, path), (needed_mib, free_mib))| Obstacle::NoDiskRoom {
                host: host.clone(),
                path: path.to_owned(),
                needed_mib,
                free_mib,
            })
            .collect()
    }

    /// What is at the destination and what comes, each VM once, against each licence. A product that no licence names is
    /// not limited there.
    fn licences(&self, moves: &[PlannedMove]) -> Vec<Obstacle> {
        let coming: BTreeSet<_> = moves.iter().map(|planned| planned.vm).collect();
        let residents = self.destination.hosts.iter().flat_map(|host| &host.residents);
        let there: BTreeMap<_, _> = residents
            .filter(|resident| !coming.contains(&resident.vm))
            .map(|resident| (resident.vm, (resident.vcpus, resident.products.iter().map(String::as_str).collect())))
            .collect();
        let arriving = moves.iter().map(|planned| {
            let of: Vec<&str> = products(&planned.definition.tags).collect();
            (planned.vm, (planned.definition.vcpus, of))
        });
        let all: BTreeMap<_, (u32, Vec<&str>)> = there.into_iter().chain(arriving).collect();
        let exceeded = self.destination.licences.iter().filter_map(|licence| {
            let holders = all.values().filter(|(_, products)| products.contains(&licence.product.as_str()));
            let needed: u64 = match licence.unit {
                LicenceUnit::Core => holders.map(|(vcpus, _)| u64::from(*vcpus)).sum(),
                LicenceUnit::Instance => u64::try_from(holders.count()).unwrap_or(u64::MAX),
            };
            (needed > licence.count).then(|| Obstacle::NotLicensed {
                product: licence.product.clone(),
                unit: licence.unit,
                needed,
                licensed: licence.count,
            })
        });
        exceeded.collect()
    }
}
