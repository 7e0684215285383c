//! Retired copies are deleted when their time has come, and not on any doubt.

use crate::stage::{EVACUATION, Stage, VM, host, site};
use muster_core::definition::{Definition, Disk, Mode};
use muster_core::evidence::Outcome;
use muster_core::ids::EvacuationId;
use muster_core::ledger::{AtSource, RetiredCopy, RollEntry, Standing};
use muster_core::reading::{Instance, SiteReading, Stored};
use muster_core::step::Side;
use muster_core::token::Epoch;
use muster_proto::convert::{SiteAction, WriteRoll};
use muster_proto::worker::v1 as pb;
use muster_store::memory::LedgerDisk;
use muster_worker::hypervisor::sim::world::{CallKind, Deed, Fault, HostFault, Rule, RuleKind, Twist};
use muster_worker::site::inert::PATROL_EVERY;
use muster_worker::site::retention::{DELETE_AGAIN_MAX, DELETE_AGAIN_MIN};
use std::time::Duration;
use uuid::Uuid;

/// How long it is kept.
const KEPT: Duration = Duration::from_secs(600);
/// Long enough for a try, and for several.
const SOME_TRIES: Duration = Duration::from_secs(120);

fn kept_ms() -> u64 {
    u64::try_from(KEPT.as_millis()).unwrap()
}

fn copy(reading: &SiteReading) -> RetiredCopy {
    match &reading.standing {
        Some(Standing::Source(AtSource { retired_copy, .. })) => *retired_copy,
        other => panic!("{other:?}"),
    }
}

fn is_deleted(reading: &SiteReading) -> bool {
    matches!(copy(reading), RetiredCopy::Deleted { .. })
}

/// A VM that has moved, its retired copy kept for this long.
async fn moved(keep_ms: Option<u64>, disk: Disk) -> (Stage, Definition) {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, disk).await;
    stage.transferred(VM).await;
    let runs = |reading: &SiteReading| reading.sight.sightings.iter().any(|seen| seen.instance == Instance::Running);
    stage.until(Side::Destination, VM, |reading| runs(reading) && !reading.mutation_under_way).await;
    stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    stage.act(VM, SiteAction::Retire { keep_ms }).await.unwrap();
    stage.act(VM, SiteAction::CloseSource).await.unwrap();
    stage.act(VM, SiteAction::CloseDestination(Outcome::Migrated)).await.unwrap();
    (stage, definition)
}

async fn by_hand(stage: &Stage, deed: Deed) {
    stage.world.inject(Fault::ByHand(site(Side::Source), host(Side::Source, 1), VM, deed)).await.unwrap();
}

async fn is_still_there(stage: &Stage) {
    let reading = stage.seen(Side::Source, VM).await;
    assert_eq!(reading.sight.sightings.len(), 1, "{reading:#?}");
    assert!(!is_deleted(&reading), "{reading:#?}");
    let history = stage.history(Side::Source, VM).await;
    assert!(!history.contains(&"retired_copy_deleted".to_owned()), "{history:?}");
}

async fn until_deleted(stage: &Stage) -> SiteReading {
    let gone = stage.until(Side::Source, VM, is_deleted).await;
    assert!(gone.sight.sightings.is_empty(), "{gone:#?}");
    let truth = stage.truth(VM).await;
    assert!(!truth.ran_twice && !truth.lost, "{truth:?}");
    assert_eq!(truth.places.len(), 1, "{truth:?}");
    gone
}

#[tokio::test(start_paused = true)]
async fn a_retired_copy_goes_when_its_time_has_come_and_not_before() {
    let (mut stage, definition) = moved(Some(kept_ms()), Disk::Shared).await;
    tokio::time::sleep(KEPT - Duration::from_secs(10)).await;
    is_still_there(&stage).await;
    let before = stage.seen(Side::Source, VM).await;
    tokio::time::sleep(Duration::from_secs(10) + PATROL_EVERY).await;
    let gone = until_deleted(&stage).await;
    assert!(gone.floor > before.floor, "its mutation carried a number of its own");
    let history = stage.history(Side::Source, VM).await;
    let end = ["mutation_begun", "mutation_ended", "retired_copy_deleted"];
    assert_eq!(history[history.len() - end.len()..], end, "{history:?}");

    let release = SiteAction::Release { reason: "I want it back".to_owned() };
    let refused = stage.act(VM, release).await.unwrap_err();
    assert!(refused.message.contains("was deleted when its time had come"), "{refused:?}");
    // What somebody puts there now is theirs.
    by_hand(&stage, Deed::Store(Box::new(definition))).await;
    tokio::time::sleep(SOME_TRIES).await;
    assert_eq!(stage.seen(Side::Source, VM).await.sight.sightings[0].stored, Stored::Real);
}

#[tokio::test(start_paused = true)]
async fn without_an_end_or_with_disks_of_its_own_it_is_kept_for_ever() {
    for (keep_ms, disk) in [(None, Disk::Shared), (Some(1_000), Disk::Local { size_mib: 1_024 })] {
        let (stage, _) = moved(keep_ms, disk).await;
        assert_eq!(copy(&stage.seen(Side::Source, VM).await), RetiredCopy::Kept);
        tokio::time::sleep(KEPT).await;
        is_still_there(&stage).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_released_is_kept() {
    let (mut stage, _) = moved(Some(kept_ms()), Disk::Shared).await;
    let release = SiteAction::Release { reason: "it is to be cloned".to_owned() };
    stage.act(VM, release).await.unwrap();
    tokio::time::sleep(KEPT * 2).await;
    is_still_there(&stage).await;
    let reading = stage.seen(Side::Source, VM).await;
    assert_eq!((copy(&reading), reading.sight.sightings[0].stored), (RetiredCopy::Kept, Stored::Real));
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_while_the_destination_is_silent_or_does_not_show_the_arrival() {
    let (mut stage, _) = moved(Some(kept_ms()), Disk::Shared).await;
    stage.cut_between_workers(true);
    tokio::time::sleep(KEPT + SOME_TRIES).await;
    is_still_there(&stage).await;
    // A ledger that has forgotten it shows nothing.
    let disk = stage.kill(Side::Destination);
    stage.start_again(Side::Destination, LedgerDisk::new("another ledger")).await;
    stage.cut_between_workers(false);
    tokio::time::sleep(DELETE_AGAIN_MIN * 60).await;
    is_still_there(&stage).await;
    stage.kill(Side::Destination);
    stage.start_again(Side::Destination, disk).await;
    tokio::time::sleep(DELETE_AGAIN_MAX + PATROL_EVERY).await;
    until_deleted(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn who_edits_it_has_all_of_its_time_again() {
    let (stage, definition) = moved(Some(kept_ms()), Disk::Shared).await;
    tokio::time::sleep(KEPT / 2).await;
    by_hand(&stage, Deed::Store(Box::new(definition))).await;
    stage.until(Side::Source, VM, |reading| reading.sight.sightings[0].stored == Stored::Retired).await;
    tokio::time::sleep(KEPT - Duration::from_secs(10)).await;
    is_still_there(&stage).await;
    tokio::time::sleep(Duration::from_secs(10) + PATROL_EVERY).await;
    until_deleted(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_runs_or_is_not_the_retired_one_is_not_touched() {
    let (stage, definition) = moved(Some(kept_ms()), Disk::Shared).await;
    // Its worker can't make it inert again meanwhile.
    let refuse = RuleKind::Call(Some(CallKind::DefineRetired), Twist::Refuse("no".to_owned()));
    let refused = Fault::Rule(Rule { vm: Some(VM), times: u32::MAX, kind: refuse });
    stage.world.inject(refused).await.unwrap();
    by_hand(&stage, Deed::Store(Box::new(definition))).await;
    tokio::time::sleep(KEPT + SOME_TRIES).await;
    is_still_there(&stage).await;
    by_hand(&stage, Deed::Start).await;
    tokio::time::sleep(DELETE_AGAIN_MAX * 2).await;
    is_still_there(&stage).await;
    assert_eq!(stage.seen(Side::Source, VM).await.sight.sightings[0].instance, Instance::Running);
}

#[tokio::test(start_paused = true)]
async fn no_copy_goes_while_a_host_of_its_site_is_out_of_sight() {
    let (stage, _) = moved(Some(kept_ms()), Disk::Shared).await;
    tokio::time::sleep(KEPT - Duration::from_secs(10)).await;
    let silent = HostFault::Silent { for_ms: 300_000 };
    stage.world.inject(Fault::Host(site(Side::Source), host(Side::Source, 1), silent)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(!is_deleted(&stage.seen(Side::Source, VM).await));
    tokio::time::sleep(Duration::from_secs(100) + DELETE_AGAIN_MAX).await;
    until_deleted(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_between_changes_nothing_of_its_time() {
    let (mut stage, _) = moved(Some(kept_ms()), Disk::Shared).await;
    tokio::time::sleep(KEPT / 2).await;
    let disk = stage.kill(Side::Source);
    tokio::time::sleep(KEPT / 4).await;
    stage.start_again(Side::Source, disk).await;
    tokio::time::sleep(KEPT / 4 - Duration::from_secs(10)).await;
    is_still_there(&stage).await;
    tokio::time::sleep(Duration::from_secs(10) + PATROL_EVERY).await;
    until_deleted(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_between_its_intent_and_the_call_s_end_tries_again() {
    let (mut stage, _) = moved(Some(kept_ms()), Disk::Shared).await;
    let hang = RuleKind::Call(Some(CallKind::DeleteRetired), Twist::Hang(600_000));
    stage.world.inject(Fault::once(VM, hang)).await.unwrap();
    tokio::time::sleep(KEPT).await;
    stage.until(Side::Source, VM, |reading| reading.sight.call_under_way).await;
    let disk = stage.kill(Side::Source);
    // With its host the call is gone: it never landed.
    for fault in [HostFault::PowerLoss, HostFault::PowerReturn] {
        stage.world.inject(Fault::Host(site(Side::Source), host(Side::Source, 1), fault)).await.unwrap();
    }
    assert_eq!(stage.truth(VM).await.places.len(), 2, "it is still there");
    stage.start_again(Side::Source, disk).await;
    until_deleted(&stage).await;
    let history = stage.history(Side::Source, VM).await;
    assert_eq!(history.iter().filter(|event| *event == "retired_copy_deleted").count(), 1, "{history:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_was_lost_is_seen_by_a_look() {
    let (stage, _) = moved(Some(kept_ms()), Disk::Shared).await;
    let lost = RuleKind::Call(Some(CallKind::DeleteRetired), Twist::LoseReply);
    stage.world.inject(Fault::once(VM, lost)).await.unwrap();
    tokio::time::sleep(KEPT + PATROL_EVERY).await;
    until_deleted(&stage).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_in_another_evacuation_is_that_one_s() {
    let (mut stage, definition) = moved(Some(kept_ms()), Disk::Shared).await;
    let back = RollEntry {
        evacuation: EvacuationId(Uuid::from_u128(0xf)),
        vm: VM,
        mode: Mode::Live,
        source_site: site(Side::Destination),
        destination_site: site(Side::Source),
        destination_host: host(Side::Source, 1),
        definition,
    };
    assert_ne!(back.evacuation, EVACUATION);
    let entries = vec![back];
    let write = WriteRoll { request: stage.request(), side: Side::Destination, epoch: Epoch(2), entries };
    let answer = stage.client(Side::Source).write_roll(pb::WriteRollRequest::from(write)).await.unwrap();
    assert_eq!(answer.into_inner().refused, Vec::new());
    tokio::time::sleep(KEPT * 2).await;
    let reading = stage.seen(Side::Source, VM).await;
    assert_eq!(reading.sight.sightings[0].stored, Stored::Retired, "{reading:#?}");
}
