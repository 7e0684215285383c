//! Scenario 8 (xapi `Host.evacuate`, incus evacuate, `hbal -X`): the first failed VM ends the batch.
//!
//! Red if a VM that fails for good keeps any other from moving, or is itself left as anything but it was.

use muster_core::definition::{Disk, Mode};
use muster_proto::v1::MoveState;
use muster_tests::{Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{CallKind, RuleKind, Twist};

#[tokio::test(start_paused = true)]
async fn a_vm_that_fails_for_good_stays_and_all_others_move() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let mut vms = Vec::new();
    for number in 0..10 {
        vms.push(stage.vm(&format!("web-{number}"), Mode::Live, Disk::Shared).await);
    }
    let failing = vms[0];
    stage.start_orchestrator(None).await;
    let never = Twist::Fail("the guest can't be moved".to_owned());
    stage.rule(failing, 60_000, RuleKind::Call(Some(CallKind::BeginTransfer), never)).await;
    // One at a time, the failing one in a wave of its own before all others.
    let waves = "[limits]\ntotal = 1\n[[wave]]\nname = \"first\"\n[[wave.select]]\nnames = [\"web-0\"]\n\
                 [[wave]]\nname = \"rest\"\n[[wave.select]]\nall = true\nexcept = { names = [\"web-0\"] }\n";
    let evacuation = stage.order(&stage.runbook(waves)).await;
    let moves = stage.until_finished(evacuation).await;
    for vm in &vms[1..] {
        assert_eq!(moves[vm].state(), MoveState::Migrated, "{:#?}", moves[vm]);
    }
    let failed = &moves[&failing];
    assert_eq!((failed.state(), failed.attempts), (MoveState::StayedAtSource, 3), "{failed:#?}");
    assert!(failed.error.contains("can't be moved"), "{failed:#?}");
    let truth = stage.truth_of(failing).await;
    assert_eq!(truth.memory_generation, 1, "it ran on all the time");
    assert!(truth.places.iter().all(|place| place.autostarts), "its autostart is as it was: {truth:#?}");
    stage.assert_ended_right(evacuation).await;
}

#[tokio::test(start_paused = true)]
async fn only_the_runbooks_own_budget_stops_the_rest() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let mut vms = Vec::new();
    for number in 0..4 {
        vms.push(stage.vm(&format!("web-{number}"), Mode::Live, Disk::Shared).await);
    }
    stage.start_orchestrator(None).await;
    let never = Twist::Fail("the guest can't be moved".to_owned());
    stage.rule(vms[0], 60_000, RuleKind::Call(Some(CallKind::BeginTransfer), never)).await;
    let waves = "[failure_budget]\nmoves = 0\n[limits]\ntotal = 1\n[[wave]]\nname = \"first\"\n[[wave.select]]\n\
                 names = [\"web-0\"]\n[[wave]]\nname = \"rest\"\n[[wave.select]]\nall = true\nexcept = { names = [\"web-0\"] }\n";
    let evacuation = stage.order(&stage.runbook(waves)).await;
    let paused = |shown: &muster_proto::v1::Evacuation, _: &[muster_proto::v1::Move]| {
        shown.state() == muster_proto::v1::EvacuationState::Paused && shown.paused_because.contains("budget")
    };
    let moves = stage.until(evacuation, std::time::Duration::from_secs(300), paused).await;
    assert_eq!(moves.iter().filter(|one| one.state() == MoveState::Waiting).count(), 3, "{moves:#?}");
    stage.assert_ended_right(evacuation).await;
}
