//! The engine for simulation: the same batches as every engine's, on an imagined [`Disk`] that can crash, lose what
//! was not synced, be slow, and fail by order. Deterministic, without threads; it promises nothing beyond the process.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), muster_store::StoreError> {
//! use muster_store::memory::{LedgerDisk, MemoryLedger};
//! let disk = LedgerDisk::new("attic");
//! let ledger = MemoryLedger::open(&disk)?;
//! disk.hold(); // nothing is synced, so nothing is acknowledged, from here on …
//! disk.crash(0); // … and all of that is lost
//! drop(ledger);
//! let ledger = MemoryLedger::open(&disk)?;
//! # drop(ledger);
//! # Ok(())
//! # }
//! ```

mod disk;
mod journal;
mod ledger;

pub use disk::{Contents, Disk, Failure};
pub use journal::{JournalContents, JournalDisk, MemoryJournal};
pub use ledger::{LedgerContents, LedgerDisk, MemoryLedger, MemoryLedgerReader};
