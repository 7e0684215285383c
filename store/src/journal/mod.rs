//! The seam to the orchestrator's durable history. The statuses beside it are folded from its records by
//! `muster_core::evacuation` and nowhere else; an engine only makes them last, in the records' own transaction.

pub(crate) mod batch;
pub(crate) mod stored;

use self::stored::StoredRecord;
use crate::chain::Head;
use crate::error::{Health, StoreError};
use async_trait::async_trait;
use muster_core::class::Class;
use muster_core::evacuation::{EvacuationStatus, JournalRecord, MoveStatus};
use muster_core::ids::{EvacuationId, RequestId, VmId};

/// Most records in one call of [`Journal::append`].
pub const RECORDS_MAX: usize = 4096;

/// An orchestrator's journal. One process has it open at a time. Readings show what is durable, and all that was
/// acknowledged before they began.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Appends records in order and folds them into the statuses, all of them or none, and returns once that is
    /// durable: the sequence number of the last one. They are numbered densely from 1.
    ///
    /// Dropping the future takes nothing back: the records may still be appended.
    ///
    /// # Errors
    /// Then none was appended, unless the error's class is `Unknown`. [`JournalError::RequestKnown`] where a record's
    /// request stands in the journal already: answer that call as it was answered then.
    async fn append(&self, records: Vec<JournalRecord>) -> Result<u64, JournalError>;

    /// The record that a mutating call left, with its sequence number.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn find_request(&self, request: RequestId) -> Result<Option<(u64, JournalRecord)>, StoreError>;

    /// The status of every evacuation, the earliest ordered first.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn evacuations(&self) -> Result<Vec<EvacuationStatus>, StoreError>;

    /// An evacuation's status.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn evacuation(&self, evacuation: EvacuationId) -> Result<Option<EvacuationStatus>, StoreError>;

    /// A page of an evacuation's moves, in the order of their VMs' ids, after this VM; at most `limit`, cut to
    /// [`crate::PAGE_MAX`]. An empty page is the end; a short one need not be.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn moves(
        &self,
        evacuation: EvacuationId,
        after: Option<VmId>,
        limit: usize,
    ) -> Result<Vec<MoveStatus>, StoreError>;

    /// One move's status.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn a_move(&self, evacuation: EvacuationId, vm: VmId) -> Result<Option<MoveStatus>, StoreError>;

    /// A page of records with their sequence numbers. An empty page is the end for now; a short one need not be.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn records(&self, query: JournalQuery) -> Result<Vec<(u64, JournalRecord)>, StoreError>;

    /// The same page as it is stored: each column's text to the letter, with its link in the chain. It is not judged: a row
    /// that isn't whole says so, and whether the links follow is for [`ChainCheck`](crate::chain::ChainCheck).
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn stored(&self, query: JournalQuery) -> Result<Vec<StoredRecord>, StoreError>;

    /// The newest durable record's number and link.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Waits until a record after `after_sequence` is durable and returns the newest sequence number.
    ///
    /// # Errors
    /// Once the store takes no more work.
    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError>;

    /// The newest durable record's sequence number; 0 before the first.
    fn newest(&self) -> u64;

    /// Whether it takes work.
    fn health(&self) -> Health;
}

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalQuery {
    /// Of this evacuation alone.
    pub evacuation: Option<EvacuationId>,
    /// About this VM alone.
    pub vm: Option<VmId>,
    /// After this sequence number; 0 begins at the beginning.
    pub after_sequence: u64,
    /// At most this many; cut to [`crate::PAGE_MAX`].
    pub limit: usize,
}

impl JournalQuery {
    /// The first page of everything.
    #[must_use]
    pub fn all() -> Self {
        JournalQuery { evacuation: None, vm: None, after_sequence: 0, limit: crate::PAGE_MAX }
    }
}

/// Why records were not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The call that is being recorded was recorded before.
    #[error("request {request} stands in the journal already, as record {sequence}")]
    RequestKnown {
        /// The request.
        request: RequestId,
        /// The earlier record's sequence number.
        sequence: u64,
    },
    /// Two records of one batch carry the same request.
    #[error("request {request} is carried by two records of one batch")]
    RequestTwice {
        /// The request.
        request: RequestId,
    },
    /// The evacuation was ordered before.
    #[error("evacuation {evacuation} was ordered before; use another id")]
    EvacuationKnown {
        /// The evacuation.
        evacuation: EvacuationId,
    },
    /// The evacuation was never ordered.
    #[error("evacuation {evacuation} is not in the journal")]
    NoSuchEvacuation {
        /// The evacuation.
        evacuation: EvacuationId,
    },
    /// The VM was never planned for the evacuation.
    #[error("VM {vm} is not in the plan of evacuation {evacuation}")]
    NoSuchMove {
        /// The evacuation.
        evacuation: EvacuationId,
        /// The VM.
        vm: VmId,
    },
    /// A record plans one VM's move and says it is about another, or about none.
    #[error("the record that plans the move of VM {planned} says it is about another VM, or about none")]
    PlansAnotherVm {
        /// The VM that is planned.
        planned: VmId,
    },
}

impl JournalError {
    /// What the caller may do now.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            JournalError::Store(error) => error.class(),
            JournalError::RequestKnown { .. }
            | JournalError::EvacuationKnown { .. }
            | JournalError::NoSuchEvacuation { .. }
            | JournalError::NoSuchMove { .. } => Class::Refused,
            JournalError::RequestTwice { .. } | JournalError::PlansAnotherVm { .. } => Class::Bug,
        }
    }
}
