//! Follows an evacuation as it goes, also over an orchestrator that is killed and started again.

use super::Api;
use crate::error::CliError;
use crate::output::evacuation::{Evacuation, Status};
use crate::output::moves::Move;
use muster_proto::v1 as wire;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Wait before a broken stream is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What is known of an evacuation now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// The whole; none before the first answer.
    pub(crate) evacuation: Option<Evacuation>,
    /// Its moves, by VM.
    pub(crate) moves: BTreeMap<String, Move>,
    /// Why nothing is heard now; none while the stream stands.
    pub(crate) silent: Option<String>,
}

impl Snapshot {
    /// How many VMs have migrated.
    pub(crate) fn migrated(&self) -> u32 {
        self.evacuation.as_ref().map_or(0, |evacuation| evacuation.counts.migrated)
    }

    /// How many VMs there are.
    pub(crate) fn total(&self) -> u32 {
        self.evacuation.as_ref().map_or(0, |evacuation| evacuation.counts.total())
    }

    /// Whether it has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.evacuation.as_ref().is_some_and(Evacuation::is_finished)
    }

    /// Whether all that is left of it is held.
    pub(crate) fn only_held_left(&self) -> bool {
        self.evacuation.as_ref().is_some_and(|evacuation| {
            let counts = evacuation.counts;
            counts.held > 0 && counts.moving == 0 && counts.waiting == 0
        })
    }

    /// Moves that are under way.
    pub(crate) fn moving(&self) -> impl Iterator<Item = &Move> {
        self.moves.values().filter(|one| one.state == "moving")
    }

    /// The evacuation with its moves; none before the first answer.
    pub(crate) fn status(&self) -> Option<Status> {
        let evacuation = self.evacuation.clone()?;
        Some(Status { evacuation, moves: self.moves.values().cloned().collect() })
    }
}

/// An evacuation that is being followed, until this is dropped.
pub(crate) struct Follow {
    snapshots: watch::Receiver<Snapshot>,
    _stop: DropGuard,
}

impl Follow {
    /// Follows an evacuation.
    pub(crate) fn start(api: Api, evacuation: String) -> Self {
        let (sender, snapshots) = watch::channel(Snapshot::default());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = follow(&api, &evacuation, &sender) => {}
            }
        });
        Follow { snapshots, _stop: stop.drop_guard() }
    }

    /// What is known now.
    pub(crate) fn now(&self) -> Snapshot {
        self.snapshots.borrow().clone()
    }

    /// Waits for news.
    pub(crate) async fn changed(&mut self) -> Result<Snapshot, CliError> {
        match self.snapshots.changed().await {
            Ok(()) => Ok(self.snapshots.borrow_and_update().clone()),
            Err(_) => Err(CliError::Interrupted),
        }
    }
}

async fn follow(api: &Api, evacuation: &str, sender: &watch::Sender<Snapshot>) {
    loop {
        let request = wire::WatchEvacuationRequest { evacuation: evacuation.to_owned() };
        let ended = match api.client().watch_evacuation(request).await {
            Ok(stream) => read(stream.into_inner(), sender).await,
            Err(status) => status,
        };
        if sender.borrow().is_finished() {
            return;
        }
        sender.send_modify(|snapshot| snapshot.silent = Some(api.failed(&ended).to_string()));
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn read(
    mut stream: tonic::Streaming<wire::WatchEvacuationResponse>,
    sender: &watch::Sender<Snapshot>,
) -> tonic::Status {
    loop {
        match stream.message().await {
            Ok(Some(news)) => sender.send_modify(|snapshot| {
                snapshot.silent = None;
                if let Some(evacuation) = news.evacuation {
                    snapshot.evacuation = Some(evacuation.into());
                }
                for one in news.moves {
                    snapshot.moves.insert(one.vm.clone(), one.into());
                }
            }),
            Ok(None) => return tonic::Status::unavailable("it has ended the stream"),
            Err(status) => return status,
        }
    }
}
