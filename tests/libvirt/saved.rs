//! A saved image (`virsh managedsave`) goes past every stored definition: with one, a VM is neither sealed nor moved nor gone.

use crate::inert::Pair;
use crate::stand::Stand;
use muster_core::reading::{Instance, OffCause, Stored};
use muster_tests::lab::Kind;
use muster_worker::hypervisor::VmChange;

const SAVED: Instance = Instance::Off(OffCause::Saved);

async fn virsh(stand: &Stand, host: &str, arguments: &[&str]) {
    stand.lab.virsh(host, arguments).await.and_then(|ran| ran.well()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_guest_holds_its_memory_and_no_seal_holds_it() {
    let Some(stand) = Stand::up("saved", &[(Kind::Quiet, 1)]).await else { return };
    let pair = Pair::of(&stand).await;
    let (here, there) = (pair.here.to_string(), pair.there.to_string());
    // Before it is sealed: preflight sees it, and nothing that a start would go past is made.
    virsh(&stand, &here, &["managedsave", &pair.name]).await;
    assert_eq!(pair.stored(&pair.source).await, (Stored::Real, SAVED));
    assert!(pair.source.needs(&[pair.vm], &[]).await.unwrap()[0].has_saved_memory);
    for change in [Pair::seal(), VmChange::Start] {
        let refused = pair.at_source(change).await.unwrap_err();
        assert!(refused.contains("managedsave-remove"), "{refused}");
    }
    assert_eq!(pair.stored(&pair.source).await, (Stored::Real, SAVED));
    // While it is sealed: it is as if it were paused, and a start goes past the seal.
    virsh(&stand, &here, &["start", &pair.name]).await;
    pair.at_source(Pair::seal()).await.unwrap();
    virsh(&stand, &here, &["managedsave", &pair.name]).await;
    assert_eq!(pair.stored(&pair.source).await, (Stored::Sealed, SAVED));
    let retire = VmChange::DefineRetired { reason: "retired-by-this-test".to_owned() };
    assert!(pair.at_source(retire).await.unwrap_err().contains("managedsave-remove"));
    virsh(&stand, &here, &["start", &pair.name]).await;
    assert_eq!(pair.stored(&pair.source).await, (Stored::Sealed, Instance::Running));
    // Where it has arrived: its image goes only with an order that may take memory.
    pair.give_back().await;
    pair.hand_over().await;
    // libvirt saves none that has stood still since it arrived.
    virsh(&stand, &there, &["resume", &pair.name]).await;
    virsh(&stand, &there, &["managedsave", &pair.name]).await;
    assert_eq!(pair.stored(&pair.destination).await, (Stored::Arrived, SAVED));
    let remove = |may_hold_memory| VmChange::Remove { mark: pair.mark, may_hold_memory };
    assert!(pair.at_destination(remove(false)).await.unwrap_err().contains("it holds memory"));
    assert_eq!(pair.stored(&pair.destination).await, (Stored::Arrived, SAVED));
    pair.at_destination(remove(true)).await.unwrap();
    assert!(pair.destination.look(&[pair.vm]).await.unwrap()[0].sightings.is_empty());
}
