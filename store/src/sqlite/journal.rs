//! The journal in one SQLite file.

use super::fault::{Fault, Moment};
use super::file;
use super::journal_rows::{self as rows, Stored};
use super::reader::Readers;
use super::schema::JOURNAL;
use super::writer::{Work, Writer};
use crate::chain::Head;
use crate::error::{Health, StoreError};
use crate::journal::batch::Batch;
use crate::journal::stored::StoredRecord;
use crate::journal::{Journal, JournalError, JournalQuery, RECORDS_MAX};
use crate::pulse::Pulse;
use async_trait::async_trait;
use muster_core::evacuation::{EvacuationStatus, JournalRecord, MoveStatus};
use muster_core::ids::{EvacuationId, RequestId, VmId};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A journal file, open for writing. Dropping it waits until what was handed in is durable, and lets go of the file.
#[derive(Debug)]
pub struct SqliteJournal {
    writer: Writer<JournalWork>,
    readers: Readers,
    pulse: Arc<Pulse>,
}

impl SqliteJournal {
    /// Opens a journal's file, made new where there is none. Blocks: it reads the whole file to know that it is whole.
    ///
    /// # Errors
    /// Where it can't be opened for writing, is damaged, of a newer muster, something else, or in use.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = file::open(path, &JOURNAL)?;
        let readers = Readers::open(&opened.path)?;
        let pulse = Arc::new(Pulse::new(opened.newest));
        let writer = Writer::start(opened, Arc::clone(&pulse))?;
        Ok(SqliteJournal { writer, readers, pulse })
    }

    async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.pulse.readable()?;
        self.readers.read(reading).await
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, records: Vec<JournalRecord>) -> Result<u64, JournalError> {
        if records.len() > RECORDS_MAX {
            return Err(StoreError::TooMany { given: records.len(), most: RECORDS_MAX }.into());
        }
        self.writer.call(records).await?
    }

    async fn find_request(&self, request: RequestId) -> Result<Option<(u64, JournalRecord)>, StoreError> {
        self.read(move |connection| rows::find_request(connection, request)).await
    }

    async fn evacuations(&self) -> Result<Vec<EvacuationStatus>, StoreError> {
        self.read(rows::evacuations).await
    }

    async fn evacuation(&self, evacuation: EvacuationId) -> Result<Option<EvacuationStatus>, StoreError> {
        self.read(move |connection| Ok(rows::evacuation(connection, evacuation)?.map(|ordered| ordered.status))).await
    }

    async fn moves(
        &self,
        evacuation: EvacuationId,
        after: Option<VmId>,
        limit: usize,
    ) -> Result<Vec<MoveStatus>, StoreError> {
        self.read(move |connection| rows::moves(connection, evacuation, after, limit)).await
    }

    async fn a_move(&self, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, StoreError> {
        self.read(move |connection| rows::a_move(connection, evacuation, vm)).await
    }

    async fn records(&self, query: JournalQuery) -> Result<Vec<(u64, JournalRecord)>, StoreError> {
        self.read(move |connection| rows::records(connection, query)).await
    }

    async fn stored(&self, query: JournalQuery) -> Result<Vec<StoredRecord>, StoreError> {
        self.read(move |connection| rows::stored(connection, query)).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(rows::head).await
    }

    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError> {
        self.pulse.wait_past(after_sequence).await
    }

    fn newest(&self) -> u64 {
        self.pulse.newest()
    }

    fn health(&self) -> Health {
        self.pulse.health()
    }
}

/// A journal's file as it lies there, for finding out what is wrong with its chain: read only, and not judged.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    connection: Connection,
}

impl JournalFile {
    /// Opens it, whether an orchestrator has it open or not. Changes nothing.
    ///
    /// # Errors
    /// Where it can't be read, is of another version, or something else.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (path, connection) = file::open_unjudged(path, &JOURNAL)?;
        Ok(JournalFile { path, connection })
    }

    /// A page of records as they are stored; see [`Journal::stored`]. Blocks.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn stored(&self, query: JournalQuery) -> Result<Vec<StoredRecord>, StoreError> {
        rows::stored(&self.connection, query).map_err(|fault| fault.at(&self.path, Moment::BeforeCommit))
    }
}

#[derive(Debug)]
struct JournalWork;

impl Work for JournalWork {
    type Call = Vec<JournalRecord>;
    type Answer = Result<u64, JournalError>;

    fn weight(call: &Self::Call) -> usize {
        call.len()
    }

    fn carry_out(
        connection: &Connection,
        newest: u64,
        calls: Vec<Self::Call>,
    ) -> Result<(Vec<Self::Answer>, u64), Fault> {
        let mut batch = Batch::new(newest);
        let mut answers = Vec::with_capacity(calls.len());
        for records in calls {
            answers.push(batch.append(&Stored(connection), records)?);
        }
        rows::write(connection, &batch)?;
        Ok((answers, batch.newest()))
    }
}
