//! Whether this orchestrator takes work: its journal does, and it isn't about to stop. Decides nothing else; what a site
//! can do is that site's own health.

use crate::parts::Orchestrator;
use futures::FutureExt;
use futures::future::BoxFuture;
use muster_proto::serve::health::Standing;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(super) struct OrchestratorStanding {
    house: Arc<Orchestrator>,
    shutdown: CancellationToken,
}

impl OrchestratorStanding {
    pub(super) fn new(house: Arc<Orchestrator>, shutdown: CancellationToken) -> Self {
        OrchestratorStanding { house, shutdown }
    }

    /// Waits until the journal has failed.
    async fn until_failed(&self) {
        while self.house.journal().wait_past(u64::MAX).await.is_ok() {}
    }
}

impl Standing for OrchestratorStanding {
    fn is_serving(&self) -> bool {
        let stops = self.shutdown.is_cancelled() || self.house.stop.is_cancelled();
        !stops && self.house.journal().health().is_working()
    }

    fn until(&self, serving: bool) -> BoxFuture<'_, ()> {
        async move {
            if self.is_serving() == serving {
                return;
            }
            if serving {
                // A journal that has failed takes no work until another process opens it.
                std::future::pending::<()>().await;
            }
            tokio::select! {
                () = self.until_ending() => {}
                () = self.until_failed() => {}
            }
        }
        .boxed()
    }

    fn until_ending(&self) -> BoxFuture<'_, ()> {
        async move {
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = self.house.stop.cancelled() => {}
            }
        }
        .boxed()
    }
}
