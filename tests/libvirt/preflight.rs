//! `muster check` on real hosts: what keeps guests from their destination is found on both sides, all of it at once, each with its
//! VM, what, why and how to mend it; and a guest that nothing keeps is ready.
//!
//! Red if something that libvirt shows is not seen, or one trouble hides another.

use crate::house::House;
use crate::stand::Stand;
use muster_core::preflight::survey::ProcessorFit;
use muster_proto::v1::{Finding, FindingSeverity};
use muster_tests::lab::{Guest, Kind, Role};
use muster_tests::sites::libvirt_configuration;
use std::collections::BTreeSet;
use std::path::PathBuf;

const HERE: &str = "north-1";
const THERE: [&str; 2] = ["south-1", "south-2"];
/// A network of the source's alone.
const DMZ: &str = "<network><name>dmz</name><forward mode='bridge'/><bridge name='br0'/></network>";
/// Guests' disks are larger than this, and there is no such room anywhere.
const HUGE_BYTES: u64 = 1 << 43;

/// Files that are handed to virsh.
struct Files(tempfile::TempDir);

impl Files {
    fn with(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

async fn virsh(stand: &Stand, host: &str, arguments: &[&str]) {
    stand.lab.virsh(host, arguments).await.and_then(|ran| ran.well()).unwrap();
}

/// Defines a guest otherwise, which is off then.
async fn redefine(stand: &Stand, files: &Files, guest: &Guest, (from, to): (&str, &str)) {
    let real = std::fs::read_to_string(&guest.definition).unwrap();
    assert!(real.contains(from), "{real}");
    virsh(stand, HERE, &["destroy", &guest.name]).await;
    let file = files.with(&guest.name, &real.replacen(from, to, 1));
    virsh(stand, HERE, &["define", &file]).await;
}

/// Makes something wrong with each guest but the first.
async fn spoil(stand: &Stand, files: &Files) {
    let guests = &stand.lab.record().guests;
    let end = "</devices>";
    virsh(stand, HERE, &["net-define", &files.with("dmz.xml", DMZ)]).await;
    redefine(stand, files, &guests[1], ("network='lan'", "network='dmz'")).await;
    let device = "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='1' slot='0' function='0'/>\
                  </source></hostdev></devices>";
    redefine(stand, files, &guests[2], (end, device)).await;
    // Only its own host has it.
    std::fs::write(stand.lab.host(HERE).unwrap().local_folder.join("install.iso"), [0; 1 << 16]).unwrap();
    let iso = stand.lab.record().local_folder.join("install.iso");
    let medium = format!(
        "<disk type='file' device='cdrom'><source file='{}'/><target dev='hdc' bus='ide'/><readonly/></disk></devices>",
        iso.display()
    );
    redefine(stand, files, &guests[3], (end, &medium)).await;
    virsh(stand, HERE, &["start", &guests[3].name]).await;
    let tag =
        |tag: &str| format!("<metadata><tags xmlns='urn:muster:tags:1'><tag>{tag}</tag></tags></metadata><memory");
    redefine(stand, files, &guests[4], ("<memory", &tag("guardian:pacemaker"))).await;
    redefine(stand, files, &guests[5], ("<memory", &tag("product:database"))).await;
    redefine(stand, files, &guests[6], ("<vcpu>1<", "<vcpu>64<")).await;
    virsh(stand, HERE, &["managedsave", &guests[7].name]).await;
    let real = std::fs::read_to_string(&guests[8].definition).unwrap();
    let snapshot = format!(
        "<domainsnapshot><name>one</name><state>running</state><creationTime>1</creationTime>{real}</domainsnapshot>"
    );
    virsh(stand, HERE, &["snapshot-create", &guests[8].name, &files.with("snapshot", &snapshot), "--redefine"]).await;
    // Two strangers at the destination: one has a guest's name, one another's address.
    let stranger = |guest: &Guest, name: &str, mac: &str| {
        let real = std::fs::read_to_string(&guest.definition).unwrap();
        let uuid = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string();
        real.replace(&guest.uuid, &uuid)
            .replace(&format!("<name>{}<", guest.name), &format!("<name>{name}<"))
            .replace(&guest.mac, mac)
    };
    for host in THERE {
        let of_name = stranger(&guests[9], &guests[9].name, "52:54:00:00:00:01");
        virsh(stand, host, &["define", &files.with("name", &of_name)]).await;
    }
    let of_mac = stranger(&guests[10], "stranger", &guests[10].mac);
    virsh(stand, THERE[0], &["define", &files.with("mac", &of_mac)]).await;
    let large =
        std::fs::File::options().write(true).open(stand.lab.host(HERE).unwrap().local_folder.join("vm12.img")).unwrap();
    virsh(stand, HERE, &["destroy", &guests[11].name]).await;
    large.set_len(HUGE_BYTES).unwrap();
}

/// What has to be found, of which guest; without one where it is about the sums of the plan, or a host.
const WRONG: [(&str, &str); 12] = [
    ("vm2", "network_missing"),
    ("vm3", "host_device"),
    ("vm4", "medium_unreachable"),
    ("vm5", "guarded"),
    ("", "not_licensed"),
    ("", "no_processors"),
    ("vm8", "saved_memory"),
    ("vm9", "snapshots"),
    ("vm10", "name_taken"),
    ("vm11", "mac_taken"),
    ("", "no_disk_room"),
    ("", "not_encrypted"),
];

#[tokio::test(flavor = "multi_thread")]
async fn all_that_keeps_guests_back_is_found_at_once() {
    let Some(stand) = Stand::up("check", &[(Kind::Quiet, 11), (Kind::Local, 1)]).await else { return };
    let files = Files(tempfile::tempdir().unwrap());
    spoil(&stand, &files).await;
    let configuration = |role| {
        let text = libvirt_configuration(stand.lab.record(), role, None);
        let limited = text.replace("memory_mib = 2048", "memory_mib = 2048\nvcpus_max = 32");
        limited + "\n[[licence]]\nproduct = \"database\"\nunit = \"instance\"\ncount = 0\n"
    };
    let house = House::build_by(&stand.lab, configuration).await;
    let found = house.check().await;
    let kinds = |name: &str| -> BTreeSet<&str> {
        found.iter().filter(|finding| finding.name == name).map(|finding| finding.kind.as_str()).collect()
    };
    assert_eq!(kinds("vm1"), BTreeSet::new(), "{found:#?}");
    for (guest, wrong) in WRONG {
        let seen = kinds(guest);
        assert!(seen.contains(wrong), "{guest:?}: {wrong} is not among {seen:?} of {found:#?}");
    }
    let is_whole = |finding: &Finding| {
        let told = [&finding.what, &finding.why, &finding.mend];
        told.iter().all(|text| !text.is_empty()) && finding.severity() != FindingSeverity::Unspecified
    };
    assert!(found.iter().all(is_whole), "{found:#?}");
    // Reading is all it did.
    let listed = stand.lab.virsh(THERE[1], &["list", "--all", "--name"]).await.and_then(|ran| ran.well()).unwrap();
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["vm10"]);
}

/// No machine has processors of two vendors, every one is more than the first Pentium, and none is one that nobody has heard of.
#[tokio::test(flavor = "multi_thread")]
async fn whether_a_processor_fits_the_hosts_say_themselves() {
    let Some(stand) = Stand::up("cpus", &[(Kind::Quiet, 1)]).await else { return };
    let house = House::build(&stand.lab).await;
    let of = |rest: &str| format!("<cpu mode='custom' match='exact'>{rest}</cpu>");
    let asked = [
        of("<model>pentium</model>"),
        of("<model>Opteron_G1</model><vendor>AMD</vendor>"),
        of("<model>core2duo</model><vendor>Intel</vendor>"),
        of("<model>Unheard</model>"),
    ];
    let told = house.link(Role::Destination).await.survey(&[], &[], &asked).await.unwrap().processors;
    assert_eq!(told.len(), asked.len() * THERE.len(), "{told:#?}");
    for host in THERE {
        let fit = |number: usize| &told[&(asked[number].clone(), host.parse().unwrap())];
        assert_eq!(*fit(0), ProcessorFit::Fits);
        let lacking = [fit(1), fit(2)].map(|fit| match fit {
            ProcessorFit::Lacks { what } => what.as_str(),
            ProcessorFit::Fits | ProcessorFit::Unknown { .. } => "",
        });
        assert!(lacking.iter().any(|what| what.contains("vendor")), "{host}: {told:#?}");
        assert!(
            matches!(fit(3), ProcessorFit::Unknown { because } if because.contains("Unheard")),
            "{host}: {told:#?}"
        );
    }
}
