//! Every engine passes the suites.

use async_trait::async_trait;
use muster_store::conformance::{self, JournalPlace, LedgerPlace};
use muster_store::memory::{JournalDisk, LedgerDisk, MemoryJournal, MemoryLedger};
use muster_store::sqlite::{SqliteJournal, SqliteLedger};
use muster_store::{Journal, Ledger, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

struct Directory(TempDir);

fn directory() -> Directory {
    Directory(tempfile::tempdir().expect("a temporary directory can be made"))
}

struct Imagined(LedgerDisk, JournalDisk);

fn imagined() -> Imagined {
    Imagined(LedgerDisk::new("ledger"), JournalDisk::new("journal"))
}

#[async_trait]
impl LedgerPlace for Directory {
    async fn open(&self) -> Result<Arc<dyn Ledger>, StoreError> {
        Ok(Arc::new(SqliteLedger::open(&self.0.path().join("ledger.sqlite"))?))
    }
}

#[async_trait]
impl JournalPlace for Directory {
    async fn open(&self) -> Result<Arc<dyn Journal>, StoreError> {
        Ok(Arc::new(SqliteJournal::open(&self.0.path().join("journal.sqlite"))?))
    }
}

#[async_trait]
impl LedgerPlace for Imagined {
    async fn open(&self) -> Result<Arc<dyn Ledger>, StoreError> {
        Ok(Arc::new(MemoryLedger::open(&self.0)?))
    }
}

#[async_trait]
impl JournalPlace for Imagined {
    async fn open(&self) -> Result<Arc<dyn Journal>, StoreError> {
        Ok(Arc::new(MemoryJournal::open(&self.1)?))
    }
}

/// Synced late, so that writes of many callers wait side by side.
fn slow() -> Imagined {
    let imagined = imagined();
    imagined.0.set_sync_delay(Duration::from_millis(4));
    imagined.1.set_sync_delay(Duration::from_millis(4));
    imagined
}

#[tokio::test]
async fn a_sqlite_ledger_keeps_what_a_ledger_must() {
    conformance::ledger(directory).await;
}

#[tokio::test]
async fn a_sqlite_journal_keeps_what_a_journal_must() {
    conformance::journal(directory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_do_with_callers_on_several_threads() {
    conformance::ledger(directory).await;
    conformance::journal(directory).await;
}

#[tokio::test]
async fn a_ledger_in_memory_keeps_what_a_ledger_must() {
    conformance::ledger(imagined).await;
    conformance::ledger(slow).await;
}

#[tokio::test]
async fn a_journal_in_memory_keeps_what_a_journal_must() {
    conformance::journal(imagined).await;
    conformance::journal(slow).await;
}
