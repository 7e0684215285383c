//! Scenario 10 (watcher, forklift #151): a controller's restart cancels or repeats finished work.
//!
//! Red if an orchestrator that was killed doesn't go on by itself, ends a transfer that ran on without it, makes a second
//! attempt of what arrived, or touches what was over.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::ledger::command::EventKind;
use muster_core::reading::Phase;
use muster_proto::v1::MoveState;
use muster_tests::{Process, Stage, StageOptions};
use std::time::Duration;

async fn fleet(stage: &Stage, count: u32) -> Vec<VmId> {
    let mut vms = Vec::new();
    for number in 0..count {
        vms.push(stage.vm(&format!("web-{number}"), Mode::Live, Disk::Shared).await);
    }
    vms
}

/// Each VM arrived once, in one attempt, and never stopped on the way.
async fn assert_each_once(stage: &Stage, vms: &[VmId]) {
    for vm in vms {
        let events = stage.history_of(Process::Destination, *vm).await;
        let opened = events.iter().filter(|line| matches!(line.kind, EventKind::AttemptOpened { .. })).count();
        let completed = events.iter().filter(|line| matches!(line.kind, EventKind::Completed { .. })).count();
        assert_eq!((opened, completed), (1, 1), "{events:#?}");
        assert_eq!(stage.truth_of(*vm).await.memory_generation, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_orchestrator_that_is_killed_again_and_again_goes_on_by_itself() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vms = fleet(&stage, 10).await;
    stage.start_orchestrator(None).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    for pause_ms in [10, 300, 700, 900, 1_300] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        stage.kill(Process::Orchestrator);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        stage.start_orchestrator(None).await;
    }
    let moves = stage.until_finished(evacuation).await;
    for vm in &vms {
        assert_eq!((moves[vm].state(), moves[vm].attempts), (MoveState::Migrated, 1), "{:#?}", moves[vm]);
    }
    assert_each_once(&stage, &vms).await;
    stage.assert_ended_right(evacuation).await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_runs_on_without_its_orchestrator_and_arrives() {
    for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover, Phase::Finish] {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vms = fleet(&stage, 1).await;
        stage.start_orchestrator(None).await;
        stage.hold_in(vms[0], phase).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        stage.until_in(vms[0], phase).await;
        stage.kill(Process::Orchestrator);
        stage.release_transfers().await;
        // It arrives, is committed and runs with nobody but the two workers there.
        stage.until_true(vms[0], |truth| truth.runs_on().iter().any(|(site, _)| *site == stage.destination)).await;
        stage.start_orchestrator(None).await;
        stage.until_finished(evacuation).await;
        assert_each_once(&stage, &vms).await;
        stage.assert_ended_right(evacuation).await;
    }
}

#[tokio::test(start_paused = true)]
async fn finished_work_is_left_alone() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vms = fleet(&stage, 3).await;
    stage.start_orchestrator(None).await;
    let evacuation = stage.order(&stage.runbook_of_all()).await;
    stage.until_finished(evacuation).await;
    let before = (stage.history(Process::Source).await.len(), stage.history(Process::Destination).await.len());
    for _ in 0..3 {
        stage.kill(Process::Orchestrator);
        stage.start_orchestrator(None).await;
        stage.until_finished(evacuation).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let after = (stage.history(Process::Source).await.len(), stage.history(Process::Destination).await.len());
    assert_eq!(before, after, "not a line was written");
    assert_each_once(&stage, &vms).await;
    stage.assert_ended_right(evacuation).await;
}
