//! Whole moves by hand, line by line.

use crate::stage::{EVACUATION, Stage, VM, host, open, site, transfer};
use muster_core::definition::{Disk, Mode};
use muster_core::evidence::Outcome;
use muster_core::ids::{Attempt, RequestId};
use muster_core::ledger::{ArrivalRecord, SourceState, Standing};
use muster_core::reading::{Instance, SiteReading, Stored};
use muster_core::step::Side;
use muster_core::token::Token;
use muster_proto::convert::{CommitArrival, SiteAction, VmAnswer};
use muster_proto::worker::v1 as pb;
use muster_worker::hypervisor::sim::world::{CallKind, Fault, HostFault, RuleKind, Twist};
use std::sync::atomic::Ordering;
use std::time::Duration;
use uuid::Uuid;

fn has_run(reading: &SiteReading) -> bool {
    let Some(Standing::Destination(at)) = &reading.standing else { return false };
    let has_run = matches!(&at.record, ArrivalRecord::Completed(completed) if completed.ran.is_some());
    has_run && !reading.mutation_under_way
}

fn is_gone(reading: &SiteReading) -> bool {
    matches!(&reading.standing, Some(Standing::Source(at)) if matches!(at.state, SourceState::Gone { .. }))
}

async fn closed(stage: &mut Stage) {
    stage.act(VM, SiteAction::Retire { keep_ms: None }).await.unwrap();
    stage.act(VM, SiteAction::CloseSource).await.unwrap();
    let last = stage.act(VM, SiteAction::CloseDestination(Outcome::Migrated)).await.unwrap();
    assert!(last.standing.unwrap().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_live_move_commits_by_itself_and_in_order() {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.transferred(VM).await;
    let arrived = stage.until(Side::Destination, VM, has_run).await;
    let Some(Standing::Destination(at)) = arrived.standing else { panic!("{arrived:?}") };
    let ArrivalRecord::Completed(completed) = at.record else { panic!("{:?}", at.record) };
    assert!(!completed.late);
    let downtime_ms = completed.ran.unwrap().downtime_ms.expect("the hypervisor has measured it");
    assert!((1..5_000).contains(&downtime_ms), "{downtime_ms} ms");
    assert!(is_gone(&stage.seen(Side::Source, VM).await));
    closed(&mut stage).await;

    let history = stage.history(Side::Destination, VM).await;
    let wanted = [
        "enrolled",
        "attempt_opened",
        "mutation_begun",
        "mutation_ended",
        "completed",
        "mutation_begun",
        "mutation_ended",
        "ran",
        "destination_closed",
    ];
    assert_eq!(history, wanted);
    let history = stage.history(Side::Source, VM).await;
    let wanted = [
        "enrolled",
        "mutation_begun",
        "mutation_ended",
        "transfer_begun",
        "mutation_begun",
        "mutation_ended",
        "gone",
        "retired",
        "mutation_begun",
        "mutation_ended",
        "source_closed",
    ];
    assert_eq!(history, wanted);

    let truth = stage.truth(VM).await;
    assert_eq!(truth.runs_on(), [(site(Side::Destination), host(Side::Destination, 1))]);
    assert!(!truth.ran_twice && !truth.lost && truth.definition_intact);
    let here = stage.seen(Side::Source, VM).await.sight.sightings.remove(0);
    assert_eq!(here.stored, Stored::Retired);
    assert!(matches!(here.instance, Instance::Off(_)));
    let inventory = stage.worker(Side::Source).site.inventory().await.unwrap();
    assert_eq!(inventory.vms[0].definition, definition, "the ledger keeps the real one");
}

#[tokio::test(start_paused = true)]
async fn a_cold_move_copies_its_disk_before_the_event() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Cold, Disk::Local { size_mib: 4_096 }).await;
    stage.transferred(VM).await;
    let arrived = stage.until(Side::Destination, VM, has_run).await;
    assert!(arrived.sight.sightings[0].disk_complete);
    closed(&mut stage).await;
    let truth = stage.truth(VM).await;
    assert_eq!(truth.runs_on().len(), 1);
    assert!(!truth.ran_twice && !truth.ran_stale && !truth.ran_on_partial_disk && truth.definition_intact);
}

#[tokio::test(start_paused = true)]
async fn a_cold_move_on_shared_storage_waits_for_the_shutdown() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Cold, Disk::Shared).await;
    stage.transferred(VM).await;
    stage.until(Side::Destination, VM, has_run).await;
    closed(&mut stage).await;
    let truth = stage.truth(VM).await;
    assert_eq!((truth.runs_on().len(), truth.disk_writers_max, truth.ran_twice), (1, 1, false));
}

#[tokio::test(start_paused = true)]
async fn a_powered_off_vm_is_moved_and_not_started() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Off, Disk::Local { size_mib: 1_024 }).await;
    stage.transferred(VM).await;
    let arrived = stage.until(Side::Destination, VM, has_run).await;
    assert_eq!(arrived.sight.sightings[0].stored, Stored::Real);
    closed(&mut stage).await;
    let truth = stage.truth(VM).await;
    assert!(truth.runs_on().is_empty() && !truth.has_run && truth.definition_intact && !truth.lost);
}

#[tokio::test(start_paused = true)]
async fn no_commit_before_the_proof_of_gone_is_durable() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.worker(Side::Source).writes.lose_gone.store(true, Ordering::SeqCst);
    stage.transferred(VM).await;
    stage
        .until(Side::Destination, VM, |reading| {
            reading.sight.sightings.iter().any(|seen| seen.instance == Instance::Paused && seen.job.is_none())
        })
        .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!stage.history(Side::Destination, VM).await.contains(&"completed".to_owned()));

    // Started again, with a ledger that writes, the worker finds the proof anew and commits by itself.
    stage.restart(Side::Source).await;
    stage.until(Side::Destination, VM, has_run).await;
    assert!(is_gone(&stage.seen(Side::Source, VM).await));
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_out_a_cut_and_survives_a_restart_of_either_side() {
    for side in [Side::Source, Side::Destination] {
        let mut stage = Stage::set().await;
        stage.enrolled(VM, Mode::Live, Disk::Shared).await;
        stage.transferred(VM).await;
        stage.cut_between_workers(true);
        stage.until(Side::Source, VM, is_gone).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!has_run(&stage.seen(Side::Destination, VM).await));
        stage.restart(side).await;
        stage.cut_between_workers(false);
        stage.until(Side::Destination, VM, has_run).await;
        closed(&mut stage).await;
        assert!(!stage.truth(VM).await.ran_twice);
    }
}

#[tokio::test(start_paused = true)]
async fn no_transfer_begins_while_the_commit_could_not_come_through() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    stage.cut_between_workers(true);
    let refused = stage.act(VM, transfer()).await.unwrap_err();
    assert_eq!(refused.reason, "PATH_UNPROVEN");
    assert!(!stage.history(Side::Source, VM).await.contains(&"transfer_begun".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_arrived_vm_is_never_discarded_nor_its_source_run() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.transferred(VM).await;
    stage.until(Side::Destination, VM, has_run).await;
    for action in [SiteAction::StartSource, SiteAction::ResumeSource, SiteAction::Unseal] {
        assert_eq!(stage.act(VM, action).await.unwrap_err().reason, "ARRIVED_ELSEWHERE");
    }
    closed(&mut stage).await;
    stage.act(VM, SiteAction::Discard).await.unwrap();
    let truth = stage.truth(VM).await;
    assert_eq!(truth.runs_on(), [(site(Side::Destination), host(Side::Destination, 1))]);
    assert!(!truth.ran_twice);
}

#[tokio::test(start_paused = true)]
async fn the_source_is_not_run_before_the_destination_was_read_and_gave_up() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    assert_eq!(stage.act(VM, SiteAction::Unseal).await.unwrap_err().reason, "ARRIVED_ELSEWHERE");
    stage.act(VM, SiteAction::Abandon { attempt: Attempt::FIRST }).await.unwrap();
    stage.cut_between_workers(true);
    assert_eq!(stage.act(VM, SiteAction::Unseal).await.unwrap_err().reason, "DESTINATION_UNREAD");
    stage.cut_between_workers(false);
    let unsealed = stage.act(VM, SiteAction::Unseal).await.unwrap();
    assert_eq!(unsealed.sight.sightings[0].stored, Stored::Real);
    stage.act(VM, SiteAction::Discard).await.unwrap();
    assert!(stage.seen(Side::Destination, VM).await.sight.sightings.is_empty());
    assert!(stage.truth(VM).await.definition_intact);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_fails_is_written_down_and_another_attempt_goes_through() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    let refuse = RuleKind::Call(Some(CallKind::BeginTransfer), Twist::Fail("the network is down".to_owned()));
    stage.world.inject(Fault::once(VM, refuse)).await.unwrap();
    stage.placed(VM).await;
    stage.act(VM, SiteAction::Seal).await.unwrap();
    stage.act(VM, transfer()).await.unwrap_err();
    let seen = stage.seen(Side::Source, VM).await;
    let Some(Standing::Source(at)) = seen.standing else { panic!("{seen:?}") };
    let SourceState::Sealed { transfer: Some(failed) } = at.state else { panic!("{:?}", at.state) };
    assert!(failed.failed.is_some_and(|why| why.contains("the network is down")));

    stage.act(VM, SiteAction::Abandon { attempt: Attempt::FIRST }).await.unwrap();
    stage.act(VM, open()).await.unwrap();
    let second = Attempt::new(2).unwrap();
    stage.act(VM, SiteAction::MakePlaceholder { attempt: second }).await.unwrap();
    let again = SiteAction::Transfer {
        attempt: second,
        destination_site: site(Side::Destination),
        destination_host: host(Side::Destination, 1),
        tuning: muster_core::terms::Tuning::default(),
    };
    stage.act(VM, again).await.unwrap();
    stage.until(Side::Destination, VM, has_run).await;
    closed(&mut stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_destination_host_is_no_incomplete_disk() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Cold, Disk::Local { size_mib: 1_024 }).await;
    stage.transferred(VM).await;
    // It falls silent for a while just before the copy is verified, and goes on by itself meanwhile.
    let silent = Fault::Host(site(Side::Destination), host(Side::Destination, 1), HostFault::Silent { for_ms: 30_000 });
    stage.world.inject(silent).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let seen = stage.seen(Side::Source, VM).await;
    let Some(Standing::Source(at)) = &seen.standing else { panic!("{seen:?}") };
    assert!(matches!(&at.state, SourceState::Sealed { transfer: Some(last) } if last.failed.is_none()), "{at:?}");
    assert!(seen.mutation_under_way, "it isn't known yet");
    stage.until(Side::Destination, VM, has_run).await;
}

#[tokio::test(start_paused = true)]
async fn only_the_sources_own_worker_commits() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    let commit = CommitArrival {
        request: RequestId(Uuid::from_u128(9)),
        evacuation: EVACUATION,
        vm: VM,
        attempt: Attempt::FIRST,
        token: Token::new(1, 1_000),
        source_site: "elsewhere".parse().unwrap(),
    };
    let mut client = stage.client(Side::Destination);
    for (source_site, reason) in [("elsewhere", "NOT_ITS_SOURCE"), ("source", "NOT_ARRIVED")] {
        let commit = CommitArrival { source_site: source_site.parse().unwrap(), ..commit.clone() };
        let outcome = client.commit_arrival(pb::CommitArrivalRequest::from(commit)).await.unwrap().into_inner();
        assert_eq!(VmAnswer::try_from(outcome).unwrap().result.unwrap_err().reason, reason);
    }
}
