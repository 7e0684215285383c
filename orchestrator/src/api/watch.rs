//! Watching an evacuation: everything once, then what changes. The journal says what has changed for good, the feeds
//! what moves along; both are gathered for a moment, so that a watcher is told once of what changed twice.

use super::{Api, WATCHERS_MAX, convert};
use crate::error::OrchestratorError;
use crate::evacuate::{all_moves, status_of};
use crate::parts::{Orchestrator, Pair};
use muster_core::evacuation::{EvacuationState, EvacuationStatus, MoveStatus};
use muster_core::ids::{EvacuationId, VmId};
use muster_proto::limits::STREAM_BUFFER;
use muster_proto::v1 as pb;
use muster_recovery::link::FeedChange;
use muster_store::{JournalQuery, PAGE_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How long changes are gathered before they are told.
pub(crate) const GATHER: Duration = Duration::from_millis(100);
/// Most moves in one message.
pub(crate) const MOVES_PER_MESSAGE_MAX: usize = 1_000;
/// More changed moves than this at once, and all are read anew in one go.
pub(crate) const CHANGES_MAX: usize = 500;

type Told = mpsc::Sender<Result<pb::WatchEvacuationResponse, Status>>;

impl Api {
    pub(super) async fn watch(
        &self,
        evacuation: &str,
    ) -> Result<ReceiverStream<Result<pb::WatchEvacuationResponse, Status>>, Status> {
        let too_many = || OrchestratorError::TooMany { what: "too many watchers", most: WATCHERS_MAX };
        let seat = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| too_many())?;
        let status = self.named_or_newest(evacuation).await?;
        let (told, stream) = mpsc::channel(STREAM_BUFFER);
        let watcher = Watcher {
            house: Arc::clone(&self.house),
            evacuation: status.id,
            sites: self.sites(&status).await,
            told,
            states: BTreeMap::new(),
            counts: pb::MoveCounts::default(),
            sequence: self.house.journal().newest(),
        };
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _seat = seat;
            watcher.run(shutdown).await;
        });
        Ok(ReceiverStream::new(stream))
    }
}

/// One watcher.
struct Watcher {
    house: Arc<Orchestrator>,
    evacuation: EvacuationId,
    sites: Option<Pair>,
    told: Told,
    states: BTreeMap<VmId, convert::Counted>,
    counts: pb::MoveCounts,
    /// What is told up to here.
    sequence: u64,
}

/// What has changed.
#[derive(Default)]
struct Changes {
    vms: BTreeSet<VmId>,
    everything: bool,
    /// The journal has something new.
    journal: bool,
}

impl Watcher {
    async fn run(mut self, shutdown: CancellationToken) {
        let told = self.told.clone();
        let end = tokio::select! {
            biased;
            // Whoever watched has gone, or the orchestrator stops.
            () = told.closed() => return,
            () = self.house.stop.clone().cancelled_owned() => Err(OrchestratorError::Stopping),
            () = shutdown.cancelled() => Err(OrchestratorError::Stopping),
            end = self.tell_all() => end,
        };
        if let Err(error) = end {
            // A watcher that went away meanwhile needs no answer.
            let _ = told.try_send(Err(error.into()));
        }
    }

    async fn tell_all(&mut self) -> Result<(), OrchestratorError> {
        let mut feeds =
            self.sites.as_ref().map(|pair| (pair.source.feed().changes(), pair.destination.feed().changes()));
        let mut changes = Changes { everything: true, ..Changes::default() };
        loop {
            if self.tell(std::mem::take(&mut changes)).await? {
                return Ok(());
            }
            let house = Arc::clone(&self.house);
            match &mut feeds {
                None => changes.journal = house.journal().wait_past(self.sequence).await.map(|_| true)?,
                Some((source, destination)) => tokio::select! {
                    biased;
                    past = house.journal().wait_past(self.sequence) => changes.journal = past.map(|_| true)?,
                    change = source.recv() => changes.hear(change),
                    change = destination.recv() => changes.hear(change),
                },
            }
            tokio::time::sleep(GATHER).await;
            if let Some((source, destination)) = &mut feeds {
                changes.hear_waiting(source);
                changes.hear_waiting(destination);
            }
            changes.journal |= house.journal().newest() > self.sequence;
        }
    }

    /// Tells what has changed. True once the evacuation is over.
    async fn tell(&mut self, mut changes: Changes) -> Result<bool, OrchestratorError> {
        let journal = Arc::clone(self.house.journal());
        let mut news = changes.everything;
        if changes.journal && !changes.everything {
            news |= self.read_journal(&mut changes).await?;
        }
        // Read after the changes: it may be newer than they are, never older.
        let status = status_of(journal.as_ref(), self.evacuation).await?;
        let mut changed = Vec::new();
        if changes.everything || changes.vms.len() > CHANGES_MAX {
            self.sequence = journal.newest();
            changed = all_moves(journal.as_ref(), self.evacuation).await?;
        } else {
            for vm in changes.vms.iter().filter(|vm| self.states.contains_key(vm)) {
                changed.extend(journal.a_move(self.evacuation, *vm).await?);
            }
        }
        if !news && changed.is_empty() {
            return Ok(false);
        }
        self.recount(&changed);
        self.send(&status, &changed).await?;
        Ok(status.state == EvacuationState::Finished)
    }

    /// What the journal says has changed. True if any of it concerns this evacuation.
    async fn read_journal(&mut self, changes: &mut Changes) -> Result<bool, OrchestratorError> {
        let journal = Arc::clone(self.house.journal());
        let newest = journal.newest();
        let mut query = JournalQuery {
            evacuation: Some(self.evacuation),
            vm: None,
            after_sequence: self.sequence,
            limit: PAGE_MAX,
        };
        let mut any = false;
        loop {
            let page = journal.records(query).await?;
            let Some((last, _)) = page.last() else { break };
            query.after_sequence = *last;
            any = true;
            changes.vms.extend(page.iter().filter_map(|(_, record)| record.vm));
        }
        self.sequence = query.after_sequence.max(newest);
        Ok(any)
    }

    fn recount(&mut self, changed: &[MoveStatus]) {
        for a_move in changed {
            let counted = convert::Counted::from(a_move);
            if let Some(before) = self.states.insert(a_move.planned.vm, counted) {
                convert::count(&mut self.counts, before, -1);
            }
            convert::count(&mut self.counts, counted, 1);
        }
    }

    /// A slow watcher is waited for: what changes meanwhile it is told at once afterwards.
    async fn send(&self, status: &EvacuationStatus, changed: &[MoveStatus]) -> Result<(), OrchestratorError> {
        let live = self.house.seats.of(self.evacuation).live();
        let evacuation = convert::evacuation(status, self.counts, live);
        let mut batches = changed.chunks(MOVES_PER_MESSAGE_MAX);
        let mut next = Some(batches.next().unwrap_or_default());
        while let Some(batch) = next {
            let moves = batch.iter().map(|one| convert::a_move(status, one, self.sites.as_ref())).collect();
            let message = pb::WatchEvacuationResponse { evacuation: Some(evacuation.clone()), moves };
            if self.told.send(Ok(message)).await.is_err() {
                // Nobody watches any more; the run ends by itself.
                return Ok(());
            }
            next = batches.next();
        }
        Ok(())
    }
}

impl Changes {
    fn hear(&mut self, change: Result<FeedChange, RecvError>) {
        match change {
            Ok(FeedChange::Vm(vm)) => {
                self.vms.insert(vm);
            }
            Ok(FeedChange::Claims(_) | FeedChange::Alarm | FeedChange::Connection(_)) => {}
            Err(RecvError::Lagged(_)) => self.everything = true,
            // The link lives as long as the watcher: its feed can't end before.
            Err(RecvError::Closed) => {}
        }
    }

    fn hear_waiting(&mut self, feed: &mut broadcast::Receiver<FeedChange>) {
        // What comes while this goes on waits for the next time.
        for _ in 0..feed.len() {
            match feed.try_recv() {
                Ok(change) => self.hear(Ok(change)),
                Err(TryRecvError::Lagged(_)) => self.everything = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }
}
