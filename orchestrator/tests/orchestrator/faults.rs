//! Whoever dies in the middle, and whoever else holds the claim.

use crate::stage::{LONGEST_WAIT, Stage, assert_sound, host, is_as_before, planned, runbook, runs_at, site, vm};
use muster_core::evacuation::{JournalKind, JournalRecord};
use muster_core::ids::EvacuationId;
use muster_core::reading::Phase;
use muster_core::step::Side;
use muster_core::time::Timestamp;
use muster_proto::v1 as pb;
use muster_proto::worker::v1 as wire;
use muster_store::Journal;
use muster_store::memory::MemoryJournal;
use muster_worker::hypervisor::sim::world::{
    CallKind, Fault as WorldFault, HostFault, Rule, RuleKind, SiteFault, Trap, Twist,
};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn an_orchestrator_killed_at_any_moment_goes_on_by_itself() {
    for after_ms in [0, 5, 40, 150, 400, 900, 1_500, 2_500] {
        let mut stage = Stage::set(8).await;
        stage.create_evacuation(&runbook("limits.total = 4")).await;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            stage.restart_orchestrator().await;
        }
        let began = tokio::time::Instant::now();
        let finished = stage.until_finished().await;
        // No guest stands still for a deadline: whoever fenced the commit out makes it itself.
        assert!(began.elapsed() < Duration::from_secs(10), "killed after {after_ms} ms: {:?}", began.elapsed());
        assert_eq!(finished.counts.unwrap().migrated, 8, "killed after {after_ms} ms: {finished:#?}");
        stage.assert_all_run_at(Side::Destination).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_killed_at_any_moment_and_started_again_loses_nothing() {
    for side in [Side::Source, Side::Destination] {
        for after_ms in [0, 5, 200, 700, 1_300] {
            let mut stage = Stage::set(6).await;
            stage.create_evacuation(&runbook("limits.total = 3")).await;
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let disk = stage.kill_worker(side);
            tokio::time::sleep(Duration::from_millis(700)).await;
            stage.start_worker(side, disk).await;
            let finished = stage.until_finished().await;
            let counts = finished.counts.unwrap();
            assert_eq!(counts.migrated + counts.stayed_at_source, 6, "{side} after {after_ms} ms: {finished:#?}");
            for truth in stage.truth().await {
                assert_sound(&truth);
                assert_eq!(runs_at(&truth).len(), 1, "{truth:#?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_source_is_held_and_settled_when_it_comes_back() {
    let mut stage = Stage::set(6).await;
    stage.create_evacuation(&runbook("limits.total = 2\ndeadlines.silence_ms = 1000")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().migrated >= 2).await;
    let disk = stage.kill_worker(Side::Source);
    stage.world.inject(WorldFault::Site(site(Side::Source), SiteFault::PowerLoss)).await.unwrap();
    let held = stage.until(|evacuation| evacuation.counts.unwrap().moving == 0).await;
    assert!(held.counts.unwrap().held >= 1, "{held:#?}");
    assert_eq!(held.state(), pb::EvacuationState::Running);
    let report = pb::RecoverEvacuationRequest::default();
    let mut lines = stage.client().await.recover_evacuation(report).await.unwrap().into_inner();
    let mut verdicts = Vec::new();
    while let Some(line) = lines.message().await.unwrap() {
        verdicts.push((line.verdict, line.settled));
    }
    assert_eq!(verdicts.len(), 6);
    assert!(verdicts.iter().any(|(verdict, settled)| verdict == "FullyMigrated" && *settled), "{verdicts:?}");

    stage.world.inject(WorldFault::Site(site(Side::Source), SiteFault::PowerReturn)).await.unwrap();
    stage.start_worker(Side::Source, disk).await;
    let finished = stage.until_finished().await.counts.unwrap();
    assert_eq!(finished.migrated + finished.stayed_at_source, 6);
    for truth in stage.truth().await {
        assert_sound(&truth);
        assert_eq!(runs_at(&truth).len(), 1, "{truth:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recovery_s_claim_is_waited_for_and_never_taken() {
    let mut stage = Stage::set(6).await;
    let begun = stage.create_evacuation(&runbook("limits.total = 1")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().migrated >= 1).await;
    let claims = claims(&stage, &begun.evacuation).await;
    let claim = wire::ClaimEvacuationRequest {
        request_id: stage.request_id(),
        evacuation: begun.evacuation.clone(),
        holder: Some(wire::Holder { name: "a person".to_owned(), kind: wire::HolderKind::Recovery.into() }),
        expected_epoch: claims.epoch,
        at_least_epoch: claims.epoch,
        take_over_reason: None,
    };
    let claimed = stage.site_client(Side::Destination).claim_evacuation(claim).await.unwrap().into_inner();
    let lost = stage.until(|evacuation| evacuation.state() == pb::EvacuationState::Paused).await;
    assert!(lost.paused_because.contains("claim"), "{lost:#?}");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(self::claims(&stage, &begun.evacuation).await.epoch, claimed.epoch);

    let release = wire::ReleaseClaimRequest {
        request_id: stage.request_id(),
        evacuation: begun.evacuation,
        epoch: claimed.epoch,
    };
    stage.site_client(Side::Destination).release_claim(release).await.unwrap();
    let finished = tokio::time::timeout(LONGEST_WAIT, stage.until_finished()).await.unwrap();
    assert_eq!(finished.counts.unwrap().migrated, 6);
    stage.assert_all_run_at(Side::Destination).await;
}

async fn claims(stage: &Stage, evacuation: &str) -> wire::Claims {
    let listed = stage.site_client(Side::Destination).list_evacuations(wire::ListEvacuationsRequest {}).await;
    let known = listed.unwrap().into_inner().evacuations;
    known.into_iter().find(|one| one.evacuation == evacuation).expect("it is claimed")
}

#[tokio::test(start_paused = true)]
async fn a_vm_whose_source_is_gone_for_good_is_brought_up_by_a_person_s_order() {
    let mut stage = Stage::set(3).await;
    let begun = stage.create_evacuation(&runbook("limits.total = 1\ndeadlines.silence_ms = 1000")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().migrated == 1).await;
    stage.kill_worker(Side::Source);
    stage.world.inject(WorldFault::Site(site(Side::Source), SiteFault::PowerLoss)).await.unwrap();
    stage.until(|evacuation| evacuation.counts.unwrap().held == 2).await;
    let moves = stage.moves().await;
    let held: Vec<String> =
        moves.iter().filter(|one| one.state() == pb::MoveState::Held).map(|one| one.vm.clone()).collect();
    let recover = pb::RecoverEvacuationRequest {
        request_id: stage.request_id(),
        evacuation: begun.evacuation,
        apply: true,
        assert_source_fenced_reason: Some("it burned down".to_owned()),
        cold_start_vms: held,
        ordered_by: "the test".to_owned(),
        ..pb::RecoverEvacuationRequest::default()
    };
    let mut lines = stage.client().await.recover_evacuation(recover).await.unwrap().into_inner();
    let mut verdicts = Vec::new();
    while let Some(line) = lines.message().await.unwrap() {
        verdicts.push(line.verdict);
    }
    assert_eq!(verdicts, ["FullyMigrated"; 3]);
    for truth in stage.truth().await {
        assert!(!truth.ran_twice, "{truth:#?}");
        assert!(runs_at(&truth).contains(&site(Side::Destination)), "{truth:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn why_a_step_fails_or_a_job_is_overdue_is_still_known_after_a_kill() {
    let mut stage = Stage::set(1).await;
    let hold = RuleKind::Phase(Phase::Finish, Trap::Hold);
    stage.world.inject(WorldFault::once(vm(0), hold)).await.unwrap();
    stage.create_evacuation(&runbook("deadlines.finish_ms = 5000\ndeadlines.handover_ms = 2000")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().held == 1).await;
    let before = stage.moves().await.remove(0);
    assert!(before.error.contains("longer than 5000 ms"), "{before:#?}");
    stage.restart_orchestrator().await;
    assert_eq!(stage.moves().await.remove(0).error, before.error);
    // Looking at it again is no news, and nothing new is written of it for ever.
    tokio::time::sleep(Duration::from_secs(600)).await;
    let held = stage.audit(Some(vm(0))).await.iter().filter(|record| *record == "held").count();
    assert!((1..=4).contains(&held), "held is written {held} times");
    let report = pb::RecoverEvacuationRequest::default();
    let mut lines = stage.client().await.recover_evacuation(report).await.unwrap().into_inner();
    assert_ne!(lines.message().await.unwrap().unwrap().error, "");
}

/// A recovery through the orchestrator that waits so long; its lines.
async fn applied(stage: &mut Stage, wait_ms: u64) -> Vec<pb::RollCallLine> {
    let request_id = stage.request_id();
    let recover = pb::RecoverEvacuationRequest { request_id, apply: true, wait_ms, ..Default::default() };
    let mut stream = stage.client().await.recover_evacuation(recover).await.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(line) = stream.message().await.unwrap() {
        lines.push(line);
    }
    lines
}

#[tokio::test(start_paused = true)]
async fn an_applied_recovery_waits_for_a_long_transfer_but_no_longer_than_it_is_told() {
    let mut stage = Stage::set(2).await;
    let hold = RuleKind::Phase(Phase::PreCopy, Trap::Hold);
    stage.world.inject(WorldFault::once(vm(0), hold)).await.unwrap();
    stage.create_evacuation(&runbook("")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().migrated == 1).await;
    let world = stage.world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(900)).await;
        world.inject(WorldFault::ReleaseTransfers(None)).await.unwrap();
    });
    let began = tokio::time::Instant::now();
    let early = applied(&mut stage, 60_000).await;
    assert!((60..65).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let moving = early.iter().find(|line| !line.settled).expect("one is under way");
    assert!(!moving.fenced, "a job is on it: {moving:#?}");

    let lines = applied(&mut stage, 3_600_000).await;
    assert!((900..960).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    for line in &lines {
        assert!(line.settled && line.fenced && line.verdict == "FullyMigrated", "{line:#?}");
    }
    stage.assert_all_run_at(Side::Destination).await;
}

/// Ordered, its plan half written, and then the orchestrator died.
async fn half_planned(stage: &mut Stage, more: &str, scope_tags: &[&str]) {
    let runbook = runbook(more);
    let disk = stage.kill_orchestrator();
    let journal = MemoryJournal::open(&disk).unwrap();
    let kinds = [
        (
            None,
            JournalKind::Ordered {
                name: "leave".to_owned(),
                source_site: site(Side::Source),
                destination_site: site(Side::Destination),
                runbook,
                scope_tags: scope_tags.iter().map(|tag| (*tag).to_owned()).collect(),
            },
        ),
        (Some(vm(0)), JournalKind::MovePlanned { planned: planned(0) }),
    ];
    let record = |(vm, kind)| JournalRecord {
        at: Timestamp(1),
        by: "the test".to_owned(),
        origin: None,
        request: None,
        call: None,
        evacuation: EvacuationId(uuid::Uuid::from_u128(77)),
        vm,
        kind,
    };
    journal.append(kinds.into_iter().map(record).collect()).await.unwrap();
    drop(journal);
    disk.crash(0);
    stage.start_orchestrator(disk).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_planned_evacuation_waits_for_a_host_that_is_briefly_silent() {
    for side in [Side::Source, Side::Destination] {
        let mut stage = Stage::set(4).await;
        let silent = HostFault::Silent { for_ms: 15_000 };
        stage.world.inject(WorldFault::Host(site(side), host(side, 1), silent)).await.unwrap();
        half_planned(&mut stage, "deadlines.silence_ms = 30000", &[]).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let waiting = stage.evacuation().await;
        assert_eq!(waiting.state(), pb::EvacuationState::Planning, "{waiting:#?}");
        assert!(waiting.warnings.iter().any(|warning| warning.contains("does not answer")), "{waiting:#?}");
        let finished = stage.until_finished().await;
        assert_eq!(finished.counts.unwrap().migrated, 4, "{side}: {finished:#?}");
        stage.assert_all_run_at(Side::Destination).await;
    }
}

/// It is given up in the open, and nothing of it was begun; what was planned on the silent host is not dropped in silence.
#[tokio::test(start_paused = true)]
async fn a_half_planned_evacuation_is_refused_when_its_host_stays_silent() {
    let mut stage = Stage::set(4).await;
    let silent = HostFault::Silent { for_ms: 600_000 };
    stage.world.inject(WorldFault::Host(site(Side::Source), host(Side::Source, 1), silent)).await.unwrap();
    half_planned(&mut stage, "deadlines.silence_ms = 5000", &[]).await;
    let finished = stage.until_finished().await;
    let counts = finished.counts.unwrap();
    assert_eq!((counts.migrated, counts.stayed_at_source), (0, 1), "{finished:#?}");
    assert!(finished.warnings.iter().any(|warning| warning.contains("does not answer")), "{finished:#?}");
    for truth in stage.truth().await {
        assert!(is_as_before(&truth), "{truth:#?}");
    }
}

/// Whoever ordered it may touch VMs with a tag alone, also where somebody else makes the plan.
#[tokio::test(start_paused = true)]
async fn a_half_planned_evacuation_reaches_no_further_than_who_ordered_it() {
    let mut stage = Stage::set(4).await;
    half_planned(&mut stage, "", &["web"]).await;
    let finished = stage.until_finished().await;
    let counts = finished.counts.unwrap();
    assert_eq!((counts.migrated, counts.stayed_at_source), (0, 1), "{finished:#?}");
    assert!(finished.warnings.iter().any(|warning| warning.contains("may not move VM")), "{finished:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_keeps_failing_is_held_for_its_own_error_and_not_for_the_transfer_s_before_it() {
    let mut stage = Stage::set(1).await;
    let rule = |kind| WorldFault::Rule(Rule { vm: Some(vm(0)), times: 60_000, kind });
    let fails = RuleKind::Phase(Phase::PreCopy, Trap::Fail("a broken cable".to_owned()));
    stage.world.inject(rule(fails)).await.unwrap();
    let refuses = RuleKind::Call(Some(CallKind::DefineReal), Twist::Refuse("the pool is gone".to_owned()));
    stage.world.inject(rule(refuses)).await.unwrap();
    stage.create_evacuation(&runbook("retry.attempts = 1")).await;
    stage.until(|evacuation| evacuation.counts.unwrap().held == 1).await;
    let held = stage.moves().await.remove(0);
    assert!(held.error.contains("the pool is gone"), "{held:#?}");
}
