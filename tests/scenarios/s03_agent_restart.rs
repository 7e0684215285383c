//! Scenario 3 (kubevirt #18763): an agent's restart reads an empty cache as failure and kills a VM seconds after success.
//!
//! Red if a worker that starts again ends, discards or repeats what its hypervisors go on with, or takes "nothing known yet"
//! for "nothing there".

use muster_core::definition::{Disk, Mode};
use muster_core::ledger::command::EventKind;
use muster_core::reading::Phase;
use muster_proto::v1::MoveState;
use muster_tests::{Process, Stage, StageOptions};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_restart_in_a_transfer_attaches_to_it_again() {
    for process in [Process::Source, Process::Destination] {
        for phase in [Phase::Setup, Phase::PreCopy, Phase::Handover, Phase::Finish] {
            let mut stage = Stage::set(StageOptions::default()).await;
            let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
            stage.start_orchestrator(None).await;
            stage.hold_in(vm, phase).await;
            let evacuation = stage.order(&stage.runbook_of_all()).await;
            stage.until_in(vm, phase).await;
            stage.kill(process);
            tokio::time::sleep(Duration::from_millis(500)).await;
            stage.start_worker(process, None).await;
            stage.release_transfers().await;
            let moves = stage.until_finished(evacuation).await;
            let ended = (moves[&vm].state(), moves[&vm].attempts);
            assert_eq!(ended, (MoveState::Migrated, 1), "{process:?} in {phase:?}: {moves:#?}");
            assert_eq!(stage.truth_of(vm).await.memory_generation, 1, "{process:?} in {phase:?}");
            stage.assert_ended_right(evacuation).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_right_after_success_leaves_the_vm_running() {
    for process in [Process::Source, Process::Destination] {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        stage.until_true(vm, |truth| truth.runs_on().iter().any(|(site, _)| *site == stage.destination)).await;
        for _ in 0..3 {
            stage.kill(process);
            stage.start_worker(process, None).await;
            let truth = stage.truth_of(vm).await;
            assert_eq!(truth.runs_on(), [(stage.destination.clone(), stage.destination_host(1))], "{truth:#?}");
        }
        let moves = stage.until_finished(evacuation).await;
        assert_eq!((moves[&vm].state(), moves[&vm].attempts), (MoveState::Migrated, 1), "{moves:#?}");
        let events = stage.history_of(Process::Destination, vm).await;
        let completed = events.iter().filter(|line| matches!(line.kind, EventKind::Completed { .. })).count();
        assert_eq!(completed, 1);
        assert_eq!(stage.truth_of(vm).await.memory_generation, 1);
        stage.assert_ended_right(evacuation).await;
    }
}
