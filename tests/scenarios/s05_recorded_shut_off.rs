//! Scenario 5 (nova, Launchpad 1414065): a moved VM is recorded as shut off, so that someone starts it twice.
//!
//! Red if anything shows a moved VM as off at its new place, or its old place as startable.

use muster_core::definition::{Disk, Mode};
use muster_core::reading::{Instance, Stored};
use muster_proto::v1::MoveState;
use muster_tests::{Process, Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Deed, Fault, HostFault};

#[tokio::test(start_paused = true)]
async fn a_moved_vm_is_shown_running_there_and_not_runnable_here() {
    let mut stage = Stage::set(StageOptions::default()).await;
    let vms = [
        (stage.vm("live", Mode::Live, Disk::Shared).await, Mode::Live),
        (stage.vm("cold", Mode::Cold, Disk::Local { size_mib: 2_048 }).await, Mode::Cold),
        (stage.vm("off", Mode::Off, Disk::Shared).await, Mode::Off),
    ];
    stage.start_orchestrator(None).await;
    let select = ["live", "cold", "off"].map(|mode| format!("[[select]]\ntags = [\"{mode}\"]\nmode = \"{mode}\"\n"));
    let evacuation = stage.order(&stage.runbook(&select.concat())).await;
    let moves = stage.until_finished(evacuation).await;
    let here = stage.link(Process::Source).await.inventory().await.expect("an inventory");
    let there = stage.link(Process::Destination).await.inventory().await.expect("an inventory");
    for (vm, mode) in vms {
        assert_eq!(moves[&vm].state(), MoveState::Migrated, "{moves:#?}");
        assert_eq!(moves[&vm].source_copy, "Not Runnable");
        let old = here.vms.iter().find(|one| one.vm == vm).expect("the retired copy is listed");
        assert_eq!(old.stored, Stored::Retired);
        let new = there.vms.iter().find(|one| one.vm == vm).expect("the moved VM is listed");
        assert_eq!(new.stored, Stored::Real);
        assert_eq!(new.instance == Instance::Running, mode != Mode::Off, "{mode:?}: {new:?}");
        let start = Fault::ByHand(stage.source.clone(), stage.source_host(1), vm, Deed::Start);
        assert!(stage.world.inject(start).await.is_err(), "{mode:?}: nobody starts the old copy");
    }
    stage.assert_ended_right(evacuation).await;

    // Both sites reboot: everything comes up where it was moved to, and nothing where it was.
    for (site, host) in [(&stage.source, stage.source_host(1)), (&stage.destination, stage.destination_host(1))] {
        for what in [HostFault::PowerLoss, HostFault::PowerReturn] {
            stage.inject(Fault::Host(site.clone(), host.clone(), what)).await;
        }
    }
    for (vm, mode) in vms {
        let runs_on = stage.truth_of(vm).await.runs_on();
        assert!(runs_on.iter().all(|(site, _)| *site == stage.destination), "{mode:?} on {runs_on:?}");
    }
    let live = stage.truth_of(vms[0].0).await;
    assert_eq!(live.runs_on().len(), 1, "its autostart came along: {live:#?}");
    stage.assert_no_violation().await;
}
