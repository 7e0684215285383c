//! A guest that is to shut down is asked until it hears it.
//!
//! Red if it is asked once only: what is still booting hears nothing, and a cold move would wait for ever.

use crate::inert::Pair;
use crate::stand::Stand;
use muster_core::reading::Instance;
use muster_tests::lab::Kind;
use muster_worker::hypervisor::VmChange;
use std::time::Duration;

/// Guards against hanging.
const LIMIT: Duration = Duration::from_secs(120);
/// Has the firmware wait for so long before it boots the guest.
const BOOTS_LATE: &str = "<bootmenu enable='yes' timeout='5000'/></os>";

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_still_booting_is_asked_again() {
    let Some(stand) = Stand::up("asked", &[(Kind::Quiet, 1)]).await else { return };
    let pair = Pair::of(&stand).await;
    let virsh = async |arguments: &[&str]| {
        stand.lab.virsh(pair.here.as_str(), arguments).await.and_then(|ran| ran.well()).expect("virsh succeeds")
    };
    virsh(&["destroy", &pair.name]).await;
    let late = virsh(&["dumpxml", "--inactive", &pair.name]).await.replace("</os>", BOOTS_LATE);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("late.xml");
    std::fs::write(&path, late).expect("a definition");
    virsh(&["define", &path.display().to_string()]).await;
    virsh(&["start", &pair.name]).await;
    let asked = pair.at_source(VmChange::ShutDown);
    tokio::time::timeout(LIMIT, asked).await.expect("it never heard it").expect("it shuts down");
    assert!(matches!(pair.stored(&pair.source).await.1, Instance::Off(_)));
}
