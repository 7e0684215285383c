//! A libvirtd that dies, hangs and comes back: its host is silent meanwhile, the others are not, and a call that was sent to
//! it counts until it can't land any more.

use crate::stand::{Stand, sealing, vm_of};
use futures::StreamExt;
use muster_core::ids::{Attempt, EvacuationId, HostName, VmId};
use muster_core::reading::{Instance, Mark, Sight, Stored};
use muster_core::terms::Tuning;
use muster_core::token::Token;
use muster_tests::lab::{Kind, Role};
use muster_worker::hypervisor::{Call, Change, Hypervisor, HypervisorError, VmChange};
use std::sync::Arc;
use std::time::Duration;

/// How long anything here may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long a call that was lost to a libvirtd which is proven dead may count: far less than one that may still land.
const DEAD_LIMIT: Duration = Duration::from_secs(15);
/// So slow that a guest that rewrites its memory never gets away, in MiB per second.
const SLOW_MIB_S: u64 = 2;

async fn look(driver: &Arc<dyn Hypervisor>, vm: VmId) -> Sight {
    driver.look(&[vm]).await.unwrap().remove(0)
}

async fn until(driver: &Arc<dyn Hypervisor>, vm: VmId, what: &str, fits: impl Fn(&Sight) -> bool) -> Sight {
    let looking = async {
        loop {
            let sight = look(driver, vm).await;
            if fits(&sight) {
                return sight;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("not within {LIMIT:?}: {what}"))
}

fn seal(vm: VmId, host: &HostName) -> Call {
    Call { vm, host: host.clone(), change: sealing("sealed in a storm") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_libvirtd_is_silent_and_is_heard_again() {
    let Some(stand) = Stand::up("kill", &[(Kind::Quiet, 1)]).await else { return };
    let driver = stand.driver(Role::Source, None).await.unwrap();
    let host: HostName = stand.lab.source().unwrap().name.parse().unwrap();
    let vm = vm_of(&stand.lab.record().guests[0]);
    let mut changes = driver.changes().await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Everything));
    stand.lab.kill_libvirtd(host.as_str()).await.unwrap();
    let silent = until(&driver, vm, "silence", |sight| !sight.silent_hosts.is_empty()).await;
    assert_eq!((silent.sightings, silent.silent_hosts), (Vec::new(), vec![host.clone()]));
    assert!(matches!(driver.call(seal(vm, &host)).await, Err(HypervisorError::HostSilent { .. })));
    stand.lab.start_libvirtd(host.as_str()).await.unwrap();
    let told = tokio::time::timeout(LIMIT, changes.by_ref().any(|change| async move { change == Change::Everything }));
    assert_eq!(told.await, Ok(true), "nobody was told that all has to be looked at again");
    let back = until(&driver, vm, "an answer", |sight| !sight.sightings.is_empty() && !sight.call_under_way).await;
    assert_eq!((back.sightings[0].instance, back.sightings[0].stored), (Instance::Running, Stored::Real));
    driver.call(seal(vm, &host)).await.unwrap();
    assert_eq!(look(&driver, vm).await.sightings[0].stored, Stored::Sealed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_into_a_hanging_libvirtd_counts_until_it_cannot_land_any_more() {
    let Some(stand) = Stand::up("hang", &[(Kind::Quiet, 1)]).await else { return };
    let driver = stand.driver(Role::Source, None).await.unwrap();
    let elsewhere = stand.driver(Role::Destination, None).await.unwrap();
    let host: HostName = stand.lab.source().unwrap().name.parse().unwrap();
    let vm = vm_of(&stand.lab.record().guests[0]);
    until(&driver, vm, "the guest", |sight| !sight.call_under_way).await;
    stand.lab.hang_libvirtd(host.as_str()).unwrap();
    let sent = driver.call(seal(vm, &host)).await;
    assert!(matches!(sent, Err(HypervisorError::HostSilent { .. })), "{sent:?}");
    let silent = look(&driver, vm).await;
    assert_eq!(silent.silent_hosts, std::slice::from_ref(&host), "a host that hangs is taken for one that has nothing");
    assert!(look(&elsewhere, vm).await.silent_hosts.is_empty(), "another site's hosts were held up");
    stand.lab.release_libvirtd(host.as_str()).unwrap();
    // From its first answer on: never "unsealed, and nothing under way" while the seal may still land.
    let first = until(&driver, vm, "an answer", |sight| !sight.sightings.is_empty()).await;
    let has_landed = first.sightings[0].stored == Stored::Sealed;
    assert!(first.call_under_way || has_landed, "{first:?}");
    let settled = until(&driver, vm, "its end", |sight| !sight.call_under_way && !sight.sightings.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let later = look(&driver, vm).await;
    assert_eq!(settled.sightings[0].stored, later.sightings[0].stored, "it landed after it no longer counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_libvirtd_had_under_way_counts_until_another_one_answers() {
    let Some(stand) = Stand::up("send", &[(Kind::Dirty, 1)]).await else { return };
    let source = stand.driver(Role::Source, Some(SLOW_MIB_S)).await.unwrap();
    let destination = stand.driver(Role::Destination, None).await.unwrap();
    let record = stand.lab.record();
    let at = |role| record.hosts.iter().find(|host| host.role == role).unwrap();
    let (from, to) = (at(Role::Source), at(Role::Destination));
    let (host, destination_host): (HostName, HostName) = (from.name.parse().unwrap(), to.name.parse().unwrap());
    let vm = vm_of(&record.guests[0]);
    let definition = source.definition(&host, vm).await.unwrap();
    let mark = Mark { evacuation: EvacuationId(vm.0), attempt: Attempt::FIRST, token: Token::new(1, 1) };
    let place = VmChange::DefinePlaceholder { definition: definition.clone(), mark };
    destination.call(Call { vm, host: destination_host.clone(), change: place }).await.unwrap();
    source.call(seal(vm, &host)).await.unwrap();
    let change = VmChange::BeginTransfer {
        destination_site: to.site.parse().unwrap(),
        destination_host,
        definition,
        mark,
        tuning: Tuning::default(),
    };
    source.call(Call { vm, host: host.clone(), change }).await.unwrap();
    let leaves = |sight: &Sight| sight.sightings.iter().any(|seen| seen.job.is_some());
    until(&source, vm, "a job", leaves).await;
    stand.lab.kill_libvirtd(host.as_str()).await.unwrap();
    until(&source, vm, "silence", |sight| !sight.silent_hosts.is_empty()).await;
    stand.lab.start_libvirtd(host.as_str()).await.unwrap();
    let is_still = |sight: &Sight| !sight.sightings.is_empty() && !sight.call_under_way && !leaves(sight);
    let back = tokio::time::timeout(DEAD_LIMIT, until(&source, vm, "its end", is_still)).await;
    let back = back.expect("what died with its libvirtd counts as if it could land yet");
    assert_eq!((back.sightings[0].instance, back.sightings[0].stored), (Instance::Running, Stored::Sealed));
}
