//! What a site tells by itself, kept newest first: the streamed half of every observation.
//!
//! A lost connection makes the site silent, and is told to everybody who waits; readings from before it stay readable as
//! "as of", but never count as an answer.

use muster_core::claim::Claims;
use muster_core::env::Env;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::reading::SiteReading;
use muster_core::time::Timestamp;
use muster_core::token::Token;
use muster_proto::convert::{Alarm, News, SiteNews};
use muster_proto::worker::v1 as wire;
use muster_proto::worker::v1::site_client::SiteClient;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// How long until a lost feed is asked for again.
pub(super) const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// Most changes that wait for a slow follower; one that is slower is told to look at everything.
pub(super) const CHANGES_WAITING_MAX: usize = 16 * 1024;

/// Most VMs whose last alarm is kept.
pub(super) const ALARMS_KEPT_MAX: usize = 4096;

/// Whether the site is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// It is.
    Up,
    /// It isn't, since.
    Down(Timestamp),
}

/// A change on a feed, for those who follow it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedChange {
    /// A VM's reading.
    Vm(VmId),
    /// An evacuation's claims.
    Claims(EvacuationId),
    /// The site has raised an alarm: its ledger's history has it.
    Alarm,
    /// The connection came or went.
    Connection(Connection),
}

/// A site's feed.
#[derive(Clone)]
pub struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    changes: broadcast::Sender<FeedChange>,
}

struct State {
    connection: Connection,
    readings: BTreeMap<VmId, Arc<SiteReading>>,
    claims: BTreeMap<EvacuationId, Arc<Claims>>,
    waiting: BTreeMap<VmId, Arc<Notify>>,
    alarms: BTreeMap<VmId, String>,
    sequence: u64,
}

impl Feed {
    pub(super) fn start(
        site: SiteName,
        client: SiteClient<Channel>,
        env: Arc<dyn Env>,
        alive: Duration,
        stop: CancellationToken,
    ) -> Self {
        let state = State {
            connection: Connection::Down(env.now()),
            readings: BTreeMap::new(),
            claims: BTreeMap::new(),
            waiting: BTreeMap::new(),
            alarms: BTreeMap::new(),
            sequence: 0,
        };
        let changes = broadcast::Sender::new(CHANGES_WAITING_MAX);
        let feed = Feed { inner: Arc::new(Inner { state: Mutex::new(state), changes }) };
        let follower = feed.clone();
        tokio::spawn(async move {
            let followed = follower.follow(site, client, env, alive);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = followed => {}
            }
        });
        feed
    }

    /// Whether the site is heard now.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.state().connection
    }

    /// The newest reading of a VM, if the site is heard now and has told one.
    #[must_use]
    pub fn reading(&self, vm: VmId) -> Option<Arc<SiteReading>> {
        let state = self.state();
        match state.connection {
            Connection::Up => state.readings.get(&vm).cloned(),
            Connection::Down(_) => None,
        }
    }

    /// The newest reading of a VM ever told, for people: "as of".
    #[must_use]
    pub fn last_reading(&self, vm: VmId) -> Option<Arc<SiteReading>> {
        self.state().readings.get(&vm).cloned()
    }

    /// The newest claims of an evacuation, ever told.
    #[must_use]
    pub fn claims(&self, evacuation: EvacuationId) -> Option<Arc<Claims>> {
        self.state().claims.get(&evacuation).cloned()
    }

    /// What the site last raised an alarm about a VM for, in words; it may have passed since.
    #[must_use]
    pub fn last_alarm(&self, vm: VmId) -> Option<String> {
        self.state().alarms.get(&vm).cloned()
    }

    /// A bell that rings when the VM's reading or the connection changes. Ask for it before looking, wait after.
    #[must_use]
    pub fn bell(&self, vm: VmId) -> Arc<Notify> {
        Arc::clone(self.state().waiting.entry(vm).or_default())
    }

    /// Forgets a VM that nobody waits for any more.
    pub fn forget_bell(&self, vm: VmId) {
        self.state().waiting.remove(&vm);
    }

    /// Everything that changes, for whoever follows the whole feed.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<FeedChange> {
        self.inner.changes.subscribe()
    }

    /// Takes a reading that came as an answer. One that isn't newer than the one that is known changes nothing: answers
    /// and news overtake each other, and of the same moment only the news are sure to end with how things stand.
    pub fn learn(&self, reading: SiteReading) {
        self.keep(reading, |reading, known| age(reading) > age(known));
    }

    /// Takes a reading that the site has told by itself. These come in order, so the later one counts, whatever the worker's
    /// clock shows: that may have been put back meanwhile. Only what raised the floor is newer than news that are still on
    /// their way.
    fn hear(&self, reading: SiteReading) {
        self.keep(reading, |reading, known| reading.floor >= known.floor && reading != known);
    }

    fn keep(&self, reading: SiteReading, is_newer: impl Fn(&SiteReading, &SiteReading) -> bool) {
        let vm = reading.vm;
        let bell = {
            let mut state = self.state();
            let is_newer = state.readings.get(&vm).is_none_or(|known| is_newer(&reading, known));
            if !is_newer {
                return;
            }
            state.readings.insert(vm, Arc::new(reading));
            state.waiting.get(&vm).cloned()
        };
        if let Some(bell) = bell {
            bell.notify_one();
        }
        self.tell(FeedChange::Vm(vm));
    }

    pub(super) fn learn_claims(&self, evacuation: EvacuationId, claims: Claims) {
        let bells: Vec<_> = {
            let mut state = self.state();
            if state.claims.get(&evacuation).is_some_and(|known| **known == claims || known.epoch > claims.epoch) {
                return;
            }
            state.claims.insert(evacuation, Arc::new(claims));
            state.waiting.values().cloned().collect()
        };
        bells.iter().for_each(|bell| bell.notify_one());
        self.tell(FeedChange::Claims(evacuation));
    }

    async fn follow(&self, site: SiteName, mut client: SiteClient<Channel>, env: Arc<dyn Env>, alive: Duration) {
        loop {
            let after_sequence = self.state().sequence;
            let watched = client.watch(wire::WatchRequest { after_sequence });
            if let Ok(Ok(answer)) = tokio::time::timeout(alive, watched).await {
                let mut stream = answer.into_inner();
                while let Ok(Ok(Some(event))) = tokio::time::timeout(alive, stream.message()).await {
                    match SiteNews::try_from(event) {
                        Ok(news) => self.take(news),
                        Err(error) => {
                            tracing::error!(%site, %error, "nonsense on a site's feed");
                            break;
                        }
                    }
                }
            }
            self.set_connection(match self.connection() {
                Connection::Up => Connection::Down(env.now()),
                down @ Connection::Down(_) => down,
            });
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }

    fn take(&self, news: SiteNews) {
        self.set_connection(Connection::Up);
        match news.news {
            News::Reading(reading) => self.hear(*reading),
            News::Claims(claims) => self.learn_claims(claims.evacuation, claims.claims),
            News::Alarm(alarm) => self.raise(alarm),
            News::Alive => {}
        }
        let mut state = self.state();
        state.sequence = state.sequence.max(news.sequence);
    }

    fn raise(&self, alarm: Alarm) {
        tracing::warn!(vm = ?alarm.vm, reason = alarm.reason, "{}", alarm.message);
        if let Some(vm) = alarm.vm {
            let mut state = self.state();
            if state.alarms.len() >= ALARMS_KEPT_MAX && !state.alarms.contains_key(&vm) {
                state.alarms.pop_first();
            }
            state.alarms.insert(vm, alarm.message);
        }
        self.tell(FeedChange::Alarm);
    }

    fn set_connection(&self, connection: Connection) {
        let bells: Vec<_> = {
            let mut state = self.state();
            if state.connection == connection {
                return;
            }
            state.connection = connection;
            state.waiting.values().cloned().collect()
        };
        bells.iter().for_each(|bell| bell.notify_one());
        self.tell(FeedChange::Connection(connection));
    }

    fn tell(&self, change: FeedChange) {
        // Nobody following is no error.
        let _ = self.inner.changes.send(change);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By the floor first, which only grows, then by the worker's own clock.
fn age(reading: &SiteReading) -> (Token, Timestamp) {
    (reading.floor, reading.at)
}
