//! Hosts that are reached as in earnest: libvirt over TLS and over SSH, guests' memory over TLS. Nothing here says that it is a lab,
//! so plain TCP would be refused.
//!
//! Red if memory can be read on its way, or a libvirtd over a network is not driven as one next door is.

use crate::house::House;
use crate::stand::Stand;
use muster_proto::v1::MoveState;
use muster_tests::lab::judge::WATCH_MS;
use muster_tests::lab::{Answer, Capture, Door, Host, Kind, LIBVIRT_TLS_PORT, Role, SSH_PORT};
use muster_tests::sites::{Ways, configuration_by};
use std::collections::BTreeMap;

/// What stands in every guest's memory.
const READABLE: &[u8] = b" DISK ERROR";
const SOURCE_HOST: &str = "north-1";

/// How workers reach libvirt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tls,
    Ssh,
}

/// By host: its door, and where to knock.
async fn doors(stand: &Stand, transport: Transport) -> BTreeMap<String, (Door, String)> {
    let mut doors = BTreeMap::new();
    for host in &stand.lab.record().hosts {
        let (port, rest) = match transport {
            Transport::Tls => {
                let certificates = stand.lab.caller_certificates();
                (LIBVIRT_TLS_PORT, format!("/system?pkipath={}", certificates.display()))
            }
            Transport::Ssh => {
                let key = stand.lab.start_ssh(&host.name).await.unwrap().key;
                (SSH_PORT, format!("/system?keyfile={}&no_verify=1&no_tty=1", key.display()))
            }
        };
        let door = stand.lab.door(&host.name, port).await.unwrap();
        let scheme = match transport {
            Transport::Tls => "qemu+tls://",
            Transport::Ssh => "qemu+ssh://root@",
        };
        let uri = format!("{scheme}{}{rest}", door.address());
        doors.insert(host.name.clone(), (door, uri));
    }
    doors
}

/// Moves the guest, as any operator would; gives the host where it runs.
async fn evacuate(stand: &Stand, guest: &str, doors: &BTreeMap<String, (Door, String)>, tls: bool) -> String {
    let by_worker = |host: &Host| doors[&host.name].1.clone();
    let ways = Ways { is_lab: false, by_worker: &by_worker, by_host: &|host| host.secure_peer_uri.clone() };
    let configuration = |role| {
        let text = configuration_by(stand.lab.record(), role, &ways);
        if tls { text + "\n[transfer]\ntls = true\n" } else { text }
    };
    let house = House::build_by(&stand.lab, configuration).await;
    // Encrypted memory also goes by several connections at once, as a runbook may ask.
    let transfer = if tls { "transfer.tls = true\ntransfer.connections = 2" } else { "" };
    let evacuation = house.evacuate(guest, transfer).await;
    let moved = house.until_over(&evacuation).await;
    assert_eq!((moved.state(), moved.attempts), (MoveState::Migrated, 1), "{moved:#?}");
    let opinions = stand.lab.judge(WATCH_MS).await.unwrap();
    let opinion = opinions.into_iter().find(|opinion| opinion.guest == guest).unwrap();
    assert_eq!(opinion.answer, Answer::Once { host: moved.destination_host.clone() }, "{opinion:#?}");
    assert_eq!(opinion.newest().unwrap().boot, 1, "its memory came along: {opinion:#?}");
    let started = stand.lab.virsh(SOURCE_HOST, &["start", guest]).await.unwrap();
    assert!(!started.success && started.stderr.contains("/muster/retired-not-runnable"), "{started:?}");
    moved.destination_host
}

fn can_be_read(captures: &[Capture]) -> bool {
    let shows = |capture: &Capture| {
        let heard = capture.heard().unwrap();
        assert!(heard.len() > 1 << 10 || captures.len() > 1, "nothing was recorded at all");
        heard.windows(READABLE.len()).any(|bytes| bytes == READABLE)
    };
    captures.iter().any(shows)
}

async fn record_memory(stand: &Stand) -> Vec<Capture> {
    let mut captures = Vec::new();
    for host in stand.lab.record().hosts.iter().filter(|host| host.role == Role::Destination) {
        captures.push(stand.lab.record_memory(&host.name).await.unwrap());
    }
    captures
}

#[tokio::test(flavor = "multi_thread")]
async fn libvirt_over_tls_and_memory_over_tls_which_nobody_can_read() {
    let Some(stand) = Stand::up("tls", &[(Kind::Quiet, 2)]).await else { return };
    let doors = doors(&stand, Transport::Tls).await;
    let in_the_clear = record_memory(&stand).await;
    evacuate(&stand, "vm1", &doors, false).await;
    assert!(can_be_read(&in_the_clear), "what goes in the clear is not seen: this test could not fail");
    drop(in_the_clear);
    let encrypted = record_memory(&stand).await;
    evacuate(&stand, "vm2", &doors, true).await;
    assert!(!can_be_read(&encrypted), "guests' memory can be read on its way");
    let sent: usize = encrypted.iter().map(|capture| capture.heard().unwrap().len()).sum();
    assert!(sent > 1 << 16, "{sent} bytes are no guest's memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn libvirt_over_ssh() {
    let Some(stand) = Stand::up("ssh", &[(Kind::Quiet, 1)]).await else { return };
    let doors = doors(&stand, Transport::Ssh).await;
    evacuate(&stand, "vm1", &doors, true).await;
}
