//! The embedded engine: one SQLite file a store, write-ahead log, every commit synced.
//!
//! It makes durable what the batches decide and decides nothing itself. It never answers before the commit is
//! durable, and never goes on after a failure that leaves the disk in doubt.

mod digest;
mod fault;
mod file;
mod journal;
mod journal_rows;
mod ledger;
mod ledger_rows;
mod reader;
mod rebuild;
mod schema;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub use journal::{JournalFile, SqliteJournal};
pub use ledger::{LedgerFile, SqliteLedger, SqliteLedgerReader};
pub use reader::READERS;
pub use writer::{CALLS_WAITING_MAX, GROUP_MAX};
