//! Ids, commands and records that the suites are made of.

use muster_core::claim::{Holder, HolderKind};
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::evacuation::{JournalKind, JournalRecord, PlannedMove};
use muster_core::fingerprint::Fingerprint;
use muster_core::ids::{EvacuationId, HostName, RequestId, SiteName, VmId, VmName};
use muster_core::ledger::RollEntry;
use muster_core::ledger::command::{
    Caller, EvacuationCommand, EvacuationOrder, FactKind, LedgerCommand, VmCommand, VmFact, VmOrder,
};
use muster_core::runbook::selection::Turn;
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_core::token::{Epoch, Token};
use std::collections::BTreeSet;

pub(super) fn vm(number: u32) -> VmId {
    id("0a", number)
}

pub(super) fn evacuation(number: u32) -> EvacuationId {
    id("0e", number)
}

pub(super) fn request(number: u32) -> RequestId {
    id("0f", number)
}

pub(super) fn host(name: &str) -> HostName {
    name.parse().expect("the suites' hosts have good names")
}

/// Whoever orders what the suites order.
pub(super) fn caller() -> Caller {
    Caller { by: Some("muster://orchestrator/cellar".to_owned()), origin: Some("127.0.0.1:40312".to_owned()) }
}

pub(super) fn enrol(number: u32, of: EvacuationId, token: Token) -> LedgerCommand {
    order(number, of, token, VmOrder::Enrol { entry: Box::new(entry(number, of)), side: Side::Destination })
}

pub(super) fn order(number: u32, of: EvacuationId, token: Token, order: VmOrder) -> LedgerCommand {
    LedgerCommand::Vm(VmCommand {
        evacuation: of,
        vm: vm(number),
        token,
        caller: caller(),
        at: Timestamp(1_000),
        order,
    })
}

pub(super) fn fact(number: u32, kind: FactKind) -> LedgerCommand {
    LedgerCommand::Fact(VmFact { vm: vm(number), at: Timestamp(2_000), kind })
}

pub(super) fn claim(of: EvacuationId, expected: u64, at_least: u64, by: &str) -> LedgerCommand {
    let order = EvacuationOrder::Claim {
        holder: Holder::new(by, HolderKind::Orchestrator),
        expected: Epoch(expected),
        at_least: Epoch(at_least),
        take_over: None,
    };
    LedgerCommand::Evacuation(EvacuationCommand { evacuation: of, caller: caller(), at: Timestamp(3_000), order })
}

pub(super) fn ordered(of: EvacuationId, by: RequestId) -> JournalRecord {
    let kind = JournalKind::Ordered {
        name: "the cellar is wet".to_owned(),
        source_site: site("cellar"),
        destination_site: site("attic"),
        runbook: "name = 'the cellar is wet'\n# \"quoted\", ünd more".to_owned(),
        scope_tags: BTreeSet::from(["web".to_owned()]),
    };
    JournalRecord {
        origin: Some("127.0.0.1:40312".to_owned()),
        request: Some(by),
        call: Some(Fingerprint([7; 32])),
        ..record(of, None, kind)
    }
}

pub(super) fn planned(of: EvacuationId, number: u32) -> JournalRecord {
    let planned = PlannedMove {
        vm: vm(number),
        name: vm_name(number),
        mode: Mode::Live,
        wave: 0,
        source_host: host("old-1"),
        destination_host: host("new-1"),
        memory_mib: 2048,
        guardian: None,
        disk_mib: None,
        turn: Turn::default(),
        apart: None,
        expected: None,
        tags: vec!["web".to_owned(), "tier:1".to_owned()],
    };
    record(of, Some(vm(number)), JournalKind::MovePlanned { planned })
}

pub(super) fn record(of: EvacuationId, about: Option<VmId>, kind: JournalKind) -> JournalRecord {
    JournalRecord {
        at: Timestamp(5_000),
        by: "ada".to_owned(),
        origin: None,
        request: None,
        call: None,
        evacuation: of,
        vm: about,
        kind,
    }
}

fn entry(number: u32, of: EvacuationId) -> RollEntry {
    RollEntry {
        evacuation: of,
        vm: vm(number),
        mode: Mode::Live,
        source_site: site("cellar"),
        destination_site: site("attic"),
        destination_host: host("new-1"),
        definition: Definition {
            name: vm_name(number),
            memory_mib: 2048,
            vcpus: 2,
            disk: Disk::Local { size_mib: 8192 },
            autostart: true,
            tags: vec!["web".to_owned()],
            document: "<domain>\u{20ac} 'quoted' \"twice\"\n</domain>".to_owned(),
        },
    }
}

fn site(name: &str) -> SiteName {
    name.parse().expect("the suites' sites have good names")
}

fn vm_name(number: u32) -> VmName {
    format!("web {number}").parse().expect("a word and a number are a good name")
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(kind: &str, number: u32) -> T {
    format!("{kind}000000-0000-4000-8000-0000{number:08x}").parse().expect("it is written as a UUID")
}
