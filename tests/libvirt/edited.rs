//! Sealed definitions and placeholders that somebody edits with virsh, on real hypervisors: inert again, alarmed, and only where
//! they are proven to be muster's own. The move stands still between its steps: nobody settles it.

use crate::house::House;
use crate::stand::{Stand, vm_of};
use muster_core::claim::{Holder, HolderKind};
use muster_core::definition::Mode;
use muster_core::evidence::ArrivalKind;
use muster_core::ids::{Attempt, EvacuationId, RequestId, VmId};
use muster_core::ledger::RollEntry;
use muster_core::step::Side;
use muster_core::token::{Epoch, Token};
use muster_proto::convert::{ClaimEvacuation, SiteAction, SiteCommand};
use muster_recovery::link::SiteLink;
use muster_tests::lab::{Kind, Role};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long the workers may take to see what was done.
const LIMIT: Duration = Duration::from_secs(60);
const HERE: &str = "north-1";

/// A VM between its steps, and who holds it there.
struct Scene {
    stand: Stand,
    house: House,
    source: Arc<SiteLink>,
    destination: Arc<SiteLink>,
    vm: VmId,
    guest: String,
    /// Its definition as it was first given to libvirt.
    real: String,
    there: String,
    sequence: u64,
}

impl Scene {
    const EVACUATION: EvacuationId = EvacuationId(Uuid::from_u128(0xed));

    /// On both rolls, with a started record and its placeholder. None where there can be no lab.
    async fn placed(word: &str) -> Option<Scene> {
        let stand = Stand::up(word, &[(Kind::Quiet, 1)]).await?;
        let house = House::build(&stand.lab).await;
        let guest = stand.lab.record().guests[0].clone();
        let at = |role| stand.lab.record().hosts.iter().find(|host| host.role == role).unwrap().name.clone();
        let (vm, there) = (vm_of(&guest), at(Role::Destination));
        assert_eq!(at(Role::Source), HERE);
        let (source, destination) = (house.link(Role::Source).await, house.link(Role::Destination).await);
        let (guest, real) = (guest.name, guest.definition.display().to_string());
        let mut scene = Scene { stand, house, source, destination, vm, guest, real, there, sequence: 0 };
        let claim = ClaimEvacuation {
            request: RequestId(Scene::EVACUATION.0),
            evacuation: Scene::EVACUATION,
            holder: Holder::new("a test", HolderKind::Orchestrator),
            expected: Epoch(0),
            at_least: Epoch(0),
            take_over: None,
        };
        assert_eq!(scene.destination.claim(claim).await.unwrap().epoch, Epoch(1));
        let listed = scene.source.inventory().await.unwrap().vms.into_iter().find(|listed| listed.vm == vm).unwrap();
        let host = scene.there.parse().unwrap();
        let entry = RollEntry {
            evacuation: Scene::EVACUATION,
            vm,
            mode: Mode::Live,
            source_site: scene.source.site().clone(),
            destination_site: scene.destination.site().clone(),
            destination_host: host,
            definition: listed.definition,
        };
        for (side, link) in [(Side::Destination, &scene.destination), (Side::Source, &scene.source)] {
            assert_eq!(link.write_roll(side, Epoch(1), std::slice::from_ref(&entry)).await.unwrap(), Vec::new());
        }
        let host = entry.destination_host;
        scene.act(SiteAction::OpenAttempt { host, kind: ArrivalKind::Transfer }).await;
        scene.act(SiteAction::MakePlaceholder { attempt: Attempt::FIRST }).await;
        Some(scene)
    }

    async fn act(&mut self, action: SiteAction) {
        self.sequence += 1;
        let command = SiteCommand { vm: self.vm, token: Token::new(1, self.sequence), action };
        let link = match command.action.side() {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        };
        link.execute(Scene::EVACUATION, command).await.unwrap();
    }

    async fn virsh(&self, host: &str, arguments: &[&str]) -> String {
        self.stand.lab.virsh(host, arguments).await.and_then(|ran| ran.well()).unwrap()
    }

    async fn dumped(&self, host: &str) -> String {
        self.virsh(host, &["dumpxml", "--inactive", &self.guest]).await
    }

    /// Waits until what is stored is inert in this way, and libvirt refuses to start it for that.
    async fn until_inert(&self, host: &str, folder: &str) {
        let looking = async {
            while !self.dumped(host).await.contains(folder) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(LIMIT, looking).await.expect("it stays as it was edited");
        let started = self.stand.lab.virsh(host, &["start", &self.guest]).await.unwrap();
        assert!(!started.success && format!("{started:?}").contains(folder), "{started:?}");
    }

    async fn until_autostart_is_off(&self, host: &str) {
        let looking = async {
            while !self.virsh(host, &["dominfo", &self.guest]).await.contains("disable") {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        tokio::time::timeout(LIMIT, looking).await.expect("its autostart stays on");
    }

    /// The stored definition with something replaced, defined anew as `virsh edit` does: the metadata stays.
    async fn edit(&self, host: &str, edited: impl Fn(String) -> String) {
        let text = edited(self.dumped(host).await);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        self.virsh(host, &["define", &file.path().display().to_string()]).await;
    }
}

/// Without the disk that can't exist.
fn without_the_disk(text: String) -> String {
    let path = text.find("/muster/").expect("it is inert");
    let begin = text[..path].rfind("<disk").unwrap();
    let end = path + text[path..].find("</disk>").unwrap() + "</disk>".len();
    format!("{}{}", &text[..begin], &text[end..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_definition_that_somebody_defines_anew_is_sealed_again() {
    let Some(mut scene) = Scene::placed("edited").await else { return };
    scene.act(SiteAction::Seal).await;
    // It runs sealed. Off, a start is what the seal is there for.
    scene.virsh(HERE, &["destroy", &scene.guest]).await;
    scene.until_inert(HERE, "/muster/sealed-not-runnable/").await;
    assert_eq!(scene.house.events(Role::Source, "made_inert_again").await, 0);

    scene.virsh(HERE, &["define", &scene.real]).await;
    scene.until_inert(HERE, "/muster/sealed-not-runnable/").await;
    scene.house.until_events(Role::Source, "made_inert_again", 1).await;
    scene.edit(HERE, without_the_disk).await;
    scene.until_inert(HERE, "/muster/sealed-not-runnable/").await;
    scene.house.until_events(Role::Source, "made_inert_again", 2).await;

    scene.virsh(HERE, &["autostart", &scene.guest]).await;
    scene.until_autostart_is_off(HERE).await;
    scene.house.until_events(Role::Source, "made_inert_again", 3).await;
    scene.until_inert(HERE, "/muster/sealed-not-runnable/").await;
    assert_eq!(scene.house.events(Role::Source, "alarmed").await, 2, "of two kinds, each once a minute at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placeholder_that_somebody_edits_is_one_again_and_what_is_not_proven_to_be_one_is_left_alone() {
    let Some(scene) = Scene::placed("replaced").await else { return };
    let there = scene.there.as_str();
    scene.until_inert(there, "/muster/placeholder-not-runnable/").await;
    scene.edit(there, without_the_disk).await;
    scene.until_inert(there, "/muster/placeholder-not-runnable/").await;
    scene.house.until_events(Role::Destination, "made_inert_again", 1).await;

    scene.virsh(there, &["autostart", &scene.guest]).await;
    scene.until_autostart_is_off(there).await;
    scene.house.until_events(Role::Destination, "made_inert_again", 2).await;

    // Its mark goes with its metadata; it is the VM's own definition to the letter.
    scene.virsh(there, &["define", &scene.real]).await;
    scene.until_inert(there, "/muster/placeholder-not-runnable/").await;
    scene.house.until_events(Role::Destination, "made_inert_again", 3).await;
    let text = scene.dumped(there).await;
    assert!(text.contains(&Scene::EVACUATION.to_string()), "{text}");

    // This one may be anybody's.
    let other = tempfile::NamedTempFile::new().unwrap();
    let real = std::fs::read_to_string(&scene.real).unwrap();
    std::fs::write(other.path(), real.replacen("<vcpu>1<", "<vcpu>2<", 1)).unwrap();
    scene.virsh(there, &["define", &other.path().display().to_string()]).await;
    scene.house.until_events(Role::Destination, "alarmed", 3).await;
    let text = scene.dumped(there).await;
    assert!(!text.contains("/muster/") && text.contains(">2</vcpu>"), "{text}");
    assert_eq!(scene.house.events(Role::Destination, "made_inert_again").await, 3);
}
