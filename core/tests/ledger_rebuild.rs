//! What a sealed copy tells of itself, where the ledger that stood for it is gone.

#![allow(clippy::unwrap_used, reason = "a test that can't make its world has failed")]

use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::{Attempt, EvacuationId, HostName, SiteName, VmId};
use muster_core::ledger::rebuild::{Missing, Rebuilt, Traces, rebuild};
use muster_core::ledger::{AtSource, RetiredCopy, RollEntry, SourceState, Standing};
use muster_core::reading::{Instance, Inventory, Mark, Seal, Sight, Sighting, Stored, VmListing};
use muster_core::time::Timestamp;
use muster_core::token::Token;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const VM: VmId = VmId(Uuid::from_u128(1));

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

fn host() -> HostName {
    "old-1".parse().unwrap()
}

fn definition() -> Definition {
    Definition {
        name: "web".parse().unwrap(),
        memory_mib: 1_024,
        vcpus: 1,
        disk: Disk::Shared,
        autostart: false,
        tags: Vec::new(),
        document: "<domain/>".to_owned(),
    }
}

fn seal() -> Seal {
    Seal {
        evacuation: EvacuationId(Uuid::from_u128(9)),
        token: Token::new(4, 7),
        mode: Mode::Cold,
        source_site: site("old"),
        destination_site: site("new"),
        destination_host: "new-3".parse().unwrap(),
        autostart: true,
    }
}

fn listed(seal: Option<Seal>) -> VmListing {
    VmListing {
        vm: VM,
        host: host(),
        definition: definition(),
        instance: Instance::Running,
        stored: Stored::Sealed,
        seal,
    }
}

fn sighting(mark: Option<Mark>) -> Sighting {
    Sighting {
        host: host(),
        instance: Instance::Running,
        stored: Stored::Sealed,
        mark,
        job: None,
        disk_complete: true,
        stood_still_ms: None,
        job_error: None,
        autostart: false,
    }
}

/// The ledger of `old` made anew, where a host of it has a sealed copy that says so much, and these rolls are at hand.
fn rebuilt(seal: Option<Seal>, mark: Option<Mark>, rolls: &[RollEntry]) -> Rebuilt {
    of(vec![listed(seal)], vec![sighting(mark)], rolls)
}

fn of(vms: Vec<VmListing>, sightings: Vec<Sighting>, rolls: &[RollEntry]) -> Rebuilt {
    rebuild(&Traces {
        site: &site("old"),
        from: Some(&site("new")),
        inventory: &Inventory { hosts: Vec::new(), vms },
        sights: &BTreeMap::from([(VM, Sight { sightings, ..Sight::default() })]),
        rolls,
        moved: &BTreeSet::new(),
        now: Timestamp(5),
    })
}

fn roll(evacuation: u128) -> RollEntry {
    RollEntry {
        evacuation: EvacuationId(Uuid::from_u128(evacuation)),
        vm: VM,
        mode: Mode::Live,
        source_site: site("old"),
        destination_site: site("new"),
        destination_host: "new-1".parse().unwrap(),
        definition: definition(),
    }
}

#[test]
fn a_sealed_copy_tells_its_move_and_no_more() {
    // A mark is that of the move which once brought it here.
    let old = Mark { evacuation: EvacuationId(Uuid::from_u128(2)), attempt: Attempt::FIRST, token: Token::new(1, 1) };
    for mark in [None, Some(old)] {
        let rebuilt = rebuilt(Some(seal()), mark, &[]);
        assert_eq!(rebuilt.gaps, Vec::new());
        let [row] = rebuilt.rows.as_slice() else { panic!("{rebuilt:?}") };
        let enrolled = row.enrolled.as_ref().unwrap();
        assert_eq!((row.vm, row.floor), (VM, Token::new(4, 7)));
        let entry = RollEntry {
            mode: Mode::Cold,
            destination_host: "new-3".parse().unwrap(),
            definition: Definition { autostart: true, ..definition() },
            ..roll(9)
        };
        assert_eq!(enrolled.entry, entry);
        let at = AtSource {
            evacuation: entry.evacuation,
            mode: Mode::Cold,
            state: SourceState::Sealed { transfer: None },
            closed: false,
            retired_copy: RetiredCopy::Kept,
        };
        assert_eq!(enrolled.standing, Standing::Source(at));
    }
}

#[test]
fn of_a_sealed_copy_and_one_that_arrived_on_another_host_the_newer_counts() {
    for (token, is_leaving) in [(Token::new(4, 6), true), (Token::new(5, 1), false)] {
        let mark = Mark { evacuation: EvacuationId(Uuid::from_u128(2)), attempt: Attempt::FIRST, token };
        let arrived = Sighting {
            host: "old-2".parse().unwrap(),
            instance: Instance::Paused,
            stored: Stored::Arrived,
            ..sighting(Some(mark))
        };
        let listed = VmListing { host: arrived.host.clone(), stored: Stored::Arrived, seal: None, ..listed(None) };
        let rebuilt = of(vec![listed, self::listed(Some(seal()))], vec![sighting(None), arrived], &[]);
        let standing = &rebuilt.rows[0].enrolled.as_ref().unwrap().standing;
        assert_eq!(matches!(standing, Standing::Source(_)), is_leaving, "{rebuilt:?}");
    }
}

#[test]
fn what_it_tells_goes_before_a_roll_of_another_evacuation() {
    let rebuilt = rebuilt(Some(seal()), None, &[roll(3)]);
    assert_eq!(rebuilt.rows[0].enrolled.as_ref().unwrap().entry.evacuation, seal().evacuation);
}

#[test]
fn what_tells_nothing_or_of_another_site_gets_no_row() {
    let elsewhere = Seal { source_site: site("third"), ..seal() };
    for seal in [None, Some(elsewhere)] {
        let rebuilt = rebuilt(seal, None, &[]);
        assert_eq!((rebuilt.rows.len(), rebuilt.gaps.len()), (0, 1), "{rebuilt:?}");
        assert_eq!(rebuilt.gaps[0].what, Missing::Move);
    }
    let row = &rebuilt(None, None, &[roll(3)]).rows[0];
    assert_eq!(row.floor, Token::ZERO, "a roll tells no token");
}
