//! Every engine passes the suites.

use async_trait::async_trait;
use muster_store::conformance::{self, JournalPlace, LedgerPlace};
use muster_store::sqlite::{SqliteJournal, SqliteLedger};
use muster_store::{Journal, Ledger, StoreError};
use std::sync::Arc;
use tempfile::TempDir;

struct Directory(TempDir);

fn directory() -> Directory {
    Directory(tempfile::tempdir().unwrap())
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
