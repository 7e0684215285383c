//! The seam to a site's durable evidence. What a command does to a row is decided in `muster_core::ledger::transition`
//! and nowhere else; an engine only makes it last.

pub(crate) mod batch;
pub(crate) mod stored;

use crate::error::{Health, StoreError};
use async_trait::async_trait;
use muster_core::claim::Claims;
use muster_core::ids::{EvacuationId, SiteName, VmId};
use muster_core::ledger::command::{Applied, LedgerCommand, LedgerEvent, Refusal};
use muster_core::ledger::{HighWater, HistoryEntry, VmRow};

/// Most commands in one call of [`Ledger::execute`].
pub const COMMANDS_MAX: usize = 4096;

/// Most rows, events, moves or records that one reading returns; a greater limit is cut to it.
pub const PAGE_MAX: usize = 4096;

/// What can be read of a ledger. Readings show what is durable, and all that was acknowledged before they began.
#[async_trait]
pub trait ReadLedger: Send + Sync + 'static {
    /// The VM's row; [`VmRow::unknown`] where the ledger has never heard of it.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn row(&self, vm: VmId) -> Result<VmRow, StoreError>;

    /// A page of rows, in the order of their VMs' ids. An empty page is the end; a short one need not be.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn rows(&self, query: RowQuery) -> Result<Vec<VmRow>, StoreError>;

    /// The standing of an evacuation; the default where it was never claimed here.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn claims(&self, evacuation: EvacuationId) -> Result<Claims, StoreError>;

    /// Every evacuation the ledger knows of, in the order of their ids: what recovery starts from.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn evacuations(&self) -> Result<Vec<LedgerEvacuation>, StoreError>;

    /// A page of the history after a sequence number. Numbers are dense from 1, so 0 begins at the beginning. An
    /// empty page is the end for now; a short one need not be.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn events(&self, after_sequence: u64, limit: usize) -> Result<Vec<(u64, LedgerEvent)>, StoreError>;

    /// When the line of this number was written, and its link in the history's chain; none where there is no such line.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn entry(&self, sequence: u64) -> Result<Option<HistoryEntry>, StoreError>;

    /// How far other sites' ledgers had come when this one last heard of them, in the order of their names.
    ///
    /// # Errors
    /// Where the store can't be read.
    async fn witnesses(&self) -> Result<Vec<(SiteName, HighWater)>, StoreError>;
}

/// A site's ledger, open for writing. One process has it open so at a time.
#[async_trait]
pub trait Ledger: ReadLedger {
    /// Carries out commands in order, in one transaction on the current state, and returns once it is durable. There
    /// is one answer a command, in the same order; a refusal concerns its own command alone.
    ///
    /// Dropping the future takes nothing back: the commands may still be carried out.
    ///
    /// # Errors
    /// Then none of the commands was carried out, unless the error's class is `Unknown`. At most [`COMMANDS_MAX`]
    /// commands are taken.
    async fn execute(&self, commands: Vec<LedgerCommand>) -> Result<Vec<Result<Receipt, Refusal>>, StoreError>;

    /// Waits until an event after `after_sequence` is durable and returns the newest sequence number.
    ///
    /// # Errors
    /// Once the store takes no more work.
    async fn wait_past(&self, after_sequence: u64) -> Result<u64, StoreError>;

    /// The newest durable event's sequence number; 0 before the first.
    fn newest(&self) -> u64;

    /// Takes no more work, and lets nothing more be read: its owner has learned that what it says can't be trusted. The first
    /// failure stands.
    fn fail(&self, because: StoreError);

    /// Whether it takes work.
    fn health(&self) -> Health;
}

/// What became of a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Of a command on a VM, or a fact: its row now, what was written beside it, and whether that was now or before.
    Vm(Box<Applied>),
    /// Of a command on an evacuation: its standing now.
    Evacuation(Claims),
    /// Of what concerns neither: it stands.
    Written,
}

impl Receipt {
    /// What became of a VM's command or fact; none for an evacuation's.
    #[must_use]
    pub fn into_applied(self) -> Option<Applied> {
        match self {
            Receipt::Vm(applied) => Some(*applied),
            Receipt::Evacuation(_) | Receipt::Written => None,
        }
    }

    /// The standing after an evacuation's command; none for a VM's.
    #[must_use]
    pub fn into_claims(self) -> Option<Claims> {
        match self {
            Receipt::Vm(_) | Receipt::Written => None,
            Receipt::Evacuation(claims) => Some(claims),
        }
    }
}

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowQuery {
    /// Of this evacuation alone: the VMs that belong, or last belonged, to it.
    pub evacuation: Option<EvacuationId>,
    /// After this VM: the last one of the page before.
    pub after: Option<VmId>,
    /// At most this many; cut to [`PAGE_MAX`].
    pub limit: usize,
}

impl RowQuery {
    /// The first page of all rows.
    #[must_use]
    pub fn all() -> Self {
        RowQuery { evacuation: None, after: None, limit: PAGE_MAX }
    }

    /// The first page of an evacuation's rows.
    #[must_use]
    pub fn of(evacuation: EvacuationId) -> Self {
        RowQuery { evacuation: Some(evacuation), ..RowQuery::all() }
    }

    /// The page after the one that ended with this VM.
    #[must_use]
    pub fn after(self, vm: VmId) -> Self {
        RowQuery { after: Some(vm), ..self }
    }
}

/// An evacuation as a ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEvacuation {
    /// The evacuation.
    pub evacuation: EvacuationId,
    /// Its claim and what was sworn; kept by the destination's ledger.
    pub claims: Claims,
    /// How many VMs belong, or last belonged, to it here.
    pub vms: u64,
    /// For how many of these this side's part is not over. The evacuation is open while there is one.
    pub open: u64,
}
