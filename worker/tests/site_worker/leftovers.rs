//! What given-up attempts have left is this site's own work once the move is over; memory goes only against proof.

use crate::stage::{Stage, VM, host, site, transfer};
use muster_core::definition::{Disk, Mode};
use muster_core::evidence::Outcome;
use muster_core::ids::Attempt;
use muster_core::ledger::{SourceState, Standing};
use muster_core::reading::{Instance, SiteReading};
use muster_core::step::Side;
use muster_proto::convert::SiteAction;
use muster_worker::hypervisor::sim::world::{Deed, Fault, HostFault};
use muster_worker::site::leftovers::CLEAN_UP_EVERY;

const HOST_SILENT_MS: u64 = 60_000;

fn is_gone(reading: &SiteReading) -> bool {
    match &reading.standing {
        Some(Standing::Source(at)) => matches!(at.state, SourceState::Gone { .. }),
        Some(Standing::Destination(_)) | None => false,
    }
}

fn has_paused_copy(reading: &SiteReading) -> bool {
    reading.sight.sightings.iter().any(|seen| seen.instance == Instance::Paused)
}

/// A move that stayed at its source, while the host of its attempt, which has the arrived copy, was silent.
async fn stayed_with_a_paused_copy_left() -> Stage {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    stage.act(VM, transfer()).await.unwrap();
    stage.cut_between_workers(true);
    stage.until(Side::Source, VM, is_gone).await;
    stage.until(Side::Destination, VM, has_paused_copy).await;
    stage.act(VM, SiteAction::Abandon { attempt: Attempt::FIRST }).await.unwrap();
    stage.cut_between_workers(false);
    let (site, host) = (site(Side::Destination), host(Side::Destination, 1));
    stage.world.inject(Fault::Host(site, host, HostFault::Silent { for_ms: HOST_SILENT_MS })).await.unwrap();
    stage.until(Side::Source, VM, |reading| !reading.mutation_under_way).await;
    stage.act(VM, SiteAction::StartSource).await.unwrap();
    stage.act(VM, SiteAction::CloseSource).await.unwrap();
    stage.act(VM, SiteAction::CloseDestination(Outcome::StayedAtSource)).await.unwrap();
    stage
}

async fn once_the_host_answers(stage: &Stage) -> SiteReading {
    stage.until(Side::Destination, VM, |reading| reading.sight.silent_hosts.is_empty()).await;
    tokio::time::sleep(CLEAN_UP_EVERY * 3).await;
    stage.seen(Side::Destination, VM).await
}

#[tokio::test(start_paused = true)]
async fn memory_that_a_silent_host_kept_is_removed_once_its_source_is_seen_to_run() {
    let stage = stayed_with_a_paused_copy_left().await;
    let after = once_the_host_answers(&stage).await;
    assert!(after.sight.sightings.is_empty(), "{after:#?}");
    assert_eq!(stage.history(Side::Destination, VM).await.iter().filter(|event| *event == "cleaned").count(), 1);
    assert_eq!(stage.seen(Side::Source, VM).await.sight.sightings[0].instance, Instance::Running);
}

#[tokio::test(start_paused = true)]
async fn memory_stays_while_its_source_can_not_be_asked() {
    let stage = stayed_with_a_paused_copy_left().await;
    stage.cut_between_workers(true);
    assert!(has_paused_copy(&once_the_host_answers(&stage).await));
    stage.cut_between_workers(false);
    stage.until(Side::Destination, VM, |reading| reading.sight.sightings.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn memory_stays_while_its_source_does_not_run() {
    let stage = stayed_with_a_paused_copy_left().await;
    let by_hand = |deed| Fault::ByHand(site(Side::Source), host(Side::Source, 1), VM, deed);
    stage.world.inject(by_hand(Deed::Crash)).await.unwrap();
    assert!(has_paused_copy(&once_the_host_answers(&stage).await));
    stage.world.inject(by_hand(Deed::Start)).await.unwrap();
    stage.until(Side::Destination, VM, |reading| reading.sight.sightings.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_somebody_let_run_is_never_removed() {
    let stage = stayed_with_a_paused_copy_left().await;
    stage.cut_between_workers(true);
    assert!(has_paused_copy(&once_the_host_answers(&stage).await));
    let resumed = Fault::ByHand(site(Side::Destination), host(Side::Destination, 1), VM, Deed::Resume);
    stage.world.inject(resumed).await.unwrap();
    stage.cut_between_workers(false);
    let after = once_the_host_answers(&stage).await;
    assert!(after.sight.sightings.iter().any(|seen| seen.instance == Instance::Running), "{after:#?}");
}
