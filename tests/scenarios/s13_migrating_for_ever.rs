//! Scenario 13 (cloudstack #8748; proxmox's `VM is locked`): a VM stays "migrating" for ever after the source died.
//!
//! Red if a dead source leaves a move without a visible hold, if a person's word can't end it, or if the source that comes
//! back runs what was started elsewhere.

use muster_core::definition::{Disk, Mode};
use muster_core::reading::{Phase, Stored};
use muster_core::step::{Hold, Step};
use muster_core::verdict::Verdict;
use muster_proto::v1::{Move, MoveState};
use muster_recovery::roll_call::Wishes;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Fault, SiteFault};
use std::collections::BTreeSet;
use std::time::Duration;

fn is_held(moves: &[Move]) -> bool {
    moves.iter().all(|one| one.state() == MoveState::Held)
}

#[tokio::test(start_paused = true)]
async fn a_source_that_dies_in_a_transfer_leaves_a_hold_that_a_person_can_end() {
    for phase in [Phase::PreCopy, Phase::Handover, Phase::Finish] {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        stage.hold_in(vm, phase).await;
        let evacuation = stage.order(&stage.runbook_of_all()).await;
        stage.until_in(vm, phase).await;
        stage.kill(Process::Source);
        stage.inject(Fault::Site(stage.source.clone(), SiteFault::PowerLoss)).await;
        let held = stage.until(evacuation, Duration::from_secs(60), |_, moves| is_held(moves)).await;
        assert_eq!(held[0].held_because, Hold::SourceSilent.sentence(), "{phase:?}");
        stage.kill(Process::Orchestrator);

        // Nobody guesses: without a person's word it stays held.
        let recovered = stage.recover(true, false).await;
        assert_eq!(recovered.lines[0].decision.step, Step::Hold(Hold::SourceSilent), "{phase:?}");
        stage.assert_right(&recovered.lines).await;
        let mut order = stage.recover_order(true);
        order.source_fenced = Some("the site has burnt down".to_owned());
        order.wishes = Wishes { cold_start: BTreeSet::from([vm]), ..order.wishes };
        let recovered = stage.recover_as(&order, false).await;
        assert_eq!(recovered.lines[0].decision.verdict, Verdict::FullyMigrated, "{phase:?}: {recovered:#?}");
        stage.assert_right(&recovered.lines).await;
        assert_eq!(stage.truth_of(vm).await.runs_on(), [(stage.destination.clone(), stage.destination_host(1))]);

        // The site is rebuilt after all: its copy starts nothing, and is retired.
        stage.inject(Fault::Site(stage.source.clone(), SiteFault::PowerReturn)).await;
        stage.start_worker(Process::Source, None).await;
        let recovered = stage.recover(true, true).await;
        assert!(matches!(recovered.lines[0].decision.step, Step::Settled(_)), "{phase:?}: {recovered:#?}");
        assert!(!recovered.claim_kept);
        stage.assert_right(&recovered.lines).await;
        let truth = stage.truth_of(vm).await;
        let old = truth.places.iter().find(|place| place.site == stage.source).expect("the old copy");
        assert_eq!(old.stored, Stored::Retired, "{phase:?}");
        assert_eq!(truth.runs_on().len(), 1, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_comes_back_ends_it_by_itself() {
    for phase in [Phase::PreCopy, Phase::Handover, Phase::Finish] {
        let mut stage = Stage::set(StageOptions::default()).await;
        let vm = stage.vm("web", Mode::Live, Disk::Shared).await;
        stage.start_orchestrator(None).await;
        stage.hold_in(vm, phase).await;
        let evacuation = stage.order(&stage.runbook_of_all_with_cold_starts()).await;
        stage.until_in(vm, phase).await;
        stage.kill(Process::Source);
        stage.inject(Fault::Site(stage.source.clone(), SiteFault::PowerLoss)).await;
        stage.until(evacuation, Duration::from_secs(60), |_, moves| is_held(moves)).await;
        stage.inject(Fault::Site(stage.source.clone(), SiteFault::PowerReturn)).await;
        stage.start_worker(Process::Source, None).await;
        let moves = stage.until_finished(evacuation).await;
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{phase:?}: {moves:#?}");
        stage.assert_ended_right(evacuation).await;
    }
}
