//! How long a lost call counts. Red if it ends too early, or never.

use super::*;
use std::os::unix::net::UnixListener;
use uuid::Uuid;

const VM: VmId = VmId(Uuid::from_u128(1));
const OTHER: VmId = VmId(Uuid::from_u128(2));
const LANDS_WITHIN: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_secs(1);

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

struct Stage {
    under_way: Arc<UnderWay>,
    here: HostName,
}

impl Stage {
    fn connected() -> Stage {
        let stage = Stage { under_way: UnderWay::new(), here: host("here") };
        stage.connect(None);
        stage
    }

    fn connect(&self, listener: Option<Listener>) {
        self.under_way.connected(&self.here, listener, LANDS_WITHIN);
    }

    fn reconnect(&self, listener: Option<Listener>) {
        self.under_way.disconnected(&self.here);
        self.connect(listener);
    }

    fn lose_a_call(&self, listener: Option<Listener>) {
        let guard = self.under_way.begin_call(&self.here, VM, false).unwrap();
        guard.lost_at(&self.here, listener);
    }

    /// Whether a VM's call may yet land here, by what is seen and by what is let in.
    fn counts(&self, vm: VmId) -> bool {
        let seen = self.under_way.seen(&(self.here.clone(), vm)).lost_at.contains(&self.here);
        let refused = self.under_way.begin_call(&self.here, vm, false).is_err();
        assert_eq!(seen, refused);
        seen
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_connection_makes_nobody_wait() {
    let stage = Stage::connected();
    assert!(!stage.counts(VM));
    stage.reconnect(None);
    assert!(!stage.counts(VM));
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_counts_from_the_moment_it_is_lost_until_it_can_not_land() {
    let stage = Stage::connected();
    stage.lose_a_call(None);
    assert!(stage.counts(VM) && !stage.counts(OTHER));
    stage.reconnect(None);
    tokio::time::sleep(LANDS_WITHIN - MOMENT).await;
    assert!(stage.counts(VM));
    tokio::time::sleep(2 * MOMENT).await;
    assert!(!stage.counts(VM));
}

#[tokio::test(start_paused = true)]
async fn where_only_its_own_connection_broke_it_counts_from_then_on() {
    let stage = Stage::connected();
    stage.under_way.begin_job((stage.here.clone(), VM)).lost(None);
    tokio::time::sleep(LANDS_WITHIN - MOMENT).await;
    assert!(stage.counts(VM));
    tokio::time::sleep(2 * MOMENT).await;
    assert!(!stage.counts(VM), "it counts for ever");
}

#[tokio::test(start_paused = true)]
async fn an_older_connection_ends_no_younger_ones_time() {
    let stage = Stage::connected();
    stage.lose_a_call(None);
    stage.reconnect(None);
    tokio::time::sleep(LANDS_WITHIN - MOMENT).await;
    stage.reconnect(None);
    tokio::time::sleep(LANDS_WITHIN - MOMENT).await;
    assert!(stage.counts(VM), "it was away in between, and the call may lie there yet");
    tokio::time::sleep(2 * MOMENT).await;
    assert!(!stage.counts(VM));
}

#[tokio::test(start_paused = true)]
async fn a_younger_loss_outlives_the_end_of_an_older_one() {
    let stage = Stage::connected();
    stage.lose_a_call(None);
    tokio::time::sleep(LANDS_WITHIN - MOMENT).await;
    stage.under_way.begin_job((stage.here.clone(), VM)).lost(None);
    tokio::time::sleep(2 * MOMENT).await;
    assert!(stage.counts(VM));
}

#[tokio::test(start_paused = true)]
async fn what_a_predecessor_may_have_sent_counts_on_every_host_that_answers() {
    let stage = Stage::connected();
    let there = host("there");
    stage.under_way.inherit(&[stage.here.clone(), there.clone()], &[VM]);
    assert!(stage.counts(VM) && !stage.counts(OTHER));
    tokio::time::sleep(LANDS_WITHIN + MOMENT).await;
    assert!(!stage.counts(VM), "a host that never answers holds its VMs up for ever");
    stage.under_way.connected(&there, None, LANDS_WITHIN);
    assert!(stage.under_way.begin_call(&stage.here, VM, false).is_err());
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_one_was_to_do_counts_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let listener = |name: &str| {
        let path = folder.path().join(name);
        let listening = UnixListener::bind(&path).unwrap();
        drop(listening);
        Listener::of(&format!("qemu:///system?socket={}", path.display()))
    };
    let (first, second) = (listener("first"), listener("second"));
    assert!(first.is_some() && first != second);
    let stage = Stage::connected();
    stage.lose_a_call(first);
    stage.reconnect(first);
    assert!(stage.counts(VM), "the one that it was sent to lives");
    stage.reconnect(second);
    assert!(!stage.counts(VM));
}
