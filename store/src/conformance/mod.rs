//! What every engine must keep, as suites that any of them can be run against. A case that fails panics and says which
//! promise was broken; it judges by the traits alone and knows no engine.

mod journal;
mod ledger;
mod sample;

pub use journal::suite as journal;
pub use ledger::suite as ledger;

use crate::error::StoreError;
use crate::{Journal, Ledger};
use async_trait::async_trait;
use std::sync::Arc;

/// Where one ledger lasts: a file, or what stands for one.
#[async_trait]
pub trait LedgerPlace: Send + Sync {
    /// Opens the ledger, made new the first time. All earlier handles have been dropped.
    ///
    /// # Errors
    /// Where it can't be opened.
    async fn open(&self) -> Result<Arc<dyn Ledger>, StoreError>;
}

/// Where one journal lasts: a file, or what stands for one.
#[async_trait]
pub trait JournalPlace: Send + Sync {
    /// Opens the journal, made new the first time. All earlier handles have been dropped.
    ///
    /// # Errors
    /// Where it can't be opened.
    async fn open(&self) -> Result<Arc<dyn Journal>, StoreError>;
}
