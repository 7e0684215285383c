//! Preflight is made again right before each move.
//!
//! Red if a move is begun though its destination can't take it any more, if anything of the VM is touched then, if the others wait for it, or
//! if it doesn't go once what stood in its way is gone and a person orders it.

use muster_core::definition::{Disk, Mode};
use muster_core::ids::VmId;
use muster_core::reading::{Phase, Stored};
use muster_core::step::Hold;
use muster_proto::v1::{self as pb, MoveState};
use muster_tests::stage::definition;
use muster_tests::{Stage, StageOptions};
use muster_worker::hypervisor::sim::world::{Deed, Fault, VmSpec};
use std::time::Duration;
use uuid::Uuid;

#[tokio::test(start_paused = true)]
async fn what_turns_up_after_the_plan_holds_that_vm_alone_and_touches_nothing_of_it() {
    let mut stage = Stage::set(StageOptions { hosts: 1, ..StageOptions::default() }).await;
    let first = stage.vm("web-0", Mode::Live, Disk::Shared).await;
    let second = stage.vm("web-1", Mode::Live, Disk::Shared).await;
    let third = stage.vm("web-2", Mode::Live, Disk::Shared).await;
    stage.start_orchestrator(None).await;
    stage.hold_in(first, Phase::PreCopy).await;
    let wave = |number: u32| {
        format!("[[wave]]\nname = \"{number}\"\n[[wave.select]]\nnames = [\"web-{number}\"]\nmode = \"live\"\n")
    };
    let waves: String = (0..3).map(wave).collect();
    let runbook = stage.runbook(&format!("[limits]\ntotal = 1\n{waves}"));
    let evacuation = stage.order(&runbook.replace("transfer_ms = 20000", "transfer_ms = 600000")).await;
    stage.until_in(first, Phase::PreCopy).await;
    // Meanwhile somebody makes another VM of the second one's name where that is to go.
    let stranger = VmId(Uuid::from_u128(7));
    let (site, host) = (stage.destination.clone(), stage.destination_host(1));
    let spec = VmSpec {
        vm: stranger,
        site: site.clone(),
        host: host.clone(),
        definition: definition("web-1", Disk::Shared),
        runs: false,
    };
    stage.world.create_vm(spec).await.expect("room for it");
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.release_transfers().await;
    let others = |moves: &[pb::Move]| moves.iter().filter(|one| one.state() == MoveState::Migrated).count() == 2;
    let is_held = |moves: &[pb::Move]| moves.iter().any(|one| one.state() == MoveState::Held);
    let moves = stage.until(evacuation, Duration::from_secs(120), |_, moves| others(moves) && is_held(moves)).await;
    let held = moves.iter().find(|one| one.vm == second.to_string()).expect("the second move");
    assert_eq!((held.held_because.as_str(), held.attempts), (Hold::NotReady.sentence(), 0), "{held:?}");
    assert!(held.error.contains("web-1") && held.error.contains(host.as_str()), "{held:?}");
    let truth = stage.truth_of(second).await;
    let stored: Vec<_> = truth.places.iter().map(|place| (&place.site, place.stored, place.autostarts)).collect();
    assert_eq!(stored, [(&stage.source, Stored::Real, true)], "it was touched");
    assert_eq!(stage.truth_of(third).await.runs_on(), [(stage.destination.clone(), host.clone())]);

    // Once the other one is gone, an order to try again is all that it takes.
    stage.world.inject(Fault::ByHand(site, host, stranger, Deed::Delete)).await.expect("a world");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let retry = pb::RetryMovesRequest {
        request_id: Uuid::from_u128(9).to_string(),
        evacuation: evacuation.to_string(),
        vms: vec![second.to_string()],
        ordered_by: "an operator".to_owned(),
    };
    stage.client().await.retry_moves(retry).await.expect("another try");
    let moves = stage.until_finished(evacuation).await;
    assert_eq!((moves[&second].state(), moves[&second].attempts), (MoveState::Migrated, 1), "{moves:#?}");
}
