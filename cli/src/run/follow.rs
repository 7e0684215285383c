//! Follows an evacuation as it goes, also over an orchestrator that is killed and started again.

use super::Api;
use crate::error::CliError;
use crate::output::evacuation::{Evacuation, Status};
use crate::output::moves::Move;
use backon::{BackoffBuilder, ExponentialBuilder};
use muster_core::class::Class;
use muster_proto::status::Fault;
use muster_proto::v1 as wire;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// First wait before a broken stream is asked for again; each after it is twice as long.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Longest such wait.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(2);
/// Most times in a row that it is asked for in vain: for longer than whoever follows bears a silence.
const AGAIN_MAX: usize = 60;

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
            Err(_) => Err(CliError::Overdue {
                what: "the orchestrator's answer".to_owned(),
                waited_s: AGAIN_AFTER_MAX.as_secs() * AGAIN_MAX as u64,
                mend: "the evacuation itself may go on, see \"muster status\"".to_owned(),
            }),
        }
    }
}

async fn follow(api: &Api, evacuation: &str, sender: &watch::Sender<Snapshot>) {
    let waits = ExponentialBuilder::default()
        .with_min_delay(AGAIN_AFTER)
        .with_max_delay(AGAIN_AFTER_MAX)
        .with_max_times(AGAIN_MAX)
        .with_jitter();
    let mut left = waits.build();
    let mut resume_token = String::new();
    loop {
        let told = resume_token.clone();
        let request = wire::WatchEvacuationRequest { evacuation: evacuation.to_owned(), resume_token: told.clone() };
        let ended = match api.client().watch_evacuation(request).await {
            Ok(stream) => read(stream.into_inner(), sender, &mut resume_token).await,
            Err(status) => status,
        };
        if sender.borrow().is_finished() {
            return;
        }
        sender.send_modify(|snapshot| snapshot.silent = Some(api.failed(&ended).to_string()));
        if resume_token != told {
            left = waits.build();
        } else if Fault::from(&ended).class() == Class::Refused {
            // It may be the token that it refuses: from the beginning, then.
            resume_token.clear();
        }
        let Some(wait) = left.next() else { return };
        tokio::time::sleep(wait).await;
    }
}

/// Reads until the stream ends, and keeps the token to go on with.
async fn read(
    mut stream: tonic::Streaming<wire::WatchEvacuationResponse>,
    sender: &watch::Sender<Snapshot>,
    resume_token: &mut String,
) -> tonic::Status {
    loop {
        match stream.message().await {
            Ok(Some(news)) => {
                sender.send_modify(|snapshot| {
                    snapshot.silent = None;
                    if let Some(evacuation) = news.evacuation {
                        snapshot.evacuation = Some(evacuation.into());
                    }
                    for one in news.moves {
                        snapshot.moves.insert(one.vm.clone(), one.into());
                    }
                });
                if !news.resume_token.is_empty() {
                    *resume_token = news.resume_token;
                }
            }
            Ok(None) => return tonic::Status::unavailable("it has ended the stream"),
            Err(status) => return status,
        }
    }
}
