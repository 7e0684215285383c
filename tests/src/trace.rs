//! What happened on a stage, in the true order: every durable write, every call to a hypervisor and its answer, and
//! whatever whoever plays notes down. Two plays of one seed have one trace.
//!
//! It listens at the seams and decides nothing. Times are the stage's own, whatever the processes' clocks show.

use crate::stage::Process;
use muster_core::evacuation::JournalRecord;
use muster_core::ids::VmId;
use muster_core::ledger::command::LedgerEvent;
use muster_store::memory::{JournalDisk, LedgerDisk};
use muster_store::{JournalQuery, PAGE_MAX};
use muster_worker::hypervisor::{Call, HypervisorError};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, in milliseconds since the stage began.
    pub at_ms: u64,
    /// To whom.
    pub process: Process,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone)]
pub enum What {
    /// A line of its ledger became durable, under this number.
    Wrote(u64, Box<LedgerEvent>),
    /// A line of its journal became durable, under this number.
    Journaled(u64, Box<JournalRecord>),
    /// It called a hypervisor.
    Called(Box<Call>),
    /// A hypervisor answered, or will never.
    Answered(VmId, Result<(), HypervisorError>),
    /// Whoever plays did this.
    Noted(String),
}

/// A stage's trace. A clone is the same trace.
#[derive(Debug, Clone)]
pub struct Trace {
    began: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    ledgers: BTreeMap<Process, u64>,
    journal: u64,
}

impl Trace {
    /// An empty trace of a stage that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Trace { began: Instant::now(), inner: Arc::default() }
    }

    /// Notes what whoever plays does.
    pub fn note(&self, process: Process, what: String) {
        self.add(process, What::Noted(what));
    }

    /// The orchestrator's journal is another one from now on.
    pub fn forget_journal(&self) {
        self.inner().journal = 0;
    }

    /// Reads all that happened so far.
    pub fn read<T>(&self, reading: impl FnOnce(&[Entry]) -> T) -> T {
        reading(&self.inner().entries)
    }

    /// Milliseconds since the stage began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A number that two traces share only if they are the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for entry in &self.inner().entries {
            entry.to_string().hash(&mut hasher);
        }
        hasher.finish()
    }

    pub(crate) fn add(&self, process: Process, what: What) {
        let at_ms = self.now_ms();
        self.inner().entries.push(Entry { at_ms, process, what });
    }

    /// Takes the lines that a ledger's disk has and the trace hasn't: from the disk, for a store that has stopped doesn't
    /// tell what it had confirmed before.
    pub(crate) fn follow_ledger(&self, process: Process, disk: &LedgerDisk) {
        loop {
            let after = self.inner().ledgers.get(&process).copied().unwrap_or_default();
            let lines = disk.events_after(after, PAGE_MAX);
            let Some((last, _)) = lines.last() else { return };
            self.inner().ledgers.insert(process, *last);
            for (sequence, event) in lines {
                self.add(process, What::Wrote(sequence, Box::new(event)));
            }
        }
    }

    /// Takes the lines that the journal's disk has and the trace hasn't.
    pub(crate) fn follow_journal(&self, disk: &JournalDisk) {
        loop {
            let after_sequence = self.inner().journal;
            let lines = disk.records(&JournalQuery { evacuation: None, vm: None, after_sequence, limit: PAGE_MAX });
            let Some((last, _)) = lines.last() else { return };
            self.inner().journal = *last;
            for (sequence, record) in lines {
                self.add(Process::Orchestrator, What::Journaled(sequence, Box::new(record)));
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>8} ms {:<12} ", self.at_ms, self.process.word())?;
        match &self.what {
            What::Wrote(sequence, event) => {
                write!(formatter, "ledger {sequence}: ")?;
                if let Some(vm) = event.vm {
                    write!(formatter, "{vm} ")?;
                }
                if let Some(token) = event.token {
                    write!(formatter, "{token} ")?;
                }
                write!(formatter, "{:?} by its clock {}", event.kind, event.at.0)
            }
            What::Journaled(sequence, record) => {
                write!(formatter, "journal {sequence}: ")?;
                if let Some(vm) = record.vm {
                    write!(formatter, "{vm} ")?;
                }
                write!(formatter, "{:?}", record.kind)
            }
            What::Called(call) => write!(formatter, "calls {}: {} {:?}", call.host, call.vm, call.change),
            What::Answered(vm, answer) => write!(formatter, "is answered: {vm} {answer:?}"),
            What::Noted(what) => write!(formatter, "{what}"),
        }
    }
}
