//! The group-commit writer: one thread a store. It takes what is waiting, carries it out in one transaction, and
//! acknowledges each call after the commit is durable. While one commit is under way the next group gathers.
//!
//! After a failure that isn't somebody else's lock it ends, and with it the store: whatever was in the group was rolled
//! back whole, and nothing further is tried on a disk that can't be trusted.

use super::fault::{Fault, Moment};
use super::file::{Opened, beside};
use crate::error::StoreError;
use crate::pulse::Pulse;
use rusqlite::{Connection, Row, TransactionBehavior};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Most calls that wait for the writer. Further callers wait for a place.
pub const CALLS_WAITING_MAX: usize = 1024;

/// A group is closed once it holds this many commands or records. One call is never split, so a group holds at most
/// this many and one call more.
pub const GROUP_MAX: usize = 1024;

/// The write-ahead log's length, in bytes, from which on it is carried over into the main file.
const CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;

/// What a store does with a group of calls.
pub(super) trait Work: 'static {
    type Call: Send + 'static;
    type Answer: Send + 'static;
    /// How many changes a call asks for.
    fn weight(call: &Self::Call) -> usize;
    /// Carries the calls out in the open transaction: an answer a call, and the newest sequence number after them.
    fn carry_out(
        connection: &Connection,
        newest: u64,
        calls: Vec<Self::Call>,
    ) -> Result<(Vec<Self::Answer>, u64), Fault>;
}

/// The way to a store's writer.
#[derive(Debug)]
pub(super) struct Writer<W: Work> {
    calls: Option<mpsc::Sender<Waiting<W>>>,
    thread: Option<JoinHandle<()>>,
    pulse: Arc<Pulse>,
    path: PathBuf,
}

#[derive(Debug)]
struct Waiting<W: Work> {
    call: W::Call,
    answer: oneshot::Sender<Result<W::Answer, StoreError>>,
}

impl<W: Work> Writer<W> {
    pub(super) fn start(opened: Opened, pulse: Arc<Pulse>) -> Result<Self, StoreError> {
        let (calls, waiting) = mpsc::channel(CALLS_WAITING_MAX);
        let path = opened.path.clone();
        let bench = Bench::<W> {
            waiting,
            connection: opened.connection,
            _lock: opened.lock,
            pulse: Arc::clone(&pulse),
            path: opened.path,
            checkpoint_at_bytes: CHECKPOINT_BYTES,
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || bench.work()).map_err(
            |error| StoreError::File {
                path: path.clone(),
                doing: "starting its writer's thread",
                source: Arc::new(error),
            },
        )?;
        Ok(Writer { calls: Some(calls), thread: Some(thread), pulse, path })
    }

    /// Hands a call to the writer and waits until what came of it is durable.
    pub(super) async fn call(&self, call: W::Call) -> Result<W::Answer, StoreError> {
        self.pulse.working()?;
        let (answer, answered) = oneshot::channel();
        let sent = match &self.calls {
            Some(calls) => calls.send(Waiting { call, answer }).await.is_ok(),
            None => false,
        };
        if sent {
            // A writer that stops answers what it has taken; only one that panicked doesn't.
            return answered.await.unwrap_or_else(|_| Err(StoreError::ThreadDied { path: self.path.clone() }));
        }
        self.pulse.working()?;
        Err(StoreError::ThreadDied { path: self.path.clone() })
    }
}

impl<W: Work> Drop for Writer<W> {
    /// Waits until the writer has carried out what is waiting and let go of the file.
    fn drop(&mut self) {
        drop(self.calls.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(path = %self.path.display(), "the store's writer has panicked");
        }
    }
}

/// What the writer's thread works with.
struct Bench<W: Work> {
    waiting: mpsc::Receiver<Waiting<W>>,
    connection: Connection,
    _lock: File,
    pulse: Arc<Pulse>,
    path: PathBuf,
    checkpoint_at_bytes: u64,
}

impl<W: Work> Bench<W> {
    fn work(mut self) {
        let _alarm = Alarm { pulse: Arc::clone(&self.pulse), path: self.path.clone() };
        while let Some(first) = self.waiting.blocking_recv() {
            let group = self.gather(first);
            if let Err(error) = self.commit(group) {
                self.stop(error);
                return;
            }
        }
    }

    fn gather(&mut self, first: Waiting<W>) -> Vec<Waiting<W>> {
        let mut weight = W::weight(&first.call);
        let mut group = vec![first];
        while weight < GROUP_MAX {
            let Ok(next) = self.waiting.try_recv() else { break };
            weight = weight.saturating_add(W::weight(&next.call));
            group.push(next);
        }
        group
    }

    /// Commits a group and answers its calls. An error ends the writer.
    fn commit(&mut self, group: Vec<Waiting<W>>) -> Result<(), StoreError> {
        let (calls, askers): (Vec<_>, Vec<_>) = group.into_iter().map(|one| (one.call, one.answer)).unzip();
        match self.transact(calls) {
            Ok((answers, newest)) => {
                self.pulse.durable_up_to(newest);
                for (asker, answer) in askers.into_iter().zip(answers) {
                    // Whoever doesn't wait any more can read what stands.
                    let _ = asker.send(Ok(answer));
                }
                self.checkpoint()
            }
            Err(error) => {
                let goes_on = matches!(error, StoreError::Busy { .. });
                if !goes_on {
                    self.pulse.fail(error.clone());
                }
                for asker in askers {
                    let _ = asker.send(Err(error.clone()));
                }
                if goes_on { Ok(()) } else { Err(error) }
            }
        }
    }

    fn transact(&mut self, calls: Vec<W::Call>) -> Result<(Vec<W::Answer>, u64), StoreError> {
        let newest = self.pulse.newest();
        let before = |fault: Fault| fault.at(&self.path, Moment::BeforeCommit);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| before(error.into()))?;
        // Dropped without a commit it is rolled back.
        let done = W::carry_out(&transaction, newest, calls).map_err(before)?;
        transaction.commit().map_err(|error| Fault::from(error).at(&self.path, Moment::InCommit))?;
        Ok(done)
    }

    /// Carries a long log over into the main file, here and not inside a commit, so that a failure is seen.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let length = std::fs::metadata(beside(&self.path, "-wal")).map_or(0, |metadata| metadata.len());
        if length < self.checkpoint_at_bytes {
            return Ok(());
        }
        // How many pages the log has, and how many of them are carried over.
        let counts = |row: &Row<'_>| -> rusqlite::Result<(i64, i64)> { Ok((row.get(1)?, row.get(2)?)) };
        let (pages, carried) = match self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], counts) {
            Ok(done) => done,
            // Acknowledged work is durable in the log all the same.
            Err(error) => return Err(Fault::from(error).at(&self.path, Moment::BeforeCommit)),
        };
        // A reader that still needs the log holds it back; then it is tried again when the log has grown as much again.
        self.checkpoint_at_bytes = if carried == pages { CHECKPOINT_BYTES } else { length + CHECKPOINT_BYTES };
        Ok(())
    }

    /// Answers what is still waiting.
    fn stop(mut self, error: StoreError) {
        self.pulse.fail(error.clone());
        self.waiting.close();
        let because = Arc::new(error);
        while let Some(waiting) = self.waiting.blocking_recv() {
            let _ = waiting.answer.send(Err(StoreError::Stopped { because: Arc::clone(&because) }));
        }
    }
}

/// Says so if the thread ends by a panic.
struct Alarm {
    pulse: Arc<Pulse>,
    path: PathBuf,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.pulse.fail(StoreError::ThreadDied { path: self.path.clone() });
        }
    }
}
