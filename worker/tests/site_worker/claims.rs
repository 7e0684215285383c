//! Claims, the roll, and requests that are repeated.

use crate::stage::{EVACUATION, Stage, VM, host, site};
use muster_core::claim::{Fenced, Holder, HolderKind};
use muster_core::class::Class;
use muster_core::definition::{Disk, Mode};
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::RollEntry;
use muster_core::step::Side;
use muster_core::token::Epoch;
use muster_proto::convert::{ClaimEvacuation, SiteAction};
use muster_proto::worker::v1 as pb;
use uuid::Uuid;

#[tokio::test(start_paused = true)]
async fn a_repeated_claim_gets_its_first_answer_until_a_restart() {
    let mut stage = Stage::set().await;
    let claim = stage.claim_request(Epoch(0));
    let first = stage.send_claim(claim.clone()).await.unwrap();
    assert_eq!(first.epoch, Epoch(1));
    assert_eq!(stage.send_claim(claim.clone()).await.unwrap(), first);
    assert_eq!(stage.claims().await.epoch, Epoch(1), "claimed once");

    let other = ClaimEvacuation { holder: Holder::new("another", HolderKind::Orchestrator), ..claim.clone() };
    assert_eq!(stage.send_claim(other).await.unwrap_err().reason, "REQUEST_REUSED");
    let late = stage.claim_request(Epoch(0));
    assert_eq!(stage.send_claim(late).await.unwrap_err().reason, "CLAIMED_IN_BETWEEN");

    stage.restart(Side::Destination).await;
    let refused = stage.send_claim(claim.clone()).await.unwrap_err();
    assert_eq!((refused.reason.as_str(), refused.class), ("CLAIMED_IN_BETWEEN", Class::Refused));
    assert_eq!(stage.claims().await.holder, Some(claim.holder), "reading again shows whose it is");
}

#[tokio::test(start_paused = true)]
async fn claims_at_once_are_given_to_one() {
    let mut stage = Stage::set().await;
    let claims: Vec<_> = (0..8).map(|_| stage.claim_request(Epoch(0))).collect();
    let answers = futures::future::join_all(claims.into_iter().map(|claim| stage.send_claim(claim))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(stage.claims().await.epoch, Epoch(1));
}

#[tokio::test(start_paused = true)]
async fn the_greatest_epoch_counts_floors_and_assertions_last() {
    let mut stage = Stage::set().await;
    stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    stage.fence_host(host(Side::Destination, 2)).await;
    stage.restart(Side::Destination).await;
    let claims = stage.claims().await;
    assert_eq!(claims.assertions.len(), 1);
    assert_eq!(claims.assertions[0].fenced, Fenced::Host(host(Side::Destination, 2)));

    let another = EvacuationId(Uuid::from_u128(0xf));
    let ask = pb::GetGreatestEpochRequest { evacuation: another.to_string(), vms: vec![VM.to_string()] };
    let greatest = stage.client(Side::Destination).get_greatest_epoch(ask).await.unwrap().into_inner();
    assert_eq!(greatest.epoch, 1, "the VM's floor outlives the evacuation");
}

#[tokio::test(start_paused = true)]
async fn the_roll_can_be_written_again_and_a_vm_is_in_one_open_evacuation() {
    let mut stage = Stage::set().await;
    let definition = stage.enrolled(VM, Mode::Live, Disk::Shared).await;
    stage.placed(VM).await;
    let entry = RollEntry {
        evacuation: EVACUATION,
        vm: VM,
        mode: Mode::Live,
        source_site: site(Side::Source),
        destination_site: site(Side::Destination),
        destination_host: host(Side::Destination, 1),
        definition,
    };
    let before = stage.history(Side::Destination, VM).await;
    // In the same claim, with commands after it, and in a later one.
    for epoch in [Epoch(1), Epoch(2)] {
        assert_eq!(stage.write_roll(Side::Destination, epoch, entry.clone()).await, Vec::new());
        assert_eq!(stage.history(Side::Destination, VM).await, before);
    }
    let elsewhere = RollEntry { evacuation: EvacuationId(Uuid::from_u128(0xf)), ..entry.clone() };
    let refused = stage.write_roll(Side::Destination, Epoch(3), elsewhere).await.remove(0);
    assert_eq!(refused.result.unwrap_err().reason, "IN_ANOTHER_EVACUATION");

    let ask = pb::ListRollRequest { evacuation: EVACUATION.to_string() };
    let mut roll = stage.client(Side::Destination).list_roll(ask).await.unwrap().into_inner();
    let listed = RollEntry::try_from(roll.message().await.unwrap().expect("an entry")).unwrap();
    assert_eq!(listed, entry);
    assert!(roll.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn commands_of_one_request_run_side_by_side() {
    let mut stage = Stage::set().await;
    let vms: Vec<VmId> = (1..=100).map(|number| VmId(Uuid::from_u128(number))).collect();
    for vm in &vms {
        stage.vm_on(*vm, 1 + u32::try_from(vm.0.as_u128() % 2).unwrap(), 64).await;
    }
    stage.claim(Epoch(0)).await.unwrap();
    stage.enrol_all(&vms, Mode::Live).await;
    let began = tokio::time::Instant::now();
    let outcomes = stage.act_on_all(&vms, Side::Source, SiteAction::Seal).await;
    assert_eq!(outcomes.len(), vms.len());
    assert!(outcomes.iter().all(|(_, result)| result.is_ok()));
    let one_by_one_ms = 100 * 5;
    assert!(began.elapsed().as_millis() < one_by_one_ms / 5, "{:?}", began.elapsed());
}
