//! Plans: what the selections take, where it goes, and everything that preflight finds.

use muster_core::definition::{Definition, Disk, Mode};
use muster_core::ids::{EvacuationId, HostName, VmId};
use muster_core::plan::{FINDINGS_MAX, Finding, Plan, PlannedMove, Problem, Severity, plan};
use muster_core::reading::{HostListing, Instance, Inventory, OffCause, Stored, VmListing};
use muster_core::runbook::Runbook;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const OFF: Instance = Instance::Off(OffCause::ShutDown);

fn id(number: usize) -> VmId {
    VmId(Uuid::from_u128(number as u128 + 1))
}

fn host(name: &str) -> HostName {
    name.parse().expect("a host's name")
}

fn runbook(rest: &str) -> Runbook {
    let head = "name = \"n\"\nsource.site = \"a\"\ndestination.site = \"b\"\n";
    Runbook::parse(&format!("{head}{rest}")).expect("a runbook without mistakes")
}

fn everything() -> Runbook {
    runbook("[[select]]\nall = true\n")
}

fn vm(number: usize, on: &str) -> VmListing {
    let definition = Definition {
        name: format!("vm-{number}").parse().expect("a VM's name"),
        memory_mib: 1_024,
        vcpus: 1,
        disk: Disk::Shared,
        autostart: false,
        tags: Vec::new(),
        document: String::new(),
    };
    VmListing {
        vm: id(number),
        host: host(on),
        definition,
        instance: Instance::Running,
        stored: Stored::Real,
        seal: None,
    }
}

fn with(number: usize, change: impl FnOnce(&mut VmListing)) -> VmListing {
    let mut listing = vm(number, "s1");
    change(&mut listing);
    listing
}

fn listed(name: &str, memory_mib: u64, used_mib: u64) -> HostListing {
    HostListing { host: host(name), answers: true, memory_mib, used_mib, cores: 8 }
}

fn source(vms: Vec<VmListing>) -> Inventory {
    Inventory { hosts: vec![listed("s1", 65_536, 0), listed("s2", 65_536, 0)], vms }
}

fn destination() -> Inventory {
    Inventory { hosts: vec![listed("d1", 65_536, 0), listed("d2", 65_536, 0)], vms: Vec::new() }
}

fn planned(runbook: &Runbook, source: &Inventory, destination: &Inventory) -> Plan {
    plan(runbook, source, destination, None).unwrap_or_else(|findings| panic!("{findings:#?}"))
}

fn problems(findings: &[Finding], severity: Severity) -> Vec<Problem> {
    findings.iter().filter(|finding| finding.severity() == severity).map(|finding| finding.problem.clone()).collect()
}

fn blocking(runbook: &Runbook, source: &Inventory, destination: &Inventory) -> Vec<Problem> {
    problems(&plan(runbook, source, destination, None).expect_err("something blocks"), Severity::Blocking)
}

fn ids(moves: &[PlannedMove]) -> Vec<VmId> {
    moves.iter().map(|planned| planned.vm).collect()
}

#[test]
fn auto_moves_what_runs_live_and_what_is_off_powered_off() {
    let source = source(vec![vm(1, "s1"), with(2, |listing| listing.instance = OFF)]);
    let plan = planned(&everything(), &source, &destination());
    let modes: Vec<(VmId, Mode)> = plan.moves.iter().map(|planned| (planned.vm, planned.mode)).collect();
    assert_eq!(modes, [(id(1), Mode::Live), (id(2), Mode::Off)]);
    assert_eq!(plan.warnings, []);
    let roll: Vec<_> = plan.roll(EvacuationId(Uuid::from_u128(9))).collect();
    assert_eq!((roll.len(), roll[0].vm, roll[1].mode), (2, id(1), Mode::Off));
    assert_eq!((roll[0].source_site.as_str(), roll[0].destination_site.as_str()), ("a", "b"));
}

#[test]
fn criteria_must_all_be_met_and_exceptions_take_out() {
    let source = source(vec![
        with(1, |listing| listing.definition.tags = vec!["db".into(), "gold".into()]),
        with(2, |listing| listing.definition.tags = vec!["db".into(), "test".into()]),
        with(3, |listing| {
            listing.definition.tags = vec!["db".into()];
            listing.host = host("s2");
        }),
        vm(4, "s1"),
        vm(15, "s1"),
    ]);
    let book = runbook("[[select]]\ntags = [\"db\"]\nhosts = [\"s1\"]\nexcept = { tags = [\"te*\"] }\n");
    assert_eq!(ids(&planned(&book, &source, &destination()).moves), [id(1)]);
    let book = runbook("[[select]]\nnames = [\"vm-1*\", \"vm-4\"]\nexcept = { hosts = [\"s2\"] }\n");
    assert_eq!(ids(&planned(&book, &source, &destination()).moves), [id(1), id(4), id(15)]);
    let book = runbook(&format!("[[select]]\nall = true\nexcept = {{ ids = [\"{}\"] }}\n", id(4)));
    assert_eq!(ids(&planned(&book, &source, &destination()).moves), [id(1), id(2), id(3), id(15)]);
}

const TWO_WAVES: &str =
    "[[wave]]\nname = \"first\"\nselect = [{ names = [\"vm-2\", \"vm-3\"] }]\n[[wave]]\nname = \"rest\"\n";

#[test]
fn waves_come_in_order_the_largest_first() {
    let source = source(vec![vm(1, "s1"), vm(2, "s1"), with(3, |listing| listing.definition.memory_mib = 4_096)]);
    let book = runbook(&format!("{TWO_WAVES}select = [{{ all = true, except = {{ waves = [\"first\"] }} }}]\n"));
    let plan = planned(&book, &source, &destination());
    assert_eq!(ids(&plan.moves), [id(3), id(2), id(1)]);
    assert_eq!(plan.moves.iter().map(|planned| planned.wave).collect::<Vec<_>>(), [0, 0, 1]);
}

#[test]
fn two_selections_of_one_vm_block() {
    let source = source(vec![vm(1, "s1"), vm(2, "s1"), vm(3, "s1")]);
    let book = runbook(&format!("{TWO_WAVES}select = [{{ names = [\"vm-1\"] }}, {{ names = [\"*3\"] }}]\n"));
    let waves = vec!["first".to_owned(), "rest".to_owned()];
    assert_eq!(blocking(&book, &source, &destination()), [Problem::SelectedTwice { waves }]);
    let book = runbook("[[select]]\nall = true\n[[select]]\nnames = [\"vm-1\"]\nmode = \"cold\"\n");
    let waves = vec!["all".to_owned(), "all".to_owned()];
    assert_eq!(blocking(&book, &source, &destination()), [Problem::SelectedTwice { waves }]);
}

#[test]
fn selections_that_match_nothing_block() {
    let source = source(vec![vm(1, "s1")]);
    let book = runbook("[[select]]\nall = true\n[[select]]\ntags = [\"gone\"]\n");
    let nothing = Problem::MatchesNothing { wave: "all".into(), selection: 2 };
    assert_eq!(blocking(&book, &source, &destination()), [nothing]);
}

#[test]
fn hosts_fill_evenly_and_room_is_counted_over_the_whole_plan() {
    let source = source((0..9).map(|number| vm(number, "s1")).collect());
    let destination = Inventory { hosts: vec![listed("d1", 8_192, 4_096), listed("d2", 6_144, 0)], vms: Vec::new() };
    let plan = planned(&everything(), &source, &destination);
    let mut taken: BTreeMap<&str, u64> = BTreeMap::new();
    for planned in &plan.moves {
        *taken.entry(planned.destination_host.as_str()).or_default() += planned.memory_mib();
    }
    assert_eq!(taken, BTreeMap::from([("d1", 4 * 1_024), ("d2", 5 * 1_024)]));
}

#[test]
fn what_finds_no_room_blocks_and_each_is_named() {
    let source = source((0..4).map(|number| vm(number, "s1")).collect());
    let destination = Inventory { hosts: vec![listed("d1", 2_048, 0), listed("d2", 500, 0)], vms: Vec::new() };
    let findings = plan(&everything(), &source, &destination, None).expect_err("there is no room");
    let named: Vec<Option<VmId>> = findings.iter().map(|finding| finding.vm).collect();
    assert_eq!(named, [Some(id(2)), Some(id(3))]);
    assert_eq!(findings[0].problem, Problem::NoRoom { needed_mib: 1_024, most_free_mib: 500 });
}

#[test]
fn tight_places_are_packed_when_an_even_spread_does_not_fit() {
    let sized = |number, memory_mib| with(number, |listing| listing.definition.memory_mib = memory_mib);
    // Spread: 4 and 3 on the first, 3 and 2 on the second, then 1 MiB is left on each and 2 are needed.
    let source = source(vec![sized(1, 4), sized(2, 3), sized(3, 3), sized(4, 2), sized(5, 2)]);
    let destination = Inventory { hosts: vec![listed("d1", 8, 0), listed("d2", 6, 0)], vms: Vec::new() };
    let plan = planned(&everything(), &source, &destination);
    let d2: u64 =
        plan.moves.iter().filter(|planned| planned.destination_host == host("d2")).map(PlannedMove::memory_mib).sum();
    assert_eq!((plan.moves.len(), d2), (5, 6), "both hosts are full to the last MiB");
}

#[test]
fn destination_hosts_are_kept_to() {
    let source = source((0..6).map(|number| vm(number, "s1")).collect());
    let book = runbook("[[select]]\nall = true\ndestination_hosts = [\"d2\", \"x*\"]\n");
    let plan = planned(&book, &source, &destination());
    assert!(plan.moves.iter().all(|planned| planned.destination_host == host("d2")));
    let book = runbook("[[select]]\nall = true\ndestination_hosts = [\"x*\"]\n");
    let nowhere = Problem::NoHostAllowed { wave: "all".into(), selection: 1 };
    assert_eq!(blocking(&book, &source, &destination()), [nowhere]);
}

#[test]
fn those_with_the_least_choice_are_placed_first() {
    let source = source(vec![with(1, |listing| listing.definition.memory_mib = 4_096), vm(2, "s2")]);
    let book = runbook("[[select]]\nhosts = [\"s1\"]\n[[select]]\nhosts = [\"s2\"]\ndestination_hosts = [\"d1\"]\n");
    let destination = Inventory { hosts: vec![listed("d1", 4_096, 0), listed("d2", 4_096, 0)], vms: Vec::new() };
    let plan = planned(&book, &source, &destination);
    assert_eq!(plan.moves[0].destination_host, host("d2"));
    assert_eq!(plan.moves[1].destination_host, host("d1"));
}

#[test]
fn silent_hosts_are_named_and_get_nothing() {
    let mut source = source(vec![vm(1, "s1"), vm(2, "s2")]);
    source.hosts[1].answers = false;
    let mut destination = destination();
    destination.hosts[0].answers = false;
    let findings = plan(&everything(), &source, &destination, None).expect_err("vm 2 can't be seen");
    assert_eq!(problems(&findings, Severity::Blocking), [Problem::OnSilentHost { host: host("s2") }]);
    let warnings =
        [Problem::SourceHostSilent { host: host("s2") }, Problem::DestinationHostSilent { host: host("d1") }];
    assert_eq!(problems(&findings, Severity::Warning), warnings);
    source.vms.pop();
    let plan = planned(&everything(), &source, &destination);
    assert_eq!(plan.moves[0].destination_host, host("d2"));
    assert_eq!(plan.warnings.len(), 2);
    destination.hosts[1].answers = false;
    assert_eq!(blocking(&everything(), &source, &destination), [Problem::NoDestinationHost]);
}

#[test]
fn modes_are_held_against_what_the_vm_is() {
    let local = Disk::Local { size_mib: 7 };
    let cases: [(&str, Instance, Disk, Option<Problem>); 12] = [
        ("live", Instance::Running, Disk::Shared, None),
        ("live", OFF, Disk::Shared, Some(Problem::LiveButOff)),
        ("live", Instance::Running, local, None),
        ("auto", Instance::Running, local, None),
        ("auto", OFF, local, None),
        ("auto", Instance::Off(OffCause::Crashed), Disk::Shared, Some(Problem::Crashed)),
        ("cold", Instance::Running, local, None),
        ("cold", OFF, local, Some(Problem::ColdButOff)),
        ("off", OFF, local, None),
        ("off", Instance::Running, Disk::Shared, Some(Problem::OffButRuns)),
        ("auto", Instance::Paused, Disk::Shared, Some(Problem::Paused)),
        ("cold", Instance::Incoming, Disk::Shared, Some(Problem::StillArriving)),
    ];
    for (mode, instance, disk, expected) in cases {
        let source = source(vec![with(1, |listing| {
            listing.instance = instance;
            listing.definition.disk = disk;
        })]);
        let book = runbook(&format!("[[select]]\nall = true\nmode = \"{mode}\"\n"));
        let (found, blocks) = match plan(&book, &source, &destination(), None) {
            Ok(plan) => (plan.warnings, false),
            Err(findings) => (findings, true),
        };
        let found: Vec<Problem> = found.into_iter().map(|finding| finding.problem).collect();
        let expected: Vec<Problem> = expected.into_iter().collect();
        let should_block = expected.iter().any(|problem| problem.severity() == Severity::Blocking);
        assert_eq!((found, blocks), (expected, should_block), "{mode} {instance:?} {disk:?}");
    }
}

#[test]
fn a_uuid_at_the_destination_blocks_unless_it_is_what_muster_left() {
    let cases = [
        (Stored::Retired, OFF, false),
        (Stored::Placeholder, OFF, false),
        (Stored::Placeholder, Instance::Incoming, true),
        (Stored::Placeholder, Instance::Paused, true),
        (Stored::Retired, Instance::Running, true),
        (Stored::Real, OFF, true),
        (Stored::Sealed, OFF, true),
        (Stored::Nothing, Instance::Running, true),
    ];
    for (stored, instance, blocks) in cases {
        let mut destination = destination();
        destination.vms.push(VmListing { stored, instance, ..vm(1, "d2") });
        let result = plan(&everything(), &source(vec![vm(1, "s1")]), &destination, None);
        assert_eq!(result.is_err(), blocks, "{stored:?} {instance:?}");
        if let Err(findings) = result {
            assert_eq!(findings[0].problem, Problem::AlreadyAtDestination { host: host("d2") });
        }
    }
}

#[test]
fn what_is_not_free_to_leave_is_refused_and_remains_are_left_out() {
    let listing = |number, stored, instance| VmListing { stored, instance, ..vm(number, "s1") };
    let mut vms = vec![
        vm(1, "s1"),
        listing(2, Stored::Retired, OFF),
        listing(3, Stored::Retired, OFF),
        listing(4, Stored::Placeholder, Instance::Incoming),
    ];
    let plan = planned(&everything(), &source(vms.clone()), &destination());
    assert_eq!(ids(&plan.moves), [id(1)]);
    let left_out = [Problem::RetiredLeftOut { count: 2 }, Problem::PlaceholdersLeftOut { count: 1 }];
    assert_eq!(problems(&plan.warnings, Severity::Warning), left_out);
    vms.extend([
        listing(5, Stored::Sealed, Instance::Running),
        listing(6, Stored::Nothing, Instance::Running),
        listing(7, Stored::Retired, Instance::Running),
    ]);
    let found = blocking(&everything(), &source(vms), &destination());
    assert_eq!(found, [Problem::Sealed, Problem::NothingStored, Problem::InertAndYetThere]);
}

#[test]
fn a_vm_that_came_back_is_moved_and_its_old_retired_copy_is_not() {
    let back = VmListing { stored: Stored::Retired, instance: OFF, ..vm(1, "s2") };
    let plan = planned(&everything(), &source(vec![back, vm(1, "s1")]), &destination());
    assert_eq!((ids(&plan.moves), plan.moves[0].source_host.as_str()), (vec![id(1)], "s1"));
    let hosts = vec![host("s1"), host("s2")];
    let twice = source(vec![vm(1, "s1"), vm(1, "s2")]);
    assert_eq!(blocking(&everything(), &twice, &destination()), [Problem::SeveralAtSource { hosts }]);
}

#[test]
fn everything_that_blocks_comes_at_once_and_bounded() {
    let off = |number| with(number, |listing| listing.instance = OFF);
    let book = runbook("[[select]]\nall = true\nmode = \"live\"\n[[select]]\nnames = [\"x\"]\n");
    let source = source((0..FINDINGS_MAX + 5).map(off).collect());
    let roomy = Inventory { hosts: vec![listed("d1", 1 << 40, 0)], vms: Vec::new() };
    let findings = plan(&book, &source, &roomy, None).expect_err("all are off");
    assert_eq!(findings.len(), FINDINGS_MAX + 1);
    let last = findings.last().map(|finding| finding.problem.clone());
    assert_eq!(last, Some(Problem::More { count: 6, severity: Severity::Blocking }));
    let shown = findings[1].to_string();
    assert!(shown.contains("mode \"live\", but it is off") && shown.contains("vm-0"), "{shown}");
}

#[test]
fn a_plan_depends_on_what_is_there_and_not_on_the_order_it_is_listed_in() {
    let vms: Vec<VmListing> = (0..200)
        .map(|number| with(number, |listing| listing.definition.memory_mib = 64 + (number as u64 * 37) % 512))
        .collect();
    let turned = Inventory { vms: vms.iter().rev().cloned().collect(), ..source(Vec::new()) };
    let mut hosts = destination();
    let there = planned(&everything(), &source(vms), &hosts);
    hosts.hosts.reverse();
    assert_eq!(there, planned(&everything(), &turned, &hosts));
    let distinct: BTreeSet<VmId> = there.moves.iter().map(|planned| planned.vm).collect();
    assert_eq!(distinct.len(), 200);
}

#[test]
fn what_is_kept_apart_goes_to_hosts_of_its_own() {
    let apart = runbook("[[select]]\nall = true\napart = \"db\"\n");
    let moved = planned(&apart, &source(vec![vm(0, "s1"), vm(1, "s1")]), &destination());
    assert_ne!(moved.moves[0].destination_host, moved.moves[1].destination_host);
    let three = source(vec![vm(0, "s1"), vm(1, "s1"), vm(2, "s2")]);
    let too_few = blocking(&apart, &three, &destination());
    assert_eq!(too_few, [Problem::NoHostApart { apart: "db".to_owned() }], "two hosts for three");
    let others = runbook(
        "[[select]]\nnames = [\"vm-0\", \"vm-1\"]\napart = \"db\"\n[[select]]\nnames = [\"vm-2\"]\napart = \"web\"\n",
    );
    assert_eq!(planned(&others, &three, &destination()).moves.len(), 3);
}
