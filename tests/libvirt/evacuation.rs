//! Whole evacuations of guests whose disks only their host has, by real processes of muster: live, cold and powered off, and
//! with deaths in the middle of the copies. Judged from outside: by the lab's judge and by the disks themselves.

use crate::stand::Stand;
use muster_proto::channel::{Dial, SiteAddress, TcpDial};
use muster_proto::v1 as wire;
use muster_proto::v1::evacuations_client::EvacuationsClient;
use muster_tests::daemon::{Daemon, free_port, run, until_working};
use muster_tests::lab::judge::WATCH_MS;
use muster_tests::lab::{Answer, Kind, Opinion, Role};
use muster_tests::sites::libvirt_configuration;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// How long an evacuation may take.
const LIMIT: Duration = Duration::from_secs(150);
/// How often it is looked at.
const LOOKED_EVERY: Duration = Duration::from_millis(50);
/// So slow that a disk takes some seconds, in MiB per second.
const SLOW_MIB_S: u64 = 4;
/// The host of the source's site.
const HOME: &str = "north-1";

/// A lab, and muster's processes for it.
struct Scene {
    stand: Stand,
    source: Daemon,
    _destination: Daemon,
    _orchestrator: Daemon,
    orchestrator_at: SiteAddress,
    directory: TempDir,
}

impl Scene {
    /// None where there can be no lab.
    async fn up(name: &'static str, guests: u16, bandwidth_mib_s: Option<u64>) -> Option<Scene> {
        let stand = Stand::up(name, &[(Kind::Local, guests)]).await?;
        let built = tokio::task::spawn_blocking(muster_tests::binary::muster).await.unwrap();
        built.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let at = |file: &str| directory.path().join(file).display().to_string();
        let ports = [free_port().unwrap(), free_port().unwrap(), free_port().unwrap()];
        let worker = |site: &str, port: u16, peer: &str, peer_port: u16| {
            vec![
                "worker".to_owned(),
                format!("--site={site}"),
                format!("--listen=127.0.0.1:{port}"),
                format!("--ledger={}", at(&format!("{site}.ledger"))),
                format!("--hypervisor=libvirt:{}", at(&format!("{site}.toml"))),
                format!("--peer={peer}=127.0.0.1:{peer_port}"),
            ]
        };
        for (site, role) in [("north", Role::Source), ("south", Role::Destination)] {
            let text = libvirt_configuration(stand.lab.record(), role, bandwidth_mib_s);
            std::fs::write(at(&format!("{site}.toml")), text).unwrap();
        }
        let mut source = Daemon::new("source", directory.path(), worker("north", ports[0], "south", ports[1]));
        let mut destination =
            Daemon::new("destination", directory.path(), worker("south", ports[1], "north", ports[0]));
        for daemon in [&mut source, &mut destination] {
            let address = daemon.start().await.unwrap();
            until_working(&address).await.unwrap();
        }
        let arguments = vec![
            "orchestrator".to_owned(),
            format!("--listen=127.0.0.1:{}", ports[2]),
            format!("--journal={}", at("journal")),
            format!("--site=north=127.0.0.1:{}", ports[0]),
            format!("--site=south=127.0.0.1:{}", ports[1]),
        ];
        let mut orchestrator = Daemon::new("orchestrator", directory.path(), arguments);
        let orchestrator_at = orchestrator.start().await.unwrap();
        let scene =
            Scene { stand, source, _destination: destination, _orchestrator: orchestrator, orchestrator_at, directory };
        scene.until_counting().await;
        Some(scene)
    }

    /// Every guest has written its first record.
    async fn until_counting(&self) {
        let source = self.stand.lab.source().unwrap();
        let counts = || {
            let mut guests = self.stand.lab.record().guests.iter();
            guests.all(|guest| !muster_tests::lab::serial::printed(source, &guest.name).unwrap().records.is_empty())
        };
        let waiting = async {
            while !counts() {
                tokio::time::sleep(LOOKED_EVERY).await;
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.unwrap();
    }

    /// Orders the evacuation of these guests in these modes; gives its id.
    async fn evacuate(&self, modes: &[(&str, &str)]) -> String {
        let mut text = "name = \"disks\"\n[source]\nsite = \"north\"\n[destination]\nsite = \"south\"\n\
            [retry]\nattempts = 6\nbackoff_ms = 100\nbackoff_max_ms = 500\n"
            .to_owned();
        for (guest, mode) in modes {
            text.push_str(&format!("[[select]]\nnames = [\"{guest}\"]\nmode = \"{mode}\"\n"));
        }
        let runbook = self.directory.path().join("runbook.toml");
        std::fs::write(&runbook, text).unwrap();
        let mut arguments =
            ["evacuate", runbook.to_str().unwrap(), "--by=disks", "--output=json"].map(str::to_owned).to_vec();
        arguments.push(format!("--orchestrator={}", self.orchestrator_at));
        let ended = run(&arguments).await.unwrap();
        let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        answer["evacuation"].as_str().unwrap_or_else(|| panic!("{ended:?}")).to_owned()
    }

    async fn moves(&self, evacuation: &str) -> Vec<wire::Move> {
        let channel = TcpDial.dial(&self.orchestrator_at).await.unwrap();
        let page_token = String::new();
        let request = wire::ListMovesRequest {
            evacuation: evacuation.to_owned(),
            page_size: 1_000,
            page_token,
            filter: String::new(),
        };
        EvacuationsClient::new(channel).list_moves(request).await.unwrap().into_inner().moves
    }

    async fn until(&self, evacuation: &str, what: &str, fits: impl Fn(&[wire::Move]) -> bool) -> Vec<wire::Move> {
        let mut last = Vec::new();
        let looking = async {
            loop {
                last = self.moves(evacuation).await;
                if fits(&last) {
                    return;
                }
                tokio::time::sleep(LOOKED_EVERY).await;
            }
        };
        let in_time = tokio::time::timeout(LIMIT, looking).await.is_ok();
        assert!(in_time, "never came to {what}: {last:#?}");
        last
    }

    async fn until_migrated(&self, evacuation: &str) -> Vec<wire::Move> {
        let all = |moves: &[wire::Move]| moves.iter().all(|one| one.state() == wire::MoveState::Migrated);
        self.until(evacuation, "everything migrated", all).await
    }

    async fn opinion(&self, guest: &str) -> Opinion {
        let opinions = self.stand.lab.judge(WATCH_MS).await.unwrap();
        opinions.into_iter().find(|opinion| opinion.guest == guest).unwrap()
    }

    fn disk(&self, guest: &str, host: &str) -> PathBuf {
        self.stand.lab.host(host).unwrap().local_folder.join(format!("{guest}.img"))
    }

    /// It runs at its destination alone, on a disk with the one sequence that its one writer has written; what it doesn't
    /// write is as it was. Its source's copy can't be started, and its source's disk is still there.
    async fn has_moved(&self, a_move: &wire::Move, boots: u32) {
        let (guest, host) = (a_move.name.as_str(), a_move.destination_host.as_str());
        let opinion = self.opinion(guest).await;
        assert_eq!(opinion.answer, Answer::Once { host: host.to_owned() }, "{opinion:#?}");
        assert_eq!(opinion.life().last().map(|record| record.boot), Some(boots), "{opinion:#?}");
        let disk = opinion.disk.as_ref().unwrap();
        assert!(disk.broken.is_none() && !disk.is_marked && disk.head >= opinion.newest(), "{disk:?}");
        self.arrived_identical(guest, host, true).await;
    }

    async fn arrived_identical(&self, guest: &str, host: &str, is_written: bool) {
        let [here, there] = [HOME, host].map(|host| std::fs::read(self.disk(guest, host)).unwrap());
        // A guest writes to the first half of its disk; the other is filled.
        let from = if is_written { here.len() / 2 } else { 0 };
        assert!(here.len() == there.len() && here[from..] == there[from..], "{guest}'s disk did not arrive identical");
        assert!(here[here.len() / 2..].iter().any(|byte| *byte != 0), "there was nothing to compare");
        let started = self.stand.lab.virsh(HOME, &["start", guest]).await.unwrap();
        assert!(!started.success, "{guest} could be started a second time");
    }
}

fn find<'m>(moves: &'m [wire::Move], guest: &str) -> &'m wire::Move {
    moves.iter().find(|one| one.name == guest).unwrap()
}

fn is_in_its_disk(a_move: &wire::Move) -> bool {
    a_move.phase == "disk copy" && a_move.phase_done_basis_points > 1_000
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_leave_with_their_disks_live_cold_and_powered_off() {
    let Some(scene) = Scene::up("leave", 3, None).await else { return };
    scene.stand.lab.virsh(HOME, &["destroy", "vm3"]).await.and_then(|ran| ran.well()).unwrap();
    let evacuation = scene.evacuate(&[("vm1", "live"), ("vm2", "cold"), ("vm3", "off")]).await;
    let moves = scene.until_migrated(&evacuation).await;
    scene.has_moved(find(&moves, "vm1"), 1).await;
    scene.has_moved(find(&moves, "vm2"), 2).await;
    assert_eq!(scene.opinion("vm3").await.answer, Answer::Nowhere);
    scene.arrived_identical("vm3", &find(&moves, "vm3").destination_host, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_are_killed_in_the_middle_are_made_again() {
    let Some(mut scene) = Scene::up("remade", 2, Some(SLOW_MIB_S)).await else { return };
    let evacuation = scene.evacuate(&[("vm1", "live"), ("vm2", "cold")]).await;
    let copied = |moves: &[wire::Move]| moves.iter().all(is_in_its_disk);
    let moves = scene.until(&evacuation, "two copies under way", copied).await;
    // The live one loses its destination's libvirtd, the cold one the process that copies.
    let host = find(&moves, "vm1").destination_host.clone();
    scene.stand.lab.kill_libvirtd(&host).await.unwrap();
    scene.source.kill().await.unwrap();
    assert_eq!(scene.opinion("vm1").await.answer, Answer::Once { host: HOME.to_owned() });
    assert_eq!(scene.opinion("vm2").await.answer, Answer::Nowhere);
    scene.stand.lab.start_libvirtd(&host).await.unwrap();
    scene.source.start().await.unwrap();
    let moves = scene.until_migrated(&evacuation).await;
    assert!(moves.iter().all(|one| one.attempts > 1), "nothing was made again: {moves:#?}");
    scene.has_moved(find(&moves, "vm1"), 1).await;
    scene.has_moved(find(&moves, "vm2"), 2).await;
}
