//! Disks that only their host has: what arrives is what was there, a copy that broke off is partial, and nothing that is
//! somebody else's is written over or taken away.

use crate::stand::{Stand, sealing, vm_of};
use muster_core::definition::Definition;
use muster_core::ids::{Attempt, EvacuationId, HostName, SiteName, VmId};
use muster_core::reading::{Instance, Mark, Phase, Sighting, Stored};
use muster_core::token::Token;
use muster_tests::lab::judge::WATCH_MS;
use muster_tests::lab::{Answer, Kind, Role};
use muster_worker::hypervisor::{Call, Hypervisor, VmChange};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(60);
/// So slow that a copy takes some seconds, in MiB per second.
const SLOW_MIB_S: u64 = 4;

/// A site's driver, and one of its hosts.
struct Side {
    driver: Arc<dyn Hypervisor>,
    site: SiteName,
    host: HostName,
    disk: PathBuf,
}

/// A guest with a disk of its own, between two sites.
struct Scene {
    vm: VmId,
    definition: Definition,
    source: Side,
    destination: Side,
}

impl Side {
    async fn must(&self, vm: VmId, change: VmChange) {
        let call = Call { vm, host: self.host.clone(), change };
        self.driver.call(call).await.unwrap_or_else(|error| panic!("{}: {error}", self.host));
    }

    async fn seen(&self, vm: VmId) -> Option<Sighting> {
        let mut sights = self.driver.look(&[vm]).await.unwrap();
        sights.remove(0).sightings.into_iter().find(|seen| seen.host == self.host)
    }

    async fn until(&self, vm: VmId, what: &str, fits: impl Fn(&Sighting) -> bool) -> Sighting {
        let looking = async {
            loop {
                match self.seen(vm).await {
                    Some(seen) if fits(&seen) => return seen,
                    Some(_) | None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
    }

    async fn ended(&self, vm: VmId) -> Sighting {
        self.until(vm, "the end of the job", |seen| seen.job.is_none()).await
    }

    /// In the middle of its disk.
    async fn copies(&self, vm: VmId) {
        let in_disk = |seen: &Sighting| seen.job.is_some_and(|job| job.phase == Phase::DiskCopy && job.sent_mib > 4);
        self.until(vm, "a part of the disk", in_disk).await;
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.disk).unwrap()
    }
}

impl Scene {
    async fn of(stand: &Stand, bandwidth_mib_s: Option<u64>) -> Scene {
        Scene::of_guest(stand, "vm1", "img", bandwidth_mib_s).await
    }

    async fn of_guest(stand: &Stand, name: &str, extension: &str, bandwidth_mib_s: Option<u64>) -> Scene {
        let guest = stand.lab.guest(name).unwrap();
        let side = async |role| {
            let host = stand.lab.record().hosts.iter().find(|host| host.role == role).unwrap();
            let driver = stand.driver(role, bandwidth_mib_s).await.unwrap();
            let disk = host.local_folder.join(format!("{name}.{extension}"));
            Side { driver, site: host.site.parse().unwrap(), host: host.name.parse().unwrap(), disk }
        };
        let (source, destination, vm) = (side(Role::Source).await, side(Role::Destination).await, vm_of(guest));
        let definition = source.driver.definition(&source.host, vm).await.unwrap();
        Scene { vm, definition, source, destination }
    }

    fn mark(&self, attempt: Attempt) -> Mark {
        Mark { evacuation: EvacuationId(Uuid::from_u128(7)), attempt, token: Token::new(1, 1) }
    }

    async fn place(&self, attempt: Attempt) {
        let (definition, mark) = (self.definition.clone(), self.mark(attempt));
        self.destination.must(self.vm, VmChange::DefinePlaceholder { definition, mark }).await;
    }

    async fn seal(&self) {
        self.source.must(self.vm, sealing("it moves")).await;
    }

    async fn copy(&self, attempt: Attempt) {
        let (destination_site, destination_host) = (self.destination.site.clone(), self.destination.host.clone());
        let change = VmChange::BeginDiskCopy { destination_site, destination_host, mark: self.mark(attempt) };
        self.source.must(self.vm, change).await;
    }

    async fn remove(&self, attempt: Attempt) {
        let change = VmChange::Remove { mark: self.mark(attempt), may_hold_memory: false };
        self.destination.must(self.vm, change).await;
    }

    async fn transfer(&self, attempt: Attempt) {
        let (destination_site, destination_host) = (self.destination.site.clone(), self.destination.host.clone());
        let (definition, mark) = (self.definition.clone(), self.mark(attempt));
        let tuning = muster_core::terms::Tuning::default();
        self.source
            .must(self.vm, VmChange::BeginTransfer { destination_site, destination_host, definition, mark, tuning })
            .await;
    }

    async fn abort(&self) -> Sighting {
        self.source.must(self.vm, VmChange::AbortJob).await;
        self.source.ended(self.vm).await
    }

    async fn is_partial(&self) {
        let seen = self.destination.ended(self.vm).await;
        assert!(!seen.disk_complete && seen.stored == Stored::Placeholder, "{seen:?}");
        assert!(self.destination.disk.exists(), "nothing was copied before it was aborted");
    }

    /// The same move the other way.
    fn back(self) -> Scene {
        Scene { source: self.destination, destination: self.source, ..self }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_copied_whole_or_not_at_all() {
    let Some(stand) = Stand::up("cold", &[(Kind::Local, 1)]).await else { return };
    let scene = Scene::of(&stand, Some(SLOW_MIB_S)).await;
    let (vm, first, second) = (scene.vm, Attempt::FIRST, Attempt::FIRST.next());
    scene.seal().await;
    // Whatever it is doing: one that has not booted yet hears no request to shut down.
    virsh(&stand, &["destroy", "vm1"]).await;
    let dug = std::process::Command::new("fallocate").arg("--dig-holes").arg(&scene.source.disk).status();
    assert!(dug.unwrap().success());
    let before = scene.source.bytes();

    std::fs::write(&scene.destination.disk, b"somebody's").unwrap();
    scene.place(first).await;
    scene.copy(first).await;
    let refused = scene.source.ended(vm).await.job_error.unwrap_or_default();
    assert!(refused.contains("muster did not make it"), "{refused}");
    scene.remove(first).await;
    assert_eq!(scene.destination.bytes(), b"somebody's", "a file that muster did not make was touched");
    std::fs::remove_file(&scene.destination.disk).unwrap();

    scene.place(first).await;
    scene.copy(first).await;
    scene.source.copies(vm).await;
    let aborted = scene.abort().await;
    assert!(aborted.job_error.is_some() && matches!(aborted.instance, Instance::Off(_)), "{aborted:?}");
    scene.is_partial().await;
    scene.remove(first).await;
    assert!(!scene.destination.disk.exists(), "what an attempt made was left");

    scene.place(first).await;
    scene.copy(first).await;
    scene.source.copies(vm).await;
    scene.abort().await;
    // The next attempt makes anew what the one before made.
    scene.place(second).await;
    let scene = Scene { source: Side { driver: fast(&stand).await, ..scene.source }, ..scene };
    scene.copy(second).await;
    assert_eq!(scene.source.ended(vm).await.job_error, None);
    assert!(scene.destination.ended(vm).await.disk_complete);
    assert_eq!((scene.destination.bytes() == before, scene.source.bytes() == before), (true, true));
    let blocks = |disk: &PathBuf| std::fs::metadata(disk).unwrap().blocks();
    assert!(blocks(&scene.destination.disk) <= blocks(&scene.source.disk) + 128, "its holes were filled");

    // It is retired where it was, and comes back there, over its own old disk.
    let real = VmChange::DefineReal { definition: scene.definition.clone(), mark: Some(scene.mark(second)) };
    scene.destination.must(vm, real).await;
    assert!(scene.destination.ended(vm).await.disk_complete);
    scene.source.must(vm, VmChange::DefineRetired { reason: "it has moved".to_owned() }).await;
    assert!(scene.source.disk.exists(), "the source's disk went before its time");
    let home = scene.back();
    home.seal().await;
    home.place(first).await;
    assert!(!home.destination.ended(vm).await.disk_complete, "an old disk counts as the copy");
    home.copy(first).await;
    assert_eq!(home.source.ended(vm).await.job_error, None);
    assert!(home.destination.ended(vm).await.disk_complete);
    assert!(home.destination.bytes() == before);
}

/// The source's driver, without a limit.
async fn fast(stand: &Stand) -> Arc<dyn Hypervisor> {
    stand.driver(Role::Source, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_guest_takes_its_disk_along() {
    let Some(stand) = Stand::up("live", &[(Kind::Local, 1)]).await else { return };
    let scene = Scene::of(&stand, Some(SLOW_MIB_S)).await;
    let (vm, first, second) = (scene.vm, Attempt::FIRST, Attempt::FIRST.next());
    scene.place(first).await;
    scene.seal().await;
    scene.transfer(first).await;
    scene.source.copies(vm).await;
    let aborted = scene.abort().await;
    assert_eq!((aborted.instance, aborted.stored), (Instance::Running, Stored::Sealed), "{aborted:?}");
    scene.is_partial().await;

    scene.place(second).await;
    let scene = Scene { source: Side { driver: fast(&stand).await, ..scene.source }, ..scene };
    scene.transfer(second).await;
    scene.source.ended(vm).await;
    let arrived = scene.destination.ended(vm).await;
    assert_eq!((arrived.instance, arrived.disk_complete), (Instance::Paused, true), "{arrived:?}");
    // The guest writes to the first half.
    let (here, there) = (scene.source.bytes(), scene.destination.bytes());
    assert!(here[here.len() / 2..] == there[here.len() / 2..], "it did not arrive identical");
    scene.destination.must(vm, VmChange::Resume).await;
    let opinions = stand.lab.judge(WATCH_MS).await.unwrap();
    assert_eq!(opinions[0].answer, Answer::Once { host: scene.destination.host.to_string() }, "{opinions:#?}");
    let disk = opinions[0].disk.as_ref().unwrap();
    assert!(disk.broken.is_none() && !disk.is_marked && disk.head >= opinions[0].newest(), "{disk:?}");
    assert!(opinions[0].life().iter().all(|record| record.boot == 1 && record.count == record.slot));
}

/// What a guest's image rests on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Nothing,
    Shared,
    OwnHost,
}

/// Gives a guest an image in the format qcow2 in place of its own, and starts it from that.
async fn give_image(stand: &Stand, guest: &str, base: Base) {
    let (record, host) = (stand.lab.record(), stand.lab.source().unwrap());
    virsh(stand, &["destroy", guest]).await;
    let [old, image] = ["img", "qcow2"].map(|extension| host.local_folder.join(format!("{guest}.{extension}")));
    let (old, image) = (old.to_str().unwrap(), image.to_str().unwrap());
    let under = match base {
        Base::Nothing => None,
        Base::Shared => Some(record.shared_folder.join(format!("{guest}.base"))),
        Base::OwnHost => Some(record.local_folder.join(format!("{guest}.base"))),
    };
    let Some(under) = under else {
        run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", old, image]);
        return define_and_start(stand, guest).await;
    };
    // As the host sees it, which for its own folder is elsewhere than seen from here.
    let from_here =
        if base == Base::Shared { under.clone() } else { host.local_folder.join(under.file_name().unwrap()) };
    std::fs::copy(old, from_here).unwrap();
    let size = std::fs::metadata(old).unwrap().len().to_string();
    let under = under.to_str().unwrap();
    run("qemu-img", &["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", under, image, &size]);
    define_and_start(stand, guest).await;
}

async fn define_and_start(stand: &Stand, guest: &str) {
    let text = virsh(stand, &["dumpxml", "--inactive", guest]).await;
    let text = text.replace("type='raw'", "type='qcow2'").replace(&format!("{guest}.img"), &format!("{guest}.qcow2"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    virsh(stand, &["define", file.path().to_str().unwrap()]).await;
    virsh(stand, &["start", guest]).await;
}

async fn virsh(stand: &Stand, arguments: &[&str]) -> String {
    let host = &stand.lab.source().unwrap().name;
    stand.lab.virsh(host, arguments).await.and_then(|ran| ran.well()).unwrap()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Moves a guest live until it has arrived; gives what its image at the destination is like, and how long that file is.
async fn arrive(stand: &Stand, guest: &str) -> (String, u64) {
    let scene = Scene::of_guest(stand, guest, "qcow2", None).await;
    scene.place(Attempt::FIRST).await;
    scene.seal().await;
    scene.transfer(Attempt::FIRST).await;
    let left = scene.source.ended(scene.vm).await;
    let arrived = scene.destination.ended(scene.vm).await;
    assert_eq!((arrived.instance, arrived.disk_complete), (Instance::Paused, true), "{left:?} {arrived:?}");
    let there = scene.destination.disk.to_str().unwrap();
    (run("qemu-img", &["info", "--force-share", there]), std::fs::metadata(there).unwrap().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_rest_on_others_are_copied_where_they_can_be() {
    let Some(stand) = Stand::up("images", &[(Kind::Local, 4)]).await else { return };
    let bases = [("vm1", Base::Shared), ("vm2", Base::OwnHost), ("vm3", Base::Nothing), ("vm4", Base::Shared)];
    for (guest, base) in bases {
        give_image(&stand, guest, base).await;
    }
    let (image, bytes) = arrive(&stand, "vm1").await;
    assert!(image.contains("vm1.base") && bytes < 8 << 20, "what is shared was copied too: {image}");
    let (image, bytes) = arrive(&stand, "vm2").await;
    assert!(!image.contains("vm2.base") && bytes > 16 << 20, "what only its host had was left there: {image}");

    let scene = Scene::of_guest(&stand, "vm3", "qcow2", None).await;
    let (vm, first) = (scene.vm, Attempt::FIRST);
    scene.seal().await;
    virsh(&stand, &["destroy", "vm3"]).await;
    scene.place(first).await;
    scene.copy(first).await;
    assert_eq!(scene.source.ended(vm).await.job_error, None);
    assert!(scene.destination.ended(vm).await.disk_complete && scene.source.bytes() == scene.destination.bytes());
    let real = VmChange::DefineReal { definition: scene.definition.clone(), mark: Some(scene.mark(first)) };
    scene.destination.must(vm, real).await;
    scene.destination.must(vm, VmChange::Start).await;
    assert_eq!(scene.destination.ended(vm).await.instance, Instance::Running);

    let scene = Scene::of_guest(&stand, "vm4", "qcow2", None).await;
    scene.seal().await;
    virsh(&stand, &["destroy", "vm4"]).await;
    scene.place(first).await;
    scene.copy(first).await;
    let refused = scene.source.ended(scene.vm).await.job_error.unwrap_or_default();
    assert!(refused.contains("rests on another image"), "{refused}");
}
