//! What whoever watches the site is told: first how things stand, then whatever changes.
//!
//! Every piece of news carries a *mark*: all that the ledger holds up to it has been told to this watcher. Watching again
//! from the mark heard last misses nothing, whatever broke in between.

use super::Site;
use crate::error::SiteError;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, VmId};
use muster_core::ledger::command::LedgerEvent;
use muster_core::ledger::{RetiredCopy, Standing, VmRow};
use muster_core::reading::SiteReading;
use muster_proto::limits::ALIVE_INTERVAL;
use muster_store::RowQuery;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Most rows, or events, that are read together to tell a watcher how things stand.
pub const CATCH_UP_BATCH: usize = 256;

/// A piece of news for whoever watches the site.
#[derive(Debug, Clone)]
pub enum News {
    /// What a VM looks like now.
    Reading(Arc<SiteReading>),
    /// An evacuation's claim or assertions have changed.
    Claims(EvacuationId, Arc<Claims>),
    /// Something that a person should know. It stands in the ledger's history.
    Alarm {
        /// The VM, if it is about one.
        vm: Option<VmId>,
        /// Stable, for programs.
        reason: String,
        /// For people.
        message: String,
    },
    /// Nothing; the site is alive.
    Alive,
}

/// A piece of news with the mark it carries.
pub(super) type Told = (u64, News);

/// News as one watcher gets them. It ends with the site, or after an error.
pub type NewsStream = BoxStream<'static, Result<(u64, News), SiteError>>;

/// Where one watcher is.
struct Watcher {
    site: Arc<Site>,
    news: broadcast::Receiver<Told>,
    /// The mark up to which it has been told all.
    mark: u64,
    is_behind: bool,
}

impl Site {
    /// News from a mark on: first a reading of every VM of an open evacuation, of every VM that has changed since, and of every
    /// one whose retired copy isn't kept for ever; then whatever changes. A watcher that is too slow is told anew how things stand.
    pub fn watch(self: &Arc<Self>, after_sequence: u64) -> NewsStream {
        // Subscribed before anything is read, so that nothing falls in between.
        let news = self.news.subscribe();
        let watcher = Watcher { site: Arc::clone(self), news, mark: after_sequence, is_behind: true };
        let batches = stream::unfold(Some(watcher), |watcher| async move {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(Some(batch)) => Some((batch.into_iter().map(Ok).collect(), Some(watcher))),
                Ok(None) => None,
                Err(error) => Some((vec![Err(error)], None)),
            }
        });
        let stop = self.stop.clone();
        batches.flat_map(|batch: Vec<_>| stream::iter(batch)).take_until(async move { stop.cancelled().await }).boxed()
    }

    pub(super) fn tell(&self, news: News) {
        // Nobody watching is no error.
        let _ = self.news.send((self.told.load(Ordering::Acquire), news));
    }

    /// How things stand, for a watcher that was told all up to a mark. Every piece but the last carries that old mark:
    /// a watcher that is cut off in the middle has to be told again.
    async fn catch_up(self: &Arc<Self>, mark: u64) -> Result<Vec<Told>, SiteError> {
        self.must_work()?;
        // Not below the old one: a ledger's newest entry can be known to a watcher, by its status, before all were told of it.
        let new_mark = self.told.load(Ordering::Acquire).max(mark.min(self.records.newest()));
        let mut news = Vec::new();
        let mut open = BTreeSet::new();
        for known in self.records.evacuations().await? {
            if known.open > 0 {
                open.insert(known.evacuation);
            }
            news.push((mark, News::Claims(known.evacuation, Arc::new(known.claims))));
        }
        let changed = self.changed_since(mark).await?;
        let is_wanted = |row: &VmRow| {
            let is_open = row.standing().is_some_and(|standing| open.contains(&standing.evacuation()));
            is_open || changed.contains(&row.vm) || is_kept_for_a_while(row)
        };
        let mut query = RowQuery { limit: CATCH_UP_BATCH, ..RowQuery::all() };
        loop {
            let at = self.env.now();
            let mut rows = self.records.page(query).await?;
            let Some(last) = rows.last().map(|row| row.vm) else { break };
            query = query.after(last);
            rows.retain(is_wanted);
            let vms: Vec<VmId> = rows.iter().map(|row| row.vm).collect();
            let sights = self.look(&vms).await?;
            for (row, sight) in rows.iter().zip(sights) {
                news.push((mark, News::Reading(Arc::new(self.reading(row, sight, at)))));
            }
        }
        news.push((new_mark, News::Alive));
        Ok(news)
    }

    async fn changed_since(&self, mark: u64) -> Result<BTreeSet<VmId>, SiteError> {
        // From the very beginning only what is open is of interest.
        if mark == 0 {
            return Ok(BTreeSet::new());
        }
        let mut changed = BTreeSet::new();
        self.hear_events(mark, self.records.newest(), |event| changed.extend(event.vm)).await?;
        Ok(changed)
    }

    /// Goes through what the ledger's history holds after one sequence number and up to another.
    pub(super) async fn hear_events(
        &self,
        after: u64,
        up_to: u64,
        mut hear: impl FnMut(LedgerEvent),
    ) -> Result<(), SiteError> {
        let mut after = after;
        while after < up_to {
            let events = self.records.events(after, CATCH_UP_BATCH).await?;
            let Some((last, _)) = events.last() else { break };
            after = *last;
            events.into_iter().for_each(|(_, event)| hear(event));
        }
        Ok(())
    }
}

/// Its retired copy is to be deleted, or has been: that goes on after the end of its move.
fn is_kept_for_a_while(row: &VmRow) -> bool {
    match row.standing() {
        Some(Standing::Source(at)) => match at.retired_copy {
            RetiredCopy::Kept => false,
            RetiredCopy::KeptUntil { .. } | RetiredCopy::Deleted { .. } => true,
        },
        Some(Standing::Destination(_)) | None => false,
    }
}

impl Watcher {
    /// The next pieces of news, at least one; none once the site has ended.
    async fn next(&mut self) -> Result<Option<Vec<Told>>, SiteError> {
        if std::mem::take(&mut self.is_behind) {
            let news = self.site.catch_up(self.mark).await?;
            self.mark = news.last().map_or(self.mark, |(mark, _)| *mark);
            return Ok(Some(news));
        }
        let told = self.site.told.load(Ordering::Acquire);
        let told = match tokio::time::timeout(ALIVE_INTERVAL, self.news.recv()).await {
            // All that was told by then would have been in the channel, and it was empty.
            Err(_) => (told, News::Alive),
            Ok(Ok(told)) => told,
            Ok(Err(RecvError::Lagged(_))) => {
                self.is_behind = true;
                (self.mark, News::Alive)
            }
            Ok(Err(RecvError::Closed)) => return Ok(None),
        };
        self.mark = self.mark.max(told.0);
        Ok(Some(vec![(self.mark, told.1)]))
    }
}
