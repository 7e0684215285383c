//! Inert definitions stay inert, whoever changes them, and one VM's trouble is nobody else's.

use crate::stage::{Stage, VM, host, site, transfer};
use muster_core::definition::{Disk, Mode};
use muster_core::evidence::Outcome;
use muster_core::ids::VmId;
use muster_core::ledger::{AtSource, SourceState, Standing};
use muster_core::reading::{Instance, SiteReading, Stored};
use muster_core::step::Side;
use muster_proto::convert::{News, SiteAction, SiteNews};
use muster_proto::worker::v1 as pb;
use muster_worker::hypervisor::sim::world::{CallKind, Deed, Fault, HostFault, Rule, RuleKind, Twist};
use muster_worker::site::inert::PATROL_EVERY;
use muster_worker::site::mend::MEND_WAIT_MAX;
use std::sync::atomic::Ordering;
use std::time::Duration;
use uuid::Uuid;

fn stored(reading: &SiteReading) -> Option<Stored> {
    reading.sight.sightings.first().map(|seen| seen.stored)
}

fn changed_by_hand(definition: muster_core::definition::Definition) -> Fault {
    Fault::ByHand(site(Side::Source), host(Side::Source, 1), VM, Deed::Store(Box::new(definition)))
}

fn count(history: &[String], name: &str) -> usize {
    history.iter().filter(|event| *event == name).count()
}

#[tokio::test(start_paused = true)]
async fn a_sealed_definition_that_somebody_changed_is_sealed_again_with_an_alarm() {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    let watch = stage.client(Side::Source).watch(pb::WatchRequest { after_sequence: 0 }).await;
    let mut news = watch.unwrap().into_inner();
    stage.world.inject(changed_by_hand(definition)).await.unwrap();
    let alarmed = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let piece = SiteNews::try_from(news.message().await.unwrap().expect("it goes on")).unwrap();
            if let News::Alarm(alarm) = piece.news {
                return alarm;
            }
        }
    });
    let alarm = alarmed.await.unwrap();
    assert_eq!((alarm.vm, alarm.reason.as_str()), (Some(VM), "MADE_INERT_AGAIN"));
    let sealed = stage.until(Side::Source, VM, |reading| stored(reading) == Some(Stored::Sealed)).await;
    assert_eq!(sealed.sight.sightings[0].instance, Instance::Running, "the guest runs on");
    stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    stage.act(VM, transfer()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_while_the_worker_was_down_is_mended_before_it_works() {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    let disk = stage.kill(Side::Source);
    stage.world.inject(changed_by_hand(definition)).await.unwrap();
    stage.start_again(Side::Source, disk).await;
    stage.until(Side::Source, VM, |reading| stored(reading) == Some(Stored::Sealed)).await;
    assert_eq!(count(&stage.history(Side::Source, VM).await, "made_inert_again"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cold_moves_source_that_could_be_started_is_no_proof() {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Cold, Disk::Local { size_mib: 4_096 }).await;
    stage.transferred(VM).await;
    stage.until(Side::Source, VM, |reading| matches!(reading.sight.sightings[0].instance, Instance::Off(_))).await;
    let fail = RuleKind::Call(Some(CallKind::DefineSealed), Twist::Fail("busy".to_owned()));
    stage.world.inject(Fault::Rule(Rule { vm: Some(VM), times: 40, kind: fail })).await.unwrap();
    stage.world.inject(changed_by_hand(definition)).await.unwrap();
    stage
        .until(Side::Source, VM, |reading| {
            matches!(reading.standing, Some(Standing::Source(AtSource { state: SourceState::Gone { .. }, .. })))
        })
        .await;
    let history = stage.history(Side::Source, VM).await;
    let at = |name: &str| history.iter().position(|event| event == name);
    assert!(at("made_inert_again").is_some() && at("made_inert_again") < at("gone"), "{history:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retired_copy_stays_not_runnable_also_after_the_move_was_closed() {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.transferred(VM).await;
    stage
        .until(Side::Destination, VM, |reading| {
            reading.sight.sightings.iter().any(|seen| seen.instance == Instance::Running) && !reading.mutation_under_way
        })
        .await;
    stage.act(VM, SiteAction::Retire { keep_ms: None }).await.unwrap();
    stage.act(VM, SiteAction::CloseSource).await.unwrap();
    stage.act(VM, SiteAction::CloseDestination(Outcome::Migrated)).await.unwrap();
    stage.world.inject(changed_by_hand(definition)).await.unwrap();
    stage.until(Side::Source, VM, |reading| stored(reading) == Some(Stored::Retired)).await;
    assert_eq!(count(&stage.history(Side::Source, VM).await, "made_inert_again"), 1);

    // Only an admin's order takes it back, and then it stays so.
    let released = SiteAction::Release { reason: "the disk was restored by hand".to_owned() };
    stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    stage.act(VM, released).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(stored(&stage.seen(Side::Source, VM).await), Some(Stored::Real));
    assert!(!stage.truth(VM).await.ran_twice, "nothing has started it");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_failed_is_finished_without_a_false_alarm() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    let fail = RuleKind::Call(Some(CallKind::DefineSealed), Twist::Fail("busy".to_owned()));
    stage.world.inject(Fault::once(VM, fail)).await.unwrap();
    stage.placed(VM).await;
    stage.act(VM, SiteAction::Seal).await.unwrap_err();
    // A seal that was refused is taken back: the VM is as it was, and can be sealed later.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stored(&stage.seen(Side::Source, VM).await), Some(Stored::Real));
    stage.act(VM, SiteAction::Seal).await.unwrap();
    assert_eq!(count(&stage.history(Side::Source, VM).await, "made_inert_again"), 0);

    let fail = RuleKind::Call(Some(CallKind::DefineRetired), Twist::Fail("busy".to_owned()));
    stage.world.inject(Fault::once(VM, fail)).await.unwrap();
    stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    stage.act(VM, transfer()).await.unwrap();
    let runs = |reading: &SiteReading| reading.sight.sightings.iter().any(|seen| seen.instance == Instance::Running);
    stage.until(Side::Destination, VM, |reading| runs(reading) && !reading.mutation_under_way).await;
    stage.act(VM, SiteAction::Retire { keep_ms: None }).await.unwrap_err();
    stage.until(Side::Source, VM, |reading| stored(reading) == Some(Stored::Retired)).await;
    assert_eq!(count(&stage.history(Side::Source, VM).await, "made_inert_again"), 0);
}

/// The seal's call was lost with the hypervisor's daemon, and the worker died before anybody saw what came of it: the one
/// that follows must not say that somebody has changed the definition.
#[tokio::test(start_paused = true)]
async fn a_seal_that_was_lost_with_its_worker_is_no_false_alarm() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    let hang = RuleKind::Call(Some(CallKind::DefineSealed), Twist::Hang(600_000));
    stage.world.inject(Fault::once(VM, hang)).await.unwrap();
    stage.act(VM, SiteAction::Seal).await.unwrap_err();
    let restart = Fault::Host(site(Side::Source), host(Side::Source, 1), HostFault::DaemonRestart);
    stage.world.inject(restart).await.unwrap();
    stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    stage.restart(Side::Source).await;
    tokio::time::sleep(PATROL_EVERY * 3).await;
    assert_eq!(count(&stage.history(Side::Source, VM).await, "made_inert_again"), 0);
    // It was never sealed, and can be.
    assert_eq!(stored(&stage.seen(Side::Source, VM).await), Some(Stored::Real));
    stage.act(VM, SiteAction::Seal).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_vm_whose_calls_hang_or_fail_holds_nobody_else_up() {
    let other = VmId(Uuid::from_u128(0x2));
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.enrolled(other, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    let refuse = RuleKind::Call(Some(CallKind::DefineSealed), Twist::Refuse("no".to_owned()));
    stage.world.inject(Fault::Rule(Rule { vm: Some(VM), times: 40, kind: refuse })).await.unwrap();
    let hang = RuleKind::Call(Some(CallKind::DefineSealed), Twist::Hang(600_000));
    stage.world.inject(Fault::Rule(Rule { vm: Some(VM), times: 1, kind: hang })).await.unwrap();
    stage.world.inject(changed_by_hand(definition)).await.unwrap();

    stage.transferred(other).await;
    let runs = |reading: &SiteReading| reading.sight.sightings.iter().any(|seen| seen.instance == Instance::Running);
    stage.until(Side::Destination, other, runs).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(stage.seen(Side::Source, VM).await.sight.call_under_way, "it hangs still");
    assert!(stage.worker(Side::Source).site.takes_work());
}

#[tokio::test(start_paused = true)]
async fn a_source_copy_that_was_deleted_by_hand_can_be_retired() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.transferred(VM).await;
    let runs = |reading: &SiteReading| reading.sight.sightings.iter().any(|seen| seen.instance == Instance::Running);
    stage.until(Side::Destination, VM, runs).await;
    stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    // While its host is silent nobody can say that it is not there.
    let silent = Fault::Host(site(Side::Source), host(Side::Source, 1), HostFault::Silent { for_ms: 5_000 });
    stage.world.inject(silent).await.unwrap();
    assert_eq!(stage.act(VM, SiteAction::Retire { keep_ms: None }).await.unwrap_err().reason, "HOST_SILENT");
    tokio::time::sleep(Duration::from_secs(6)).await;
    stage.delete_at_source(VM).await;
    stage.act(VM, SiteAction::Retire { keep_ms: None }).await.unwrap();
    stage.act(VM, SiteAction::CloseSource).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_that_refuses_at_once_is_asked_to_seal_again_with_growing_pauses() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    for fault in [HostFault::PowerLoss, HostFault::PowerReturn] {
        stage.world.inject(Fault::Host(site(Side::Source), host(Side::Source, 1), fault)).await.unwrap();
    }
    // Given back by half: the real definition is stored, and neither the start nor the seal after it comes through.
    let refuse = |kind| Fault::Rule(Rule { vm: Some(VM), times: 2_000, kind });
    let no = || Twist::Refuse("not now".to_owned());
    stage.world.inject(refuse(RuleKind::Call(Some(CallKind::Start), no()))).await.unwrap();
    stage.world.inject(refuse(RuleKind::Call(Some(CallKind::DefineSealed), no()))).await.unwrap();
    stage.act(VM, SiteAction::StartSource).await.unwrap_err();
    let begun = stage.worker(Side::Source).seals.load(Ordering::SeqCst);

    tokio::time::sleep(Duration::from_secs(120)).await;
    let tried = stage.worker(Side::Source).seals.load(Ordering::SeqCst) - begun;
    assert!((3..=20).contains(&tried), "tried {tried} times in two minutes");
    assert!(stage.seen(Side::Source, VM).await.mutation_under_way, "it is not over");

    stage.world.inject(Fault::ClearRules).await.unwrap();
    tokio::time::sleep(MEND_WAIT_MAX * 2).await;
    let reading = stage.seen(Side::Source, VM).await;
    assert_eq!(stored(&reading), Some(Stored::Sealed));
    assert!(!reading.mutation_under_way);
}
