//! The ledger in one SQLite file.

use super::fault::{Fault, Moment};
use super::file::{self, Opened};
use super::reader::Readers;
use super::schema::LEDGER;
use super::writer::{Work, Writer};
use super::{ledger_rows as rows, ledger_rows::Stored};
use crate::error::{Health, StoreError};
use crate::ledger::batch::Batch;
use crate::ledger::stored::StoredEvent;
use crate::ledger::{COMMANDS_MAX, Ledger, LedgerEvacuation, ReadLedger, Receipt, RowQuery};
use crate::pulse::Pulse;
use async_trait::async_trait;
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::ledger::command::{LedgerCommand, LedgerEvent, Refusal};
use muster_core::ledger::{HighWater, HistoryEntry, VmRow};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A ledger file, open for writing. Dropping it waits until what was handed in is durable, and lets go of the file.
#[derive(Debug)]
pub struct SqliteLedger {
    writer: Writer<LedgerWork>,
    readers: Readers,
    pulse: Arc<Pulse>,
}

/// A ledger file, open for reading alone: what `muster recover --ledger FILE` reads when its worker is dead.
#[derive(Debug)]
pub struct SqliteLedgerReader {
    readers: Readers,
    newest: u64,
}

impl SqliteLedger {
    /// Opens a ledger's file, made new where there is none. Blocks: it reads the whole file to know that it is whole.
    ///
    /// # Errors
    /// Where it can't be opened for writing, is damaged, of a newer muster, something else, or in use.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        SqliteLedger::start(file::open(path, &LEDGER)?)
    }

    /// Opens a ledger's file for reading alone; nothing in it is changed, and nobody else is kept from it. Blocks like
    /// [`SqliteLedger::open`].
    ///
    /// # Errors
    /// Where it can't be read, is missing, damaged, of an older or newer muster, or something else.
    pub fn open_read_only(path: &Path) -> Result<SqliteLedgerReader, StoreError> {
        let (path, connection, newest) = file::open_read_only(path, &LEDGER)?;
        Ok(SqliteLedgerReader { readers: Readers::new(path, vec![connection]), newest })
    }

    pub(super) fn start(opened: Opened) -> Result<Self, StoreError> {
        let readers = Readers::open(&opened.path)?;
        let pulse = Arc::new(Pulse::new(opened.newest));
        let writer = Writer::start(opened, Arc::clone(&pulse))?;
        Ok(SqliteLedger { writer, readers, pulse })
    }

    async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.pulse.readable()?;
        self.readers.read(reading).await
    }
}

impl SqliteLedgerReader {
    /// The newest sequence number of its history when it was opened; 0 before the first.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(reading).await
    }
}

macro_rules! read_ledger {
    ($store:ty) => {
        #[async_trait]
        impl ReadLedger for $store {
            async fn row(&self, vm: VmId) -> Result<VmRow, StoreError> {
                self.read(move |connection| rows::row(connection, vm)).await
            }

            async fn rows(&self, query: RowQuery) -> Result<Vec<VmRow>, StoreError> {
                self.read(move |connection| rows::rows(connection, query)).await
            }

            async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, StoreError> {
                self.read(move |connection| rows::claims(connection, evacuation)).await
            }

            async fn evacuations(&self) -> Result<Vec<LedgerEvacuation>, StoreError> {
                self.read(rows::evacuations).await
            }

            async fn events(&self, after_sequence: u64, limit: usize) -> Result<Vec<(u64, LedgerEvent)>, StoreError> {
                self.read(move |connection| rows::events(connection, after_sequence, limit)).await
            }

            async fn entry(&self, sequence: u64) -> Result<Option<HistoryEntry>, StoreError> {
                self.read(move |connection| rows::entry(connection, sequence)).await
            }

            async fn witnesses(&self) -> Result<Vec<(SiteName, HighWater)>, StoreError> {
                self.read(rows::witnesses).await
            }
        }
    };
}

read_ledger!(SqliteLedger);
read_ledger!(SqliteLedgerReader);

#[async_trait]
impl Ledger for SqliteLedger {
    async fn execute(&self, commands: Vec<LedgerCommand>) -> Result<Vec<Result<Receipt, Refusal>>, StoreError> {
        if commands.len() > COMMANDS_MAX {
            return Err(StoreError::TooMany { given: commands.len(), most: COMMANDS_MAX });
        }
        self.writer.call(commands).await
    }

    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.pulse.wait_past(after_sequence).await
    }

    fn newest(&self) -> u64 {
        self.pulse.newest()
    }

    fn fail(&self, because: StoreError) {
        self.pulse.fail(because);
    }

    fn health(&self) -> Health {
        self.pulse.health()
    }
}

/// A ledger's file as it lies there, for finding out what is wrong with its chain: read only, and not judged.
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    connection: Connection,
}

impl LedgerFile {
    /// Opens it, whether a worker has it open or not. Changes nothing.
    ///
    /// # Errors
    /// Where it can't be read, is of another version, or something else.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (path, connection) = file::open_unjudged(path, &LEDGER)?;
        Ok(LedgerFile { path, connection })
    }

    /// A page of the history's lines as they are stored, after this number; at most `limit`, cut to [`crate::PAGE_MAX`]. Blocks.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn stored(&self, after_sequence: u64, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        rows::stored(&self.connection, after_sequence, limit)
            .map_err(|fault| fault.at(&self.path, Moment::BeforeCommit))
    }
}

#[derive(Debug)]
struct LedgerWork;

impl Work for LedgerWork {
    type Call = Vec<LedgerCommand>;
    type Answer = Vec<Result<Receipt, Refusal>>;

    fn weight(call: &Self::Call) -> usize {
        call.len()
    }

    fn carry_out(
        connection: &Connection,
        newest: u64,
        calls: Vec<Self::Call>,
    ) -> Result<(Vec<Self::Answer>, u64), Fault> {
        let mut batch = Batch::default();
        let mut answers = Vec::with_capacity(calls.len());
        for commands in &calls {
            answers.push(batch.execute(&Stored(connection), commands)?);
        }
        rows::write(connection, newest, &batch)?;
        Ok((answers, newest + batch.events().len() as u64))
    }
}
