//! Watching an evacuation: everything once, then what changes. The journal says what has changed for good, the feeds
//! what moves along; both are gathered for a moment, so that a watcher is told once of what changed twice.

use super::resume::{self, Mark};
use super::{Api, WATCHERS_MAX, convert};
use crate::error::OrchestratorError;
use crate::evacuate::status_of;
use crate::parts::{Orchestrator, Pair};
use muster_core::evacuation::{EvacuationState, EvacuationStatus, MoveStatus};
use muster_core::ids::{EvacuationId, VmId};
use muster_proto::convert::batches;
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
/// Messages that are made before a slow watcher has taken those before.
pub(crate) const MESSAGES_AHEAD_MAX: usize = 2;
/// Most pages of records that are gone through for a watcher that comes back.
pub(crate) const RESUME_PAGES_MAX: usize = 100;
/// More changed moves than this at once, and all are read anew in one go.
pub(crate) const CHANGES_MAX: usize = 500;

type Told = mpsc::Sender<Result<pb::WatchEvacuationResponse, Status>>;

impl Api {
    pub(super) async fn watch(
        &self,
        request: pb::WatchEvacuationRequest,
    ) -> Result<ReceiverStream<Result<pb::WatchEvacuationResponse, Status>>, Status> {
        let too_many = || OrchestratorError::TooMany { what: "too many watchers", most: WATCHERS_MAX };
        let seat = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| too_many())?;
        let resumed = resume::read(&request.resume_token)?;
        let status = match resumed {
            Some((evacuation, _)) if request.evacuation.is_empty() => self.named(&evacuation.to_string()).await?,
            Some(_) | None => self.named_or_newest(&request.evacuation).await?,
        };
        if let Some((evacuation, mark)) = resumed {
            if evacuation != status.id {
                return Err(resume::unusable("is of another evacuation; send one of this, or none"));
            }
            if resume::mark_of(self.house.journal().as_ref(), mark.sequence).await? != Some(mark) {
                return Err(OrchestratorError::NotThisJournal.into());
            }
        }
        let since = resumed.map(|(_, mark)| mark);
        let (told, stream) = mpsc::channel(MESSAGES_AHEAD_MAX);
        let watcher = Watcher {
            house: Arc::clone(&self.house),
            evacuation: status.id,
            sites: self.sites(&status).await,
            told,
            states: BTreeMap::new(),
            counts: pb::MoveCounts::default(),
            sequence: 0,
            mark: since.unwrap_or(Mark { sequence: 0, at: status.ordered_at }),
        };
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _seat = seat;
            watcher.run(since, shutdown).await;
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
    /// The journal is read up to here.
    sequence: u64,
    /// The last record that is told of.
    mark: Mark,
}

/// What has changed.
#[derive(Default)]
struct Changes {
    /// By the journal, and so of this evacuation.
    recorded: BTreeSet<VmId>,
    /// By the sites.
    heard: BTreeSet<VmId>,
    everything: bool,
    /// The journal has something new.
    journal: bool,
}

impl Watcher {
    async fn run(mut self, since: Option<Mark>, shutdown: CancellationToken) {
        let told = self.told.clone();
        let end = tokio::select! {
            biased;
            // Whoever watched has gone, or the orchestrator stops.
            () = told.closed() => return,
            () = self.house.stop.clone().cancelled_owned() => Err(OrchestratorError::Stopping),
            () = shutdown.cancelled() => Err(OrchestratorError::Stopping),
            end = self.tell_all(since) => end,
        };
        if let Err(error) = end {
            // A watcher that went away meanwhile needs no answer.
            let _ = told.try_send(Err(error.into()));
        }
    }

    async fn tell_all(&mut self, since: Option<Mark>) -> Result<(), OrchestratorError> {
        let mut feeds =
            self.sites.as_ref().map(|pair| (pair.source.feed().changes(), pair.destination.feed().changes()));
        let mut is_over = self.tell_many(since).await?;
        while !is_over {
            let mut changes = Changes::default();
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
            is_over = self.tell(changes).await?;
        }
        Ok(())
    }

    /// Tells what has changed. True once the evacuation is over.
    async fn tell(&mut self, mut changes: Changes) -> Result<bool, OrchestratorError> {
        let journal = Arc::clone(self.house.journal());
        let news = changes.journal && self.read_journal(&mut changes).await?;
        // What sites tell may be about VMs of other evacuations.
        let heard = changes.heard.iter().filter(|vm| self.states.contains_key(vm)).copied();
        changes.recorded.extend(heard);
        if changes.everything || changes.recorded.len() > CHANGES_MAX {
            return self.tell_many(None).await;
        }
        // Read after the changes: it may be newer than they are, never older.
        let status = status_of(journal.as_ref(), self.evacuation).await?;
        let mut changed = Vec::new();
        for vm in &changes.recorded {
            changed.extend(journal.a_move(self.evacuation, *vm).await?);
        }
        if !news && changed.is_empty() {
            return Ok(false);
        }
        self.recount(&changed);
        self.send(&status, &changed, Some(self.mark)).await?;
        Ok(status.state == EvacuationState::Finished)
    }

    /// Tells of every move; with a mark, of those alone that may have changed since. Page by page: however slow the
    /// watcher, no more of them are kept for it. True once the evacuation is over.
    async fn tell_many(&mut self, since: Option<Mark>) -> Result<bool, OrchestratorError> {
        let journal = Arc::clone(self.house.journal());
        self.sequence = journal.newest();
        let mark = resume::mark_of(journal.as_ref(), self.sequence).await?;
        let recorded = match since {
            Some(since) => self.recorded_since(since).await?,
            None => None,
        };
        let status = status_of(journal.as_ref(), self.evacuation).await?;
        if self.states.is_empty() {
            // So that the first message has the counts of all.
            let mut after = None;
            while let Some(page) = self.page(&mut after).await? {
                self.recount(&page);
            }
        }
        let (mut after, mut changed) = (None, Vec::new());
        while let Some(page) = self.page(&mut after).await? {
            self.recount(&page);
            changed.extend(page.into_iter().filter(|one| match &recorded {
                Some(vms) => vms.contains(&one.planned.vm) || convert::changes_unrecorded(one, self.sites.as_ref()),
                None => true,
            }));
            if changed.len() >= PAGE_MAX {
                self.send(&status, &std::mem::take(&mut changed), None).await?;
            }
        }
        self.mark = mark.unwrap_or(self.mark);
        self.send(&status, &changed, Some(self.mark)).await?;
        Ok(status.state == EvacuationState::Finished)
    }

    /// The moves after this one. None at the end.
    async fn page(&self, after: &mut Option<VmId>) -> Result<Option<Vec<MoveStatus>>, OrchestratorError> {
        let page = self.house.journal().moves(self.evacuation, *after, PAGE_MAX).await?;
        *after = page.last().map(|last| last.planned.vm);
        Ok((!page.is_empty()).then_some(page))
    }

    /// What the journal says has changed. True if any of it concerns this evacuation.
    async fn read_journal(&mut self, changes: &mut Changes) -> Result<bool, OrchestratorError> {
        let journal = Arc::clone(self.house.journal());
        let newest = journal.newest();
        let mut query = self.records_after(self.sequence);
        let mut any = false;
        loop {
            let page = journal.records(query).await?;
            let Some((last, record)) = page.last() else { break };
            query.after_sequence = *last;
            self.mark = Mark { sequence: *last, at: record.at };
            any = true;
            changes.recorded.extend(page.iter().filter_map(|(_, record)| record.vm));
        }
        self.sequence = query.after_sequence.max(newest);
        Ok(any)
    }

    /// The VMs of which the journal has said something since. None where that is so much that all are as soon told.
    async fn recorded_since(&self, since: Mark) -> Result<Option<BTreeSet<VmId>>, OrchestratorError> {
        let mut query = self.records_after(since.sequence);
        let mut vms = BTreeSet::new();
        for _ in 0..RESUME_PAGES_MAX {
            let page = self.house.journal().records(query).await?;
            let Some((last, _)) = page.last() else { return Ok(Some(vms)) };
            query.after_sequence = *last;
            vms.extend(page.iter().filter_map(|(_, record)| record.vm));
        }
        Ok(None)
    }

    fn records_after(&self, after_sequence: u64) -> JournalQuery {
        JournalQuery { evacuation: Some(self.evacuation), vm: None, after_sequence, limit: PAGE_MAX }
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

    /// A slow watcher is waited for: what changes meanwhile it is told at once afterwards. The mark goes with the last
    /// message alone.
    async fn send(
        &self,
        status: &EvacuationStatus,
        changed: &[MoveStatus],
        mark: Option<Mark>,
    ) -> Result<(), OrchestratorError> {
        let live = self.house.seats.of(self.evacuation).live();
        let evacuation = convert::evacuation(status, self.counts, live);
        let moves = changed.iter().map(|one| convert::a_move(status, one, self.sites.as_ref())).collect();
        let mut batches = batches(moves).into_iter().peekable();
        let mut next = Some(batches.next().unwrap_or_default());
        while let Some(moves) = next {
            let is_last = batches.peek().is_none();
            let token = mark.filter(|_| is_last).map(|mark| resume::token(self.evacuation, mark));
            let evacuation = Some(evacuation.clone());
            let message = pb::WatchEvacuationResponse { evacuation, moves, resume_token: token.unwrap_or_default() };
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
                self.heard.insert(vm);
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
