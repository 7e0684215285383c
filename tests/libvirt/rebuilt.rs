//! What can be known again of a ledger that is gone, from the marks on real hypervisors' definitions.

use crate::house::{House, until_heard};
use crate::stand::Stand;
use muster_core::ids::VmId;
use muster_core::ledger::rebuild::{Rebuilt, Traces, rebuild};
use muster_core::ledger::{ArrivalRecord, SourceState, Standing};
use muster_core::time::Timestamp;
use muster_core::token::Token;
use muster_proto::v1::MoveState;
use muster_recovery::rolls::known_at;
use muster_tests::lab::{Kind, Role};
use muster_tests::sites::libvirt_configuration;
use muster_worker::hypervisor::libvirt::LibvirtHypervisors;
use muster_worker::hypervisor::libvirt::config::Config;
use muster_worker::traces::look_around;
use std::collections::BTreeSet;

/// Of this side's ledger; with the other's at hand, or without.
async fn known_again(stand: &Stand, house: &House, of: Role, with_other: bool) -> Rebuilt {
    let lab = &stand.lab;
    let other = if of == Role::Source { Role::Destination } else { Role::Source };
    let (own, other) = (house.link(of).await, house.link(other).await);
    let known = if with_other { known_at(&other).await.unwrap() } else { Default::default() };
    let configuration = libvirt_configuration(lab.record(), of, None);
    let hypervisors = LibvirtHypervisors::start(Config::parse(&configuration).unwrap()).unwrap();
    until_heard(&hypervisors).await;
    let seen = look_around(&hypervisors).await.unwrap();
    rebuild(&Traces {
        site: own.site(),
        from: Some(other.site()),
        inventory: &seen.inventory,
        sights: &seen.sights,
        rolls: &known.rolls,
        moved: &known.moved,
        now: Timestamp(1),
    })
}

fn standing(rebuilt: &Rebuilt, vm: VmId) -> &Standing {
    let row = rebuilt.rows.iter().find(|row| row.vm == vm);
    row.and_then(|row| row.standing()).unwrap_or_else(|| panic!("{rebuilt:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_on_real_definitions_tell_what_was_begun_and_never_what_was_completed() {
    let Some(stand) = Stand::up("rebuilt", &[(Kind::Quiet, 1), (Kind::Dirty, 1)]).await else { return };
    let house = House::build(&stand.lab).await;
    let [quiet, dirty] = [0, 1].map(|index| stand.lab.record().guests[index].clone());
    let [moved, moving]: [VmId; 2] = [&quiet, &dirty].map(|guest| guest.uuid.parse().unwrap());
    let over = house.evacuate(&quiet.name, "").await;
    assert_eq!(house.until_over(&over).await.state(), MoveState::Migrated);
    let slow = house.evacuate(&dirty.name, "[transfer]\nbandwidth_mib_s = 8\n").await;
    house.until(&slow, |one| one.phase == "pre-copy").await;

    let destination = known_again(&stand, &house, Role::Destination, true).await;
    assert_eq!(destination.gaps, Vec::new());
    let Standing::Destination(at) = standing(&destination, moved) else { panic!("{destination:#?}") };
    assert!(matches!(at.record, ArrivalRecord::Closed(_)), "the source's ledger says that it is over: {at:?}");
    let Standing::Destination(at) = standing(&destination, moving) else { panic!("{destination:#?}") };
    assert!(matches!(&at.record, ArrivalRecord::Started(started) if started.attempt.count() == 1), "{at:?}");

    let alone = known_again(&stand, &house, Role::Destination, false).await;
    for vm in [moved, moving] {
        let Standing::Destination(at) = standing(&alone, vm) else { panic!("{alone:#?}") };
        assert!(matches!(at.record, ArrivalRecord::Started(_)), "marks prove no event: {at:?}");
    }
    let documents: BTreeSet<&str> = alone
        .rows
        .iter()
        .filter_map(|row| row.enrolled.as_ref())
        .map(|enrolled| enrolled.entry.definition.document.as_str())
        .collect();
    assert!(documents.iter().all(|document| document.contains("<domain") && !document.contains("not-runnable")));

    let source = known_again(&stand, &house, Role::Source, true).await;
    let Standing::Source(at) = standing(&source, moved) else { panic!("{source:#?}") };
    assert_eq!(at.state, SourceState::Retired);
    let Standing::Source(at) = standing(&source, moving) else { panic!("{source:#?}") };
    assert_eq!(at.state, SourceState::Sealed { transfer: None });
    let alone = known_again(&stand, &house, Role::Source, false).await;
    let row = alone.rows.iter().find(|row| row.vm == moving).unwrap_or_else(|| panic!("{alone:#?}"));
    let enrolled = row.enrolled.as_ref().unwrap();
    let Standing::Source(at) = &enrolled.standing else { panic!("{alone:#?}") };
    assert_eq!(at.state, SourceState::Sealed { transfer: None }, "what it tells of itself proves no more");
    assert!(row.floor > Token::ZERO && enrolled.entry.destination_site == *house.link(Role::Destination).await.site());
    assert!(!enrolled.entry.definition.document.contains("not-runnable"), "{:#?}", enrolled.entry);
}
