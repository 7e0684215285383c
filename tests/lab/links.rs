//! The link between the sites. Red if a cut one carries, or a long one doesn't.

use crate::stand::Stand;
use muster_tests::lab::{Kind, Shape};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const LEFT_OUT: &str = "cut, long, lossy and slow links between real hosts";
/// Opens a connection to a host's libvirtd, inside the lab.
const CONNECT: &str = "virsh --connect \"$0\" version";

#[tokio::test]
async fn links_break_and_mend_on_order() {
    let Some(mut stand) = Stand::up("links", LEFT_OUT).await else { return };
    a_cut_link_carries_nothing_and_a_mended_one_everything(&mut stand).await;
    a_guest_moves_over_a_long_lossy_link(&mut stand).await;
    a_dirtying_guest_outruns_a_slow_link_and_stays(&mut stand).await;
}

/// How long one round of questions and answers to the destination's libvirtd takes, if it works at all.
async fn asks(stand: &Stand) -> Option<Duration> {
    let uri = &stand.lab.host("south-1").expect("a host").peer_uri;
    let begun = Instant::now();
    let ran = stand.lab.inside("north-1", &["timeout", "4", "sh", "-c", CONNECT, uri], 10_000).await.expect("a run");
    ran.success.then(|| begun.elapsed())
}

async fn a_cut_link_carries_nothing_and_a_mended_one_everything(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    assert!(asks(stand).await.is_some());
    stand.lab.cut_link().await.expect("a cut");
    assert!(asks(stand).await.is_none());
    assert!(stand.lab.virsh("south-1", &["version"]).await.expect("virsh").success, "from outside it is there");
    stand.lab.mend_link().await.expect("a mend");
    assert!(asks(stand).await.is_some());
    stand.lab.unplug("south-1").await.expect("a pull");
    assert!(asks(stand).await.is_none());
    stand.lab.plug("south-1").await.expect("a plug");
    assert!(stand.migrate(vm1, "south-1", &["--unsafe"]).await);
    stand.runs_on(vm1, "south-1").await;
}

async fn a_guest_moves_over_a_long_lossy_link(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Quiet).await;
    let short = asks(stand).await.expect("an answer");
    let shape = Shape { delay_ms: 100, lost_per_million: 10_000, rate_kbit: None, seed: 1 };
    stand.lab.lengthen_link(&shape).await.expect("a long link");
    let long = asks(stand).await.expect("an answer");
    assert!(long > short + Duration::from_millis(600), "three round trips at least: {long:?} after {short:?}");
    assert!(stand.migrate(vm1, "south-1", &["--unsafe"]).await);
    stand.runs_on(vm1, "south-1").await;
    let lost = Shape { lost_per_million: 1_000_000, ..shape };
    stand.lab.lengthen_link(&lost).await.expect("a link that loses all");
    assert!(asks(stand).await.is_none());
    stand.lab.clear_link().await.expect("a short link");
    let again = asks(stand).await.expect("an answer");
    assert!(again < long, "{again:?}");
}

async fn a_dirtying_guest_outruns_a_slow_link_and_stays(stand: &mut Stand) {
    let vm1 = &stand.add_one(Kind::Dirty).await;
    stand.runs_on(vm1, "north-1").await;
    let shape = Shape { delay_ms: 1, lost_per_million: 0, rate_kbit: Some(200_000), seed: 1 };
    stand.lab.lengthen_link(&shape).await.expect("a slow link");
    {
        let moving = stand.migrate(vm1, "south-1", &["--unsafe"]);
        let mut moving = std::pin::pin!(moving);
        timeout(Duration::from_secs(12), &mut moving).await.expect_err("128 MiB need 6 s, and are dirty before");
        let job = stand.virsh("north-1", &["domjobinfo", vm1]).await;
        let passes = job.lines().find_map(|line| line.strip_prefix("Iteration:")).expect("iterations");
        assert!(passes.trim().parse::<u32>().expect("a number") >= 2, "{job}");
        stand.virsh("north-1", &["domjobabort", vm1]).await;
        assert!(!moving.await);
    }
    stand.runs_on(vm1, "north-1").await;
    stand.lab.clear_link().await.expect("a fast link");
    assert!(stand.migrate(vm1, "south-1", &["--unsafe"]).await, "a fast link is faster than the guest");
    stand.runs_on(vm1, "south-1").await;
}
