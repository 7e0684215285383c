//! Preflight: every obstacle is found where it is and only there, and a VM goes to a host that can take it.

use muster_core::definition::{Definition, Disk};
use muster_core::ids::{HostName, VmId};
use muster_core::plan::{Plan, Problem, Severity, plan};
use muster_core::preflight::survey::{
    DiskNeed, HostSurvey, Licence, LicenceUnit, MigrationLink, NetworkOffer, NicNeed, PeerSurvey, ProcessorFit,
    Resident, SiteSurvey, StorageOffer, Version, VmNeeds,
};
use muster_core::preflight::{Obstacle, Preflight};
use muster_core::reading::{HostListing, Instance, Inventory, OffCause, Stored, VmListing};
use muster_core::runbook::Runbook;
use std::collections::BTreeMap;
use uuid::Uuid;

const MAC: &str = "52:54:00:00:00:01";

/// Two sites that are fit for each other: one VM on s1, and d1 and d2 for it to go to.
struct Stage {
    source: Inventory,
    destination: Inventory,
    preflight: Preflight,
    /// Further lines of the runbook.
    more: &'static str,
}

fn id(number: u128) -> VmId {
    VmId(Uuid::from_u128(number))
}

fn host(name: &str) -> HostName {
    name.parse().expect("a host's name")
}

fn version(major: u32) -> Option<Version> {
    Some(Version { major, minor: 2, release: 0 })
}

fn survey(name: &str) -> HostSurvey {
    HostSurvey {
        host: host(name),
        domain_types: ["kvm".to_owned(), "qemu".to_owned()].into(),
        machines: ["pc".to_owned(), "q35".to_owned()].into(),
        emulator: version(7),
        library: version(9),
        vcpus_max: Some(8),
        vcpus_used: 6,
        networks: vec![NetworkOffer { name: "lan".into(), active: true, subnet: Some("192.0.2.0/24".into()) }],
        storage: vec![
            StorageOffer { path: "/shared".into(), free_mib: 100, shared: true },
            StorageOffer { path: "/var/disks/".into(), free_mib: 2_000, shared: false },
        ],
        residents: Vec::new(),
        link: MigrationLink { up: Some(true), rate_mbit_s: Some(10_000), tls: true },
    }
}

fn resident(number: u128, name: &str, mac: &str) -> Resident {
    Resident {
        vm: id(number),
        name: name.parse().expect("a name"),
        macs: vec![mac.to_owned()],
        vcpus: 4,
        products: vec!["db".to_owned()],
    }
}

fn stage() -> Stage {
    let definition = Definition {
        name: "shop".parse().expect("a name"),
        memory_mib: 1_024,
        vcpus: 2,
        disk: Disk::Shared,
        autostart: false,
        tags: vec!["product:db".to_owned()],
        document: String::new(),
    };
    let needs = VmNeeds {
        vm: id(1),
        domain_type: Some("kvm".into()),
        machine: Some("q35".into()),
        processor: Some("<cpu/>".into()),
        nics: vec![NicNeed { mac: MAC.into(), network: Some("lan".into()) }],
        disks: vec![DiskNeed { path: "/shared/shop.qcow2".into(), size_mib: 1_000, shared: true, uncopyable: None }],
        host_devices: Vec::new(),
        media: Vec::new(),
        snapshots: 0,
        guardian: None,
        has_saved_memory: false,
    };
    let listing =
        |name: &str| HostListing { host: host(name), answers: true, memory_mib: 8_192, used_mib: 0, cores: 8 };
    let vm = VmListing {
        vm: id(1),
        host: host("s1"),
        definition,
        instance: Instance::Running,
        stored: Stored::Real,
        seal: None,
    };
    let fits = ["d1", "d2"].map(|name| (("<cpu/>".to_owned(), host(name)), ProcessorFit::Fits));
    Stage {
        source: Inventory { hosts: vec![listing("s1")], vms: vec![vm] },
        destination: Inventory { hosts: vec![listing("d1"), listing("d2")], vms: Vec::new() },
        preflight: Preflight {
            source: SiteSurvey {
                hosts: vec![survey("s1")],
                licences: Vec::new(),
                peers: vec![PeerSurvey { site: "b".parse().expect("a site"), trouble: None }],
                clock_ahead_ms: Some(12),
            },
            destination: SiteSurvey {
                hosts: vec![survey("d1"), survey("d2")],
                licences: vec![Licence { product: "db".into(), unit: LicenceUnit::Instance, count: 1 }],
                peers: Vec::new(),
                clock_ahead_ms: Some(-12),
            },
            needs: BTreeMap::from([(id(1), needs)]),
            processors: BTreeMap::from(fits),
            commands: ["unmanage", "manage"].map(|name| name.parse().expect("a command")).into(),
        },
        more: "",
    }
}

impl Stage {
    fn needs(&mut self) -> &mut VmNeeds {
        self.preflight.needs.get_mut(&id(1)).expect("its needs")
    }

    fn hosts(&mut self) -> &mut Vec<HostSurvey> {
        &mut self.preflight.destination.hosts
    }

    fn everywhere(&mut self, change: impl Fn(&mut HostSurvey)) {
        self.hosts().iter_mut().for_each(change);
    }

    fn planned(&self) -> Result<Plan, Vec<muster_core::plan::Finding>> {
        let more = self.more;
        let text =
            format!("name = \"n\"\nsource.site = \"a\"\ndestination.site = \"b\"\n{more}[[select]]\nall = true\n");
        let runbook = Runbook::parse(&text).expect("a runbook");
        plan(&runbook, &self.source, &self.destination, Some(&self.preflight))
    }

    /// Every obstacle found, with its severity.
    fn found(&self) -> Vec<(Severity, Obstacle)> {
        let findings = match self.planned() {
            Ok(plan) => plan.warnings,
            Err(findings) => findings,
        };
        findings
            .into_iter()
            .map(|finding| {
                let severity = finding.severity();
                let Problem::Preflight { obstacle } = finding.problem else { panic!("another finding: {finding:?}") };
                (severity, obstacle)
            })
            .collect()
    }
}

/// What changes the stage, and what has to be found then.
type Row = (fn(&mut Stage), Vec<(Severity, Obstacle)>);

fn blocks(obstacle: Obstacle) -> (Severity, Obstacle) {
    (Severity::Blocking, obstacle)
}

fn warns(obstacle: Obstacle) -> (Severity, Obstacle) {
    (Severity::Warning, obstacle)
}

fn on_both(obstacle: impl Fn(HostName) -> Obstacle) -> Vec<(Severity, Obstacle)> {
    ["d1", "d2"].into_iter().map(|name| blocks(obstacle(host(name)))).collect()
}

fn local_disk(path: &str, size_mib: u64) -> DiskNeed {
    DiskNeed { path: path.into(), size_mib, shared: false, uncopyable: None }
}

#[test]
fn sites_that_fit_have_no_findings() {
    assert_eq!(stage().found(), []);
}

#[test]
fn what_a_vm_can_be_refused_for_is_found_before() {
    let rows: Vec<Row> = vec![
        (
            |stage| stage.needs().host_devices.push("0000:01:00.0".into()),
            vec![blocks(Obstacle::HostDevice { device: "0000:01:00.0".into() })],
        ),
        (|stage| stage.needs().snapshots = 2, vec![blocks(Obstacle::Snapshots { count: 2 })]),
        (
            |stage| stage.needs().guardian = Some("pacemaker".into()),
            vec![blocks(Obstacle::Guarded { guardian: "pacemaker".into() })],
        ),
        (
            |stage| stage.hosts()[1].residents.push(resident(2, "other", MAC)),
            // One instance more than is licensed is there, too.
            vec![
                blocks(Obstacle::MacTaken { mac: MAC.into(), by: "other".parse().expect("a name") }),
                blocks(Obstacle::NotLicensed {
                    product: "db".into(),
                    unit: LicenceUnit::Instance,
                    needed: 2,
                    licensed: 1,
                }),
            ],
        ),
        (
            |stage| {
                stage.preflight.destination.licences[0] =
                    Licence { product: "db".into(), unit: LicenceUnit::Core, count: 1 };
            },
            vec![blocks(Obstacle::NotLicensed {
                product: "db".into(),
                unit: LicenceUnit::Core,
                needed: 2,
                licensed: 1,
            })],
        ),
        (|stage| stage.preflight.needs.clear(), vec![warns(Obstacle::NeedsUnknown)]),
    ];
    check(rows);
}

#[test]
fn what_no_host_can_give_is_found_on_each() {
    let fits_nowhere: fn(&mut Stage) = |stage| {
        let lacks = ProcessorFit::Lacks { what: "avx512".into() };
        stage.preflight.processors.values_mut().for_each(|fit| *fit = lacks.clone());
    };
    let rows: Vec<Row> = vec![
        (fits_nowhere, on_both(|host| Obstacle::ProcessorUnfit { host, lacks: "avx512".into() })),
        (
            |stage| stage.everywhere(|survey| survey.domain_types = ["qemu".to_owned()].into()),
            on_both(|host| Obstacle::DomainTypeMissing { host, domain_type: "kvm".into() }),
        ),
        (
            |stage| stage.everywhere(|survey| survey.machines = ["pc".to_owned()].into()),
            on_both(|host| Obstacle::MachineMissing { host, machine: "q35".into() }),
        ),
        (
            |stage| stage.everywhere(|survey| survey.networks.clear()),
            on_both(|host| Obstacle::NetworkMissing { host, network: "lan".into() }),
        ),
        (
            |stage| stage.everywhere(|survey| survey.networks[0].active = false),
            on_both(|host| Obstacle::NetworkDown { host, network: "lan".into() }),
        ),
        (
            |stage| stage.everywhere(|survey| survey.storage[0].shared = false),
            on_both(|host| Obstacle::StorageUnreachable { host, path: "/shared/shop.qcow2".into() }),
        ),
        (
            |stage| stage.needs().disks[0] = local_disk("/srv/a", 1),
            on_both(|host| Obstacle::NoPlaceForDisk { host, path: "/srv/a".into() }),
        ),
        (
            // A copy goes to a place of the very same folder.
            |stage| stage.needs().disks[0] = local_disk("/var/disks/deeper/a", 1),
            on_both(|host| Obstacle::NoPlaceForDisk { host, path: "/var/disks/deeper/a".into() }),
        ),
        (
            |stage| {
                let uncopyable = Some("it is a block device".into());
                stage.needs().disks[0] = DiskNeed { uncopyable, ..local_disk("/dev/sdb", 1) };
            },
            vec![blocks(Obstacle::DiskNotCopyable { path: "/dev/sdb".into(), because: "it is a block device".into() })],
        ),
        (
            |stage| stage.needs().media.push("/iso/a.iso".into()),
            on_both(|host| Obstacle::MediumUnreachable { host, path: "/iso/a.iso".into() }),
        ),
        (
            |stage| {
                stage.preflight.destination.licences.clear();
                stage.everywhere(|survey| survey.residents.push(resident(2, "shop", "52:54:00:00:00:99")));
            },
            on_both(|host| Obstacle::NameTaken { host, name: "shop".parse().expect("a name") }),
        ),
    ];
    check(rows);
}

#[test]
fn what_the_plan_asks_too_much_of_is_found_once() {
    let link_is_down: fn(&mut Stage) = |stage| stage.preflight.source.hosts[0].link.up = Some(false);
    let disk_is_too_large: fn(&mut Stage) = |stage| stage.needs().disks[0] = local_disk("/var/disks/a", 2_001);
    let d1 = || host("d1");
    let rows: Vec<Row> = vec![
        (
            |stage| stage.everywhere(|survey| survey.vcpus_used = 7),
            vec![blocks(Obstacle::NoProcessors { host: d1(), wanted: 9, allowed: 8 })],
        ),
        (
            disk_is_too_large,
            vec![blocks(Obstacle::NoDiskRoom {
                host: d1(),
                path: "/var/disks/".into(),
                needed_mib: 2_001,
                free_mib: 2_000,
            })],
        ),
        (link_is_down, vec![blocks(Obstacle::LinkDown { host: host("s1") })]),
        (
            |stage| stage.everywhere(|survey| survey.link.rate_mbit_s = Some(100)),
            vec![warns(Obstacle::LinkSlow { host: d1(), rate_mbit_s: 100 })],
        ),
        (
            |stage| stage.everywhere(|survey| survey.link.tls = false),
            vec![warns(Obstacle::NotEncrypted { host: d1() })],
        ),
        (
            |stage| {
                stage.more = "[transfer]\ntls = true\n";
                stage.everywhere(|survey| survey.link.tls = false);
            },
            vec![blocks(Obstacle::NoTls { host: d1() })],
        ),
        (|stage| stage.more = "[transfer]\ntls = true\n", vec![]),
    ];
    check(rows);
}

#[test]
fn what_is_wrong_between_the_sites_is_found() {
    let (a, b) = ("a".parse().expect("a site"), "b".parse().expect("a site"));
    let rows: Vec<Row> = vec![
        (|stage| stage.preflight.source.peers.clear(), vec![blocks(Obstacle::PeerUnknown { site: b })]),
        (
            |stage| stage.preflight.source.peers[0].trouble = Some("refused".into()),
            vec![blocks(Obstacle::PathBroken { trouble: "refused".into() })],
        ),
        (
            |stage| stage.preflight.source.clock_ahead_ms = Some(-5_001),
            vec![warns(Obstacle::ClockOff { site: a, ahead_ms: -5_001 })],
        ),
        (
            |stage| stage.everywhere(|survey| survey.emulator = version(6)),
            vec![warns(Obstacle::EmulatorOlder {
                host: host("d1"),
                source: version(7).expect("one"),
                destination: version(6).expect("one"),
            })],
        ),
        (
            |stage| stage.everywhere(|survey| survey.library = version(8)),
            vec![warns(Obstacle::LibraryOlder {
                host: host("d1"),
                source: version(9).expect("one"),
                destination: version(8).expect("one"),
            })],
        ),
        (
            |stage| stage.everywhere(|survey| survey.networks[0].subnet = Some("198.51.100.0/24".into())),
            vec![warns(Obstacle::SubnetDiffers {
                host: host("d1"),
                network: "lan".into(),
                source: "192.0.2.0/24".into(),
                destination: "198.51.100.0/24".into(),
            })],
        ),
        (|stage| stage.hosts().clear(), vec![warns(Obstacle::NotSurveyed { host: host("d1") })]),
        (
            |stage| stage.preflight.processors.clear(),
            vec![warns(Obstacle::ProcessorUnknown { host: host("d1"), because: "it was not asked".into() })],
        ),
    ];
    check(rows);
}

const PAIR: &str = "[[guardian]]\nname = \"pacemaker\"\nhands_off = \"unmanage\"\ngive_back = \"manage\"\n";

#[test]
fn a_guardian_blocks_unless_the_runbook_has_its_commands_and_the_orchestrator_too() {
    let guarded: fn(&mut Stage) = |stage| stage.needs().guardian = Some("pacemaker".into());
    let missing = |name: &str| {
        let command = name.parse().expect("a command");
        blocks(Obstacle::CommandMissing { guardian: "pacemaker".into(), command })
    };
    let are_run = || {
        warns(Obstacle::CommandsAreRun {
            guardian: "pacemaker".into(),
            hands_off: "unmanage".parse().expect("a command"),
            give_back: "manage".parse().expect("a command"),
            vms: 1,
        })
    };
    let rows: Vec<Row> = vec![
        (guarded, vec![blocks(Obstacle::Guarded { guardian: "pacemaker".into() })]),
        (
            |stage| {
                stage.more = PAIR;
                stage.needs().guardian = Some("pacemaker".into());
            },
            vec![are_run()],
        ),
        // A pair for somebody else is none.
        (
            |stage| {
                stage.more = PAIR;
                stage.needs().guardian = Some("another".into());
            },
            vec![blocks(Obstacle::Guarded { guardian: "another".into() })],
        ),
        // Nobody is guarded: nothing is run, and nothing is said.
        (|stage| stage.more = PAIR, vec![]),
        // What the orchestrator lacks is missing whether or not a VM needs it today.
        (
            |stage| {
                stage.more = PAIR;
                stage.preflight.commands.clear();
            },
            vec![missing("manage"), missing("unmanage")],
        ),
        (
            |stage| {
                stage.more = PAIR;
                stage.needs().guardian = Some("pacemaker".into());
                stage.preflight.commands.retain(|name| name.as_str() == "unmanage");
            },
            vec![missing("manage"), are_run()],
        ),
    ];
    check(rows);
}

#[test]
fn a_plan_says_who_guards_a_vm_and_the_finding_how_to_mend_it() {
    let mut stage = stage();
    stage.needs().guardian = Some("pacemaker".into());
    let refused = stage.planned().expect_err("it is guarded")[0].to_string();
    assert!(refused.contains("pacemaker starts and stops it") && refused.contains("[[guardian]]"), "{refused}");
    stage.more = PAIR;
    let plan = stage.planned().expect("it is dealt with");
    assert_eq!(plan.moves[0].guardian.as_deref(), Some("pacemaker"));
    let told = plan.warnings[0].to_string();
    assert!(told.contains("1 VM: unmanage is run before its move, manage after it"), "{told}");
    stage.preflight.commands.clear();
    let refused = stage.planned().expect_err("the commands are missing")[0].to_string();
    assert!(refused.contains("no command manage") && refused.contains("--command NAME=/absolute/path"), "{refused}");
}

#[test]
fn a_vm_goes_to_a_host_that_can_take_it() {
    let mut stage = stage();
    stage.hosts()[0].machines.clear();
    let plan = stage.planned().expect("d2 can take it");
    assert_eq!(plan.moves[0].destination_host, host("d2"));
    assert_eq!(plan.warnings, []);
}

#[test]
fn a_powered_off_vm_needs_no_medium_and_no_link() {
    let mut stage = stage();
    stage.source.vms[0].instance = Instance::Off(OffCause::ShutDown);
    stage.needs().media.push("/iso/a.iso".into());
    stage.preflight.source.hosts[0].link.up = Some(false);
    stage.everywhere(|survey| {
        survey.link.tls = false;
        survey.emulator = version(6);
    });
    assert_eq!(stage.found(), []);
}

fn check(rows: Vec<Row>) {
    for (index, (change, expected)) in rows.into_iter().enumerate() {
        let mut stage = stage();
        change(&mut stage);
        assert_eq!(stage.found(), expected, "row {index}");
        let says =
            |(_, obstacle): (Severity, Obstacle)| [obstacle.what(), obstacle.why().into(), obstacle.mend().into()];
        assert!(expected.into_iter().flat_map(says).all(|text| !text.is_empty()));
    }
}
